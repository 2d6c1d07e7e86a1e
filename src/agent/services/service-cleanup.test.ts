/** Tracked flows that lead nowhere are deleted, exactly those, and behind the rules that replace them. Rows "udp". */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterService, EndpointSlice, SliceEndpoint } from "../../model/service.ts";
import { anEndpoint, aService, aSlice } from "../../plan/services/testing/objects.ts";
import { NO_SERVICES, ProxyRig, type ServiceState } from "./testing/proxy-rig.ts";

const UDP = { name: "dns", protocol: "UDP", port: 53, nodePort: 30053 } as const;
const service = aService({
  type: "LoadBalancer",
  clusterIps: ["10.96.0.10", "fd00:10:96::a"],
  ports: [UDP],
  externalIps: ["198.51.100.7"],
  loadBalancerIps: ["203.0.113.9"],
});
const port = { name: "dns", protocol: "UDP", port: 5353 } as const;
const going = { ready: false, serving: true, terminating: true };

const slice = (...endpoints: SliceEndpoint[]): EndpointSlice => aSlice(endpoints, { ports: [port] });
const slice6 = (...endpoints: SliceEndpoint[]): EndpointSlice => aSlice(endpoints, { ports: [port], name: "web-6" });
const here = (number: number, fields: Partial<SliceEndpoint> = {}) =>
  anEndpoint(`10.244.1.${number}`, { nodeName: "node1", ...fields });
const away = (number: number) => anEndpoint(`10.244.2.${number}`, { nodeName: "node2" });
const state = (slices: readonly EndpointSlice[], fields: Partial<ClusterService> = {}): ServiceState => ({
  services: [{ ...service, ...fields }],
  slices,
});

/** Frontends, with what reaches them. */
const POD = "10.244.1.9:4000";
const OUTSIDE = "198.51.100.200:4000";
const HOST = "192.168.1.11:4000";
/** A flow to a frontend that was translated to an endpoint. */
const to = (frontend: string, endpoint: string, client = POD) => `udp ${client} > ${frontend}, ${endpoint} > ${client}`;
/** The same behind the node's address. */
const hidden = (frontend: string, endpoint: string, client = OUTSIDE) =>
  `udp ${client} > ${frontend}, ${endpoint} > 192.168.1.11:61234`;
/** One that began while nothing translated it. */
const untranslated = (frontend: string, client = POD) => `udp ${client} > ${frontend}, ${frontend} > ${client}`;

/** What is nobody's business here, whatever happens to the Service. */
const FOREIGN = [
  "tcp 10.244.1.9:4000 > 10.96.0.10:53, 10.244.1.5:5353 > 10.244.1.9:4000",
  "sctp 10.244.1.9:4000 > 10.96.0.10:53, 10.244.1.5:5353 > 10.244.1.9:4000",
  "udp 10.244.1.9:4000 > 10.96.0.10:54, 10.244.1.5:5353 > 10.244.1.9:4000",
  "udp 10.244.1.9:4000 > 10.96.0.11:53, 10.244.1.5:5353 > 10.244.1.9:4000",
  "udp 10.244.1.9:4000 > 192.168.1.12:30053, 10.244.1.5:5353 > 10.244.1.9:4000",
  "udp 10.244.1.9:4000 > 10.244.1.5:5353, 10.244.1.5:5353 > 10.244.1.9:4000",
  "udp 10.244.1.9:53 > 8.8.8.8:53, 8.8.8.8:53 > 10.244.1.9:53",
];

interface Case {
  readonly name: string;
  readonly before: ServiceState;
  readonly after: ServiceState;
  readonly deleted: readonly string[];
  readonly kept: readonly string[];
}

const FRONTENDS = ["10.96.0.10:53", "192.168.1.11:30053", "203.0.113.9:53", "198.51.100.7:53"];
const each = (flow: (frontend: string) => string) => FRONTENDS.map(flow);

const cases: readonly Case[] = [
  {
    name: "svc-48 svc-49 the pod is replaced by another: clients that never close go to the new one, by every address",
    before: state([slice(here(5))]),
    after: state([slice(here(6))]),
    deleted: [
      ...each((at) => to(at, "10.244.1.5:5353")),
      ...each((at) => hidden(at, "10.244.1.5:5353")),
      hidden("10.96.0.10:53", "10.244.1.5:5353", HOST),
    ],
    kept: [...FOREIGN, to("10.96.0.10:53", "10.244.1.6:5353", "10.244.1.8:4000")],
  },
  {
    name: "one endpoint of several goes: flows of the others stay",
    before: state([slice(here(5), here(6), away(7))]),
    after: state([slice(here(5), away(7))]),
    deleted: each((at) => to(at, "10.244.1.6:5353")),
    kept: [
      ...FOREIGN,
      ...each((at) => to(at, "10.244.1.5:5353", "10.244.1.8:1")),
      ...each((at) => hidden(at, "10.244.2.7:5353")),
    ],
  },
  {
    name: "an endpoint comes to others: no flow is touched",
    before: state([slice(here(5))]),
    after: state([slice(here(5), here(6))]),
    deleted: [],
    kept: [...FOREIGN, ...each((at) => to(at, "10.244.1.5:5353"))],
  },
  {
    name: "svc-52 an endpoint becomes ready: what began while there was none is deleted",
    before: state([slice(here(5, { ready: false }))]),
    after: state([slice(here(5))]),
    deleted: [
      ...each((at) => untranslated(at)),
      ...each((at) => untranslated(at, OUTSIDE)),
      untranslated("10.96.0.10:53", HOST),
    ],
    kept: FOREIGN,
  },
  {
    name: "svc-52 an endpoint that is not ready yet appears: nothing changes, and nothing is deleted",
    before: state([]),
    after: state([slice(here(5, { ready: false }))]),
    deleted: [],
    kept: [...FOREIGN, ...each((at) => untranslated(at))],
  },
  {
    name: "svc-50 policy Local: the pod here comes back while one elsewhere was there all the time",
    before: state([slice(away(7))], { internalPolicy: "Local" }),
    after: state([slice(away(7), here(6))], { internalPolicy: "Local" }),
    deleted: [untranslated("10.96.0.10:53"), to("10.96.0.10:53", "10.244.2.7:5353", "10.244.1.8:1")],
    kept: [...FOREIGN, to("203.0.113.9:53", "10.244.2.7:5353")],
  },
  {
    name: "svc-50 policy Local: the pod here goes, and its flows with it",
    before: state([slice(away(7), here(6))], { internalPolicy: "Local" }),
    after: state([slice(away(7))], { internalPolicy: "Local" }),
    deleted: [to("10.96.0.10:53", "10.244.1.6:5353")],
    kept: [...FOREIGN, to("203.0.113.9:53", "10.244.2.7:5353")],
  },
  {
    name: "svc-51 a client on the host network is no different",
    before: state([slice(away(7))]),
    after: state([slice(away(8))]),
    deleted: [hidden("10.96.0.10:53", "10.244.2.7:5353", HOST), hidden("192.168.1.11:30053", "10.244.2.7:5353", HOST)],
    kept: [...FOREIGN, hidden("10.96.0.10:53", "10.244.2.8:5353", "192.168.1.11:4001")],
  },
  {
    name: "a terminating pod that is fallen back on keeps its flows, until it is gone",
    before: state([slice(here(5))]),
    after: state([slice(here(5, going))]),
    deleted: [],
    kept: [...FOREIGN, ...each((at) => to(at, "10.244.1.5:5353"))],
  },
  {
    name: "a Service that goes takes its translated flows along, and no others",
    before: state([slice(here(5))]),
    after: NO_SERVICES,
    deleted: each((at) => to(at, "10.244.1.5:5353")),
    kept: [...FOREIGN, untranslated("203.0.113.9:53", OUTSIDE)],
  },
  {
    name: "a NodePort that goes takes its flows along",
    before: state([slice(here(5))]),
    after: state([slice(here(5))], { ports: [{ name: "dns", protocol: "UDP", port: 53 }] }),
    deleted: [to("192.168.1.11:30053", "10.244.1.5:5353")],
    kept: [...FOREIGN, to("10.96.0.10:53", "10.244.1.5:5353")],
  },
  {
    name: "all endpoints go: their flows go, those of TCP stay",
    before: state([slice(here(5), away(7))]),
    after: state([slice()]),
    deleted: [...each((at) => to(at, "10.244.1.5:5353")), ...each((at) => hidden(at, "10.244.2.7:5353"))],
    kept: FOREIGN,
  },
  {
    name: "from policy Cluster to Local: flows from outside leave endpoints elsewhere, those of this node's pods do not",
    before: state([slice(here(5), away(7))]),
    after: state([slice(here(5), away(7))], { externalPolicy: "Local" }),
    deleted: [hidden("203.0.113.9:53", "10.244.2.7:5353"), hidden("192.168.1.11:30053", "10.244.2.7:5353")],
    kept: [
      ...FOREIGN,
      to("203.0.113.9:53", "10.244.2.7:5353"),
      hidden("203.0.113.9:53", "10.244.2.7:5353", HOST),
      to("203.0.113.9:53", "10.244.1.5:5353", OUTSIDE),
      hidden("10.96.0.10:53", "10.244.2.7:5353"),
    ],
  },
  {
    name: "from policy Cluster to Local without an endpoint here: flows from outside go",
    before: state([slice(away(7))]),
    after: state([slice(away(7))], { externalPolicy: "Local" }),
    deleted: [hidden("203.0.113.9:53", "10.244.2.7:5353")],
    kept: [...FOREIGN, to("203.0.113.9:53", "10.244.2.7:5353")],
  },
  {
    name: "policy Local from outside: a pod here comes, and what began without one goes",
    before: state([slice(away(7))], { externalPolicy: "Local" }),
    after: state([slice(away(7), here(5))], { externalPolicy: "Local" }),
    deleted: [untranslated("203.0.113.9:53", OUTSIDE)],
    kept: [...FOREIGN, to("203.0.113.9:53", "10.244.2.7:5353")],
  },
  {
    name: "IPv6",
    before: state([slice6(anEndpoint("fd00:10:244:1::5"))]),
    after: state([slice6(anEndpoint("fd00:10:244:1::6"))]),
    deleted: ["udp [fd00:10:244:1::9]:4000 > [fd00:10:96::a]:53, [fd00:10:244:1::5]:5353 > [fd00:10:244:1::9]:4000"],
    kept: [
      ...FOREIGN,
      "udp [fd00:10:244:1::9]:4001 > [fd00:10:96::a]:53, [fd00:10:244:1::6]:5353 > [fd00:10:244:1::9]:4001",
      "udp [fd00:10:244:1::9]:4000 > [fd00:10:96::b]:53, [fd00:10:244:1::5]:5353 > [fd00:10:244:1::9]:4000",
    ],
  },
];

for (const { name, before, after, deleted, kept } of cases) {
  test(`${name.startsWith("svc") ? "" : "UDP flows: "}${name}`, async () => {
    using rig = new ProxyRig();
    rig.start(before);
    await rig.settle();
    for (const flow of [...deleted, ...kept]) rig.conntrack.track(flow);
    rig.operations();
    rig.set(after);
    assert.deepEqual(rig.conntrack.flows().sort(), [...kept].sort());
    const order = rig.operations().map((line) => line.split(" ")[0]);
    const lastCommit = order.lastIndexOf("commit");
    if (deleted.length > 0) assert.ok(order.indexOf("deleteEntry") > lastCommit, `${order}: behind the rules`);
    assert.equal(order.filter((word) => word === "deleteEntry").length, deleted.length);
    assert.ok(!order.includes("deleteMatching"));
  });
}

for (const id of ["svc-48", "svc-49"]) {
  test(`${id} server pods cycle under a client that sends all the time: it is answered each time`, async () => {
    using rig = new ProxyRig();
    const frontend = id === "svc-48" ? "192.168.1.11:30053" : "10.96.0.10:53";
    rig.start(state([slice(here(5))]));
    await rig.settle();
    for (const number of [6, 7, 8]) {
      rig.conntrack.track(to(frontend, `10.244.1.${number - 1}:5353`));
      rig.set(state([slice()]));
      assert.deepEqual(rig.conntrack.flows(), [], "the pod is gone");
      rig.clock.advance(100);
      rig.conntrack.track(untranslated(frontend));
      rig.set(state([slice(here(number, { ready: false }))]));
      rig.clock.advance(100);
      rig.set(state([slice(here(number))]));
      assert.deepEqual(rig.conntrack.flows(), [], `pod ${number} is ready`);
      rig.clock.advance(100);
    }
  });
}

test("a change of TCP lists no flows", async () => {
  using rig = new ProxyRig();
  const tcp = (...numbers: number[]) => ({ services: [aService()], slices: [aSlice(numbers.map((n) => here(n)))] });
  rig.start(tcp(5));
  await rig.settle();
  const before = rig.conntrack.lists;
  rig.set(tcp(6));
  rig.set(NO_SERVICES);
  await rig.settle();
  assert.equal(rig.conntrack.lists, before);
});

test("few frontends are looked for one by one", async () => {
  using rig = new ProxyRig();
  rig.start(state([slice(here(5))]));
  await rig.settle();
  const before = rig.conntrack.lists;
  rig.set(state([slice(here(6))]));
  assert.equal(rig.conntrack.lists - before, 4);
});

test("many frontends are looked for in one list of all UDP flows", async () => {
  using rig = new ProxyRig();
  const ports = [UDP, { ...UDP, name: "dns2", port: 54, nodePort: 30054 }];
  const two = (number: number) => aSlice([here(number)], { ports: [port, { ...port, name: "dns2" }] });
  rig.start(state([two(5)], { ports }));
  await rig.settle();
  const [one, other] = [to("10.96.0.10:53", "10.244.1.5:5353"), to("10.96.0.10:54", "10.244.1.5:5353")];
  for (const flow of [one, other, ...FOREIGN.filter((flow) => !flow.includes(":54"))]) rig.conntrack.track(flow);
  const before = rig.conntrack.lists;
  rig.set(state([two(6)], { ports }));
  assert.equal(rig.conntrack.lists - before, 1);
  assert.deepEqual(
    rig.conntrack.flows(),
    FOREIGN.filter((flow) => !flow.includes(":54")),
  );
});

const failing = [
  { operation: "conntrackEntries", errno: "ENOBUFS" },
  { operation: "deleteEntry", errno: "ENOMEM" },
] as const;
for (const failure of failing) {
  test(`flows are deleted a second later where that failed: ${failure.operation}`, async () => {
    using rig = new ProxyRig();
    rig.start(state([slice(here(5))]));
    await rig.settle();
    const flow = to("10.96.0.10:53", "10.244.1.5:5353");
    rig.conntrack.track(flow);
    rig.host.failures.fail({ ...failure, times: 3 });
    rig.set(state([slice(here(6))]));
    assert.deepEqual(rig.conntrack.flows(), [flow]);
    assert.equal(rig.proxy.failure, undefined, "the rules are in");
    await rig.elapse(5000);
    assert.deepEqual(rig.conntrack.flows(), []);
    assert.equal(rig.problems.length, 3);
    rig.operations();
    await rig.settle();
    assert.deepEqual(rig.operations(), [], "it is done");
  });
}

test("flows are not deleted while the rules that replace them are not in", async () => {
  using rig = new ProxyRig();
  rig.start(state([slice(here(5))]));
  await rig.settle();
  const flow = to("10.96.0.10:53", "10.244.1.5:5353");
  rig.conntrack.track(flow);
  rig.host.failures.fail({ operation: "conntrackEntries", errno: "ENOBUFS" });
  rig.set(state([slice(here(6))]));
  await rig.elapse(900);
  rig.host.failures.fail({ operation: "commit", errno: "ENOBUFS", times: 4, object: "addElements" });
  rig.set(state([slice(here(7))]));
  await rig.elapse(300);
  assert.deepEqual(rig.conntrack.flows(), [flow], "its time came, but a transaction is due");
  await rig.settle();
  assert.deepEqual(rig.conntrack.flows(), []);
});

test("flows of what one transaction of several brought are deleted, when a later one failed first", async () => {
  using rig = new ProxyRig();
  const both = (number: number) => state([slice(here(number)), slice6(anEndpoint(`fd00:10:244:1::${number}`))]);
  rig.start(both(5));
  await rig.settle();
  rig.conntrack.track(to("10.96.0.10:53", "10.244.1.5:5353"));
  rig.conntrack.track(
    "udp [fd00:10:244:1::9]:4000 > [fd00:10:96::a]:53, [fd00:10:244:1::5]:5353 > [fd00:10:244:1::9]:4000",
  );
  rig.host.failures.fail({ operation: "commit", errno: "ENOBUFS", object: "ip6 breakwater" });
  rig.set(both(6));
  assert.equal(rig.conntrack.flows().length, 2);
  await rig.settle();
  assert.deepEqual(rig.conntrack.flows(), []);
});

test("a successor deletes what an agent left that was killed between its commit and what comes behind it", async () => {
  using rig = new ProxyRig();
  rig.start(state([slice(here(5))]));
  await rig.settle();
  const flow = to("10.96.0.10:53", "10.244.1.5:5353");
  rig.conntrack.track(flow);
  const kept = [...FOREIGN, to("10.96.0.10:53", "10.244.1.6:5353", "10.244.1.8:1")];
  for (const other of kept) rig.conntrack.track(other);
  rig.host.failures.fail({ operation: "conntrackEntries", errno: "ENOBUFS" });
  rig.set(state([slice(here(6))]));
  assert.ok(rig.conntrack.flows().includes(flow));
  rig.restart();
  assert.deepEqual(rig.conntrack.flows(), kept);
});

test("an entry that ended meanwhile is no error, and one that a client began anew is not touched", async () => {
  using rig = new ProxyRig();
  rig.start(state([slice(here(5))]));
  await rig.settle();
  const entry = rig.conntrack.track(to("10.96.0.10:53", "10.244.1.5:5353"));
  assert.equal(rig.conntrack.deleteEntry(entry), true);
  assert.equal(rig.conntrack.deleteEntry(entry), false);
  const again = to("10.96.0.10:53", "10.244.1.6:5353");
  rig.conntrack.track(again);
  rig.set(state([slice(here(6))]));
  assert.deepEqual(rig.conntrack.flows(), [again]);
});

test("deleted flows are counted by family", async () => {
  using rig = new ProxyRig();
  rig.start(state([slice(here(5))]));
  await rig.settle();
  for (const client of ["10.244.1.8:1", "10.244.1.9:1"])
    rig.conntrack.track(to("10.96.0.10:53", "10.244.1.5:5353", client));
  rig.set(state([slice(here(6))]));
  const text = await rig.registry.metrics();
  assert.match(text, /kubeproxy_conntrack_reconciler_deleted_entries_total\{ip_family="IPv4"\} 2/);
});
