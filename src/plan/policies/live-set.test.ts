/** Sets that follow pods one by one: what came and went, and that it is what a set made anew holds. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PolicyPod } from "../../model/policy.ts";
import { LiveSet } from "./live-set.ts";
import { PodIndex } from "./pod-index.ts";

const HEAD = { name: "pods", key: "ipv4_addr", interval: false } as const;
const MEMBERS = { candidates: (index: PodIndex) => index.all(), of: ({ ips }: PolicyPod) => ips };

const pod = (name: string, ...ips: string[]): PolicyPod => ({
  ...{ namespace: "x", name, labels: {}, nodeName: "node1", ips, ports: [] },
});

function liveSet(...pods: PolicyPod[]): { set: LiveSet; index: PodIndex } {
  const index = new PodIndex();
  for (const each of pods) index.add(each);
  return { set: LiveSet.of(HEAD, MEMBERS, index), index };
}

test("LiveSet keeps an element as long as any pod gives it", () => {
  const [older, younger] = [pod("older", "10.0.0.1"), pod("younger", "10.0.0.1", "10.0.0.2")];
  const { set, index } = liveSet(older, younger);
  set.follow([older], [], index);
  assert.deepEqual(set.whole().elements, ["10.0.0.1", "10.0.0.2"]);
  assert.equal(set.isTurned, false);
  set.follow([younger], [], index);
  assert.deepEqual(set.whole().elements, []);
  assert.deepEqual(set.taken(), { added: [], removed: ["10.0.0.1", "10.0.0.2"] });
});

test("LiveSet says each change once, and nothing of what came and went in between", () => {
  const [one, two] = [pod("one", "10.0.0.1"), pod("two", "10.0.0.2")];
  const { set, index } = liveSet(one);
  set.follow([], [two], index);
  assert.deepEqual(set.taken(), { added: ["10.0.0.2"], removed: [] });
  set.follow([two], [], index);
  set.follow([], [two], index);
  assert.deepEqual(set.taken(), { added: [], removed: [] });
});

test("LiveSet.refill() finds what changed behind its back", () => {
  const [one, two] = [pod("one", "10.0.0.1"), pod("two", "10.0.0.2")];
  const { set, index } = liveSet(one);
  index.remove(one);
  index.add(two);
  set.refill(index);
  assert.deepEqual(set.whole().elements, ["10.0.0.2"]);
  assert.deepEqual(set.taken(), { added: ["10.0.0.2"], removed: ["10.0.0.1"] });
});
