/** Tables that differ in everything a table can differ in, the same ones for the same numbers. */
import { NFT_TABLE } from "../../model/marks.ts";
import type { NftChain, NftRule, NftSet, NftTable } from "../../model/nft.ts";

const base = { type: "nat", hook: "postrouting", priority: 100, policy: "accept" } as const;
const rules: readonly NftRule[] = [
  { statements: [{ lookup: "ip daddr", set: "a" }, { verdict: "return" }] },
  { statements: [{ verdict: "accept" }] },
  { statements: [{ match: "ip saddr", op: "==", value: "10.0.0.0/8" }, { counter: true }], comment: "counted" },
];
const services = ["10.96.0.1 . tcp . 80", "10.96.0.2 . udp . 53", "10.96.0.3 . sctp . 7"];
const prefixes = ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/23", "10.0.4.0/22", "10.1.0.0/16", "255.255.255.0/24"];

/** @param random a number below its argument */
export function randomTable(random: (below: number) => number): NftTable {
  const some = <T>(values: readonly T[]) => values.filter(() => random(2) === 0);
  const set = (name: string, elements: readonly string[], interval = true): NftSet => ({
    name,
    key: "ipv4_addr",
    interval,
    elements: [...elements].sort(),
  });
  if (random(20) === 0) return { ...NFT_TABLE, sets: [], chains: [] };
  // A prefix and what lies in it never stand together, but follow each other.
  const first = set("a", random(3) === 0 ? ["10.0.0.0/16"] : some(prefixes));
  const others = some([
    set("b", some(prefixes)),
    random(2) === 0 ? set("c", ["10.0.0.1/32"]) : set("c", ["10.0.0.1"], false),
  ]);
  const post: NftChain = { name: "post", base: random(6) === 0 ? { ...base, priority: 5 } : base, rules: some(rules) };
  const maps = some(randomMaps(random));
  const extra: NftChain = { name: "extra", rules: some(rules.slice(1)) };
  return { ...NFT_TABLE, sets: [first, ...others, ...maps], chains: [post, target, ...some([extra])] };
}

const target: NftChain = { name: "target", rules: rules.slice(1, 2) };

function randomMaps(random: (below: number) => number): NftSet[] {
  const key = ["ipv4_addr", "inet_proto", "inet_service"] as const;
  const some = services.filter(() => random(2) === 0);
  const verdicts = ["drop", "goto target", "jump target"];
  const comment = () => (random(3) === 0 ? ` comment "default/web:${random(3)}"` : "");
  const interval = { key: [...key, "ipv4_addr"] as const, interval: true };
  return [
    {
      name: "verdicts",
      key,
      data: "verdict",
      interval: false,
      elements: some.map((service) => `${service}${comment()} : ${verdicts[random(3)]}`),
    },
    {
      name: "endpoints",
      key: [...key, "index"],
      data: ["ipv4_addr", "inet_service"],
      interval: false,
      elements: some.map((service) => `${service} . ${random(2)} : 10.244.0.${random(3)} . 8080`),
    },
    { name: "ranges", ...interval, elements: some.map((service) => `${service} . 10.0.${random(4)}.0/24`) },
    { name: "affinity", key, data: ["ipv4_addr"], interval: false, dynamic: { size: 512 }, elements: [] },
  ];
}
