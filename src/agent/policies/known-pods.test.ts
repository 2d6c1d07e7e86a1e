/** Which pods the plan of policies is given, and that it is given the same list while nothing changes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterPod } from "../../model/cluster.ts";
import type { PolicyPod } from "../../model/policy.ts";
import type { LocalPod } from "../../model/state.ts";
import { KnownPods } from "./known-pods.ts";

function podOf(key: string, nodeName: string, ips: readonly string[]): PolicyPod {
  const [namespace = "", name = ""] = key.split("/");
  return { namespace, name, labels: { app: name }, nodeName, ips, ports: [] };
}

function localOf(name: string, ips: readonly string[]): LocalPod {
  return { name, ips, containerId: name, ifname: "eth0", netns: `/run/netns/${name}` };
}

/** One pod here, of which the API has no address yet, and one elsewhere. */
function rig() {
  const pods = new Map([
    ["x/here", podOf("x/here", "node1", [])],
    ["x/there", podOf("x/there", "node2", ["10.244.2.1"])],
  ]);
  const state = { revision: 1, attached: [localOf("x/here", ["10.244.1.1"])] };
  const known = new KnownPods({
    nodeName: "node1",
    source: { pods: () => pods, podsRevision: () => state.revision },
    ownPods: () => new Map<string, ClusterPod>(),
    attached: () => state.attached,
  });
  const told = () => known.all().map(({ name, ips }) => `${name} ${ips.join()}`);
  return { pods, state, known, told };
}

test("all() has pods of this node with the addresses that they have here", () => {
  const { told } = rig();
  assert.deepEqual(told(), ["here 10.244.1.1", "there 10.244.2.1"]);
});

test("all() is the very same list until the API or this node says something new", () => {
  const { known, state, pods } = rig();
  const before = known.all();
  assert.equal(known.all(), before);
  state.attached = [localOf("x/here", ["10.244.1.1"])];
  assert.equal(known.all(), before, "the same pods, listed anew");
  pods.set("x/there", podOf("x/there", "node2", ["10.244.2.2"]));
  state.revision++;
  const after = known.all();
  assert.notEqual(after, before);
  assert.equal(after[0], before[0], "what did not change is the same object");
});

test("all() follows what is attached and detached while the API says nothing", () => {
  const { state, told, pods } = rig();
  told();
  pods.set("x/second", podOf("x/second", "node1", []));
  state.revision++;
  state.attached = [...state.attached, localOf("x/second", ["10.244.1.2"])];
  assert.deepEqual(told(), ["here 10.244.1.1", "second 10.244.1.2", "there 10.244.2.1"]);
  state.attached = [localOf("x/second", ["10.244.1.2"])];
  assert.deepEqual(told(), ["second 10.244.1.2", "here ", "there 10.244.2.1"]);
});
