import assert from "node:assert/strict";
import { test } from "node:test";
import { IPVS_MARK } from "../model/ipvs.ts";
import { DOOMED_GROUP, IPVS_DEVICE, SERVICE_TABLES, VXLAN_DEVICE } from "../model/marks.ts";
import { cleanUpKernel } from "./cleanup.ts";
import { NODE, NodeRig } from "./testing/node-rig.ts";

const noIpvs = () => undefined;

/** Things that look a little like ours. */
function addForeignObjects(rig: NodeRig): void {
  const { routes, nftables } = rig.other;
  routes.createLink({ name: "cni0", up: true, kind: { type: "bridge" } });
  routes.createLink({ name: "bwlimit0", up: true, kind: { type: "bridge" } });
  const vxlan = {
    vni: 1,
    local: "192.168.1.1",
    port: 8472,
    underlayIndex: rig.index("eth0"),
    learning: false,
    udpChecksum: false,
  };
  routes.createLink({ name: "flannel.1", mac: "02:00:00:00:00:99", up: true, kind: { type: "vxlan", vxlan } });
  const flannel = rig.index("flannel.1");
  routes.addAddress({ index: flannel, address: "10.244.1.0", length: 32 });
  routes.setNeighbour({ index: flannel, ip: "10.244.9.0", mac: "02:00:00:00:00:98" });
  routes.setFdb({ index: flannel, mac: "02:00:00:00:00:98", destination: "192.168.9.9" });
  routes.setRoute({ destination: "10.244.9.0/24", gateway: "10.244.9.0", oif: flannel, onlink: true, protocol: 3 });
  routes.setRoute({ destination: "10.99.0.0/16", gateway: "192.168.1.2", oif: rig.index("eth0"), protocol: 186 });
  const rule = { family: 4, table: 100, source: "10.0.0.0/8", destination: undefined, mark: undefined } as const;
  routes.addRule({ ...rule, priority: 9850, protocol: 3 });
  routes.addRule({ ...rule, priority: 100, protocol: 98 });
  nftables.commit({ family: "bridge", name: "breakwater" }, [{ do: "addTable" }]);
  nftables.commit({ family: "inet", name: "kube-proxy" }, [{ do: "addTable" }]);
}

async function littered(rig: NodeRig): Promise<string> {
  rig.other.sysctl.write("net/ipv4/ip_forward", "1");
  rig.other.sysctl.write("net/ipv6/conf/all/forwarding", "1");
  addForeignObjects(rig);
  const before = rig.text();
  await rig.start();
  for (const number of [1, 2, 3]) await rig.attach(number);
  await rig.detach(3);
  rig.other.routes.addRule({
    family: 6,
    priority: 9800,
    table: 98,
    source: undefined,
    destination: undefined,
    mark: undefined,
    protocol: 98,
  });
  for (const table of Object.values(SERVICE_TABLES)) rig.other.nftables.commit(table, [{ do: "addTable" }]);
  await rig.settle();
  rig.attached.clear();
  return before;
}

test("cleanUpKernel() removes all that is ours and nothing else", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  const before = await littered(rig);
  assert.notEqual(rig.text(), before);
  rig.reconciler[Symbol.dispose]();
  const steps = cleanUpKernel(rig.kernel, false, noIpvs);
  assert.deepEqual(
    steps.filter(({ error }) => error !== undefined),
    [],
  );
  assert.equal(rig.text(), before);
  assert.ok(rig.other.nftables.table({ family: "bridge", name: "breakwater" }) !== undefined, "another family's table");
  for (const table of Object.values(SERVICE_TABLES)) assert.equal(rig.other.nftables.table(table), undefined);
  assert.deepEqual(cleanUpKernel(rig.kernel, false, noIpvs), [], "a second time there is nothing to do");
});

test("cleanUpKernel() shows in a dry run what it would do, and does nothing", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  await littered(rig);
  rig.reconciler[Symbol.dispose]();
  const whole = rig.text();
  rig.operations();
  const shown = cleanUpKernel(rig.kernel, true, noIpvs).map(({ text }) => text);
  assert.deepEqual([rig.operations(), rig.text()], [[], whole]);
  assert.ok(shown.includes(`delete link ${VXLAN_DEVICE}`) && shown.includes("delete IPv6 rule 9800"));
  assert.deepEqual(
    cleanUpKernel(rig.kernel, false, noIpvs).map(({ text }) => text),
    shown,
  );
});

test("cleanUpKernel() removes links that waited for their deletion when the agent was killed", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  const before = await littered(rig);
  rig.reconciler[Symbol.dispose]();
  for (const link of rig.other.routes.links()) {
    if (link.kind === "veth") rig.other.routes.changeLink(link.index, { up: false, group: DOOMED_GROUP });
  }
  cleanUpKernel(rig.kernel, false, noIpvs);
  assert.equal(rig.text(), before);
});

test("cleanUpKernel() goes on behind what the kernel refuses, and names it", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  const before = await littered(rig);
  rig.reconciler[Symbol.dispose]();
  rig.host.failures.fail({ operation: "deleteRoute", errno: "EPERM", object: "10.244.2.0/24" });
  rig.host.failures.fail({ operation: "commit", errno: "EBUSY" });
  rig.host.failures.fail({ operation: "deleteRule", errno: "EPERM" });
  const failed = cleanUpKernel(rig.kernel, false, noIpvs).filter(({ error }) => error !== undefined);
  assert.deepEqual(
    failed.map(({ text }) => text.split(" via ")[0]),
    ["delete route 10.244.2.0/24", "change nftables table: deleteTable", "delete IPv6 rule 9800"],
  );
  cleanUpKernel(rig.kernel, false, noIpvs);
  assert.equal(rig.text(), before);
});

test("cleanUpKernel() removes our virtual servers and their device, and no others", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  await rig.start();
  rig.reconciler[Symbol.dispose]();
  rig.other.routes.createLink({ name: IPVS_DEVICE, up: true, kind: { type: "dummy" } });
  const key = "10.96.0.10 . tcp . 80";
  const server = { key, scheduler: "rr", flags: IPVS_MARK, timeoutSeconds: 0 };
  rig.other.ipvs.isLoaded = true;
  rig.other.ipvs.servers.set(key, { server, destinations: new Map() });
  const foreign = { ...server, key: "192.0.2.7 . tcp . 80", flags: 0 };
  rig.other.ipvs.servers.set(foreign.key, { server: foreign, destinations: new Map() });
  const { openIpvs } = rig.host.ipvs(NODE);
  const shown = cleanUpKernel(rig.kernel, true, openIpvs).map(({ text }) => text);
  assert.ok(shown.includes("delete virtual server TCP 10.96.0.10:80") && shown.includes(`delete link ${IPVS_DEVICE}`));
  const failed = cleanUpKernel(rig.kernel, false, openIpvs).filter(({ error }) => error !== undefined);
  assert.deepEqual(failed, []);
  assert.deepEqual(rig.other.ipvs.lines(), ["TCP 192.0.2.7:80 rr 0 0: "]);
  assert.equal(rig.other.routes.link(IPVS_DEVICE), undefined);
});
