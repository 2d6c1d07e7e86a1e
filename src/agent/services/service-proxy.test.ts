/** The proxy on the kernel in memory: how many transactions, what becomes of those that fail, restarts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SERVICE_TABLES } from "../../model/marks.ts";
import type { ClusterService } from "../../model/service.ts";
import { anEndpoint, aService, aSlice, node1, tcp80 } from "../../plan/services/testing/objects.ts";
import { freshTables, NO_SERVICES, ProxyRig, type ServiceState } from "./testing/proxy-rig.ts";

const KEY = "10.96.0.10 . tcp . 80";

function web(...endpoints: string[]): ServiceState {
  return { services: [aService()], slices: [aSlice(endpoints.map((address) => anEndpoint(address)))] };
}

/** True for a transaction that touches nothing but elements. */
function onlyElements(commit: string): boolean {
  return /^commit ip breakwater: ((deleteElements|addElements)(, )?)+$/.test(commit);
}

function many(count: number, endpointsEach = 2): ServiceState {
  const services: ClusterService[] = [];
  const slices = Array.from({ length: count }, (_, i) => {
    const name = `svc${i}`;
    services.push(aService({ name, clusterIps: [`10.96.${1 + (i >> 8)}.${i & 255}`] }));
    const endpoints = Array.from({ length: endpointsEach }, (_, j) => anEndpoint(`10.${100 + j}.${i >> 8}.${i & 255}`));
    return aSlice(endpoints, { name, service: name });
  });
  return { services, slices };
}

test("ServiceProxy commits nothing before it knows the node", async () => {
  using rig = new ProxyRig();
  rig.set(web("10.244.1.5"));
  await rig.elapse(1000);
  assert.deepEqual(rig.operations(), []);
  assert.equal(rig.proxy.failure, "Services have not been read from the API yet");
  rig.proxy.setNode(node1);
  assert.equal(rig.commits().length, 1);
  assert.equal(rig.proxy.failure, undefined);
});

test("ServiceProxy makes a table in one transaction, and none for a family that no Service has", async () => {
  using rig = new ProxyRig();
  rig.start(web("10.244.1.5"));
  await rig.settle();
  assert.deepEqual(
    rig.commits().map((line) => line.slice(0, 22)),
    ["commit ip breakwater: "],
  );
  assert.equal(rig.tables()[6], undefined);
});

test("ServiceProxy commits at once, one transaction a change, and one more that sweeps", async () => {
  using rig = new ProxyRig();
  rig.start(web("10.244.1.5", "10.244.1.6"));
  await rig.settle();
  rig.operations();
  rig.set(web("10.244.1.5"));
  assert.deepEqual(rig.commits().map(onlyElements), [true]);
  await rig.elapse(900);
  assert.deepEqual(rig.commits(), [], "packets may read the slot still");
  await rig.settle();
  assert.deepEqual(rig.commits(), ["commit ip breakwater: deleteElements"]);
  assert.deepEqual(rig.elements("endpoints"), [`${KEY} . 0 : 10.244.1.5 . 8080`]);
});

test("ServiceProxy commits nothing for what changes nothing", async () => {
  using rig = new ProxyRig();
  rig.start(web("10.244.1.5"));
  await rig.settle();
  rig.operations();
  const [service] = web().services as [ClusterService];
  rig.set({ ...web("10.244.1.5"), services: [{ ...service, uid: "other", ports: [...service.ports] }] });
  rig.proxy.setNode({ ...node1, addresses: [...node1.addresses, "192.0.2.1"] });
  await rig.settle();
  assert.deepEqual(rig.commits(), []);
});

test("ServiceProxy leaves slots at least a second after they were given up, also while others are swept", async () => {
  using rig = new ProxyRig();
  rig.start(web("10.244.1.5", "10.244.1.6", "10.244.1.7"));
  await rig.settle();
  rig.set(web("10.244.1.5", "10.244.1.6"));
  await rig.elapse(999);
  rig.set(web("10.244.1.5"));
  await rig.elapse(1000);
  assert.equal(rig.elements("endpoints").length, 3);
  await rig.elapse(2000);
  assert.equal(rig.elements("endpoints").length, 1);
});

test("ServiceProxy sweeps no slot that the kernel's verdict leads to, while a transaction fails", async () => {
  using rig = new ProxyRig();
  rig.start(web("10.244.1.5", "10.244.1.6", "10.244.1.7", "10.244.1.8"));
  await rig.settle();
  rig.set(web("10.244.1.5", "10.244.1.6", "10.244.1.7"));
  await rig.elapse(990);
  // The change fails, what is deleted behind an earlier one would not.
  rig.host.failures.fail({ operation: "commit", errno: "ENOBUFS", times: 5, object: "addElements" });
  rig.set(web("10.244.1.5"));
  for (let i = 0; i < 25; i++) {
    await rig.elapse(100);
    const [, count = "0"] = /lb-(\d+)$/.exec(rig.elements("services")[0] ?? "") ?? [];
    for (let slot = 0; slot < Number(count); slot++) {
      const isThere = rig.elements("endpoints").some((element) => element.startsWith(`${KEY} . ${slot} : `));
      assert.ok(isThere, `slot ${slot} of ${count}`);
    }
  }
  await rig.settle();
  assert.deepEqual(rig.tables(), await freshTables(web("10.244.1.5")));
});

test("ServiceProxy removes a table that serves nobody", async () => {
  using rig = new ProxyRig();
  rig.start(web("10.244.1.5"));
  await rig.settle();
  rig.set(NO_SERVICES);
  await rig.settle();
  assert.deepEqual(rig.tables(), { 4: undefined, 6: undefined });
  rig.operations();
  rig.set(web("10.244.1.5"));
  await rig.settle();
  assert.deepEqual(rig.tables(), await freshTables(web("10.244.1.5")));
});

/** Failures that a change meets: the errno, and whether the kernel did what it was asked all the same. */
const failures = [
  { errno: "ENOBUFS", applied: false },
  { errno: "EBUSY", applied: false },
  { errno: "ENOENT", applied: false },
  { errno: "ENOMEM", applied: false },
  { errno: "ENOBUFS", applied: true },
] as const;
const full = aService({
  type: "LoadBalancer",
  clusterIps: ["10.96.0.10", "fd00:10:96::a"],
  ports: [{ ...tcp80, nodePort: 30080 }],
  loadBalancerIps: ["203.0.113.9", "2001:db8::9"],
  sourceRanges: ["10.0.0.0/8"],
  externalPolicy: "Local",
  affinitySeconds: 10,
});
const endpoints = (...numbers: number[]) => [
  aSlice(numbers.map((n) => anEndpoint(`10.244.1.${n}`, { nodeName: "node1" }))),
  aSlice(
    numbers.map((n) => anEndpoint(`fd00:10:244:1::${n}`, { nodeName: "node1" })),
    { name: "web-6" },
  ),
];
const steps: readonly [string, ServiceState, ServiceState][] = [
  ["the first Service", NO_SERVICES, { services: [full], slices: endpoints(5, 6) }],
  ["an endpoint more", { services: [full], slices: endpoints(5) }, { services: [full], slices: endpoints(5, 6, 7) }],
  [
    "more endpoints than there are chains for",
    { services: [full], slices: endpoints(5) },
    { services: [full], slices: endpoints(...Array.from({ length: 20 }, (_, i) => i + 1)) },
  ],
  [
    "other endpoints, and fewer",
    { services: [full], slices: endpoints(5, 6, 7) },
    { services: [full], slices: endpoints(8) },
  ],
  ["no endpoints", { services: [full], slices: endpoints(5, 6) }, { services: [full], slices: [] }],
  ["no Service", { services: [full], slices: endpoints(5, 6) }, NO_SERVICES],
  ["another Service", { services: [full], slices: endpoints(5, 6) }, web("10.244.1.5")],
];

for (const [name, from, to] of steps) {
  for (const { errno, applied } of failures) {
    for (const at of [1, 2, 3]) {
      test(`ServiceProxy ends right after failures: ${name}, ${errno}${applied ? " although it was done" : ""}, from commit ${at} on`, async () => {
        using rig = new ProxyRig();
        rig.start(from);
        await rig.settle();
        // Both families, and what is deleted behind them: the failure meets the first, second or third commit.
        const objects = ["ip breakwater", "ip6 breakwater", "breakwater: deleteElements"];
        const object = objects[at - 1] ?? "";
        rig.host.failures.fail({ operation: "commit", errno, applied, object, times: 1 + (at % 2) });
        rig.set(to);
        await rig.settle();
        rig.host.failures.clear();
        assert.equal(rig.proxy.failure, undefined);
        assert.deepEqual(rig.tables(), await freshTables(to));
        rig.operations();
        rig.restart();
        await rig.settle();
        assert.deepEqual(rig.commits(), [], "nothing is believed that is not there");
      });
    }
  }
}

test("ServiceProxy tries again after longer and longer, says why, and takes what came meanwhile with it", async () => {
  using rig = new ProxyRig();
  rig.host.failures.fail({ operation: "commit", errno: "ENOBUFS", times: 3 });
  rig.start(web("10.244.1.5"));
  assert.match(rig.proxy.failure ?? "", /ENOBUFS/);
  rig.set(web("10.244.1.5", "10.244.1.6"));
  assert.equal(rig.commits().length, 1);
  await rig.elapse(99);
  assert.equal(rig.commits().length, 0);
  await rig.elapse(2);
  assert.equal(rig.commits().length, 1);
  await rig.elapse(200);
  assert.equal(rig.commits().length, 1);
  await rig.elapse(400);
  assert.equal(rig.commits().length, 1);
  assert.equal(rig.proxy.failure, undefined);
  assert.equal(rig.elements("endpoints").length, 2);
  assert.equal(rig.problems.length, 3);
});

test("ServiceProxy waits ten seconds at most between attempts, and reads the kernel at each", async () => {
  using rig = new ProxyRig();
  rig.start(web("10.244.1.5"));
  await rig.settle();
  rig.host.failures.fail({ operation: "commit", errno: "ENOMEM", times: Number.POSITIVE_INFINITY });
  rig.set(web("10.244.1.6"));
  await rig.elapse(60_000);
  const before = rig.commits().length;
  await rig.elapse(60_000);
  assert.equal(rig.commits().length, 6);
  assert.ok(before > 8);
  rig.host.failures.clear();
  await rig.settle();
  assert.deepEqual(rig.elements("endpoints"), [`${KEY} . 0 : 10.244.1.6 . 8080`]);
});

test("ServiceProxy goes on when the kernel's table cannot be read for a while", async () => {
  using rig = new ProxyRig();
  rig.host.failures.fail({ operation: "table", errno: "ENOBUFS", times: 2 });
  rig.start(web("10.244.1.5"));
  await rig.settle();
  assert.equal(rig.proxy.failure, undefined);
  assert.deepEqual(rig.tables(), await freshTables(web("10.244.1.5")));
});

test("svc-13 a restart on tables that are right commits nothing", async () => {
  using rig = new ProxyRig();
  rig.start({ services: [full, aService({ name: "other", clusterIps: ["10.96.0.11"] })], slices: endpoints(5, 6) });
  await rig.settle();
  rig.operations();
  rig.restart();
  assert.equal(rig.proxy.failure, undefined);
  await rig.settle();
  assert.deepEqual(rig.commits(), []);
});

test("svc-13 a restart takes over what changed while nobody was there, element by element", async () => {
  using rig = new ProxyRig();
  rig.start(web("10.244.1.5", "10.244.1.6", "10.244.1.7"));
  await rig.settle();
  rig.proxy[Symbol.dispose]();
  rig.source.set(web("10.244.1.5", "10.244.1.8"));
  rig.operations();
  rig.restart();
  assert.deepEqual(rig.commits().map(onlyElements), [true]);
  assert.ok(rig.elements("endpoints").includes(`${KEY} . 0 : 10.244.1.5 . 8080`), "the one that stays keeps its slot");
  await rig.settle();
  assert.deepEqual(rig.tables(), await freshTables(web("10.244.1.5", "10.244.1.8")));
});

test("a table of another layout is replaced in one transaction", async () => {
  using rig = new ProxyRig();
  const table = SERVICE_TABLES[4];
  const base = { type: "filter", hook: "forward", priority: 7, policy: "accept" } as const;
  rig.other.nftables.commit(table, [
    { do: "addTable" },
    { do: "addSet", set: { name: "services", key: "ipv4_addr", interval: false, elements: [] } },
    { do: "addSet", set: { name: "older", key: "ipv4_addr", interval: false, elements: [] } },
    { do: "addChain", chain: { name: "prerouting", base } },
  ]);
  rig.operations();
  rig.start(many(2500));
  const commits = rig.commits();
  assert.equal(commits.length, 1);
  assert.match(commits[0] ?? "", /^commit ip breakwater: deleteTable, addTable, /);
  await rig.settle();
  assert.deepEqual(rig.tables(), await freshTables(many(2500)));
});

test("sets and chains that somebody left in our table go, and what they lead to", async () => {
  using rig = new ProxyRig();
  rig.start(web("10.244.1.5"));
  await rig.settle();
  const table = SERVICE_TABLES[4];
  const strange = { name: "strange", key: "ipv4_addr", data: "verdict", interval: false, elements: [] } as const;
  rig.other.nftables.commit(table, [
    { do: "addChain", chain: { name: "stranger" } },
    { do: "addSet", set: strange },
    { do: "addElements", set: strange, elements: ["10.0.0.1 : goto stranger"] },
    { do: "addRule", chain: "stranger", rule: { statements: [{ vmap: "ip daddr", map: "strange" }] } },
  ]);
  await rig.settle();
  assert.deepEqual(rig.tables(), await freshTables(web("10.244.1.5")));
});

test("5,000 Services that go at once leave nothing behind", async () => {
  using rig = new ProxyRig();
  rig.start(many(5000));
  await rig.settle();
  assert.equal(rig.elements("services").length, 5000);
  rig.set(NO_SERVICES);
  await rig.settle();
  assert.deepEqual(rig.tables(), { 4: undefined, 6: undefined });
});

test("10,000 changes within a second become few transactions, and end right", async () => {
  using rig = new ProxyRig();
  const state = many(100);
  rig.start(state);
  await rig.settle();
  rig.operations();
  for (let i = 0; i < 10_000; i++) {
    const at = (i * 37) % 100;
    const [service, slice] = [state.services[at], state.slices[at]];
    if (service === undefined || slice === undefined) continue;
    const own = Array.from({ length: 1 + (i % 5) }, (_, j) => anEndpoint(`10.200.${i % 251}.${j}`));
    rig.source.put(service, [{ ...slice, endpoints: own }]);
    rig.proxy.request();
    rig.clock.advance(0.1);
  }
  const commits = rig.commits().length;
  assert.ok(commits > 1 && commits <= 510, `${commits} commits`);
  await rig.settle();
  const last = {
    services: state.services,
    slices: state.services.flatMap((s) => [...rig.source.slicesOf(`default/${s.name}`)]),
  };
  assert.deepEqual(rig.tables(), await freshTables(last));
});

test("much comes in several transactions, each of whole frontends; one that fails keeps the others", async () => {
  using rig = new ProxyRig();
  const state = many(2500);
  rig.host.failures.fail({ operation: "commit", errno: "ENOBUFS", object: "ip breakwater: addElements" });
  rig.start(state);
  assert.equal(rig.elements("services").length, 1000);
  assert.match(rig.proxy.failure ?? "", /ENOBUFS/);
  await rig.settle();
  assert.deepEqual(rig.tables(), await freshTables(state));
});

test("ServiceProxy tells of each Service that was planned, and of those that go without a frontend", async () => {
  using rig = new ProxyRig();
  const claim = (name: string, createdAt: string) =>
    aService({ name, createdAt, clusterIps: [], externalIps: ["198.51.100.7"] });
  const older = { ...claim("older", "2026-01-01T00:00:00Z"), clusterIps: ["10.96.0.11"] };
  const younger = { ...claim("younger", "2026-01-02T00:00:00Z"), clusterIps: ["10.96.0.12"] };
  rig.start({ services: [younger], slices: [] });
  rig.clock.advance(10);
  rig.set({ services: [younger, older], slices: [] });
  rig.clock.advance(10);
  assert.deepEqual(rig.proxy.conflicts(), [
    { key: "198.51.100.7 . tcp . 80", loser: "default/younger", winner: "default/older" },
  ]);
  rig.set({ services: [younger], slices: [] });
  assert.deepEqual(rig.told, [
    ["default/younger"],
    ["default/older", "default/younger"],
    ["default/older", "default/younger"],
  ]);
});

test("ServiceProxy does nothing more once it is disposed", async () => {
  using rig = new ProxyRig();
  rig.start(web("10.244.1.5"));
  const verified = rig.proxy.verify();
  rig.other.nftables.commit(SERVICE_TABLES[4], [{ do: "deleteTable" }]);
  rig.proxy[Symbol.dispose]();
  rig.operations();
  await verified;
  rig.set(web("10.244.1.6"));
  await rig.settle();
  assert.deepEqual(rig.operations(), []);
});
