/**
 * Every kind of peer with every kind of port, in both directions, one at a time and two at a time: what random clusters meet
 * now and then is met here for certain, and judged by the evaluator.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isAllowed, type Protocol, type Raw, type RawCluster } from "./evaluator.ts";
import { NODES } from "./random-objects.ts";
import { TracedCluster } from "./traced-cluster.ts";

const FIRST = "10.244.1.1";

function pod(name: string, number: number, app: string, ports: readonly Raw[], labels: Raw = {}): Raw {
  const [namespace = "", short = ""] = name.split("/");
  return {
    metadata: { namespace, name: short, labels: { app, ...labels } },
    spec: { nodeName: `node${1 + (number % 2)}`, containers: [{ ports }] },
    status: { phase: "Running", podIP: `10.244.1.${number}` },
  };
}

const http = (containerPort: number): Raw => ({ name: "http", containerPort });
/** The policies select the first pod; the others are its peers, in both directions. */
const PODS: readonly Raw[] = [
  pod("x/first", 1, "first", [http(80), { name: "dns", containerPort: 53, protocol: "UDP" }]),
  pod("x/second", 2, "web", [http(8080)]),
  pod("x/third", 3, "db", [http(80), { name: "dns", containerPort: 53, protocol: "UDP" }], { tier: "back" }),
  pod("y/fourth", 4, "web", [{ name: "http", containerPort: 80, protocol: "SCTP" }]),
  pod("y/fifth", 5, "db", []),
];
const ENDS = [...PODS.slice(1).map((each) => (each["status"] as { podIP: string }).podIP), "198.51.100.7"];

const PEERS: Readonly<Record<string, unknown>> = {
  "all of the namespace": { podSelector: {} },
  "one application": { podSelector: { matchLabels: { app: "web" } } },
  "no application": { podSelector: { matchExpressions: [{ key: "app", operator: "NotIn", values: ["web", "db"] }] } },
  "whoever has no tier": { podSelector: { matchExpressions: [{ key: "tier", operator: "DoesNotExist" }] } },
  "whatever tier is not front": {
    podSelector: { matchExpressions: [{ key: "tier", operator: "NotIn", values: ["front"] }] },
  },
  "all namespaces": { namespaceSelector: {} },
  "another namespace": { namespaceSelector: { matchLabels: { team: "y" } } },
  "one application of it": {
    namespaceSelector: { matchLabels: { team: "y" } },
    podSelector: { matchLabels: { app: "web" } },
  },
  "a block with pods": { ipBlock: { cidr: "10.244.0.0/16", except: ["10.244.1.2/31"] } },
  "a block without": { ipBlock: { cidr: "198.51.100.0/24" } },
  everything: { ipBlock: { cidr: "0.0.0.0/0" } },
  "the other family": { ipBlock: { cidr: "::/0" } },
  "an unknown operator": { podSelector: { matchExpressions: [{ key: "app", operator: "Like", values: ["web"] }] } },
};

const PORTS: Readonly<Record<string, unknown>> = {
  "every port of TCP": {},
  "every port of UDP": { protocol: "UDP" },
  "one port": { port: 80 },
  "one port of SCTP": { protocol: "SCTP", port: 80 },
  "a range": { port: 79, endPort: 8080 },
  "a range of one": { port: 8080, endPort: 8080 },
  "a range to the last": { port: 8081, endPort: 65_535 },
  "a name": { port: "http" },
  "a name of UDP": { protocol: "UDP", port: "dns" },
  "a name of another protocol": { protocol: "SCTP", port: "http" },
  "a name that nobody has": { port: "nobody" },
  "a range backwards": { port: 8080, endPort: 80 },
};

const DIALS: readonly (readonly [Protocol, number])[] = [
  ["TCP", 79],
  ["TCP", 80],
  ["TCP", 8080],
  ["TCP", 65_535],
  ["UDP", 53],
  ["UDP", 80],
  ["SCTP", 80],
];

function clusterWith(direction: "Ingress" | "Egress", rules: readonly Raw[]): RawCluster {
  const section = direction === "Ingress" ? { ingress: rules } : { egress: rules };
  const podSelector = { matchLabels: { app: "first" } };
  return {
    namespaces: ["x", "y"].map((name) => ({ metadata: { name, labels: { team: name } } })),
    pods: PODS,
    policies: [
      { metadata: { namespace: "x", name: "p" }, spec: { podSelector, policyTypes: [direction], ...section } },
    ],
    nodes: NODES,
  };
}

/** @returns how many connections the rules admit */
function compare(what: string, direction: "Ingress" | "Egress", rules: readonly Raw[]): number {
  const cluster = clusterWith(direction, rules);
  const traced = new TracedCluster(cluster);
  let admitted = 0;
  for (const other of ENDS) {
    const [source, destination] = direction === "Ingress" ? [other, FIRST] : [FIRST, other];
    for (const [protocol, port] of DIALS) {
      const connection = { source, destination, protocol, port };
      const expected = isAllowed(cluster, connection);
      if (expected) admitted++;
      assert.equal(traced.isAllowed(connection), expected, `${what}: ${JSON.stringify(connection)}`);
    }
  }
  return admitted;
}

for (const direction of ["Ingress", "Egress"] as const) {
  const peersField = direction === "Ingress" ? "from" : "to";
  const ruleOf = (peers: readonly unknown[], ports: readonly unknown[]): Raw => ({ [peersField]: peers, ports });

  test(`${direction}: every peer with every port is as the evaluator says`, () => {
    let admitted = 0;
    for (const [who, peer] of [...Object.entries(PEERS), ["anybody", undefined] as const]) {
      for (const [where, port] of [...Object.entries(PORTS), ["everywhere", undefined] as const]) {
        const rule = ruleOf(peer === undefined ? [] : [peer], port === undefined ? [] : [port]);
        admitted += compare(`${who}, ${where}`, direction, [rule]);
      }
    }
    assert.ok(admitted > 500, `${admitted} admitted`);
  });

  test(`${direction}: ports of their own for each of several peers are as the evaluator says`, () => {
    const peers = [...Object.values(PEERS), undefined];
    const numbers = [79, 80, 8080, 65_535];
    for (const first of peers.keys()) {
      const rules = numbers.map((port, i) => {
        const peer = peers[(first + i) % peers.length];
        return ruleOf(peer === undefined ? [] : [peer], [{ port }, { port, protocol: "SCTP" }]);
      });
      compare(`peers from ${first} on`, direction, rules);
    }
  });

  test(`${direction}: two peers with all ports, two ports with all peers, in one rule and in two, are as the evaluator says`, () => {
    const [peers, ports] = [Object.values(PEERS), Object.values(PORTS)];
    for (const [i, peer] of peers.entries()) {
      const next = peers[(i + 1) % peers.length];
      compare(`peers ${i} and after`, direction, [ruleOf([peer, next], ports.slice(0, 5))]);
      for (const [j, port] of ports.entries()) {
        const after = ports[(j + 1) % ports.length];
        compare(`${i} ${j} in one rule`, direction, [ruleOf([peer, next], [port, after])]);
        compare(`${i} ${j} in two rules`, direction, [ruleOf([peer], [port]), ruleOf([next], [after])]);
      }
    }
  });
}
