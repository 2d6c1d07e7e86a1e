/** A node whose table of IPv6 remembers clients in a map, as it was once, goes on without a gap: row svc-28 beside it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { diffNft } from "../../diff/nft.ts";
import { SERVICE_TABLES } from "../../model/marks.ts";
import type { NftChain, NftField, NftRule, NftSet, NftTable } from "../../model/nft.ts";
import { anEndpoint, aService, aSlice, tcp80 } from "../../plan/services/testing/objects.ts";
import { freshTables, ProxyRig, type ServiceState } from "./testing/proxy-rig.ts";
import { dialThrough } from "./testing/rig-dialer.ts";

const VIP = "fd00:10:96::a";
const KEY = `${VIP} . tcp . 80`;
const state: ServiceState = {
  services: [aService({ clusterIps: [VIP], ports: [tcp80], affinitySeconds: 10 })],
  slices: [aSlice([anEndpoint("fd00:10:244:1::5"), anEndpoint("fd00:10:244:1::6")])],
};
const dial = { from: "fd00:10:244:1::9", to: VIP, port: 80 };

const frontend: readonly NftField[] = ["ip6 daddr", "meta l4proto", "th dport"];
const original: readonly NftField[] = ["ct original ip6 daddr", "meta l4proto", "ct original proto-dst"];
const key = ["ipv6_addr", "inet_proto", "inet_service"] as const;
const tcp: NftRule["statements"][number] = { match: "meta l4proto", op: "==", value: 6 };
const remember: NftRule = { statements: [tcp, { vmap: original, map: "affine" }] };

const mapSets: readonly NftSet[] = [
  { name: "affine", key, data: "verdict", interval: false, elements: [`${KEY} : jump remember-10s`] },
  {
    name: "affinity",
    key: ["ipv6_addr", ...key],
    data: ["ipv6_addr", "inet_service"],
    interval: false,
    dynamic: { size: 1 << 17 },
    elements: [],
  },
];
const mapChains: readonly NftChain[] = [
  {
    name: "affinity-2",
    rules: [
      { statements: [{ dnat: ["ip6 saddr", ...frontend], family: 6, map: "affinity" }] },
      { statements: [{ verdict: { goto: "lb-2" } }] },
    ],
  },
  { name: "input", base: { type: "nat", hook: "input", priority: 99, policy: "accept" }, rules: [remember] },
  {
    name: "remember-10s",
    rules: [
      {
        statements: [
          tcp,
          {
            update: ["ip6 saddr", ...original],
            map: "affinity",
            data: ["ip6 daddr", "th dport"],
            timeoutSeconds: 10,
          },
        ],
      },
    ],
  },
];

/** The table as it is now with the old manner in place of ours. */
function inOldManner({ sets, chains, ...table }: NftTable): NftTable {
  const isNew = (name: string) => name.includes("clients-") || /^(affinity|remember)-tcp-/.test(name);
  return {
    ...table,
    sets: [
      ...sets
        .filter(({ name }) => !isNew(name))
        .map((set) => ({
          ...set,
          elements: set.elements.map((each) => each.replace(/goto affinity-tcp-10s-2$/, "goto affinity-2")),
        })),
      ...mapSets,
    ],
    chains: [
      ...chains
        .filter(({ name }) => !isNew(name))
        .map((chain) => (chain.name === "postrouting" ? { ...chain, rules: [remember, ...chain.rules] } : chain)),
      ...mapChains,
    ],
  };
}

async function planned(): Promise<NftTable> {
  using rig = new ProxyRig();
  rig.start(state);
  await rig.settle();
  const table = rig.other.tableWithRules(SERVICE_TABLES[6]);
  assert.ok(table);
  return table;
}

test("a table that remembers IPv6 clients in a map is changed step by step: clients are served before, between and behind", async () => {
  const old = inOldManner(await planned());
  assert.ok(old.sets.some(({ elements }) => elements.some((element) => element.endsWith("goto affinity-2"))));
  using rig = new ProxyRig();
  rig.other.nftables.commit(SERVICE_TABLES[6], diffNft(old, undefined));
  rig.start(state);
  const first = dialThrough(rig, dial, 1);
  assert.equal(first, "[fd00:10:244:1::6]:8080");
  for (let step = 0; step < 10; step++) {
    assert.equal(dialThrough(rig, dial), first, "the client is remembered from its first connection on");
    await rig.elapse(500);
  }
  await rig.settle();
  assert.equal(dialThrough(rig, dial), first);
  for (const commit of rig.commits()) assert.doesNotMatch(commit, /deleteTable/);
  assert.deepEqual(rig.tables(), await freshTables(state));
  assert.deepEqual((await rig.proxy.verify()).differences, []);
});
