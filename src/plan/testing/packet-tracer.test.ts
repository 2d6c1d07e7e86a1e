import assert from "node:assert/strict";
import { test } from "node:test";
import type { NftBaseChain, NftChain, NftRule, NftSet, NftStatement, NftTable } from "../../model/nft.ts";
import { formatOutcome, PacketTracer, type TracedNode } from "./packet-tracer.ts";
import type { Packet } from "./traced-packet.ts";

const POD = "10.244.1.5";
const NODE = "192.168.1.11";
const VIP = "10.96.0.10";

const accept: NftStatement = { verdict: "accept" };
const drop: NftStatement = { verdict: "drop" };
const leave: NftStatement = { verdict: "return" };
const jump = (name: string): NftStatement => ({ verdict: { jump: name } });
const goTo = (name: string): NftStatement => ({ verdict: { goto: name } });
const rule = (...statements: NftStatement[]): NftRule => ({ statements });
const is = (match: Extract<NftStatement, { match: unknown }>["match"], value: string | number): NftStatement => ({
  match,
  op: "==",
  value,
});

function base(hook: NftBaseChain["hook"], fields: Partial<NftBaseChain> = {}): NftBaseChain {
  return { type: "filter", hook, priority: 0, policy: "accept", ...fields };
}

function chain(name: string, rules: readonly NftRule[], of?: NftBaseChain): NftChain {
  return of === undefined ? { name, rules } : { name, base: of, rules };
}

function table(chains: readonly NftChain[], sets: readonly NftSet[] = [], family: NftTable["family"] = "ip"): NftTable {
  return { family, name: "breakwater", sets, chains };
}

function tracer(...tables: NftTable[]): PacketTracer {
  const node: TracedNode = {
    tables,
    addresses: [NODE, "fd00:1::11"],
    route: (ip) => (ip.startsWith("10.244.1.") ? "bwh1" : ip.startsWith("203.") ? undefined : "eth0"),
    sourceAddress: (_, family) => (family === 4 ? NODE : "fd00:1::11"),
  };
  return new PacketTracer(node);
}

const forwarded: Packet = { source: "10.244.1.9", destination: POD, destinationPort: 80, from: "bwh2" };
/** What a forward chain of these rules does with one packet. */
const verdict = (rules: readonly NftRule[], others: readonly NftChain[] = [], fields: Partial<NftBaseChain> = {}) =>
  tracer(table([chain("forward", rules, base("forward", fields)), ...others])).texts(forwarded);
const PASSES = ["10.244.1.5:80 from 10.244.1.9"];

const walks: [string, string[], string[]][] = [
  ["no rule: the policy", verdict([]), PASSES],
  ["policy drop", verdict([], [], { policy: "drop" }), ["dropped"]],
  ["accept ends a base chain of policy drop", verdict([rule(accept)], [], { policy: "drop" }), PASSES],
  ["a statement that does not match ends its rule", verdict([rule(is("th dport", 81), drop)]), PASSES],
  ["all statements have to match", verdict([rule(is("th dport", 80), is("meta l4proto", 6), drop)]), ["dropped"]],
  [
    "jump comes back",
    verdict([rule(jump("called")), rule(drop)], [chain("called", [rule(is("th dport", 81), accept)])]),
    ["dropped"],
  ],
  ["return comes back", verdict([rule(jump("called")), rule(drop)], [chain("called", [rule(leave)])]), ["dropped"]],
  ["goto does not come back", verdict([rule(goTo("called")), rule(drop)], [chain("called", [])]), PASSES],
  [
    "goto in a chain that was jumped to comes back to the jump",
    verdict(
      [rule(jump("called")), rule(drop)],
      [chain("called", [rule(goTo("end")), rule(accept)]), chain("end", [rule(leave)])],
    ),
    ["dropped"],
  ],
  ["return of the base chain is its policy", verdict([rule(leave)], [], { policy: "drop" }), ["dropped"]],
  [
    "a drop in a chain that was jumped to ends all",
    verdict([rule(jump("a"))], [chain("a", [rule(drop)])]),
    ["dropped"],
  ],
  ["reject says how", verdict([rule({ reject: "tcp reset" })]), ["rejected (tcp reset)"]],
  [
    "a random rule has both outcomes",
    verdict([rule({ random: { modulus: 100, below: 30 } }, drop)]),
    [...PASSES, "dropped"],
  ],
  [
    "a limit may be reached, or not yet",
    verdict([rule({ limit: { perSecond: 5, burst: 5 } }, drop)]),
    [...PASSES, "dropped"],
  ],
  ["a log decides nothing", verdict([rule({ log: { prefix: "x", group: 1, snaplen: 96 } }), rule(drop)]), ["dropped"]],
  ["a random rule that always matches", verdict([rule({ random: { modulus: 10, below: 10 } }, drop)]), ["dropped"]],
  ["a prefix", verdict([rule(is("ip saddr", "10.244.1.0/24"), drop)]), ["dropped"]],
  ["another prefix", verdict([rule(is("ip saddr", "10.244.2.0/24"), drop)]), PASSES],
  ["not equal", verdict([rule({ match: "ip saddr", op: "!=", value: "10.244.1.9" }, drop)]), PASSES],
  ["a device by its beginning", verdict([rule(is("meta iifname", "bwh*"), drop)]), ["dropped"]],
  ["the device out", verdict([rule(is("meta oifname", "bwh1"), drop)]), ["dropped"]],
  ["new is one of the states", verdict([rule(is("ct state", "invalid,new"), drop)]), ["dropped"]],
  ["!= of states: none of them", verdict([rule({ match: "ct state", op: "!=", value: "new" }, drop)]), PASSES],
  ["not translated", verdict([rule(is("ct status", "dnat"), drop)]), PASSES],
];

for (const [name, found, expected] of walks)
  test(`PacketTracer walks rules: ${name}`, () => assert.deepEqual(found, expected));

const sets: NftSet[] = [
  { name: "plain", key: ["ipv4_addr", "inet_proto", "inet_service"], interval: false, elements: [`${POD} . tcp . 80`] },
  { name: "prefixes", key: "ipv4_addr", interval: true, elements: ["10.244.1.0/29", "10.9.0.0/16"] },
  {
    name: "ranges",
    key: ["ipv4_addr", "inet_service", "ipv4_addr"],
    interval: true,
    elements: [`${POD} . 80 . 10.244.1.8/29`, `${POD} . 81 . 0.0.0.0/0`],
  },
  {
    name: "verdicts",
    key: "ipv4_addr",
    data: "verdict",
    interval: false,
    elements: ['10.244.1.5 comment "default/web : x" : jump called', "10.244.1.6 : drop"],
  },
];

function looked(...statements: NftStatement[]): string[] {
  const chains = [
    chain("forward", [rule(...statements, drop)], base("forward")),
    chain("called", [rule({ reject: "icmp" })]),
  ];
  return tracer(table(chains, sets)).texts(forwarded);
}

test("PacketTracer looks keys up: single, concatenated, in intervals, negated", () => {
  const frontend = ["ip daddr", "meta l4proto", "th dport"] as const;
  assert.deepEqual(looked({ lookup: frontend, set: "plain" }), ["dropped"]);
  assert.deepEqual(looked({ lookup: frontend, set: "plain", negate: true }), PASSES);
  assert.deepEqual(looked({ lookup: "ip daddr", set: "prefixes" }), ["dropped"]);
  assert.deepEqual(looked({ lookup: "ip saddr", set: "prefixes" }), PASSES);
  assert.deepEqual(looked({ lookup: ["ip daddr", "th dport", "ip saddr"], set: "ranges" }), ["dropped"]);
  assert.deepEqual(looked({ lookup: ["ip saddr", "th dport", "ip daddr"], set: "ranges" }), PASSES);
  assert.deepEqual(looked({ vmap: "ip daddr", map: "verdicts" }), ["rejected (icmp)"]);
  assert.deepEqual(looked({ vmap: "ip saddr", map: "verdicts" }), PASSES);
});

const dnat: NftStatement = { dnat: ["ip daddr", "th dport"], family: 4, map: "to", index: 2 };
const map: NftSet = {
  name: "to",
  key: ["ipv4_addr", "inet_service", "index"],
  data: ["ipv4_addr", "inet_service"],
  interval: false,
  elements: [`${VIP} . 80 . 0 : ${POD} . 8080`, `${VIP} . 80 . 1 : 10.244.2.6 . 8081`],
};
const hide = [rule(is("ct status", "dnat"), is("ct original ip daddr", VIP), { masquerade: true })];
const nat = (hook: NftBaseChain["hook"], priority = -100) => base(hook, { type: "nat", priority });
const translating = table(
  [
    chain("prerouting", [rule(dnat)], nat("prerouting")),
    chain("output", [rule(dnat)], nat("output")),
    chain("postrouting", hide, nat("postrouting", 99)),
  ],
  [map],
);
const toVip: Packet = { source: "10.244.1.9", destination: VIP, destinationPort: 80, from: "bwh2" };

test("PacketTracer translates to each endpoint that the map holds, and hides the source behind it", () => {
  const expected = ["10.244.1.5:8080 from 192.168.1.11", "10.244.2.6:8081 from 192.168.1.11"];
  assert.deepEqual(tracer(translating).texts(toVip), expected);
  assert.deepEqual(tracer(translating).texts({ source: NODE, destination: VIP, destinationPort: 80 }), expected);
  assert.equal(formatOutcome(tracer(translating).send(toVip, () => 1)), expected[1]);
});

test("PacketTracer goes on behind a map that lacks the key", () => {
  const lacking = { ...translating, sets: [{ ...map, elements: map.elements.slice(1) }] };
  assert.deepEqual(tracer(lacking).texts(toVip), [
    "10.244.2.6:8081 from 192.168.1.11",
    "10.96.0.10:80 from 10.244.1.9",
  ]);
});

test("PacketTracer translates what follows and the answers as it did the first packet", () => {
  const way = tracer(translating);
  const first = way.send(toVip, () => 1);
  assert.ok("flow" in first);
  const next = way.send({ ...toVip, flow: first.flow }, () => 0);
  assert.equal(formatOutcome(next), "10.244.2.6:8081 from 192.168.1.11");
  const answer = { ...first.flow.reply, from: "eth0", flow: first.flow };
  assert.equal(formatOutcome(way.send(answer)), "10.244.1.9:40000 from 10.96.0.10");
});

test("PacketTracer runs chains of type nat for what opens a flow alone", () => {
  for (const state of ["established", "related", "invalid", "untracked"] as const) {
    assert.deepEqual(tracer(translating).texts({ ...toVip, state }), ["10.96.0.10:80 from 10.244.1.9"], state);
  }
});

test("PacketTracer stops at the first chain of type nat that translates, by priority", () => {
  const other = { ...translating, name: "other", sets: [{ ...map, elements: [`${VIP} . 80 . 0 : 10.9.9.9 . 9`] }] };
  const later = { ...other, chains: [chain("prerouting", [rule({ ...dnat, index: 1 })], nat("prerouting", -90))] };
  assert.deepEqual(tracer(later, translating).texts(toVip), tracer(translating).texts(toVip));
  const lacking = { ...translating, sets: [{ ...map, elements: [] }] };
  assert.deepEqual(tracer(later, lacking).texts(toVip), ["10.9.9.9:9 from 192.168.1.11"]);
});

test("PacketTracer runs chains of type nat where the kernel does, whatever their priority", () => {
  const see = (priority: number) =>
    chain(`at ${priority}`, [rule(is("ip daddr", POD), { reject: "icmp" })], base("prerouting", { priority }));
  const late = { ...translating, chains: [chain("prerouting", [rule(dnat)], nat("prerouting", 50))] };
  const one = {
    ...late,
    sets: [{ ...map, elements: map.elements.map((e) => e.replace("10.244.2.6 . 8081", `${POD} . 1`)) }],
  };
  assert.deepEqual(tracer(one, table([see(0)])).texts(toVip), ["rejected (icmp)"]);
  assert.deepEqual(tracer(one, table([see(-101)])).texts(toVip), [
    "10.244.1.5:1 from 10.244.1.9",
    "10.244.1.5:8080 from 10.244.1.9",
  ]);
});

test("PacketTracer brings this node's packets to itself by lo, translated once", () => {
  const own = { ...map, elements: [`${VIP} . 80 . 0 : ${NODE} . 6443`, `${VIP} . 80 . 1 : ${NODE} . 6443`] };
  const input = chain(
    "input",
    [rule(is("th dport", 6443), is("meta iifname", "lo"), { reject: "tcp reset" })],
    base("input"),
  );
  const local = { ...translating, sets: [own] };
  const packet = { source: NODE, destination: VIP, destinationPort: 80 };
  assert.deepEqual(tracer(local).texts(packet), ["192.168.1.11:6443 from 192.168.1.11"]);
  assert.deepEqual(tracer(local, table([input], [], "inet")).texts(packet), ["rejected (tcp reset)"]);
});

test("PacketTracer takes tables of its family, and inet", () => {
  const drops = (family: NftTable["family"]) => table([chain("forward", [rule(drop)], base("forward"))], [], family);
  assert.deepEqual(tracer(drops("ip6")).texts(forwarded), PASSES);
  assert.deepEqual(tracer(drops("inet")).texts(forwarded), ["dropped"]);
  const six: Packet = { source: "fd00::1", destination: "fd00:2::2", destinationPort: 80, from: "bwh2" };
  assert.deepEqual(tracer(drops("ip")).texts(six), ["[fd00:2::2]:80 from fd00::1"]);
  assert.deepEqual(tracer(drops("ip6")).texts(six), ["dropped"]);
});

test("PacketTracer knows what is local, and what leads nowhere", () => {
  const to = (destination: string, from?: string) =>
    tracer().send({ source: "10.244.1.9", destination, destinationPort: 80, ...(from && { from }) }).verdict;
  assert.equal(to(NODE, "eth0"), "local");
  assert.equal(to(NODE), "local");
  assert.equal(to("127.0.0.1"), "local");
  assert.equal(to("127.0.0.1", "eth0"), "no route");
  assert.equal(to(POD, "eth0"), "sent");
  assert.equal(to("203.0.113.1", "eth0"), "no route");
});

const affinity: NftSet = {
  name: "affinity",
  key: ["ipv4_addr", "ipv4_addr"],
  data: ["ipv4_addr", "inet_service"],
  interval: false,
  dynamic: { size: 2 },
  elements: [],
};
const sticky = table(
  [
    chain(
      "prerouting",
      [rule({ dnat: ["ip saddr", "ip daddr"], family: 4, map: "affinity" }), rule(dnat)],
      nat("prerouting"),
    ),
    chain(
      "postrouting",
      [
        rule({
          update: ["ip saddr", "ct original ip daddr"],
          map: "affinity",
          data: ["ip daddr", "th dport"],
          timeoutSeconds: 10,
        }),
      ],
      nat("postrouting", 99),
    ),
  ],
  [map, affinity],
);

test("PacketTracer remembers what packets put into a dynamic map until it ends", () => {
  const way = tracer(sticky);
  const from = (source: string, drawn: number) =>
    formatOutcome(way.send({ ...toVip, source }, () => drawn)).split(" ")[0];
  assert.equal(from("10.244.1.9", 1), "10.244.2.6:8081");
  way.dynamic.now = 9;
  assert.equal(from("10.244.1.9", 0), "10.244.2.6:8081");
  assert.equal(from("10.244.1.10", 0), "10.244.1.5:8080");
  way.dynamic.now = 18;
  assert.deepEqual(way.dynamic.list(sticky, affinity), [
    "10.244.1.10 . 10.96.0.10 : 10.244.1.5 . 8080",
    "10.244.1.9 . 10.96.0.10 : 10.244.2.6 . 8081",
  ]);
  way.dynamic.now = 19;
  assert.equal(from("10.244.1.9", 0), "10.244.1.5:8080");
  assert.equal(way.dynamic.delete(sticky, affinity, "10.244.1.9 . 10.96.0.10 : 10.244.1.5 . 8080"), true);
  assert.deepEqual(way.texts(toVip).length, 2, "outcomes() leaves nothing behind");
  assert.deepEqual(way.dynamic.list(sticky, affinity), []);
});

test("PacketTracer knows keys that end with a slot: what is remembered in one is not in another, and a full set ends a rule", () => {
  const clients: NftSet = {
    name: "clients",
    key: ["ipv4_addr", "index"],
    interval: false,
    dynamic: { size: 2 },
    elements: [],
  };
  const update = (slot: number): NftStatement => ({ update: ["ip saddr"], slot, set: "clients", timeoutSeconds: 10 });
  const known = (slot: number): NftStatement => ({ lookup: ["ip saddr"], slot, set: "clients" });
  const to = (slot: number): NftStatement => ({ dnat: ["ip daddr", "th dport"], family: 4, map: "endpoints", slot });
  const endpoints: NftSet = {
    name: "endpoints",
    key: ["ipv4_addr", "inet_service", "index"],
    data: ["ipv4_addr", "inet_service"],
    interval: false,
    elements: ["10.96.0.10 . 80 . 0 : 10.244.1.5 . 8080", "10.96.0.10 . 80 . 1 : 10.244.2.6 . 8081"],
  };
  const rules = [rule(known(0), to(0)), rule(known(1), to(1)), rule(update(1), to(1)), rule(to(0))];
  const way = tracer(table([chain("prerouting", rules, nat("prerouting"))], [clients, endpoints]));
  const from = (source: string) => formatOutcome(way.send({ ...toVip, source })).split(" ")[0];
  assert.equal(from("10.244.1.9"), "10.244.2.6:8081");
  assert.deepEqual(way.dynamic.list(sticky, clients), ["10.244.1.9 . 1"]);
  assert.equal(from("10.244.1.9"), "10.244.2.6:8081");
  assert.equal(from("10.244.1.10"), "10.244.2.6:8081");
  assert.equal(from("10.244.1.11"), "10.244.1.5:8080", "no room");
  assert.equal(way.dynamic.delete(sticky, clients, "10.244.1.9 . 1"), true);
  assert.deepEqual(way.dynamic.list(sticky, clients), ["10.244.1.10 . 1"]);
});

test("PacketTracer puts nothing into a dynamic map that is full", () => {
  const way = tracer(sticky);
  for (const source of ["10.244.1.9", "10.244.1.10", "10.244.1.11"]) way.send({ ...toVip, source });
  assert.equal(way.dynamic.list(sticky, affinity).length, 2);
});

test("PacketTracer reads headers of ICMP as rules do", () => {
  const tooBig: Packet = { ...forwarded, protocol: "icmp", icmp: { type: 3, code: 4 }, state: "related" };
  const drops = (...statements: NftStatement[]) =>
    tracer(table([chain("forward", [rule(...statements, drop)], base("forward"))]))
      .texts(tooBig)
      .includes("dropped");
  assert.equal(drops(is("icmp type", 3), is("icmp code", 4)), true);
  assert.equal(drops(is("th sport", 772)), true);
  assert.equal(drops(is("ct state", "established,related")), true);
  assert.equal(drops(is("icmp type", 8)), false);
});

test("PacketTracer's trace names each rule that matched, and the element", () => {
  const outcome = tracer(translating).send(toVip, () => 0);
  assert.deepEqual(outcome.trace, [
    "tcp 10.244.1.9:40000 -> 10.96.0.10:80 by bwh2",
    `ip prerouting: dnat ip to ip daddr . th dport . numgen random mod 2 map @to [${VIP} . 80 . 0 : ${POD} . 8080]`,
    `ip postrouting: ct status dnat ct original ip daddr ${VIP} masquerade fully-random`,
    "tcp 192.168.1.11:40000 -> 10.244.1.5:8080 leaves by bwh1",
  ]);
});

test("PacketTracer refuses what it does not know, and rules that read what a packet has not", () => {
  const walk = (statement: NftStatement, chains: NftChain[] = []) =>
    tracer(table([chain("forward", [rule(statement)], base("forward")), ...chains])).texts(forwarded);
  assert.throws(
    () => walk({ notrack: true } as unknown as NftStatement),
    /Teach this walk what \{"notrack":true\} does/,
  );
  assert.throws(() => walk(is("ip6 saddr", "::1")), /reads "ip6 saddr" of a packet that has none/);
  assert.throws(() => walk(is("icmp type", 3)), /reads "icmp type"/);
  assert.throws(() => walk(is("meta length", 3)), /reads "meta length"/);
  assert.throws(() => walk({ lookup: "ip saddr", set: "nosuch" }), /set nosuch, which the table lacks/);
  assert.throws(() => walk(jump("nosuch")), /nosuch, which the table lacks/);
  assert.throws(() => walk({ masquerade: true }), /postrouting only/);
  assert.throws(() => walk(jump("loop"), [chain("loop", [rule(jump("loop"))])]), /more than 16 deep/);
  assert.throws(() => tracer(table([chain("early", [], base("ingress"))])), /hook of chain early/);
});
