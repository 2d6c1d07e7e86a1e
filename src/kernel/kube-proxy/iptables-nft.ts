/**
 * kube-proxy's chains and rules in iptables-nft: tables nat, filter, mangle and raw of nf_tables, both families. All that
 * goes, goes in one transaction, and only when the ruleset is still the one that was read.
 */
import {
  countsOf,
  isKubeProxyChain,
  KUBE_PROXY_TABLES,
  type KubeProxyCounts,
  type KubeProxyFinding,
  type KubeProxyKind,
} from "../../model/kube-proxy.ts";
import {
  type Deletion,
  deleteUnchanged,
  type ForeignChain,
  type ForeignRule,
  type ForeignRuleset,
  type ForeignTable,
  newestHandle,
  openForeignRuleset,
} from "../nfnetlink/foreign-ruleset.ts";
import { type Doomed, findDoomed, formatKept, type TableChain } from "./doomed.ts";
import type { KubeProxyPart } from "./types.ts";

/** The base chains that iptables-nft makes; others in its tables were made by hand. */
const BUILT_IN: ReadonlySet<string> = new Set(["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]);
const TABLES: ReadonlySet<string> = new Set(KUBE_PROXY_TABLES);

export class IptablesNftPart implements KubeProxyPart {
  readonly kind: KubeProxyKind = "iptables-nft";
  readonly #open: () => ForeignRuleset;
  /** What was found last, and in which generation of the ruleset: thousands of rules are not read to find the same. */
  #last: { readonly generation: number; readonly finding: KubeProxyFinding | undefined } | undefined;

  /** Of one namespace: the calling thread is in it whenever a method is called. */
  constructor(open: () => ForeignRuleset = openForeignRuleset) {
    this.#open = open;
  }

  find(): KubeProxyFinding | undefined {
    using ruleset = this.#open();
    const generation = ruleset.generation();
    if (this.#last?.generation !== generation) this.#last = { generation, finding: findIn(ruleset) };
    return this.#last.finding;
  }

  remove(): KubeProxyCounts {
    using ruleset = this.#open();
    return deleteUnchanged(ruleset, () => {
      const found = readTables(ruleset);
      return { deletions: found.flatMap(deletionsOf), result: sumCounts(found) };
    });
  }
}

function findIn(ruleset: ForeignRuleset): KubeProxyFinding | undefined {
  const found = readTables(ruleset);
  if (found.length === 0) return undefined;
  return {
    kind: "iptables-nft",
    counts: sumCounts(found),
    kept: found.flatMap(({ table, doomed }) =>
      doomed.kept.map((kept) => formatKept(`${table.family} ${table.name}`, kept)),
    ),
    fingerprint: found.map(fingerprint).join(),
  };
}

interface FoundTable {
  readonly table: ForeignTable;
  readonly chains: ReadonlyMap<string, RuleChain>;
  readonly doomed: Doomed;
}

interface RuleChain {
  readonly chain: ForeignChain;
  readonly rules: ForeignRule[];
}

/** Tables in which anything of kube-proxy's is. Rules are read only of those that have a chain of its. */
function readTables(ruleset: ForeignRuleset): FoundTable[] {
  const chains = ruleset.chains().filter(({ table }) => TABLES.has(table));
  const byTable = Map.groupBy(chains, ({ family, table }) => `${family} ${table}`);
  return [...byTable.values()].flatMap((own) => {
    const [first] = own;
    if (first === undefined || !own.some(({ name, base }) => !base && isKubeProxyChain(name))) return [];
    const table = { family: first.family, name: first.table };
    const withRules = joinRules(own, ruleset.rules(table));
    const doomed = findDoomed(tableChains(withRules));
    return [{ table, chains: withRules, doomed }];
  });
}

function joinRules(chains: readonly ForeignChain[], rules: readonly ForeignRule[]): Map<string, RuleChain> {
  const joined = new Map(chains.map((chain) => [chain.name, { chain, rules: [] as ForeignRule[] }]));
  for (const rule of rules) joined.get(rule.chain)?.rules.push(rule);
  return joined;
}

function tableChains(chains: ReadonlyMap<string, RuleChain>): TableChain[] {
  const jumpsTo = new Map<string, number>();
  for (const { rules } of chains.values()) {
    for (const { jump } of rules) if (jump !== undefined) jumpsTo.set(jump, (jumpsTo.get(jump) ?? 0) + 1);
  }
  return Array.from(chains, ([name, { chain, rules }]) => ({
    name,
    builtIn: chain.base && BUILT_IN.has(name),
    jumps: rules.map(({ jump }) => jump),
    otherUses: chain.uses - rules.length - (jumpsTo.get(name) ?? 0),
  }));
}

/** Jumps first, then what is in the chains, then the chains: nothing leads to a chain any more when it goes. */
function deletionsOf({ table, chains, doomed }: FoundTable): Deletion[] {
  const where = { family: table.family, table: table.name };
  const rules = Array.from(doomed.rules).flatMap(([chain, positions]) =>
    Array.from(positions, (position): Deletion => {
      const handle = chains.get(chain)?.rules[position]?.handle ?? 0n;
      return { do: "deleteRule", ...where, chain, handle };
    }),
  );
  const gone = [...doomed.chains];
  return [
    ...rules,
    ...gone.map((chain): Deletion => ({ do: "flushChain", ...where, chain })),
    ...gone.map((chain): Deletion => ({ do: "deleteChain", ...where, chain })),
  ];
}

function sumCounts(found: readonly FoundTable[]): KubeProxyCounts {
  const chains = found.reduce((sum, { doomed }) => sum + doomed.chains.size, 0);
  const rules = found.reduce((sum, { doomed }) => sum + doomed.ruleCount, 0);
  return countsOf({ chains, rules });
}

/** Of all its chains, also of those that stay: who begins to use one of them rewrites nothing. */
function fingerprint({ table, chains }: FoundTable): string {
  const own = [...chains.values()].filter(({ chain: { name, base } }) => !base && isKubeProxyChain(name));
  const objects = own.flatMap(({ chain, rules }) => [chain, ...rules]);
  return `${table.family} ${table.name} ${newestHandle(objects)} ${objects.length}`;
}
