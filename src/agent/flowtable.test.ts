import assert from "node:assert/strict";
import { test } from "node:test";
import { NFT_TABLE, VXLAN_DEVICE } from "../model/marks.ts";
import { hostIfname } from "../plan/pods.ts";
import { attachment, defaultConfig, NodeRig } from "./testing/node-rig.ts";

const link = (number: number) => hostIfname(attachment(number).containerId, "eth0");

async function fastNode(rig: NodeRig): Promise<void> {
  rig.config = { ...defaultConfig, flowtable: true };
  await rig.start();
  await rig.attach(1);
  await rig.settle();
}

const flowtable = ({ other }: NodeRig) => other.nftables.table(NFT_TABLE)?.flowtables?.[0];

test("the flowtable follows the pods", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  await fastNode(rig);
  assert.deepEqual(flowtable(rig)?.devices, [link(1), VXLAN_DEVICE, "eth0"].sort());
  await rig.attach(2);
  assert.ok(!flowtable(rig)?.devices.includes(link(2)), "an ADD does not wait for it");
  await rig.settle();
  assert.ok(flowtable(rig)?.devices.includes(link(2)));
  await rig.detach(1);
  await rig.elapse(1000);
  assert.deepEqual(flowtable(rig)?.devices, [link(2), VXLAN_DEVICE, "eth0"].sort());
  assert.deepEqual(rig.problems, []);
});

test("links that are made anew join again", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  await fastNode(rig);
  const before = flowtable(rig)?.devices;
  for (const name of [link(1), VXLAN_DEVICE]) rig.other.deleteLink(name);
  assert.deepEqual(flowtable(rig)?.devices, ["eth0"]);
  await rig.settle();
  assert.deepEqual(flowtable(rig)?.devices, before);
});

test("a restart on a node with a fast path changes nothing", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  await fastNode(rig);
  const whole = rig.text();
  rig.operations();
  await rig.start();
  assert.equal(rig.text(), whole);
  const table = rig.operations().filter((line) => line.includes("inet breakwater:"));
  assert.deepEqual(table, []);
});

test("a kernel without flowtables is told of once, and everything else goes on", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  rig.other.loseFlowtables();
  await fastNode(rig);
  await rig.elapse(120_000);
  const [problem, ...more] = rig.problems;
  assert.match(problem ?? "", /^This kernel has no NF_FLOW_TABLE \(module nf_flow_table\)/);
  assert.deepEqual(more, []);
  assert.equal(rig.network.notReadyReason(), undefined);
  assert.deepEqual(rig.reconciler.status.failures, []);
  const table = rig.other.nftables.table(NFT_TABLE);
  assert.equal(table?.flowtables, undefined);
  assert.deepEqual(
    table?.chains.map(({ name }) => name),
    ["postrouting"],
  );
  const commits = rig.operations().filter((line) => line.includes("breakwater-probe"));
  assert.equal(commits.length, 1, "asked once");
});

test("what keeps the fast path from being made keeps nothing else, and is tried again", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  rig.host.failures.fail({ operation: "commit", errno: "ENOMEM", object: "inet breakwater: addFlowtable" });
  rig.config = { ...defaultConfig, flowtable: true };
  await rig.start();
  assert.equal(rig.host.failures.pending, 0);
  assert.match(rig.problems.join(), /addFlowtable fast-.*ENOMEM/);
  await rig.elapse(1000);
  assert.deepEqual(rig.reconciler.status.failures, []);
  assert.deepEqual(flowtable(rig)?.devices, [VXLAN_DEVICE, "eth0"].sort());
});

test("a fast path that fails for good leaves the node ready for pods", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  const object = "inet breakwater: addFlowtable";
  rig.host.failures.fail({ operation: "commit", errno: "ENOMEM", object, times: Number.POSITIVE_INFINITY });
  await fastNode(rig);
  assert.equal(rig.network.notReadyReason(), undefined);
  assert.equal(rig.reconciler.status.failures.length, 1);
  assert.equal(rig.other.nftables.table(NFT_TABLE)?.chains.length, 1);
});
