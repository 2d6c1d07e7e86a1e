/** Folders of configuration as systemd and kmod read them, on a folder that stands for /. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { gzipSync } from "node:zlib";
import { readConfFolders } from "./conf-files.ts";
import { readModuleRequests, readModuleTexts } from "./modules/read-modules.ts";
import { readSysctlFiles, readUnlinkedSysctlConf } from "./sysctl-files.ts";

function aRoot(t: TestContext, files: Readonly<Record<string, string | Buffer>>): string {
  const root = fs.mkdtempSync(join(tmpdir(), "breakwater-root-"));
  t.after(() => fs.rmSync(root, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    fs.mkdirSync(dirname(join(root, path)), { recursive: true });
    fs.writeFileSync(join(root, path), text);
  }
  return root;
}

test("readConfFolders() goes by names over all folders, and /etc hides the others", (t) => {
  const root = aRoot(t, {
    "/usr/lib/sysctl.d/50-a.conf": "usr a",
    "/usr/lib/sysctl.d/10-b.conf": "usr b",
    "/run/sysctl.d/50-a.conf": "run a",
    "/etc/sysctl.d/50-a.conf": "etc a",
    "/usr/local/lib/sysctl.d/99-c.conf": "local c",
    "/etc/sysctl.d/README": "no",
  });
  fs.symlinkSync("/dev/null", join(root, "/etc/sysctl.d/10-b.conf"));
  assert.deepEqual(readConfFolders("sysctl.d", root), [
    { path: "/etc/sysctl.d/10-b.conf", text: "" },
    { path: "/etc/sysctl.d/50-a.conf", text: "etc a" },
    { path: "/usr/local/lib/sysctl.d/99-c.conf", text: "local c" },
  ]);
  assert.deepEqual(readConfFolders("nothing.d", root), []);
});

test("readSysctlFiles() reads /etc/sysctl.conf by its link, and tells of it where there is none", (t) => {
  const root = aRoot(t, { "/etc/sysctl.conf": "net.ipv4.ip_forward=0\n", "/etc/sysctl.d/README": "" });
  assert.deepEqual(readSysctlFiles(root), []);
  assert.equal(readUnlinkedSysctlConf(root)?.path, "/etc/sysctl.conf");
  fs.symlinkSync("../sysctl.conf", join(root, "/etc/sysctl.d/99-sysctl.conf"));
  assert.deepEqual(readSysctlFiles(root), [{ path: "/etc/sysctl.d/99-sysctl.conf", text: "net.ipv4.ip_forward=0\n" }]);
  assert.equal(readUnlinkedSysctlConf(root), undefined);
});

test("readModuleTexts() finds a kernel's files wherever distributions put them", (t) => {
  const root = aRoot(t, {
    "/proc/sys/kernel/osrelease": "6.1.0-test\n",
    "/proc/modules": "veth 1 0 - Live 0x0\n",
    "/usr/lib/modules/6.1.0-test/modules.dep": "kernel/veth.ko.zst:\n",
    "/boot/config-6.1.0-test": "CONFIG_VXLAN=m\n",
    "/etc/modprobe.d/a.conf": "blacklist b\n",
    "/etc/modules": "nf_conntrack_ipv4\n",
    "/etc/modules-load.d/ipvs.conf": "ip_vs\n",
  });
  const texts = readModuleTexts(root);
  assert.equal(texts.folder, "/usr/lib/modules/6.1.0-test");
  assert.equal(texts.dep, "kernel/veth.ko.zst:\n");
  assert.equal(texts.config, "CONFIG_VXLAN=m\n");
  assert.deepEqual(texts.rules, [{ path: "/etc/modprobe.d/a.conf", text: "blacklist b\n" }]);
  assert.deepEqual(
    readModuleRequests(root).map(({ path }) => path),
    ["/etc/modules-load.d/ipvs.conf", "/etc/modules"],
  );
  fs.writeFileSync(join(root, "/proc/config.gz"), gzipSync("CONFIG_VXLAN=y\n"));
  assert.equal(readModuleTexts(root).config, "CONFIG_VXLAN=y\n", "the running kernel's own word counts");
  assert.throws(() => readModuleTexts(join(root, "etc")), /Cannot read which kernel runs: there is no .*osrelease/);
});
