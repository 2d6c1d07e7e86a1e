/** Which pods the plan of policies is told of, and that it is told of what changed alone. */
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
  const state = { attached: [localOf("x/here", ["10.244.1.1"])] };
  let changed = new Set(pods.keys());
  const known = new KnownPods({
    nodeName: "node1",
    source: {
      pods: () => pods,
      takeChangedPods: () => {
        const taken = changed;
        changed = new Set();
        return taken;
      },
    },
    ownPods: () => new Map<string, ClusterPod>(),
    attached: () => state.attached,
  });
  const tell = (key: string, pod: PolicyPod | undefined) => {
    if (pod === undefined) pods.delete(key);
    else pods.set(key, pod);
    changed.add(key);
  };
  const text = (list: readonly PolicyPod[]) => list.map(({ name, ips }) => `${name} ${ips.join()}`);
  const follow = () => {
    const { added, removed } = known.follow();
    return [...text(removed).map((pod) => `- ${pod}`), ...text(added).map((pod) => `+ ${pod}`)];
  };
  return { state, known, tell, follow, all: () => text(known.all()) };
}

test("follow() tells of pods of this node with the addresses that they have here", () => {
  const { follow, all } = rig();
  assert.deepEqual(follow(), ["+ there 10.244.2.1", "+ here 10.244.1.1"]);
  assert.deepEqual(all(), ["here 10.244.1.1", "there 10.244.2.1"]);
});

test("follow() tells of nothing until the API or this node says something new", () => {
  const { follow, state, tell } = rig();
  follow();
  assert.deepEqual(follow(), []);
  state.attached = [localOf("x/here", ["10.244.1.1"])];
  assert.deepEqual(follow(), [], "the same pods, listed anew");
  tell("x/there", podOf("x/there", "node2", ["10.244.2.2"]));
  assert.deepEqual(follow(), ["- there 10.244.2.1", "+ there 10.244.2.2"]);
  tell("x/there", undefined);
  assert.deepEqual(follow(), ["- there 10.244.2.2"]);
});

test("follow() follows what is attached and detached while the API says nothing", () => {
  const { state, follow, tell, all } = rig();
  follow();
  tell("x/second", podOf("x/second", "node1", []));
  state.attached = [...state.attached, localOf("x/second", ["10.244.1.2"])];
  assert.deepEqual(follow(), ["+ second 10.244.1.2"]);
  state.attached = [localOf("x/second", ["10.244.1.2"])];
  assert.deepEqual(follow(), ["- here 10.244.1.1", "+ here "]);
  assert.deepEqual(all(), ["second 10.244.1.2", "here ", "there 10.244.2.1"]);
});

test("follow() tells of a pod that moves between nodes once", () => {
  const { follow, tell, all } = rig();
  follow();
  tell("x/there", podOf("x/there", "node1", ["10.244.1.7"]));
  assert.deepEqual(follow(), ["- there 10.244.2.1", "+ there 10.244.1.7"]);
  tell("x/there", podOf("x/there", "node2", ["10.244.2.1"]));
  assert.deepEqual(follow(), ["- there 10.244.1.7", "+ there 10.244.2.1"]);
  assert.deepEqual(all(), ["here 10.244.1.1", "there 10.244.2.1"]);
});
