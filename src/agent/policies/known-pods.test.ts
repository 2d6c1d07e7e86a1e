/** Which pods the plan of policies is told of, and that it is told of what changed alone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterPod } from "../../model/cluster.ts";
import type { PolicyPod } from "../../model/policy.ts";
import type { LocalPod } from "../../model/state.ts";
import { type Random, randomNumbers } from "../../plan/services/testing/random-services.ts";
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

test("follow() follows new labels of a pod that is attached, and nothing else is another object", () => {
  const { follow, tell, known, state } = rig();
  tell("x/second", podOf("x/second", "node1", []));
  state.attached = [...state.attached, localOf("x/second", ["10.244.1.2"])];
  follow();
  const before = known.all();
  tell("x/second", { ...podOf("x/second", "node1", []), labels: { app: "new" } });
  assert.deepEqual(follow(), ["- second 10.244.1.2", "+ second 10.244.1.2"]);
  const after = known.all();
  assert.deepEqual(
    after.filter((pod) => !before.includes(pod)),
    [{ ...podOf("x/second", "node1", ["10.244.1.2"]), labels: { app: "new" } }],
  );
});

test("the API's list of this node's pods is looked at while the watch of all pods does not know one", () => {
  const { follow, tell, known, state } = rig();
  follow();
  assert.equal(known.looksAtOwnPods, false);
  state.attached = [...state.attached, localOf("x/second", ["10.244.1.2"])];
  follow();
  assert.equal(known.looksAtOwnPods, true);
  tell("x/second", podOf("x/second", "node1", []));
  follow();
  assert.equal(known.looksAtOwnPods, false);
  tell("x/second", undefined);
  follow();
  assert.equal(known.looksAtOwnPods, true);
});

const NAMES = ["x/a", "x/b", "x/c"];
const CHANGES = ["relabel", "move", "vanish", "attach", "detach"];
const STORIES = 300;
const STEPS = 25;

/** What the API and the node say, changed step by step. */
class Story {
  readonly pods = new Map<string, PolicyPod>();
  readonly own = new Map<string, ClusterPod>(NAMES.map((key) => [key, ownPod(key)]));
  attached: readonly LocalPod[] = [];
  #turn = 0;

  /** @returns whether the API says something new of the pod */
  change(key: string, what: string, ip: string): boolean {
    const others = this.attached.filter(({ name }) => name !== key);
    if (what === "attach") this.attached = [...others, localOf(key, [ip])];
    if (what === "detach") this.attached = others;
    if (what === "vanish") this.pods.delete(key);
    const node = what === "move" ? "node2" : "node1";
    if (what === "move" || what === "relabel") {
      this.pods.set(key, { ...podOf(key, node, [ip]), labels: { turn: String(this.#turn++) } });
    }
    return what !== "attach" && what !== "detach";
  }

  known(takeChangedPods: () => ReadonlySet<string>): KnownPods {
    const source = { pods: () => this.pods, takeChangedPods };
    return new KnownPods({ nodeName: "node1", source, ownPods: () => this.own, attached: () => this.attached });
  }
}

function ownPod(key: string): ClusterPod {
  const { namespace, name, labels } = podOf(key, "node1", []);
  const rest = { uid: "", hostNetwork: false, phase: "Running", podIps: [], annotations: {} };
  return { namespace, name, labels, nodeName: "node1", ...rest };
}

const one = <T>(random: Random, values: readonly T[]): T => values[random(values.length)] as T;
const sorted = (pods: readonly PolicyPod[]) => pods.map((pod) => JSON.stringify(pod)).sort();

test("whatever happens in whatever order, follow() ends where a first look would", () => {
  for (let seed = 1; seed <= STORIES; seed++) {
    const [random, story, told] = [randomNumbers(seed), new Story(), new Set<PolicyPod>()];
    let changed = new Set<string>();
    const known = story.known(() => {
      const taken = changed;
      changed = new Set();
      return taken;
    });
    for (let step = 0; step < STEPS; step++) {
      const key = one(random, NAMES);
      if (story.change(key, one(random, CHANGES), `10.244.1.${1 + random(3)}`)) changed.add(key);
      if (random(2) === 0) continue;
      const { added, removed } = known.follow();
      for (const pod of removed) assert.ok(told.delete(pod), `seed ${seed}: what goes had come`);
      for (const pod of added) told.add(pod);
      const fresh = story.known(() => new Set(story.pods.keys()));
      fresh.follow();
      assert.deepEqual(sorted(known.all()), sorted(fresh.all()), `seed ${seed}, step ${step}`);
      assert.deepEqual(sorted([...told]), sorted(known.all()), `seed ${seed}, step ${step}: what it told of`);
      assert.equal(known.looksAtOwnPods, fresh.looksAtOwnPods, `seed ${seed}, step ${step}`);
    }
  }
});
