/** Session affinity over IPv6 while endpoints come and go, by packets through the tables that the agent makes. Row svc-28. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SERVICE_TABLES } from "../../model/marks.ts";
import type { ClusterService } from "../../model/service.ts";
import { planServiceSets } from "../../plan/services/table.ts";
import { anEndpoint, aService, aSlice, tcp80 } from "../../plan/services/testing/objects.ts";
import { NO_SERVICES, ProxyRig, type ServiceState } from "./testing/proxy-rig.ts";
import { clientsIn, dialThrough } from "./testing/rig-dialer.ts";

const VIP = "fd00:10:96::a";
const sticky = aService({
  type: "LoadBalancer",
  clusterIps: [VIP],
  ports: [tcp80],
  loadBalancerIps: ["2001:db8::9"],
  affinitySeconds: 10,
});
const { affinitySeconds: _, ...plain } = sticky;
const state = (numbers: readonly number[], fields: Partial<ClusterService> = {}): ServiceState => ({
  services: [{ ...sticky, ...fields }],
  slices: [
    aSlice(
      numbers.map((n) => anEndpoint(`fd00:10:244:${n > 9 ? 2 : 1}::${n}`, { nodeName: n > 9 ? "node2" : "node1" })),
    ),
  ],
});
const endpoint = (n: number) => `[fd00:10:244:${n > 9 ? 2 : 1}::${n}]:8080`;
const CLIENTS = Array.from({ length: 6 }, (_, i) => `fd00:10:244:1::${(i + 100).toString(16)}`);
const SIXTEEN = Array.from({ length: 16 }, (_, i) => i);

async function started(state: ServiceState): Promise<ProxyRig> {
  const rig = new ProxyRig();
  rig.start(state);
  await rig.settle();
  rig.operations();
  return rig;
}

const connect = (rig: ProxyRig, from: string, drawn = 0, to = VIP) => dialThrough(rig, { from, to, port: 80 }, drawn);

/** Everybody's endpoint, each by another lot. */
function all(rig: ProxyRig, shift = 0): Map<string, string> {
  return new Map(CLIENTS.map((client, i) => [client, connect(rig, client, i + shift)]));
}

/** Whoever had an endpoint that is still there has it still, whatever is drawn; the others have one that is. */
function keeps(rig: ProxyRig, before: ReadonlyMap<string, string>, numbers: readonly number[]): void {
  const live = new Set(numbers.map(endpoint));
  for (const [client, had] of before) {
    const has = connect(rig, client);
    assert.ok(live.has(has), `${client} reaches ${has}`);
    if (live.has(had)) assert.equal(has, had, `${client} had one that is still there`);
    for (const drawn of [1, 2, 3]) assert.equal(connect(rig, client, drawn), has);
  }
}

const count = (rig: ProxyRig) => clientsIn(rig, { name: "clients-tcp" }).size;

const steps: Readonly<Record<string, readonly (readonly number[])[]>> = {
  "one goes, and the last one takes its slot": [[5, 6, 7], [6, 7], [7], [7, 8]],
  "the last one goes": [
    [5, 6, 7],
    [5, 6],
    [5, 6, 9],
  ],
  "one takes another's place": [
    [5, 6, 7],
    [5, 7, 8],
    [7, 8, 9],
  ],
  "several go at once": [
    [1, 2, 3, 4, 5, 6],
    [2, 6],
    [2, 3, 4, 6],
  ],
  "all go, and others come": [[5, 6, 7], [], [5, 6]],
  "many come": [[5], [3, 4, 5, 6, 7, 8, 9, 11, 12, 13]],
};

for (const [name, numbers] of Object.entries(steps)) {
  for (const manner of ["at once", "after a rest", "killed in between", "while transactions fail"]) {
    test(`svc-28 clients keep what is still there: ${name}, ${manner}`, async () => {
      using rig = await started(state(numbers[0] ?? []));
      for (const [i, next] of numbers.entries()) {
        const before = all(rig, i);
        if (i === 0) assert.equal(new Set(before.values()).size, next.length, "all endpoints are chosen");
        const following = numbers[i + 1];
        if (following === undefined) break;
        if (manner === "while transactions fail") {
          rig.host.failures.fail({ operation: "commit", errno: "ENOBUFS", times: 1 + (i % 2) });
        }
        rig.set(state(following));
        if (manner === "killed in between") rig.restart();
        if (manner !== "at once") await rig.settle();
        else rig.clock.advance(3);
        if (following.length > 0) keeps(rig, before, following);
        assert.ok(count(rig) <= CLIENTS.length, "nobody is remembered twice");
      }
      assert.equal(rig.proxy.failure, undefined);
      assert.deepEqual((await rig.proxy.verify()).differences, []);
    });
  }
}

test("clients that move come with the transaction that moves their endpoint, those that are forgotten behind it", async () => {
  using rig = await started(state([5, 6, 7]));
  all(rig);
  rig.set(state([6, 7]));
  const [first, second, ...others] = rig.commits();
  assert.match(first ?? "", /^commit ip6 breakwater: .*deleteElements.*addElements, addElements$/);
  assert.equal(second, "commit ip6 breakwater: deleteElements");
  assert.deepEqual(others, []);
});

test("clients are read only where a slot of theirs changes", async () => {
  using rig = await started(state([5, 6]));
  all(rig);
  rig.host.failures.fail({ operation: "table", errno: "EPERM", times: Number.POSITIVE_INFINITY });
  rig.set(state([5, 6, 7]));
  rig.clock.advance(3);
  rig.set(state([5, 6, 7], { affinitySeconds: 20 }));
  rig.clock.advance(3);
  assert.equal(rig.proxy.failure, undefined);
  rig.set(state([6, 7]));
  assert.match(rig.proxy.failure ?? "", /EPERM/);
});

test("who is outside keeps an endpoint of this node under externalTrafficPolicy Local, also from Cluster to Local", async () => {
  using rig = await started(state([5, 6, 14]));
  const outside = CLIENTS.map((_, i) => `2001:db8:99::${i + 1}`);
  const lb = "2001:db8::9";
  const before = outside.map((client, i) => connect(rig, client, i, lb));
  const inside = all(rig);
  const local = { externalPolicy: "Local" } as const;
  rig.set(state([5, 6, 14], local));
  const now = outside.map((client) => connect(rig, client, 0, lb));
  for (const [i, has] of now.entries()) {
    if (before[i] !== endpoint(14)) assert.equal(has, before[i]);
    assert.notEqual(has, endpoint(14));
  }
  keeps(rig, inside, [5, 6, 14]);
  rig.clock.advance(10);
  rig.set(state([6, 14], local));
  for (const client of outside) assert.equal(connect(rig, client, 0, lb), endpoint(6));
  keeps(rig, inside, [6, 14]);
});

test("svc-24 svc-27 affinity is switched off and on, and its timeout changes", async () => {
  using rig = await started(state([5, 6]));
  const before = all(rig);
  rig.set(state([5, 6], { affinitySeconds: 20 }));
  keeps(rig, before, [5, 6]);
  rig.clock.advance(10);
  rig.set({ ...state([5, 6]), services: [plain] });
  assert.equal(count(rig), 0);
  const [client = ""] = CLIENTS;
  assert.equal(new Set(SIXTEEN.map((drawn) => connect(rig, client, drawn))).size, 2);
  rig.clock.advance(10);
  rig.set(state([5, 6]));
  keeps(rig, all(rig), [5, 6]);
});

test("svc-28 clients of a Service that is gone are forgotten", async () => {
  using rig = await started(state([5]));
  all(rig);
  rig.set(NO_SERVICES);
  assert.equal(count(rig), 0);
});

test("clients that could not be forgotten reach what is there, and are forgotten a second later", async () => {
  using rig = await started(state([5, 6, 7]));
  const before = all(rig);
  rig.host.failures.fail({ operation: "commit", errno: "ENOBUFS", object: "ip6 breakwater: deleteElements", times: 1 });
  rig.operations();
  // The transaction itself has other steps before that one.
  rig.set(state([6, 7]));
  const gone = CLIENTS.filter((client) => before.get(client) === endpoint(5));
  for (const client of gone) assert.ok([endpoint(6), endpoint(7)].includes(connect(rig, client)));
  assert.match(rig.problems.join(), /cannot forget which endpoint clients had/);
  await rig.elapse(4000);
  assert.equal(rig.proxy.failure, undefined);
  keeps(rig, before, [6, 7]);
});

test("a set that has no room for clients that move keeps no endpoint from changing", async () => {
  using rig = await started(state([5, 6, 7]));
  all(rig);
  rig.host.failures.fail({ operation: "commit", errno: "ENFILE", times: 1 });
  rig.set(state([6, 7]));
  assert.equal(rig.proxy.failure, undefined);
  for (const client of CLIENTS) assert.ok([endpoint(6), endpoint(7)].includes(connect(rig, client)));
});

test("a successor forgets clients in slots that nobody is looked up in", async () => {
  using rig = await started(state([5, 6]));
  const set = planServiceSets(6, false).find(({ name }) => name === "clients-tcp");
  assert.ok(set);
  const stale = `${CLIENTS[0]} . ${VIP} . 80 . 7 timeout 5000ms`;
  rig.other.nftables.commit(SERVICE_TABLES[6], [{ do: "addElements", set, elements: [stale] }]);
  const before = all(rig);
  rig.restart();
  await rig.settle();
  keeps(rig, before, [5, 6]);
  assert.equal(count(rig), CLIENTS.length);
});
