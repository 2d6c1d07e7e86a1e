import assert from "node:assert/strict";
import { test } from "node:test";
import { formatNftTable } from "../model/nft.ts";
import { planMasquerade } from "./masquerade.ts";

const elements = (local: readonly string[], cluster: readonly string[]) =>
  Object.fromEntries(planMasquerade(local, cluster).sets.map((set) => [set.name, set.elements]));

test("planMasquerade() excepts the cluster and multicast, in the families that the node has", () => {
  assert.deepEqual(elements(["10.1.0.0/24"], ["10.1.0.0/24", "10.2.0.0/24", "fd00::/64"]), {
    cluster4: ["10.1.0.0/24", "10.2.0.0/24", "224.0.0.0/4"],
  });
  assert.deepEqual(elements(["fd00::/64"], ["fd00::/64", "10.2.0.0/24"]), { cluster6: ["fd00::/64", "ff00::/8"] });
});

test("planMasquerade() keeps no prefix that lies inside another: an interval set refuses those", () => {
  const table: [string[], string[]][] = [
    [["10.1.0.0/24", "10.1.0.0/24"], ["10.1.0.0/24"]],
    [["10.1.0.0/16", "10.1.5.0/24", "10.1.0.0/24"], ["10.1.0.0/16"]],
    [
      ["10.1.0.0/24", "10.1.1.0/24"],
      ["10.1.0.0/24", "10.1.1.0/24"],
    ],
    [
      ["10.1.255.255/32", "10.1.0.0/16", "10.2.0.0/32"],
      ["10.1.0.0/16", "10.2.0.0/32"],
    ],
    [["0.0.0.0/0", "10.1.0.0/16"], ["0.0.0.0/0"]],
    [["224.0.0.0/4", "239.1.1.1/32"], ["224.0.0.0/4"]],
  ];
  for (const [cluster, kept] of table) {
    const all = elements(["10.1.0.0/24"], cluster)["cluster4"] ?? [];
    const expected = kept.includes("0.0.0.0/0") ? kept : [...new Set([...kept, "224.0.0.0/4"])].sort();
    assert.deepEqual(all, expected, cluster.join(" "));
  }
});

test("planMasquerade() makes a rule for each range of the node", () => {
  const plan = planMasquerade(["10.1.0.0/24", "10.9.0.0/24", "fd00::/64"], []);
  const text = formatNftTable({ family: "inet", name: "t", sets: plan.sets, chains: [plan.chain] });
  assert.match(text, /type nat hook postrouting priority 100; policy accept;/);
  assert.deepEqual(text.match(/saddr \S+ ip6? daddr != @\S+ masquerade fully-random/g), [
    "saddr 10.1.0.0/24 ip daddr != @cluster4 masquerade fully-random",
    "saddr 10.9.0.0/24 ip daddr != @cluster4 masquerade fully-random",
    "saddr fd00::/64 ip6 daddr != @cluster6 masquerade fully-random",
  ]);
});
