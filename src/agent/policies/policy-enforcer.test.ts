/** The enforcer on the kernel in memory: what is committed when, what becomes of failures, which flows are cut. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { POLICY_TABLES } from "../../model/marks.ts";
import { local, Rig, refusal, shut } from "./testing/enforcer-rig.ts";

test("PolicyEnforcer makes no table without policies, nor for a family that no pod has", async () => {
  using rig = new Rig();
  rig.addPod("x/one", "10.244.1.1");
  await rig.follow();
  assert.equal(rig.enforcer.failure, undefined);
  assert.deepEqual([rig.isolated("ingress", 4), rig.isolated("ingress", 6)], [undefined, undefined]);
  rig.setPolicy("x/deny", { ingress: [] });
  await rig.follow();
  assert.deepEqual([rig.isolated("ingress", 4), rig.isolated("ingress", 6)], [["10.244.1.1"], undefined]);
});

test("PolicyEnforcer commits nothing where nothing changed, and takes the table away behind the last policy", async () => {
  using rig = await shut();
  rig.commits();
  await rig.follow();
  assert.equal(rig.commits(), 0);
  rig.policies.clear();
  await rig.follow();
  assert.equal(rig.isolated("ingress"), undefined);
});

test("PolicyEnforcer says when pods may start: behind the first round, and behind a failure", async () => {
  using rig = new Rig();
  rig.complete = false;
  await rig.follow();
  assert.equal(rig.readyTimes, 0, "pods are not known yet");
  rig.complete = true;
  await rig.follow();
  await rig.follow();
  assert.equal(rig.readyTimes, 1);
  rig.addPod("x/one", "10.244.1.1");
  rig.setPolicy("x/deny", { ingress: [] });
  rig.host.failures.fail({ operation: "commit", errno: "EPERM" });
  for (let round = 0; round < 5; round++) await rig.follow();
  assert.deepEqual(rig.isolated("ingress"), ["10.244.1.1"]);
  assert.equal(rig.readyTimes, 2);
});

test("PolicyEnforcer puts back what somebody else deleted", async () => {
  using rig = await shut();
  rig.other.nftables.commit(POLICY_TABLES[4], [{ do: "deleteTable" }]);
  await rig.elapse();
  assert.deepEqual(rig.isolated("ingress"), ["10.244.1.1"]);
});

for (const [what, failure] of [
  ["refused", {}],
  ["refused five times", { times: 5 }],
  ["done although its answer was lost", { applied: true }],
] as const) {
  test(`PolicyEnforcer ends right after a commit that was ${what}`, async () => {
    using rig = await shut();
    rig.addPod("x/two", "10.244.1.2");
    rig.host.failures.fail({ operation: "commit", errno: "ENOMEM", ...failure });
    rig.enforcer.request();
    rig.clock.advance(50);
    assert.match(rig.enforcer.failure ?? "", /ENOMEM/);
    for (let round = 0; round < 10; round++) await rig.elapse();
    assert.equal(rig.enforcer.failure, undefined);
    assert.deepEqual(rig.isolated("ingress"), ["10.244.1.1", "10.244.1.2"]);
    assert.equal(rig.host.failures.pending, 0);
  });
}

test("PolicyEnforcer changes and cuts nothing, and admits no pod, until pods were listed", async () => {
  using rig = await shut();
  rig.complete = false;
  rig.conntrack.track("tcp 10.244.2.9:4000 > 10.244.1.1:80, 10.244.1.1:80 > 10.244.2.9:4000");
  rig.setPolicy("x/allow", { ingress: [{ peers: [{ kind: "pods", pods: [] }] }] });
  rig.commits();
  await rig.follow();
  assert.equal(rig.commits(), 0);
  assert.equal(rig.conntrack.flows().length, 1);
  await assert.rejects(rig.enforcer.admit(local("x/new", "10.244.1.7")), refusal);
  rig.complete = true;
  rig.addPod("x/far", "10.244.2.9", "node2");
  await rig.follow();
  assert.equal(rig.enforcer.failure, undefined);
  assert.equal(rig.conntrack.flows().length, 1, "the peer is known now");
});

test("PolicyEnforcer cuts the flows that a new policy forbids, and no others", async () => {
  using rig = new Rig();
  rig.addPod("x/one", "10.244.1.1");
  rig.addPod("y/two", "10.244.1.2");
  await rig.follow();
  const forbidden = [
    "tcp 10.244.2.9:4000 > 10.244.1.1:80, 10.244.1.1:80 > 10.244.2.9:4000",
    "udp 10.244.2.9:4001 > 10.96.0.10:53, 10.244.1.1:5353 > 10.244.2.9:4001",
  ];
  const others = [
    "tcp 10.244.2.9:4000 > 10.244.1.2:80, 10.244.1.2:80 > 10.244.2.9:4000",
    "tcp 10.244.1.1:4000 > 10.244.2.9:80, 10.244.2.9:80 > 10.244.1.1:4000",
    "tcp 10.244.2.8:4000 > 10.244.2.9:80, 10.244.2.9:80 > 10.244.2.8:4000",
  ];
  for (const flow of [...forbidden, ...others]) rig.conntrack.track(flow);
  rig.setPolicy("x/deny", { ingress: [] });
  await rig.follow();
  assert.deepEqual(rig.conntrack.flows(), others);
});

test("PolicyEnforcer tries again to cut what it could not", async () => {
  using rig = await shut();
  rig.conntrack.track("tcp 10.244.2.9:4000 > 10.244.1.1:80, 10.244.1.1:80 > 10.244.2.9:4000");
  rig.host.failures.fail({ operation: "conntrackEntries", errno: "ENOBUFS" });
  rig.setPolicy("x/deny", { ingress: [], egress: [] });
  await rig.follow();
  for (let round = 0; round < 3; round++) await rig.elapse();
  assert.equal(rig.host.failures.pending, 0);
  assert.deepEqual(rig.conntrack.flows(), []);
  assert.equal(rig.enforcer.failure, undefined);
  const { lists } = rig.conntrack;
  for (let round = 0; round < 3; round++) await rig.follow();
  assert.equal(rig.conntrack.lists, lists, "and then no more");
});

test("PolicyEnforcer goes on to isolate a pod that the API has forgotten, until it has gone from here", async () => {
  using rig = await shut();
  rig.pods.delete("x/one");
  await rig.follow();
  assert.deepEqual(rig.isolated("ingress"), ["10.244.1.1"]);
  rig.setPolicy("x/more", { ingress: [], egress: [] });
  await rig.follow();
  assert.deepEqual(rig.isolated("egress"), ["10.244.1.1"], "new policies count for it, too");
  rig.attached = [];
  rig.enforcer.forget(local("x/one", "10.244.1.1"));
  await rig.elapse();
  assert.equal(rig.isolated("ingress"), undefined);
});

test("PolicyEnforcer gives an address to the pod that has it here, not to one that the API still tells of", async () => {
  using rig = new Rig();
  rig.addPod("x/new", "10.244.1.1");
  const old = { namespace: "y", name: "old", labels: {}, nodeName: "node1", ips: ["10.244.1.1"], ports: [] };
  rig.pods.set("y/old", old);
  rig.setPolicy("y/deny", { ingress: [] });
  await rig.follow();
  assert.equal(rig.isolated("ingress"), undefined, "nothing selects the pod that is there");
  rig.setPolicy("x/deny", { ingress: [] });
  await rig.follow();
  assert.deepEqual(rig.isolated("ingress"), ["10.244.1.1"]);
});

const ENDINGS = {
  namespace: (rig: Rig) => rig.namespaces.delete("x"),
  policies: (rig: Rig) => rig.policies.clear(),
  pods: (rig: Rig) => {
    rig.pods.clear();
    rig.attached = [];
  },
};
const ORDERS = [
  ["namespace", "policies", "pods"],
  ["namespace", "pods", "policies"],
  ["policies", "namespace", "pods"],
  ["policies", "pods", "namespace"],
  ["pods", "namespace", "policies"],
  ["pods", "policies", "namespace"],
] as const;
for (const order of ORDERS) {
  test(`PolicyEnforcer leaves nothing of a namespace that goes as ${order.join(", ")}`, async () => {
    using rig = new Rig();
    rig.namespaces.set("x", { name: "x", labels: { team: "a" } });
    rig.addPod("x/one", "10.244.1.1");
    const team = [{ key: "team", operator: "In" as const, values: ["a"] }];
    rig.setPolicy("x/team", { ingress: [{ peers: [{ kind: "pods", namespaces: team, pods: [] }] }], egress: [] });
    await rig.follow();
    assert.deepEqual(rig.isolated("egress"), ["10.244.1.1"]);
    for (const step of order) {
      ENDINGS[step](rig);
      await rig.follow();
      assert.equal(rig.enforcer.failure, undefined, step);
      const isDenied = rig.policies.size > 0 && rig.pods.size > 0;
      assert.deepEqual(rig.isolated("ingress"), isDenied ? ["10.244.1.1"] : undefined, step);
    }
  });
}
