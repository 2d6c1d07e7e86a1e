/** Clients with session affinity forget an endpoint that is gone, and only that. Row svc-28. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Frontend } from "../../model/frontend.ts";
import { SERVICE_TABLES } from "../../model/marks.ts";
import type { ClusterService } from "../../model/service.ts";
import { planServiceSets } from "../../plan/services/table.ts";
import { anEndpoint, aService, aSlice, tcp80 } from "../../plan/services/testing/objects.ts";
import { forgetClients } from "./affinity-cleaner.ts";
import { NO_SERVICES, ProxyRig, type ServiceState } from "./testing/proxy-rig.ts";

const VIP = "10.96.0.10 . tcp . 80";
const LB = "203.0.113.9 . tcp . 80";
const sticky = aService({
  type: "LoadBalancer",
  ports: [{ ...tcp80, nodePort: 30080 }],
  loadBalancerIps: ["203.0.113.9"],
  affinitySeconds: 10,
});
const state = (numbers: readonly number[], fields: Partial<ClusterService> = {}): ServiceState => ({
  services: [{ ...sticky, ...fields }],
  slices: [
    aSlice(numbers.map((n) => anEndpoint(`10.244.${n > 9 ? 2 : 1}.${n}`, { nodeName: n > 9 ? "node2" : "node1" }))),
  ],
});
const [POD, OUTSIDE] = ["10.244.1.9", "198.51.100.200"];

/** What packets would have put into the map. */
function remember(rig: ProxyRig, ...elements: string[]): void {
  const set = planServiceSets(4, false).find(({ name }) => name === "affinity");
  if (set !== undefined) rig.other.nftables.commit(SERVICE_TABLES[4], [{ do: "addElements", set, elements }]);
}

function remembered(rig: ProxyRig): readonly string[] {
  const { nftables } = rig.other;
  return nftables.elements(SERVICE_TABLES[4], { name: "affinity", key: [], interval: false }).map(({ text }) => text);
}

const client = (ip: string, key: string, endpoint: string) => `${ip} . ${key} : ${endpoint} . 8080`;

async function started(numbers: readonly number[], fields: Partial<ClusterService> = {}): Promise<ProxyRig> {
  const rig = new ProxyRig();
  rig.start(state(numbers, fields));
  await rig.settle();
  rig.operations();
  return rig;
}

test("svc-28 clients of an endpoint that is gone are forgotten, behind the rules, and no others", async () => {
  using rig = await started([5, 6]);
  const kept = [client(POD, VIP, "10.244.1.5"), client("10.244.1.8", "10.96.0.11 . tcp . 80", "10.244.1.6")];
  remember(rig, ...kept, client("10.244.1.8", VIP, "10.244.1.6"), client(OUTSIDE, LB, "10.244.1.6"));
  rig.set(state([5, 7]));
  assert.deepEqual(remembered(rig), kept.toSorted());
  const commits = rig.commits();
  assert.match(commits.at(-1) ?? "", /^commit ip breakwater: deleteElements$/);
  assert.equal(commits.length, 2);
});

test("svc-28 clients of a Service that is gone, or has no endpoints, are forgotten", async () => {
  for (const next of [NO_SERVICES, state([])]) {
    using rig = await started([5]);
    remember(rig, client(POD, VIP, "10.244.1.5"), client(OUTSIDE, LB, "10.244.1.5"));
    rig.set(next);
    assert.deepEqual(remembered(rig), []);
  }
});

test("clients stay remembered while their endpoint stays, whatever comes", async () => {
  using rig = await started([5]);
  const both = [client(POD, VIP, "10.244.1.5"), client(OUTSIDE, LB, "10.244.1.5")];
  remember(rig, ...both);
  rig.set(state([4, 5, 6]));
  rig.set(state([5, 14]));
  assert.deepEqual(remembered(rig), both.toSorted());
});

test("from externalTrafficPolicy Cluster to Local: who is outside forgets endpoints elsewhere, this node's pods do not", async () => {
  using rig = await started([5, 14]);
  const kept = [
    client(POD, LB, "10.244.2.14"),
    client(OUTSIDE, VIP, "10.244.2.14"),
    client("198.51.100.7", LB, "10.244.1.5"),
  ];
  remember(rig, ...kept, client(OUTSIDE, LB, "10.244.2.14"));
  rig.set(state([5, 14], { externalPolicy: "Local" }));
  assert.deepEqual(remembered(rig), kept.toSorted());
});

test("svc-24 svc-27 affinity that is switched on again leads to no endpoint that went meanwhile", async () => {
  using rig = await started([5, 6]);
  const kept = client(POD, VIP, "10.244.1.5");
  remember(rig, kept, client("10.244.1.8", VIP, "10.244.1.6"));
  const { affinitySeconds: _, ...plain } = sticky;
  const off = (...numbers: number[]): ServiceState => ({ ...state(numbers), services: [plain] });
  rig.set(off(5, 6));
  rig.clock.advance(10);
  rig.set(off(5));
  rig.clock.advance(10);
  rig.set(state([5]));
  assert.deepEqual(remembered(rig), [kept]);
});

test("a Service that is made anew at its address leads no client to an endpoint of the old one", async () => {
  using rig = await started([5]);
  rig.host.failures.fail({ operation: "table", errno: "ENOBUFS", times: 1 });
  remember(rig, client(POD, VIP, "10.244.1.5"));
  rig.set(NO_SERVICES);
  rig.host.failures.clear();
  rig.clock.advance(100);
  rig.set(state([6]));
  assert.deepEqual(remembered(rig), []);
});

for (const operation of ["table", "commit"] as const) {
  test(`clients are forgotten a second later where that failed: ${operation}`, async () => {
    using rig = await started([5, 6]);
    remember(rig, client(POD, VIP, "10.244.1.6"));
    // The rules come in, what is behind them fails.
    rig.host.failures.fail({
      operation,
      errno: "ENOBUFS",
      times: 2,
      object: operation === "table" ? "ip breakwater" : "breakwater: deleteElements",
    });
    if (operation === "commit") rig.set(state([5, 7]));
    else rig.set(state([5, 7]));
    assert.deepEqual(remembered(rig).length, 1);
    await rig.elapse(4000);
    assert.deepEqual(remembered(rig), []);
    assert.equal(rig.proxy.failure, undefined);
  });
}

test("a successor forgets clients that an agent left which was killed behind its commit", async () => {
  using rig = await started([5, 6]);
  const kept = client(POD, VIP, "10.244.1.5");
  remember(rig, kept, client("10.244.1.8", VIP, "10.244.1.6"));
  rig.host.failures.fail({ operation: "table", errno: "ENOBUFS", times: 1 });
  rig.set(state([5]));
  assert.equal(remembered(rig).length, 2);
  rig.host.failures.clear();
  rig.restart();
  assert.deepEqual(remembered(rig), [kept]);
});

test("forgetClients() takes thousands in few transactions, and one that ended by itself keeps no other", () => {
  using rig = new ProxyRig();
  rig.start(state([5]));
  const gone = Array.from({ length: 1200 }, (_, i) => client(`10.9.${i >> 8}.${i & 255}`, VIP, "10.244.1.6"));
  remember(rig, ...gone);
  rig.operations();
  const { nftables } = rig.host.kernel("/run/netns/node1");
  const frontend = { endpoints: ["10.244.1.5 . 8080"] } as unknown as Frontend;
  rig.host.failures.fail({ operation: "commit", errno: "ENOENT", times: 1 });
  assert.equal(
    forgetClients(
      nftables,
      [VIP],
      () => frontend,
      () => true,
    ),
    1200,
  );
  assert.deepEqual(remembered(rig), []);
  // The first of two is done again one by one.
  assert.equal(rig.commits().length, 2 + 1000);
});

test("forgetClients() throws what is more than an element that ended", () => {
  using rig = new ProxyRig();
  rig.start(state([5]));
  remember(rig, client(POD, VIP, "10.244.1.6"));
  const { nftables } = rig.host.kernel("/run/netns/node1");
  rig.host.failures.fail({ operation: "commit", errno: "EPERM" });
  assert.throws(
    () =>
      forgetClients(
        nftables,
        [VIP],
        () => undefined,
        () => true,
      ),
    /EPERM/,
  );
});

test("forgetClients() reads nothing where nobody is concerned", () => {
  using rig = new ProxyRig();
  rig.host.failures.fail({ operation: "table", errno: "EPERM" });
  assert.equal(
    forgetClients(
      rig.host.kernel("/run/netns/node1").nftables,
      [],
      () => undefined,
      () => true,
    ),
    0,
  );
});
