/** No planned rule drops the messages that carry a path's MTU: what docs/packets/too-big.md promises, for every scenario. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { NftBaseChain, NftRule, NftStatement, NftTable } from "../model/nft.ts";
import { planNode } from "./plan.ts";
import { dropsOf, ICMP_ERRORS } from "./testing/icmp-errors.ts";
import { scenarios } from "./testing/scenarios.ts";

for (const [name, given] of Object.entries(scenarios)) {
  test(`planNode() drops no ICMP "too big": ${name}`, () => {
    const result = planNode(given);
    if ("notReady" in result) return;
    for (const message of ICMP_ERRORS) assert.deepEqual(dropsOf(result.state.nft, message), [], message.name);
  });
}

const FORWARD: NftBaseChain = { type: "filter", hook: "forward", priority: 0, policy: "accept" };
const drop: NftStatement = { verdict: "drop" };
const accept: NftStatement = { verdict: "accept" };
const rule = (...statements: NftStatement[]): NftRule => ({ statements });
const is = (match: Extract<NftStatement, { match: unknown }>["match"], value: string | number): NftStatement => ({
  match,
  op: "==",
  value,
});

function table(rules: NftRule[], { base = FORWARD, called = [] as NftRule[] } = {}): NftTable {
  const chains = [
    { name: "forward", base, rules },
    { name: "called", rules: called },
  ];
  return { family: "inet", name: "breakwater", sets: [], chains };
}

const both = (statement: NftStatement) => [
  rule(is("icmp type", 3), is("icmp code", 4), statement),
  rule(is("icmpv6 type", 2), statement),
];
const denied: NftBaseChain = { ...FORWARD, policy: "drop" };

/** What drops at least one of the messages, whatever else it is for. */
const guilty: [string, NftTable][] = [
  ["everything", table([rule(drop)])],
  ["a protocol", table([rule(is("meta l4proto", 58), drop)])],
  ["a type", table([rule(is("icmp type", 3), drop)])],
  ["a type of the other family, by its number", table([rule(is("icmp type", 2), drop)])],
  ["an address, perhaps the pod's", table([rule(is("ip daddr", "10.244.1.5"), drop)])],
  ["a set", table([rule({ lookup: "ip6 saddr", set: "denied" }, drop)])],
  ["what is not TCP", table([rule({ match: "meta l4proto", op: "!=", value: 6 }, drop)])],
  ["what conntrack does not know", table([rule(is("ct state", "invalid"), drop)])],
  ["what is not of a known flow", table([rule(is("ct state", "established,related"), accept), rule(drop)])],
  ["a port, read from bytes of ICMP", table([rule(is("th dport", 80), drop)])],
  ["at random", table([rule({ random: { modulus: 100, below: 1 } }, drop)])],
  ["a policy", table([], { base: denied })],
  [
    "a policy, behind an accept that may not match",
    table([rule(is("meta iifname", "eth0"), accept)], { base: denied }),
  ],
  ["in a chain that is called", table([rule({ verdict: { jump: "called" } })], { called: [rule(drop)] })],
  ["behind a chain that returns", table([rule({ verdict: { jump: "called" } }), rule(drop)])],
  ["a policy behind a goto", table([rule({ verdict: { goto: "called" } }), rule(accept)], { base: denied })],
];

for (const [name, planned] of guilty) {
  test(`dropsOf() finds a drop of ${name}`, () => {
    assert.ok(ICMP_ERRORS.some((message) => dropsOf(planned, message).length > 0));
  });
}

const innocent: [string, NftTable][] = [
  ["of TCP", table([rule(is("meta l4proto", 6), drop)])],
  ["of echo requests", table([rule(is("icmp type", 8), drop), rule(is("icmpv6 type", 128), drop)])],
  ["behind their accept", table([...both(accept), rule(drop)], { base: denied })],
  [
    "in a chain that is called behind it",
    table([...both(accept), rule({ verdict: { jump: "called" } })], { called: [rule(drop)] }),
  ],
  [
    "in a chain that is not called",
    table([rule(is("meta l4proto", 17), { verdict: { jump: "called" } })], { called: [rule(drop)] }),
  ],
  [
    "behind an accept that is called",
    table([rule({ verdict: { jump: "called" } }), rule(drop)], { called: both(accept) }),
  ],
];

for (const [name, planned] of innocent) {
  test(`dropsOf() lets a drop pass that stands ${name}`, () => {
    for (const message of ICMP_ERRORS) assert.deepEqual(dropsOf(planned, message), [], message.name);
  });
}

test("dropsOf() refuses a statement that it does not know", () => {
  const notrack = { notrack: true } as unknown as NftStatement;
  for (const message of ICMP_ERRORS) {
    assert.throws(() => dropsOf(table([rule(notrack)]), message), /Teach this walk what \{"notrack":true\} does/);
  }
});
