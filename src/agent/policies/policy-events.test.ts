import assert from "node:assert/strict";
import { test } from "node:test";
import type { EventSubject } from "../../kube/events.ts";
import { ManualClock } from "../../kube/testing/manual-clock.ts";
import { PolicyEvents } from "./policy-events.ts";

interface Policy {
  readonly subject: EventSubject;
  readonly problems?: readonly string[];
}

function rig() {
  const clock = new ManualClock();
  const recorded: string[] = [];
  const policies = new Map<string, Policy>();
  const events = new PolicyEvents({
    events: {
      record: ({ kind, namespace, name, uid }, type, reason, message, shared) => {
        recorded.push(`${kind} ${namespace}/${name} ${uid} ${type} ${reason} ${shared ? "shared" : ""}: ${message}`);
      },
    },
    clock,
    policies: () => policies.values(),
  });
  const set = (name: string, problems: readonly string[] = [], uid = name) => {
    const subject = { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", namespace: "db", name, uid };
    policies.set(name, { subject, ...(problems.length === 0 ? {} : { problems }) });
  };
  const follow = () => {
    events.follow();
    clock.advance(3000);
    return recorded.splice(0);
  };
  return { clock, policies, events, set, follow };
}

const BAD = 'spec.ingress[0].ports[0].protocol: "TCPX" is none of TCP, UDP, SCTP: it admits nothing';

test("PolicyEvents tells once of each policy what of it admits nothing, in an Event that all nodes share", () => {
  const { set, follow } = rig();
  set("good");
  set("bad", [BAD, "spec.policyTypes[0]: no"]);
  assert.deepEqual(follow(), [
    `NetworkPolicy db/bad bad Warning PolicyNotUnderstood shared: ${BAD}; spec.policyTypes[0]: no`,
  ]);
  assert.deepEqual(follow(), []);
});

test("PolicyEvents tells of what changed, of what is mended, and of what is broken again", () => {
  const { policies, set, follow } = rig();
  set("p", ["one"]);
  assert.match(follow().join(), /PolicyNotUnderstood shared: one$/);
  set("p", ["two"]);
  assert.match(follow().join(), /PolicyNotUnderstood shared: two$/);
  set("p");
  assert.deepEqual(follow(), [
    "NetworkPolicy db/p p Normal PolicyUnderstood shared: all of the policy is understood and enforced",
  ]);
  assert.deepEqual(follow(), []);
  set("p", ["two"]);
  assert.match(follow().join(), /two$/);
  policies.clear();
  assert.deepEqual(follow(), [], "a policy that is gone is forgotten");
  set("p", ["two"], "another");
  assert.match(follow().join(), /db\/p another Warning/);
});

test("PolicyEvents waits a moment of its own, and gathers what comes meanwhile", () => {
  const { clock, events, set } = rig();
  clock.dice.splice(0, 1, 0, 1);
  set("p", ["one"]);
  events.follow();
  events.follow();
  assert.deepEqual(clock.delays(), [200]);
  clock.advance(200);
  events.follow();
  assert.deepEqual(clock.delays(), [3000]);
  events[Symbol.dispose]();
  assert.deepEqual(clock.delays(), []);
});

test("PolicyEvents cuts what an Event cannot hold", () => {
  const { set, follow } = rig();
  set("p", Array(100).fill(BAD));
  const [line = ""] = follow();
  assert.equal(line.slice(line.indexOf(": ") + 2).length, 1000);
});
