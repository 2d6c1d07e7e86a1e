/** What of a ClusterNetworkPolicy is understood, and that everything else is reported and closed as the API says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterNetworkPolicy, TierAction, TierRule } from "../model/cluster-network-policy.ts";
import type { JsonObject } from "./json.ts";
import { parseClusterNetworkPolicy } from "./parse-cluster-network-policy.ts";
import { parseRun } from "./testing/parse-run.ts";

interface Run {
  readonly value: ClusterNetworkPolicy;
  readonly reports: string[];
}

const HEAD = { tier: "Admin", priority: 10, subject: { namespaces: {} } };
const ANYBODY = { namespaces: {} };
const DENIES_ALL = { name: "", action: "Deny" };
const MATCHES_NOTHING = { name: "", action: "Accept", peers: [], ports: [] };

function run(spec: unknown, more: JsonObject = {}): Run {
  return parseRun(parseClusterNetworkPolicy, { metadata: { name: "p", uid: "u", generation: 3 }, spec, ...more });
}

/** The only rule of the only direction. */
function onlyRule(direction: "ingress" | "egress", rule: unknown): { rule: TierRule | undefined; reports: string[] } {
  const { value, reports } = run({ ...HEAD, [direction]: [rule] });
  assert.equal(value[direction].length, 1);
  return { rule: value[direction][0], reports };
}

test("parseClusterNetworkPolicy() reads every field, canonical and in order", () => {
  const { value, reports } = run({
    tier: "Baseline",
    priority: 1000,
    subject: {
      pods: { namespaceSelector: { matchLabels: { team: "a" } }, podSelector: { matchLabels: { app: "web" } } },
    },
    ingress: [
      { name: "first", action: "Pass", from: [{ namespaces: { matchLabels: { team: "b" } } }] },
      { action: "Deny", from: [{ pods: { podSelector: {} } }], protocols: [{ destinationNamedPort: "http" }] },
    ],
    egress: [
      {
        action: "Accept",
        to: [
          { networks: ["10.1.2.3/8", "FD00::/64"] },
          { nodes: { matchExpressions: [{ key: "zone", operator: "Exists" }] } },
        ],
        protocols: [
          { tcp: { destinationPort: { number: 443 } } },
          { udp: { destinationPort: { range: { start: 1000, end: 2000 } } } },
          { sctp: { destinationPort: { number: 9 } } },
        ],
      },
    ],
  });
  assert.deepEqual(reports, []);
  const team = (name: string) => [{ key: "team", operator: "In" as const, values: [name] }];
  assert.deepEqual(value, {
    name: "p",
    uid: "u",
    generation: 3,
    tier: "Baseline",
    priority: 1000,
    subject: { namespaces: team("a"), pods: [{ key: "app", operator: "In", values: ["web"] }] },
    ingress: [
      { name: "first", action: "Pass", peers: [{ kind: "pods", namespaces: team("b"), pods: [] }] },
      {
        name: "",
        action: "Deny",
        peers: [{ kind: "pods", namespaces: [], pods: [] }],
        ports: ["TCP", "UDP", "SCTP"].map((protocol) => ({ protocol, port: "http" })),
      },
    ],
    egress: [
      {
        name: "",
        action: "Accept",
        peers: [
          { kind: "block", prefix: "10.0.0.0/8", except: [] },
          { kind: "block", prefix: "fd00::/64", except: [] },
          { kind: "nodes", nodes: [{ key: "zone", operator: "Exists", values: [] }] },
        ],
        ports: [
          { protocol: "TCP", port: 443 },
          { protocol: "UDP", port: 1000, endPort: 2000 },
          { protocol: "SCTP", port: 9 },
        ],
      },
    ],
  });
});

test("parseClusterNetworkPolicy() takes fields that are null for absent ones", () => {
  const peer = { namespaces: null, pods: { namespaceSelector: null, podSelector: {} } };
  const { value, reports } = run({
    ...HEAD,
    ingress: [{ action: "Deny", from: [peer], protocols: null }],
    egress: null,
  });
  assert.deepEqual(reports, []);
  const peers = [{ kind: "pods", namespaces: [], pods: [] }];
  assert.deepEqual([value.ingress, value.egress], [[{ name: "", action: "Deny", peers }], []]);
});

const BAD_PEERS: readonly (readonly [string, unknown, RegExp])[] = [
  ["an empty peer, which a newer API may have filled", {}, /to\[0\]: it has no field that is known/],
  ["a peer that is null", null, /no field that is known/],
  ["two peers in one", { namespaces: {}, pods: { podSelector: {} } }, /it has namespaces, pods, and may have one only/],
  ["an unknown peer", { services: {} }, /to\[0\]\.services: egress has no such peer/],
  ["domain names", { domainNames: ["example.com"] }, /domainNames: peers by domain name are not supported/],
  ["pods without a podSelector", { pods: { namespaceSelector: {} } }, /pods\.podSelector: it is no selector/],
  ["a namespaceSelector that is a word", { pods: { namespaceSelector: "x", podSelector: {} } }, /it is no selector/],
  ["namespaces that are a word", { namespaces: "x" }, /namespaces: it is no selector/],
  [
    "an unknown operator",
    { namespaces: { matchExpressions: [{ key: "a", operator: "Like", values: ["b"] }] } },
    /"Like".*cannot be understood/,
  ],
  ["nodes by a label that is a number", { nodes: { matchLabels: { zone: 1 } } }, /expected a string/],
  ["networks that are a word", { networks: "10.0.0.0/8" }, /networks: expected a list, found a string/],
  ["no networks", { networks: [] }, /networks: it names no CIDR/],
  ["a malformed CIDR", { networks: ["10.0.0.0/8", "10.0.0.0/33"] }, /networks\[1\]: "10\.0\.0\.0\/33" is no CIDR/],
  ["an address without a length", { networks: ["10.0.0.1"] }, /no CIDR/],
];
const BAD_PROTOCOLS: readonly (readonly [string, unknown, RegExp])[] = [
  ["an empty protocol", {}, /protocols\[0\]: it has no field that is known/],
  ["an unknown protocol", { icmp: {} }, /protocols\[0\]\.icmp: it is none of tcp, udp, sctp, destinationNamedPort/],
  ["a protocol of JavaScript's objects", { constructor: {} }, /constructor: it is none of/],
  ["two protocols in one", { tcp: {}, udp: {} }, /it has tcp, udp/],
  ["TCP without what of it", { tcp: {} }, /protocols\[0\]\.tcp: it has no field that is known/],
  ["TCP with an unknown field", { tcp: { sourcePort: 1 } }, /tcp\.sourcePort: tcp has no such field/],
  ["a port without a number", { udp: { destinationPort: {} } }, /no field that is known/],
  ["port 0", { tcp: { destinationPort: { number: 0 } } }, /number: 0 is no port/],
  ["port 65536", { tcp: { destinationPort: { number: 65_536 } } }, /no port/],
  ["a port that is text", { tcp: { destinationPort: { number: "80" } } }, /no port/],
  ["a number and a range", { tcp: { destinationPort: { number: 1, range: { start: 1, end: 2 } } } }, /number, range/],
  ["a range that ends where it starts", { tcp: { destinationPort: { range: { start: 5, end: 5 } } } }, /no port or/],
  ["a range backwards", { sctp: { destinationPort: { range: { start: 6, end: 5 } } } }, /no port or range/],
  ["a range without an end", { udp: { destinationPort: { range: { start: 6 } } } }, /no port or range/],
  ["a nameless named port", { destinationNamedPort: "" }, /"" is no name of a port/],
  ["a named port that is a number", { destinationNamedPort: 80 }, /80 is no name/],
];

/** Accept: the rule matches nothing. Deny and Pass: it denies everything. */
function isClosed(action: TierAction, { rule, reports }: ReturnType<typeof onlyRule>, report: RegExp): void {
  assert.deepEqual(rule, action === "Accept" ? MATCHES_NOTHING : DENIES_ALL);
  assert.match(reports.join("\n"), report);
  assert.match(
    reports.join("\n"),
    action === "Accept" ? /: the rule matches nothing$/m : /: the rule denies everything$/m,
  );
}

for (const action of ["Accept", "Deny", "Pass"] as const) {
  for (const [what, peer, report] of BAD_PEERS) {
    test(`parseClusterNetworkPolicy() closes a rule to ${action} with ${what}`, () => {
      isClosed(action, onlyRule("egress", { action, to: [ANYBODY, peer] }), reportAt(report, 1));
    });
  }
  for (const [what, protocol, report] of BAD_PROTOCOLS) {
    test(`parseClusterNetworkPolicy() closes a rule to ${action} with ${what}`, () => {
      const good = { tcp: { destinationPort: { number: 80 } } };
      const rule = { action, from: [ANYBODY], protocols: [good, protocol] };
      isClosed(action, onlyRule("ingress", rule), reportAt(report, 1));
    });
  }
  for (const [what, rule, report] of [
    ["without peers", {}, /spec\.egress\[0\]\.to: it names no peer/],
    ["with an empty list of peers", { to: [] }, /to: it names no peer/],
    ["with peers that are no list", { to: ANYBODY }, /to: expected a list, found an object/],
    ["with an empty list of protocols", { to: [ANYBODY], protocols: [] }, /protocols: it names no protocol/],
    ["with protocols that are no list", { to: [ANYBODY], protocols: "tcp" }, /protocols: expected a list/],
    [
      "with named ports of networks",
      { to: [ANYBODY, { networks: ["10.0.0.0/8"] }], protocols: [{ destinationNamedPort: "http" }] },
      /protocols: nodes and networks have no ports with names/,
    ],
    [
      "with named ports of nodes",
      { to: [{ nodes: {} }], protocols: [{ destinationNamedPort: "http" }] },
      /nodes and networks have no ports with names/,
    ],
  ] as const) {
    test(`parseClusterNetworkPolicy() closes a rule to ${action} ${what}`, () => {
      isClosed(action, onlyRule("egress", { action, ...rule }), report);
    });
  }
  for (const peer of [{ networks: ["10.0.0.0/8"] }, { nodes: {} }]) {
    test(`parseClusterNetworkPolicy() closes a rule to ${action} from ${Object.keys(peer)[0]}: they are dialled only`, () => {
      isClosed(action, onlyRule("ingress", { action, from: [peer] }), /ingress has no such peer/);
    });
  }
}

/** The bad entry stands behind a good one. */
function reportAt(report: RegExp, index: number): RegExp {
  return new RegExp(report.source.replace(/(to|protocols)\\\[0\\\]/, `$1\\[${index}\\]`));
}

test("parseClusterNetworkPolicy() denies what a rule with an unknown action matches", () => {
  for (const action of ["Log", "accept", undefined, 1]) {
    const { rule, reports } = onlyRule("ingress", { action, from: [ANYBODY], name: "n" });
    assert.deepEqual(rule, { name: "n", action: "Deny", peers: [{ kind: "pods", namespaces: [], pods: [] }] });
    assert.match(reports.join(), /^spec\.ingress\[0\]\.action: .* is none of Accept, Deny, Pass/);
  }
});

test("parseClusterNetworkPolicy() denies everything by rules that are none", () => {
  assert.deepEqual(run({ ...HEAD, ingress: ["x"] }).value.ingress, [DENIES_ALL]);
  assert.deepEqual(run({ ...HEAD, egress: {} }).value.egress, [DENIES_ALL]);
});

const BAD_HEADS: readonly (readonly [string, JsonObject, Partial<ClusterNetworkPolicy>, RegExp])[] = [
  ["an unknown tier", { tier: "NetworkPolicy" }, { tier: "Admin" }, /spec\.tier: "NetworkPolicy" is neither/],
  ["no tier", { tier: undefined }, { tier: "Admin" }, /spec\.tier: what is missing/],
  ["priority -1", { priority: -1 }, { priority: -1 }, /spec\.priority: -1 is no whole number from 0 to 1000/],
  ["priority 1001", { priority: 1001 }, { priority: -1 }, /1001 is no whole number/],
  ["half a priority", { priority: 0.5 }, { priority: -1 }, /0\.5 is no whole number/],
  ["a priority that is text", { priority: "10" }, { priority: -1 }, /"10" is no whole number/],
  ["no priority", { priority: null }, { priority: -1 }, /null is no whole number/],
  ["no subject", { subject: {} }, {}, /spec\.subject: it has no field that is known/],
  ["two subjects", { subject: { namespaces: {}, pods: { podSelector: {} } } }, {}, /namespaces, pods/],
  ["an unknown subject", { subject: { nodes: {} } }, {}, /spec\.subject\.nodes: it is no subject/],
  [
    "a subject with an unknown operator",
    { subject: { namespaces: { matchExpressions: [{ key: "a", operator: "Gt", values: ["1"] }] } } },
    {},
    /"Gt"/,
  ],
];
for (const [what, fields, expected, report] of BAD_HEADS) {
  test(`parseClusterNetworkPolicy() accepts nothing by a policy with ${what}, and denies in front of its tier`, () => {
    const rules = (["Accept", "Deny", "Pass"] as const).map((action) => ({ name: action, action, from: [ANYBODY] }));
    const head = { tier: "Baseline", priority: 10, subject: { namespaces: { matchLabels: { a: "b" } } } };
    const { value, reports } = run({ ...head, ...fields, ingress: rules });
    const peers = [{ kind: "pods", namespaces: [], pods: [] }];
    assert.deepEqual(value.ingress, [
      { ...MATCHES_NOTHING, name: "Accept" },
      { name: "Deny", action: "Deny", peers },
      { name: "Pass", action: "Deny", peers },
    ]);
    const known = {
      tier: "Baseline",
      priority: 10,
      subject: { namespaces: [{ key: "a", operator: "In", values: ["b"] }], pods: [] },
    };
    const everybody = { namespaces: [], pods: [] };
    const wanted = { ...known, ...("subject" in fields ? { subject: everybody } : {}), ...expected };
    const { tier, priority, subject } = value;
    assert.deepEqual({ tier, priority, subject }, wanted);
    assert.match(reports.join("\n"), report);
    assert.equal(reports.length, 1);
  });
}

test("parseClusterNetworkPolicy() knows its own condition among others", () => {
  const when = { lastTransitionTime: "2026-01-02T03:04:05Z", observedGeneration: 4 };
  const condition = (type: string, status: string) => ({ type, status, message: `${type} it is`, ...when });
  const conditions = [condition("Other", "True"), condition("breakwater.dev/Understood", "False")];
  assert.deepEqual(run(HEAD, { status: { conditions } }).value.understood, {
    status: "False",
    message: "breakwater.dev/Understood it is",
    lastTransitionTime: "2026-01-02T03:04:05Z",
    observedGeneration: 4,
  });
  for (const status of [undefined, {}, { conditions: "x" }, { conditions: [null, {}] }]) {
    assert.equal(run(HEAD, { status }).value.understood, undefined);
  }
});
