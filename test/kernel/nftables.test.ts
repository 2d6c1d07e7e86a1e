import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { diffNft } from "../../src/diff/nft.ts";
import { tableBehind } from "../../src/diff/nft-outcome.ts";
import { randomTable } from "../../src/diff/testing/random-table.ts";
import { openNftables } from "../../src/kernel/nfnetlink/nft-socket.ts";
import { type NftChange, type ObservedTable, ruleFingerprint } from "../../src/kernel/nfnetlink/types.ts";
import { isBreakwaterError } from "../../src/model/errors.ts";
import { formatNftRule, type NftRule, type NftSet } from "../../src/model/nft.ts";
import { planMssClamp } from "../../src/plan/mss-clamp.ts";
import { type TestNamespace, testNamespace } from "./namespaces.ts";

const table = { family: "inet", name: "breakwater" } as const;
const base = { type: "nat", hook: "postrouting", priority: 100, policy: "accept" } as const;
const set4: NftSet = {
  name: "no_masquerade4",
  key: "ipv4_addr",
  interval: true,
  elements: ["10.244.0.0/16", "192.168.9.1/32", "255.255.255.255/32"],
};
const set6: NftSet = { name: "no_masquerade6", key: "ipv6_addr", interval: true, elements: ["fd00:10:244::/48"] };
const rule: NftRule = {
  statements: [
    { match: "meta nfproto", op: "==", value: 2 },
    { match: "ip saddr", op: "==", value: "10.244.1.0/24" },
    { lookup: "ip daddr", set: "no_masquerade4", negate: true },
    { masquerade: true },
  ],
  comment: "pods that leave the cluster",
};
const rules: NftRule[] = [
  rule,
  { statements: [{ match: "meta iifname", op: "==", value: "bw*" }, { counter: true }, { verdict: "accept" }] },
  { statements: [{ match: "ct state", op: "==", value: "established,related" }, { verdict: "return" }] },
  {
    statements: [
      { random: { modulus: 100, below: 30 } },
      { match: "meta length", op: ">", value: 1400 },
      { verdict: "drop" },
    ],
  },
];
const changes: NftChange[] = [
  { do: "addTable" },
  { do: "addSet", set: set4 },
  { do: "addElements", set: set4, elements: set4.elements },
  { do: "addSet", set: set6 },
  { do: "addElements", set: set6, elements: set6.elements },
  { do: "addChain", chain: { name: "postrouting", base } },
  ...rules.map((r) => ({ do: "addRule", chain: "postrouting", rule: r }) as const),
];

test("a table reads back as it was committed", (t) => {
  const ns = testNamespace(t);
  using nft = ns.run(() => openNftables());
  assert.equal(nft.table(table), undefined);
  nft.commit(table, changes);
  assert.deepEqual(nft.table(table), {
    ...table,
    sets: [set4, set6],
    chains: [{ name: "postrouting", base, fingerprints: rules.map(ruleFingerprint) }],
  });
  nft.commit(table, [
    { do: "deleteElements", set: set4, elements: ["192.168.9.1/32"] },
    { do: "flushChain", chain: "postrouting" },
    { do: "addRule", chain: "postrouting", rule },
  ]);
  const after = nft.table(table);
  assert.deepEqual(after?.sets[0]?.elements, ["10.244.0.0/16", "255.255.255.255/32"]);
  assert.deepEqual(after?.chains[0]?.fingerprints, [ruleFingerprint(rule)]);
  nft.commit(table, [{ do: "deleteTable" }]);
  assert.equal(nft.table(table), undefined);
});

test("a refused step leaves everything as it was and is named", (t) => {
  const ns = testNamespace(t);
  using nft = ns.run(() => openNftables());
  const bad: NftChange[] = [{ do: "addTable" }, { do: "flushChain", chain: "nosuch" }];
  assert.throws(
    () => nft.commit(table, bad),
    (error: unknown) => isBreakwaterError(error, "BW_NFTABLES") && /flushChain nosuch.*ENOENT/.test(error.message),
  );
  assert.equal(nft.table(table), undefined);
});

test("nft(8) prints the table and loads its own print", (t) => {
  const ns = testNamespace(t);
  using nft = ns.run(() => openNftables());
  nft.commit(table, changes);
  const listed = ns.run(() => spawnSync("nft", ["list", "ruleset"], { encoding: "utf8" }));
  assert.equal(listed.stderr, "");
  assert.match(listed.stdout, /elements = \{ 10\.244\.0\.0\/16/);
  assert.match(
    listed.stdout,
    /ip saddr 10\.244\.1\.0\/24 ip daddr != @no_masquerade4 masquerade fully-random comment "pods that leave/,
  );
  assert.match(listed.stdout, /iifname "bw\*" counter packets 0 bytes 0 accept/);
  assert.match(listed.stdout, /numgen random mod 100 < 30/);
  const input = `flush ruleset\n${listed.stdout}`;
  const loaded = ns.run(() => spawnSync("nft", ["-f", "-"], { input, encoding: "utf8" }));
  assert.equal(loaded.stderr, "");
  const again = ns.run(() => spawnSync("nft", ["list", "ruleset"], { encoding: "utf8" }));
  assert.equal(again.stdout, listed.stdout);
});

/** What nft(8) lists of table `name`, expression by expression, but for what differs between two tables that are the same. */
function expressionsOf(ns: TestNamespace, name: string): string {
  return (
    ns
      .run(() => spawnSync("nft", ["--debug=netlink", "list", "table", "inet", name], { encoding: "utf8" }))
      .stdout.replaceAll(name, "NAME")
      // Numbers of registers for the same bytes, and of handles.
      .replaceAll(/ *userdata.*/g, "")
      .replaceAll(/# handle \d+/g, "")
  );
}

/** Makes table inet byhand of one chain, from the words of its rules. */
function loadByHand(ns: TestNamespace, chain: string, rules: readonly NftRule[]): void {
  const head = `add table inet byhand\nadd chain inet byhand ${chain}\n`;
  const name = chain.split(" ")[0];
  const input = head + rules.map((each) => `add rule inet byhand ${name} ${formatNftRule(each)}\n`).join("");
  const loaded = ns.run(() => spawnSync("nft", ["-f", "-"], { input, encoding: "utf8" }));
  assert.equal(loaded.stderr, "");
}

test("the MSS clamp is what nft itself writes for the same words", (t) => {
  const ns = testNamespace(t);
  using nft = ns.run(() => openNftables());
  const path = { node: "peer", mode: "vxlan", podCidrs: [], peer: "192.168.1.2", device: "bwvxlan" } as const;
  const sizes = { underlayMtuBytes: 1500, overheadBytes: 50, mtuBytes: 1450 };
  const { chains } = planMssClamp([{ ...path, ...sizes }], 1500, true);
  nft.commit(table, diffNft({ ...table, sets: [], chains }, nft.table(table)));
  loadByHand(
    ns,
    "mss { type filter hook forward priority -150; policy accept; }",
    chains.flatMap(({ rules }) => rules),
  );
  const ours = expressionsOf(ns, "breakwater");
  assert.match(ours, /oifname "bwvxlan" .*tcp option maxseg size set rt mtu/);
  assert.equal(ours, expressionsOf(ns, "byhand"));
});

test("a limited log is what nft itself writes for the same words, and loads from its own print", (t) => {
  const ns = testNamespace(t);
  using nft = ns.run(() => openNftables());
  const denied: NftRule[] = [
    {
      statements: [
        { limit: { perSecond: 70_000, burst: 33 } },
        { log: { prefix: `ingress-denied-${"0123456789abcdef".repeat(7)}`, group: 65_535, snaplen: 96 } },
      ],
    },
    { statements: [{ limit: { perSecond: 1, burst: 1 } }, { log: { prefix: "p", group: 0, snaplen: 1 } }] },
    { statements: [{ counter: true }, { verdict: "drop" }] },
  ];
  nft.commit(table, diffNft({ ...table, sets: [], chains: [{ name: "denied", rules: denied }] }, undefined));
  loadByHand(ns, "denied", denied);
  const ours = expressionsOf(ns, "breakwater");
  for (const rule of denied.slice(0, 2)) assert.ok(ours.includes(formatNftRule(rule)), formatNftRule(rule));
  assert.equal(ours, expressionsOf(ns, "byhand"));
  const list = () => ns.run(() => spawnSync("nft", ["list", "ruleset"], { encoding: "utf8" })).stdout;
  const printed = list();
  const input = `flush ruleset\n${printed}`;
  const loaded = ns.run(() => spawnSync("nft", ["-f", "-"], { input, encoding: "utf8" }));
  assert.equal(loaded.stderr, "");
  assert.equal(list(), printed);
});

function randomNumbers(seed: number): (below: number) => number {
  let value = seed;
  return (below) => {
    value = (Math.imul(value, 1103515245) + 12345) & 0x7fffffff;
    return (value >> 8) % below;
  };
}

test("the kernel makes of diffNft()'s steps the table that is wanted: 60 random tables, one behind the other", (t) => {
  const ns = testNamespace(t);
  using nft = ns.run(() => openNftables());
  const random = randomNumbers(11);
  for (let round = 0; round < 60; round++) {
    const wanted = randomTable(random);
    nft.commit(table, diffNft(wanted, nft.table(table)));
    assert.deepEqual(diffNft(wanted, nft.table(table)), [], `round ${round}`);
  }
});

test("tableBehind() says what the kernel lists: 60 random tables, one behind the other", (t) => {
  const ns = testNamespace(t);
  using nft = ns.run(() => openNftables());
  const random = randomNumbers(23);
  let known: ObservedTable | undefined;
  for (let round = 0; round < 60; round++) {
    const steps = diffNft(randomTable(random), known);
    nft.commit(table, steps);
    known = tableBehind(table, known, steps);
    assert.deepEqual(inOrder(known), inOrder(nft.table(table)), `round ${round}`);
  }
});

/** Tables are equal in whatever order their sets and chains were made. */
function inOrder(observed: ObservedTable | undefined): unknown {
  const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
  return observed && { ...observed, sets: observed.sets.toSorted(byName), chains: observed.chains.toSorted(byName) };
}

test("a set holds four thousand prefixes side by side, and gains and loses single ones", (t) => {
  const ns = testNamespace(t);
  using nft = ns.run(() => openNftables());
  const prefixes = Array.from({ length: 4000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`).sort();
  const wanted = (elements: readonly string[]) => ({ ...table, sets: [{ ...set4, elements }], chains: [] });
  nft.commit(table, diffNft(wanted(prefixes), nft.table(table)));
  assert.deepEqual(nft.table(table)?.sets[0]?.elements, prefixes);
  const fewer = prefixes.filter((_, i) => i % 1000 !== 7);
  const changes = diffNft(wanted(fewer), nft.table(table));
  assert.deepEqual(
    changes.map((change) => "elements" in change && change.elements.length),
    [4],
  );
  nft.commit(table, changes);
  nft.commit(table, diffNft(wanted(prefixes), nft.table(table)));
  assert.deepEqual(nft.table(table)?.sets[0]?.elements, prefixes);
});

test("a set that the kernel makes larger behind a commit is read whole", async (t) => {
  const ns = testNamespace(t);
  using nft = ns.run(() => openNftables());
  const set: NftSet = { name: "large", key: ["ipv4_addr", "inet_service"], interval: false, elements: [] };
  const element = (i: number) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255} . 80`;
  const elements = Array.from({ length: 146_000 }, (_, i) => element(i));
  nft.commit(table, [{ do: "addTable" }, { do: "addSet", set }, { do: "addElements", set, elements }]);
  const observed = await nft.tableInPieces(table);
  assert.equal(new Set(observed?.sets[0]?.elements).size, elements.length);
});

test("watch() tells of others' changes, and of nothing that is our own, however large", async (t) => {
  const ns = testNamespace(t);
  using ours = ns.run(() => openNftables());
  using other = ns.run(() => openNftables());
  const set: NftSet = { name: "many", key: "ipv4_addr", interval: false, elements: [] };
  const addresses = (first: number) => Array.from({ length: 60_000 }, (_, i) => `10.${first}.${i >> 8}.${i & 255}`);
  let told = 0;
  let heard = () => {};
  using _ = ns.run(() =>
    ours.watch(table, () => {
      told++;
      heard();
    }),
  );
  ours.commit(table, [{ do: "addTable" }, { do: "addSet", set }]);
  // More events than the socket holds: were they delivered, some would be lost, and that would count as a change.
  ours.commit(table, [{ do: "addElements", set, elements: addresses(1) }]);
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
  assert.equal(told, 0);
  const changed = new Promise<void>((resolve) => {
    heard = resolve;
  });
  other.commit(table, [{ do: "addElements", set, elements: ["10.9.9.9"] }]);
  await changed;
  assert.equal(told, 1);
});
