/** What an agent says of its node's kernel, and what becomes of sysctls that somebody changes. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { ChainReport } from "../../src/model/chain-report.ts";
import type { HostReport } from "../../src/model/host-report.ts";
import { eventually, LabHome, run } from "./lab-fixture.ts";

const home = new LabHome();
const NAME = "host";
/** The agent looks every ten seconds at what tells nobody that it changed. */
const DEADLINE_MS = 15_000;
const CLOSE_WAIT = "net/netfilter/nf_conntrack_tcp_timeout_close_wait";

const onNode = (...command: string[]) => home.lab(NAME, "exec", "node/node1", "--", ...command);
const breakwater = (...args: string[]) => onNode("bin/breakwater", ...args);

async function hostReport(): Promise<HostReport> {
  const { stdout, stderr } = await breakwater("host", "-o", "json");
  assert.notEqual(stdout, "", stderr);
  return JSON.parse(stdout);
}

const MACHINE = "/proc/sys/fs/inotify/max_user_instances";
const instances = Number(readFileSync(MACHINE, "utf8"));
const BACKLOG = "net/ipv4/tcp_max_syn_backlog";
const profile = home.write(
  "lab.yaml",
  `name: lab\nvalues:\n  ${BACKLOG}: 20000\n  fs/inotify/max_user_instances: ${instances + 1}\n`,
);

before(async () => {
  const { code, stderr } = await home.lab(NAME, "up", "--nodes", "2", "--subnets", "2", "--tuning", profile);
  assert.equal(code, 0, stderr);
});
after(() => home.close());

test("breakwater host: the agent says what it needs, and that all required sysctls are as they should be", async () => {
  const report = await hostReport();
  assert.equal(report.agent?.node, "node1");
  assert.equal(report.modules.find(({ module }) => module === "vxlan")?.needed, true);
  assert.deepEqual(
    report.sysctls.filter(({ fine }) => !fine),
    [],
  );
  const names = report.sysctls.map(({ name }) => name);
  assert.ok(names.includes("net/ipv4/conf/bwvxlan/rp_filter") && names.includes(CLOSE_WAIT), names.join());
  assert.equal((await breakwater("host")).code, 0);
});

test("lab up --tuning: agents set what their nodes' namespaces have, and nothing of the machine's", async () => {
  assert.equal((await hostReport()).agent?.tuning, "lab");
  for (const node of ["node1", "node2"]) {
    const { stdout } = await home.lab(NAME, "exec", `node/${node}`, "--", "cat", `/proc/sys/${BACKLOG}`);
    assert.equal(stdout, "20000\n", node);
  }
  assert.equal(Number(readFileSync(MACHINE, "utf8")), instances);
  const unknown = await home.lab("unknown", "up", "--tuning", "nosuch");
  assert.equal(unknown.code, 1, unknown.stderr);
  assert.match(unknown.stderr, /off, throughput, latency/);
});

test("a required sysctl that tells nobody of its change is set again, and the time is remembered", async () => {
  const before = Date.now() / 1000;
  const script = `echo 61 > /proc/sys/${CLOSE_WAIT}; echo 1 > /proc/sys/net/ipv4/conf/bwvxlan/rp_filter`;
  assert.equal((await onNode("sh", "-c", script)).code, 0);
  await eventually(DEADLINE_MS, async () => {
    const { agent, sysctls } = await hostReport();
    const repair = agent?.repairs.find(({ name }) => name === CLOSE_WAIT);
    assert.deepEqual([repair?.found, repair?.value, repair?.error], ["61", "3600", null]);
    assert.ok((repair?.at ?? 0) >= before - 1 && (repair?.at ?? 0) <= Date.now() / 1000 + 1);
    assert.ok(agent?.repairs.some(({ name, found }) => name.endsWith("bwvxlan/rp_filter") && found === "1"));
    assert.deepEqual(
      sysctls.filter(({ fine }) => !fine),
      [],
    );
  });
  assert.match((await breakwater("host")).stdout, /close_wait was found at 61, set to 3600 again/);
});

test("tune: what is applied on a node and changed by somebody is told with the time, and left so", async () => {
  const idle = "net/ipv4/tcp_slow_start_after_idle";
  const folder = join(home.folder, "labs", NAME, "nodes", "node1", "run");
  assert.equal((await breakwater("tune", "apply", "latency", "--state-dir", folder)).code, 0);
  assert.equal((await hostReport()).agent?.tuning, "latency");
  await onNode("sh", "-c", `echo 1 > /proc/sys/${idle}`);
  const { agent } = await hostReport();
  assert.deepEqual(
    agent?.drift.map(({ name, value, found }) => [name, value, found]),
    [[idle, "0", "1"]],
  );
  const { code, stdout } = await breakwater("host");
  assert.equal(code, 1);
  assert.match(stdout, /tcp_slow_start_after_idle is 1, the profile set it to 0; not repaired/);
  const undo = await breakwater("tune", "undo", "--state-dir", folder);
  assert.equal(undo.code, 0, "what somebody changed is what it was before");
  assert.equal((await hostReport()).agent?.tuning, null);
});

test("breakwater host chain measures API and watch from outside, and plan and kernel of an agent", async () => {
  const args = ["host", "chain", "--disk", home.folder, "--seconds", "1", "-o", "json"];
  const env = { KUBECONFIG: home.kubeconfig(NAME) };
  const outside = await run("bin/breakwater", [...args, "--metrics-address", "127.0.0.1:1"], env);
  const { links }: ChainReport = JSON.parse(outside.stdout);
  const link = (stage: string) => links.find((one) => one.stage === stage);
  assert.equal(link("api")?.samples, 20);
  assert.equal(link("watch")?.samples, 20);
  assert.equal(link("kernel")?.verdict, "unmeasured");
  const left = await home.kubectl(NAME, ["get", "configmaps", "-n", "kube-system", "-o", "name"]);
  assert.doesNotMatch(left.stdout, /breakwater-latency/, "nothing is left behind");
  const inside: ChainReport = JSON.parse((await breakwater(...args, "--no-api")).stdout);
  for (const stage of ["plan", "kernel"]) {
    const found = inside.links.find((one) => one.stage === stage);
    assert.ok((found?.samples ?? 0) > 0 && (found?.p99Ms ?? 0) > 0, JSON.stringify(found));
  }
});
