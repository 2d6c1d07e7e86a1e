/** Expectations are those of sysctl.d(5) and of systemd's src/sysctl/sysctl.c. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { bootSettings, matchesSysctl, parseSysctlFiles } from "./sysctl-files.ts";

const files = (...texts: [path: string, text: string][]) =>
  parseSysctlFiles(texts.map(([path, text]) => ({ path, text })));
const RP = "net/ipv4/conf/eth0/rp_filter";

test("bootSettings(): the last file wins, and the others are named", () => {
  const read = files(
    ["/usr/lib/sysctl.d/50-a.conf", "net.ipv4.ip_forward = 0\n"],
    ["/etc/sysctl.d/60-b.conf", "# on\nnet/ipv4/ip_forward=1\n"],
  );
  const { winner, overruled } = bootSettings("net/ipv4/ip_forward", read);
  assert.deepEqual(winner, { value: "1", where: "/etc/sysctl.d/60-b.conf:2" });
  assert.deepEqual(overruled, [
    { value: "0", where: "/usr/lib/sysctl.d/50-a.conf:1", why: "/etc/sysctl.d/60-b.conf:2 comes later" },
  ]);
});

test("bootSettings(): a name counts before every pattern, wherever it stands", () => {
  const read = files(["/a.conf", "net.ipv4.conf.eth0.rp_filter=1\n"], ["/z.conf", "net.ipv4.conf.*.rp_filter = 2\n"]);
  const { winner, overruled } = bootSettings(RP, read);
  assert.equal(winner?.value, "1");
  assert.match(overruled[0]?.why ?? "", /it is a pattern, and \/a.conf:1 names/);
  assert.equal(bootSettings("net/ipv4/conf/eth1/rp_filter", read).winner?.value, "2");
});

test("bootSettings(): a name with '-' and no value is out of the patterns' reach", () => {
  const systemd = "net.ipv4.conf.default.rp_filter = 2\nnet.ipv4.conf.*.rp_filter = 2\n-net.ipv4.conf.all.rp_filter\n";
  const read = files(["/usr/lib/sysctl.d/50-default.conf", systemd]);
  assert.equal(bootSettings("net/ipv4/conf/all/rp_filter", read).winner, undefined);
  assert.equal(bootSettings(RP, read).winner?.value, "2");
});

test("bootSettings(): '-' before an assignment only keeps failures quiet", () => {
  const read = files(["/a.conf", "-net.core.rmem_max = 8388608\n"]);
  assert.equal(bootSettings("net/core/rmem_max", read).winner?.value, "8388608");
  assert.equal(read.assignments[0]?.ignoreFailure, true);
});

test("bootSettings(): of two patterns the later counts", () => {
  const read = files(["/a.conf", "net.ipv4.conf.*.rp_filter=2\nnet.ipv4.conf.eth[0-9].rp_filter=0\n"]);
  assert.equal(bootSettings(RP, read).winner?.value, "0");
  assert.equal(bootSettings("net/ipv4/conf/lo/rp_filter", read).winner?.value, "2");
});

test("parseSysctlFiles() keeps devices with dots, values with blanks, and finds lines that are no assignment", () => {
  const text = "; old\nnet.ipv4.conf.eth0/7.rp_filter=1\nnet.ipv4.tcp_rmem =  4096\t87380   16777216 \nnonsense\n= 3\n";
  const { assignments, mistakes } = files(["/etc/sysctl.d/9.conf", text]);
  assert.deepEqual(
    assignments.map(({ pattern, value }) => [pattern, value]),
    [
      ["net/ipv4/conf/eth0.7/rp_filter", "1"],
      ["net/ipv4/tcp_rmem", "4096\t87380   16777216"],
    ],
  );
  assert.deepEqual(mistakes, [
    { where: "/etc/sysctl.d/9.conf:4", line: "nonsense" },
    { where: "/etc/sysctl.d/9.conf:5", line: "= 3" },
  ]);
});

test("matchesSysctl() lets no wildcard cross a slash", () => {
  assert.ok(matchesSysctl("net/ipv4/conf/*/rp_filter", RP));
  assert.ok(!matchesSysctl("net/*/rp_filter", RP));
  assert.ok(matchesSysctl("net/ipv4/conf/eth?/rp_filter", RP));
  assert.ok(!matchesSysctl("net/ipv4/conf/eth[!0]/rp_filter", RP));
  assert.ok(!matchesSysctl("net.ipv4.ip_forward", "netxipv4xip_forward"), "a dot is a dot");
});
