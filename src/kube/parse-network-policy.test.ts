/** What of a NetworkPolicy is understood, and that everything else is reported and admits nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PolicyRule } from "../model/policy.ts";
import type { JsonObject } from "./json.ts";
import { parseNetworkPolicy } from "./parse-network-policy.ts";
import { parseRun } from "./testing/parse-run.ts";

const run = (spec: unknown) =>
  parseRun(parseNetworkPolicy, { metadata: { namespace: "shop", name: "p", uid: "u" }, spec } as JsonObject);
const ingress = (rule: unknown) => run({ podSelector: {}, ingress: [rule] });
/** The only rule of the only section. */
function onlyRule(rule: unknown): { rule: PolicyRule | undefined; reports: string[] } {
  const { value, reports } = ingress(rule);
  assert.equal(value.ingress?.length, 1);
  return { rule: value.ingress?.[0], reports };
}

const admitsNothing = ({ peers, ports }: PolicyRule) => peers?.length === 0 || ports?.length === 0;

test("parseNetworkPolicy() reads every field, canonical and in order", () => {
  const { value, reports } = run({
    podSelector: { matchLabels: { app: "web" }, matchExpressions: [{ key: "old", operator: "DoesNotExist" }] },
    policyTypes: ["Egress", "Ingress"],
    ingress: [
      {
        from: [
          { podSelector: { matchLabels: { app: "a" } } },
          {
            namespaceSelector: {},
            podSelector: { matchExpressions: [{ key: "t", operator: "In", values: ["y", "x"] }] },
          },
          { namespaceSelector: { matchLabels: { team: "one" } } },
        ],
        ports: [{ port: 80 }, { protocol: "UDP", port: "dns" }, { protocol: "SCTP" }, { port: 8000, endPort: 9000 }],
      },
    ],
    egress: [{ to: [{ ipBlock: { cidr: "10.1.2.3/8", except: ["10.2.0.0/16", "10.1.0.0/16"] } }] }],
  });
  assert.deepEqual(reports, []);
  assert.deepEqual(value, {
    namespace: "shop",
    name: "p",
    uid: "u",
    pods: [
      { key: "old", operator: "DoesNotExist", values: [] },
      { key: "app", operator: "In", values: ["web"] },
    ].sort((a, b) => (a.operator === "DoesNotExist" ? -1 : b.operator === "DoesNotExist" ? 1 : 0)),
    ingress: [
      {
        peers: [
          { kind: "pods", pods: [{ key: "app", operator: "In", values: ["a"] }] },
          { kind: "pods", namespaces: [], pods: [{ key: "t", operator: "In", values: ["x", "y"] }] },
          { kind: "pods", namespaces: [{ key: "team", operator: "In", values: ["one"] }], pods: [] },
        ],
        ports: [
          { protocol: "TCP", port: 80 },
          { protocol: "UDP", port: "dns" },
          { protocol: "SCTP" },
          { protocol: "TCP", port: 8000, endPort: 9000 },
        ],
      },
    ],
    egress: [{ peers: [{ kind: "block", prefix: "10.0.0.0/8", except: ["10.1.0.0/16", "10.2.0.0/16"] }] }],
  });
});

test("parseNetworkPolicy() takes a rule without peers and ports, and empty lists of them, for anybody", () => {
  for (const rule of [{}, { from: [], ports: [] }, { from: null, ports: null }]) {
    assert.deepEqual(onlyRule(rule), { rule: {}, reports: [] });
  }
});

const DIRECTIONS: readonly (readonly [string, JsonObject, readonly string[]])[] = [
  ["nothing said", {}, ["ingress"]],
  ["an egress section", { egress: [{}] }, ["egress", "ingress"]],
  ["an egress section without rules", { egress: [] }, ["ingress"]],
  ["an egress section that is null", { egress: null }, ["ingress"]],
  ["an empty list of types", { policyTypes: [], egress: [{}] }, ["egress", "ingress"]],
  ["Egress alone", { policyTypes: ["Egress"], ingress: [{}] }, ["egress"]],
  ["Ingress alone", { policyTypes: ["Ingress"], egress: [{}] }, ["ingress"]],
];
for (const [what, spec, directions] of DIRECTIONS) {
  test(`parseNetworkPolicy() is about ${directions.join(" and ")} with ${what}`, () => {
    const { value, reports } = run({ podSelector: {}, ...spec });
    const said = (["egress", "ingress"] as const).filter((each) => value[each] !== undefined);
    assert.deepEqual([said, reports], [directions, []]);
  });
}

/** A peer that is not understood admits nobody, whatever it may have meant. */
const BAD_PEERS: readonly (readonly [string, unknown, RegExp])[] = [
  ["an empty peer", {}, /^spec\.ingress\[0\]\.from\[0\]: it names no peer/],
  ["a peer that is null", null, /it names no peer/],
  ["a word", "anybody", /it names no peer/],
  ["an ipBlock beside a podSelector", { ipBlock: { cidr: "10.0.0.0/8" }, podSelector: {} }, /beside a selector/],
  ["an ipBlock beside a namespaceSelector", { ipBlock: { cidr: "::/0" }, namespaceSelector: {} }, /beside a selector/],
  ["an ipBlock without a CIDR", { ipBlock: {} }, /ipBlock\.cidr: .*no CIDR/],
  ["an ipBlock that is an address", { ipBlock: { cidr: "10.0.0.1" } }, /no CIDR/],
  ["an exception that is no CIDR", { ipBlock: { cidr: "10.0.0.0/8", except: ["here"] } }, /except\[0\]: .*no CIDR/],
  [
    "exceptions that are no list",
    { ipBlock: { cidr: "10.0.0.0/8", except: "10.1.0.0/16" } },
    /except: expected a list/,
  ],
  ["an exception around its block", { ipBlock: { cidr: "10.1.0.0/16", except: ["10.0.0.0/8"] } }, /holds all of/],
  [
    "an unknown operator",
    { podSelector: { matchExpressions: [{ key: "a", operator: "Like", values: ["b"] }] } },
    /Like/,
  ],
  ["an operator in lower case", { podSelector: { matchExpressions: [{ key: "a", operator: "exists" }] } }, /exists/],
  ["In without values", { podSelector: { matchExpressions: [{ key: "a", operator: "In" }] } }, /cannot be understood/],
  [
    "NotIn with no values",
    { podSelector: { matchExpressions: [{ key: "a", operator: "NotIn", values: [] }] } },
    /NotIn/,
  ],
  [
    "Exists with values",
    { podSelector: { matchExpressions: [{ key: "a", operator: "Exists", values: ["b"] }] } },
    /Exists/,
  ],
  ["an expression without a key", { podSelector: { matchExpressions: [{ operator: "Exists" }] } }, /Exists/],
  [
    "values that are numbers",
    { podSelector: { matchExpressions: [{ key: "a", operator: "In", values: [1] }] } },
    /\[1\]/,
  ],
  [
    "values that are no list",
    { podSelector: { matchExpressions: [{ key: "a", operator: "Exists", values: "b" }] } },
    /list/,
  ],
  ["expressions that are no list", { podSelector: { matchExpressions: { key: "a" } } }, /expected a list/],
  ["labels that are no map", { podSelector: { matchLabels: ["app"] } }, /matchLabels: expected an object/],
  ["a label that is a number", { podSelector: { matchLabels: { app: 1 } } }, /expected a string/],
  ["a selector that is a word", { podSelector: "app=web" }, /it is no selector/],
  ["a namespaceSelector that is a word", { namespaceSelector: "x", podSelector: {} }, /namespaceSelector: it is no/],
];
for (const [what, peer, report] of BAD_PEERS) {
  test(`parseNetworkPolicy() admits nobody by ${what}, and says so`, () => {
    const { rule, reports } = onlyRule({ from: [peer] });
    assert.deepEqual(rule, { peers: [] });
    assert.match(reports.join("\n"), report);
    const beside = onlyRule({ from: [peer, { podSelector: {} }] });
    assert.deepEqual(beside.rule?.peers, [{ kind: "pods", pods: [] }], "what stands beside it is understood");
  });
}

const BAD_PORTS: readonly (readonly [string, unknown, RegExp])[] = [
  ["an unknown protocol", { protocol: "ICMP", port: 1 }, /ports\[0\]\.protocol: "ICMP" is none of/],
  ["a protocol in lower case", { protocol: "tcp" }, /"tcp" is none of/],
  ["port 0", { port: 0 }, /ports\[0\]\.port: 0 is no port/],
  ["a port beyond the last", { port: 65_536 }, /no port/],
  ["half a port", { port: 80.5 }, /no port/],
  ["an empty name", { port: "" }, /no port/],
  ["endPort below port", { port: 90, endPort: 80 }, /ports\[0\]\.endPort: 80 is no port from 90 on/],
  ["endPort beyond the last", { port: 90, endPort: 65_536 }, /endPort/],
  ["endPort without port", { endPort: 80 }, /port: .*no port/],
  ["endPort behind a name", { port: "http", endPort: 80 }, /port: "http" is no port/],
  ["a port that is null", null, /ports\[0\]: it is no port/],
  ["a bare number", 80, /ports\[0\]: it is no port/],
];
for (const [what, port, report] of BAD_PORTS) {
  test(`parseNetworkPolicy() admits nothing by ${what}, and says so`, () => {
    const { rule, reports } = onlyRule({ ports: [port] });
    assert.deepEqual(rule, { ports: [] });
    assert.match(reports.join("\n"), report);
  });
}

const BAD_RULES: readonly (readonly [string, unknown])[] = [
  ["is a word", "anything"],
  ["is null", null],
  ["has peers that are no list", { from: { podSelector: {} } }],
  ["has ports that are no list", { ports: { port: 80 } }],
];
for (const [what, rule] of BAD_RULES) {
  test(`parseNetworkPolicy() admits nothing by a rule that ${what}, and says so`, () => {
    const parsed = onlyRule(rule);
    assert.ok(parsed.rule !== undefined && admitsNothing(parsed.rule), JSON.stringify(parsed.rule));
    assert.equal(parsed.reports.length, 1);
  });
}

test("parseNetworkPolicy() closes a direction whose rules are no list, and says so", () => {
  const { value, reports } = run({ podSelector: {}, ingress: {} });
  assert.deepEqual(value.ingress, []);
  assert.match(reports.join("\n"), /spec\.ingress: expected a list/);
});

test("parseNetworkPolicy() closes egress, too, where nothing is said of types and the egress section is no list", () => {
  const { value, reports } = run({ podSelector: {}, ingress: [{}], egress: {} });
  assert.deepEqual([value.ingress, value.egress], [[{}], []]);
  assert.equal(reports.length, 1);
});

for (const policyTypes of [["Sideways"], ["Ingress", "egress"], "Egress", [null]]) {
  test(`parseNetworkPolicy() closes both directions with the types ${JSON.stringify(policyTypes)}, and says so`, () => {
    const { value, reports } = run({ podSelector: {}, policyTypes });
    assert.deepEqual([value.ingress, value.egress], [[], []]);
    assert.equal(reports.length, 1);
  });
}

for (const podSelector of ["app=web", { matchLabels: { app: null } }, { matchExpressions: [{}] }]) {
  test(`parseNetworkPolicy() closes the whole namespace where whom it selects is ${JSON.stringify(podSelector)}`, () => {
    const { value, reports } = run({ podSelector, policyTypes: ["Ingress"], ingress: [{}] });
    assert.deepEqual([value.pods, value.ingress, value.egress], [[], [], []]);
    assert.equal(reports.length, 1);
  });
}

test("parseNetworkPolicy() leaves out an exception outside of its block, and says so", () => {
  const { rule, reports } = onlyRule({
    from: [{ ipBlock: { cidr: "10.0.0.0/8", except: ["11.0.0.0/8", "fd00::/8"] } }],
  });
  assert.deepEqual(rule, { peers: [{ kind: "block", prefix: "10.0.0.0/8", except: [] }] });
  assert.deepEqual(
    reports.map((line) => line.split(": ")[1]),
    ["11.0.0.0/8 does not lie inside 10.0.0.0/8", "fd00::/8 does not lie inside 10.0.0.0/8"],
  );
});
