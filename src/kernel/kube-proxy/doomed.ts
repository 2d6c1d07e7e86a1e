/**
 * Which chains and rules of one table of iptables are kube-proxy's to go, and which stay because somebody else's rule
 * needs them. Pure, and the same for nf_tables and for the old tables: docs/design/takeover.md.
 */
import { isKubeProxyChain, isKubeProxyEntry } from "../../model/kube-proxy.ts";

/** A chain as far as the question goes. */
export interface TableChain {
  readonly name: string;
  /** PREROUTING, INPUT and so on: chains that the kernel calls. */
  readonly builtIn: boolean;
  /** Where each rule jumps to; undefined for a rule that jumps nowhere. */
  readonly jumps: readonly (string | undefined)[];
  /** Uses of the chain that are no rule's jump, such as an element of a verdict map. @default 0 */
  readonly otherUses?: number;
}

export interface Doomed {
  /** Names of the chains that go, with all their rules. */
  readonly chains: ReadonlySet<string>;
  /** Rules of built-in chains that go: positions by the chain's name. */
  readonly rules: ReadonlyMap<string, ReadonlySet<number>>;
  /** How many rules go, those of the chains that go among them. */
  readonly ruleCount: number;
  readonly kept: readonly KeptChain[];
}

export interface KeptChain {
  readonly chain: string;
  /** The chain whose rule jumps there, or what else uses it. */
  readonly usedBy: string;
}

/** The mark that one sets is what the other looks for: where the first stays, the second does. */
const PARTNERS: Readonly<Record<string, string>> = { "KUBE-MARK-MASQ": "KUBE-POSTROUTING" };

/** @param chains all chains of one table */
export function findDoomed(chains: readonly TableChain[]): Doomed {
  const byName = new Map(chains.map((chain) => [chain.name, chain]));
  const own = new Set(chains.filter(({ name, builtIn }) => !builtIn && isKubeProxyChain(name)).map(({ name }) => name));
  const kept = new Map<string, string>();
  const keep = (name: string | undefined, usedBy: string): void => {
    if (name === undefined || !own.has(name) || kept.has(name)) return;
    kept.set(name, usedBy);
    for (const jump of byName.get(name)?.jumps ?? []) keep(jump, name);
    keep(PARTNERS[name], name);
  };
  for (const { name, builtIn, jumps, otherUses = 0 } of chains) {
    if (otherUses > 0) keep(name, "something that is no rule of this table");
    if (own.has(name)) continue;
    for (const jump of jumps) if (!(builtIn && isKubeProxyEntry(jump ?? ""))) keep(jump, name);
  }
  const gone = new Set([...own].filter((name) => !kept.has(name)));
  const rules = doomedRules(chains, gone);
  return {
    chains: gone,
    rules,
    ruleCount: sum(rules.values(), ({ size }) => size) + sum(gone, (name) => byName.get(name)?.jumps.length ?? 0),
    kept: Array.from(kept, ([chain, usedBy]) => ({ chain, usedBy })),
  };
}

function doomedRules(chains: readonly TableChain[], gone: ReadonlySet<string>): Map<string, Set<number>> {
  const rules = new Map<string, Set<number>>();
  for (const { name, jumps } of chains.filter(({ builtIn }) => builtIn)) {
    const positions = new Set(jumps.flatMap((jump, i) => (jump !== undefined && gone.has(jump) ? [i] : [])));
    if (positions.size > 0) rules.set(name, positions);
  }
  return rules;
}

function sum<T>(values: Iterable<T>, of: (value: T) => number): number {
  let total = 0;
  for (const value of values) total += of(value);
  return total;
}

/** "ip nat KUBE-MARK-MASQ, used by CNI-HOSTPORT-SETMARK" */
export function formatKept(table: string, { chain, usedBy }: KeptChain): string {
  return `${table} ${chain}, used by ${usedBy}`;
}
