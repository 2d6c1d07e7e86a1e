import assert from "node:assert/strict";
import { test } from "node:test";
import { BreakwaterError } from "../../model/errors.ts";
import type { Deletion, ForeignChain, ForeignRule, ForeignRuleset } from "../nfnetlink/foreign-ruleset.ts";
import { IptablesNftPart } from "./iptables-nft.ts";
import { NftTablePart } from "./nft-table.ts";

/** nf_tables in memory: "PREROUTING! KUBE-SERVICES -" is a base chain with a rule that jumps and one that does not. */
function rig(tables: Readonly<Record<string, readonly string[]>>) {
  let handle = 0n;
  const chains: ForeignChain[] = [];
  const rules: (ForeignRule & { table: string })[] = [];
  for (const [name, lines] of Object.entries(tables)) {
    const [family, table] = name.split(" ") as ["ip" | "ip6", string];
    for (const line of lines) {
      const [word = "", ...jumps] = line.split(" ");
      const chain = word.replace("!", "");
      chains.push({ family, table, name: chain, handle: ++handle, base: word.endsWith("!"), uses: 0 });
      for (const jump of jumps) {
        rules.push({ table: name, chain, handle: ++handle, jump: jump === "-" ? undefined : jump });
      }
    }
  }
  const uses = ({ family, table, name }: ForeignChain) =>
    rules.filter((rule) => rule.table === `${family} ${table}` && (rule.chain === name || rule.jump === name)).length;
  const state = { generation: 1, reads: 0, deletions: [] as Deletion[], restarts: 0 };
  const ruleset: ForeignRuleset = {
    generation: () => state.generation,
    tables: () =>
      Object.keys(tables).map((name) => ({
        family: name.startsWith("ip6") ? "ip6" : "ip",
        name: name.split(" ")[1] ?? "",
      })),
    chains: () => chains.map((chain) => ({ ...chain, uses: uses(chain) })),
    rules: ({ family, name }) => {
      state.reads++;
      return rules.filter(({ table }) => table === `${family} ${name}`);
    },
    delete: (deletions, generation) => {
      if (state.restarts-- > 0) state.generation++;
      if (generation !== state.generation) throw new BreakwaterError("BW_NFTABLES", "changed", { errno: "ERESTART" });
      state.deletions = [...deletions];
    },
    [Symbol.dispose]: () => undefined,
  };
  return { part: new IptablesNftPart(() => ruleset), tablePart: new NftTablePart(() => ruleset), state };
}

const node = {
  "ip nat": [
    "PREROUTING! - KUBE-SERVICES",
    "mine! KUBE-MARK-MASQ",
    "KUBE-SERVICES KUBE-SVC-A",
    "KUBE-SVC-A -",
    "KUBE-MARK-MASQ -",
  ],
  "ip6 nat": ["PREROUTING! -", "DOCKER -"],
  "ip mangle": ["PREROUTING!", "KUBE-PROXY-CANARY"],
  "ip other": ["KUBE-SERVICES -"],
};

function texts(deletions: readonly Deletion[]): string[] {
  return deletions.map((deletion) => {
    const { do: what, family, table } = deletion;
    return `${what} ${family} ${table}${"chain" in deletion ? ` ${deletion.chain}` : ""}${"handle" in deletion ? ` ${deletion.handle}` : ""}`;
  });
}

test("IptablesNftPart deletes jumps, then rules, then chains, in one transaction", () => {
  const { part, state } = rig(node);
  assert.deepEqual(part.remove(), { chains: 3, rules: 3 });
  assert.deepEqual(texts(state.deletions), [
    "deleteRule ip nat PREROUTING 3",
    "flushChain ip nat KUBE-SERVICES",
    "flushChain ip nat KUBE-SVC-A",
    "deleteChain ip nat KUBE-SERVICES",
    "deleteChain ip nat KUBE-SVC-A",
    "flushChain ip mangle KUBE-PROXY-CANARY",
    "deleteChain ip mangle KUBE-PROXY-CANARY",
  ]);
});

test("IptablesNftPart takes a base chain that iptables did not make for somebody's own", () => {
  assert.deepEqual(rig(node).part.find()?.kept, ["ip nat KUBE-MARK-MASQ, used by mine"]);
});

test("IptablesNftPart reads rules of those tables alone that have a chain of kube-proxy's", () => {
  const { part, state } = rig(node);
  part.find();
  assert.equal(state.reads, 2);
});

test("IptablesNftPart reads rules again only when the ruleset is another", () => {
  const { part, state } = rig(node);
  const first = part.find();
  assert.equal(part.find(), first);
  assert.equal(state.reads, 2);
  state.generation++;
  assert.deepEqual(part.find(), first);
  assert.equal(state.reads, 4);
});

test("IptablesNftPart reads anew when the ruleset changed meanwhile, and gives up in the end", () => {
  const { part, state } = rig(node);
  state.restarts = 2;
  assert.deepEqual(part.remove(), { chains: 3, rules: 3 });
  assert.equal(state.reads, 6);
  state.restarts = 10;
  assert.throws(() => part.remove(), /changed/);
});

test("NftTablePart deletes tables of kube-proxy's name whole", () => {
  const { tablePart, state } = rig({
    "ip kube-proxy": ["services -", "nat-prerouting! services"],
    "ip6 kube-proxy": [],
    ...node,
  });
  assert.deepEqual(tablePart.find()?.counts, { tables: 2, chains: 2 });
  assert.deepEqual(tablePart.remove(), { tables: 2, chains: 2 });
  assert.deepEqual(texts(state.deletions), ["deleteTable ip kube-proxy", "deleteTable ip6 kube-proxy"]);
  assert.equal(rig(node).tablePart.find(), undefined);
});
