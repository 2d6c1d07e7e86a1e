/**
 * Policies that nobody should write, and clusters at odd moments: planned soon, and by what they say. What of an object is not
 * understood is the parser's (src/kube/parse-network-policy.test.ts); namespaces that go in any order are the enforcer's.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNetworkPolicy } from "../../kube/parse-network-policy.ts";
import type { ClusterPolicy, PolicyPod, PolicyRule } from "../../model/policy.ts";
import { countedReads } from "../testing/counted-reads.ts";
import { PacketTracer } from "../testing/packet-tracer.ts";
import { planPolicyTable } from "./table.ts";

/** As often something of each rule is read, at most: sixty are usual. Who looks from each rule at each other one reads thousands. */
const SANE_READS = 200;
const NODE_IP = "192.168.1.11";

function aPod(name: string, ip: string, fields: Partial<PolicyPod> = {}): PolicyPod {
  return { namespace: "x", name, labels: { app: name }, nodeName: "node1", ips: [ip], ports: [], ...fields };
}

const [server, client] = [aPod("server", "10.244.1.1"), aPod("client", "10.244.1.2")];

/** Plans, and dials the server from the client. @returns which of these TCP ports answer */
function admitted(policies: readonly ClusterPolicy[], ports: readonly number[], pods = [server, client]): number[] {
  const counted = countedReads(policies);
  const namespaces = new Map([["x", {}]]);
  const table = planPolicyTable({ nodeName: "node1", pods, policies: counted.value, namespaces }, 4);
  const rules = policies.reduce((sum, { ingress = [], egress = [] }) => sum + 1 + ingress.length + egress.length, 1);
  assert.ok(counted.count() < SANE_READS * rules, `${counted.count()} reads of ${rules} rules`);
  const node = { addresses: [NODE_IP], sourceAddress: () => NODE_IP, route: () => "eth0" };
  const tracer = new PacketTracer({ tables: [table], ...node });
  const [source = "", destination = ""] = [client.ips[0], server.ips[0]];
  return ports.filter((destinationPort) => {
    return tracer.send({ source, destination, destinationPort, from: "bwh0" }).verdict === "sent";
  });
}

const aPolicy = (name: string, ingress: readonly PolicyRule[]): ClusterPolicy => ({
  ...{ namespace: "x", name, uid: name, pods: [{ key: "app", operator: "In", values: ["server"] }], ingress },
});
const from = (app: string): PolicyRule["peers"] => [
  { kind: "pods", pods: [{ key: "app", operator: "In", values: [app] }] },
];
const port = (number: number): PolicyRule["ports"] => [{ protocol: "TCP", port: number }];

/** Peers and ports of their own; only the last one speaks of the client. */
function manyRules(count: number): PolicyRule[] {
  return Array.from({ length: count }, (_, i) => ({
    peers: from(i === count - 1 ? "client" : `nobody-${i}`),
    ports: port(1 + i),
  }));
}

test("a policy of 10,000 rules admits what its last one does", () => {
  assert.deepEqual(admitted([aPolicy("long", manyRules(10_000))], [1, 9999, 10_000, 10_001]), [10_000]);
});

test("a policy of 10,000 rules about one port admits whom its last one does", () => {
  const rules = (last: string) =>
    Array.from({ length: 10_000 }, (_, i) => ({ peers: from(i === 9999 ? last : `nobody-${i}`), ports: port(80) }));
  assert.deepEqual(admitted([aPolicy("long", rules("client"))], [79, 80, 81]), [80]);
  assert.deepEqual(admitted([aPolicy("long", rules("another"))], [79, 80, 81]), []);
});

test("a policy of 10,000 rules about blocks admits whom its last one does", () => {
  const rules = Array.from({ length: 10_000 }, (_, i) => ({
    peers: [
      {
        kind: "block" as const,
        prefix: i === 9999 ? "10.244.1.2/32" : `172.${16 + (i >> 12)}.${(i >> 4) & 255}.${(i & 15) * 16}/28`,
        except: [],
      },
    ],
    ports: port(80),
  }));
  assert.deepEqual(admitted([aPolicy("long", rules)], [80, 81]), [80]);
  assert.deepEqual(admitted([aPolicy("long", rules.slice(0, -1))], [80, 81]), []);
});

test("1,000 policies that select one pod admit what any of them does", () => {
  const policies = manyRules(1000).map((rule, i) => aPolicy(`policy-${i}`, [rule]));
  assert.deepEqual(admitted(policies, [1, 999, 1000, 1001]), [1000]);
  assert.deepEqual(admitted([...policies, aPolicy("all", [{}])], [1, 999, 1001]), [1, 999, 1001]);
  assert.deepEqual(
    admitted([...policies, aPolicy("none", [])], [1, 1000]),
    [1000],
    "one that admits nothing forbids nothing",
  );
});

test("a named port that differs between pods is each one's own number", () => {
  const named = (name: string, ip: string, number: number) =>
    aPod(name, ip, { labels: { app: "server" }, ports: [{ name: "http", protocol: "TCP", port: number }] });
  const policies = [aPolicy("named", [{ ports: [{ protocol: "TCP", port: "http" }] }])];
  for (const [own, other] of [
    [80, 8080],
    [8080, 80],
  ] as const) {
    const pods = [named("second", "10.244.1.3", other), named("server", "10.244.1.1", own), client];
    assert.deepEqual(admitted(policies, [80, 8080], pods), [own]);
  }
});

test("while two pods have one address, only what the policies of both admit passes", () => {
  const older = aPod("older", "10.244.1.1", { labels: { app: "older" } });
  const shut = { ...aPolicy("shut", []), pods: [{ key: "app", operator: "In" as const, values: ["older"] }] };
  const open = aPolicy("open", [{ ports: port(80) }]);
  assert.deepEqual(admitted([open], [80], [server, older, client]), [80], "nothing selects the other one");
  assert.deepEqual(admitted([open, shut], [80], [server, older, client]), []);
  assert.deepEqual(admitted([open, shut], [80], [older, server, client]), [], "whichever comes first");
  // Each has the other's name: whose chain comes first is decided by that.
  const shutHere = { ...shut, name: open.name, pods: open.pods };
  const openThere = { ...open, name: shut.name, pods: shut.pods };
  assert.deepEqual(admitted([openThere, shutHere], [80], [server, older, client]), [], "whichever is the shut one");
  assert.deepEqual(admitted([open, shut], [80]), [80], "it has gone");
});

/** As it comes from a server that lets everything through. */
const UNREADABLE: readonly (readonly [string, object])[] = [
  [
    "an unknown operator",
    { from: [{ podSelector: { matchExpressions: [{ key: "app", operator: "Like", values: ["client"] }] } }] },
  ],
  ["an exception around its block", { from: [{ ipBlock: { cidr: "10.244.1.0/24", except: ["10.244.0.0/16"] } }] }],
  ["an exception that is no CIDR", { from: [{ ipBlock: { cidr: "10.244.1.0/24", except: ["10.244.9.0"] } }] }],
  ["endPort below port", { ports: [{ port: 90, endPort: 80 }] }],
  ["an unknown protocol", { ports: [{ protocol: "QUIC", port: 80 }] }],
];
for (const [what, rule] of UNREADABLE) {
  test(`a rule with ${what} admits nothing, and what stands beside it goes on`, () => {
    const parsed = (...ingress: readonly object[]) =>
      parseNetworkPolicy(
        { metadata: { namespace: "x", name: "bad" }, spec: { podSelector: {}, ingress } },
        () => undefined,
      );
    assert.deepEqual(admitted([parsed(rule)], [79, 80, 85, 90]), []);
    assert.deepEqual(admitted([parsed(rule, { ports: [{ port: 85 }] })], [79, 80, 85, 90]), [85]);
  });
}

test("an exception outside its block excepts nothing of it", () => {
  const ingress = [{ from: [{ ipBlock: { cidr: "10.244.1.0/24", except: ["10.245.0.0/16", "fd00::/8"] } }] }];
  const object = { metadata: { namespace: "x", name: "outside" }, spec: { podSelector: {}, ingress } };
  assert.deepEqual(admitted([parseNetworkPolicy(object, () => undefined)], [80]), [80]);
});
