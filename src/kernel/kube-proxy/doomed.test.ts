import assert from "node:assert/strict";
import { test } from "node:test";
import { findDoomed, type TableChain } from "./doomed.ts";

/** "PREROUTING! a b -": a built-in chain with jumps to a and b, and a rule that jumps nowhere. */
function chains(...lines: string[]): TableChain[] {
  return lines.map((line) => {
    const [name = "", ...jumps] = line.split(" ");
    return {
      name: name.replace("!", ""),
      builtIn: name.endsWith("!"),
      jumps: jumps.map((jump) => (jump === "-" ? undefined : jump)),
    };
  });
}

function summary(table: readonly TableChain[]) {
  const { chains: gone, rules, ruleCount, kept } = findDoomed(table);
  return {
    chains: [...gone].sort(),
    rules: Object.fromEntries(Array.from(rules, ([name, positions]) => [name, [...positions]])),
    ruleCount,
    kept: kept.map(({ chain, usedBy }) => `${chain} < ${usedBy}`),
  };
}

const nat = [
  "PREROUTING! DOCKER KUBE-SERVICES CNI-HOSTPORT-DNAT -",
  "OUTPUT! - KUBE-SERVICES",
  "POSTROUTING! KUBE-POSTROUTING -",
  "KUBE-SERVICES KUBE-SVC-A KUBE-NODEPORTS",
  "KUBE-NODEPORTS",
  "KUBE-SVC-A KUBE-MARK-MASQ KUBE-SEP-A",
  "KUBE-SEP-A KUBE-MARK-MASQ -",
  "KUBE-MARK-MASQ -",
  "KUBE-POSTROUTING - - -",
  "KUBE-MARK-DROP -",
  "DOCKER - -",
  "CNI-HOSTPORT-DNAT CNI-DN-1",
  "CNI-DN-1 -",
];

test("findDoomed() takes kube-proxy's chains and the rules that lead to them, and nothing else", () => {
  assert.deepEqual(summary(chains(...nat)), {
    chains: ["KUBE-MARK-MASQ", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-SEP-A", "KUBE-SERVICES", "KUBE-SVC-A"],
    rules: { PREROUTING: [1], OUTPUT: [1], POSTROUTING: [0] },
    ruleCount: 13,
    kept: [],
  });
});

test("findDoomed() leaves what a rule of somebody else's chain needs: the mark, and what looks for the mark", () => {
  const { chains: gone, rules, kept } = summary(chains(...nat, "CNI-HOSTPORT-SETMARK KUBE-MARK-MASQ"));
  assert.deepEqual(gone, ["KUBE-NODEPORTS", "KUBE-SEP-A", "KUBE-SERVICES", "KUBE-SVC-A"]);
  assert.deepEqual(rules, { PREROUTING: [1], OUTPUT: [1] }, "the rule that leads to KUBE-POSTROUTING stays");
  assert.deepEqual(kept, ["KUBE-MARK-MASQ < CNI-HOSTPORT-SETMARK", "KUBE-POSTROUTING < KUBE-MARK-MASQ"]);
});

test("findDoomed() leaves all that a kept chain leads to", () => {
  const { chains: gone, kept } = summary(chains(...nat, "WEAVE KUBE-SVC-A"));
  assert.deepEqual(gone, ["KUBE-NODEPORTS", "KUBE-SERVICES"]);
  assert.deepEqual(kept, [
    "KUBE-SVC-A < WEAVE",
    "KUBE-MARK-MASQ < KUBE-SVC-A",
    "KUBE-POSTROUTING < KUBE-MARK-MASQ",
    "KUBE-SEP-A < KUBE-SVC-A",
  ]);
});

test("findDoomed() takes an admin's rule in a built-in chain for what it is", () => {
  const { rules, kept } = summary(chains(...nat.slice(1), "PREROUTING! KUBE-SERVICES KUBE-MARK-MASQ"));
  assert.deepEqual(rules, { OUTPUT: [1], PREROUTING: [0] }, "kube-proxy never jumps to KUBE-MARK-MASQ from there");
  assert.deepEqual(kept, ["KUBE-MARK-MASQ < PREROUTING", "KUBE-POSTROUTING < KUBE-MARK-MASQ"]);
});

test("findDoomed() leaves a chain that something beside rules uses", () => {
  const table = chains("PREROUTING! KUBE-SERVICES", "KUBE-SERVICES -", "KUBE-NODEPORTS -");
  const used = table.map((chain) => (chain.name === "KUBE-NODEPORTS" ? { ...chain, otherUses: 1 } : chain));
  assert.deepEqual(summary(used).chains, ["KUBE-SERVICES"]);
  assert.match(summary(used).kept.join(), /KUBE-NODEPORTS < something that is no rule/);
});

test("findDoomed() takes chains that nothing leads to, as an interrupted removal leaves them", () => {
  assert.deepEqual(summary(chains("PREROUTING! -", "KUBE-SVC-A KUBE-SEP-A", "KUBE-SEP-A -", "KUBE-PROXY-CANARY")), {
    chains: ["KUBE-PROXY-CANARY", "KUBE-SEP-A", "KUBE-SVC-A"],
    rules: {},
    ruleCount: 2,
    kept: [],
  });
});

test("findDoomed() never takes a built-in chain, whatever it is called", () => {
  assert.deepEqual(summary(chains("KUBE-SERVICES! KUBE-SERVICES")).chains, []);
});

test("findDoomed() ends where kept chains lead to each other", () => {
  const { kept } = summary(chains("X KUBE-SVC-A", "KUBE-SVC-A KUBE-SEP-A", "KUBE-SEP-A KUBE-SVC-A"));
  assert.deepEqual(kept, ["KUBE-SVC-A < X", "KUBE-SEP-A < KUBE-SVC-A"]);
});
