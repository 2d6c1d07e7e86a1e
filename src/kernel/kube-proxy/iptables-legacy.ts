/**
 * kube-proxy's chains and rules in iptables-legacy. A table is replaced whole, so all others' rules go back to the kernel
 * byte for byte, and their counters are added again behind that.
 */
import { createHash } from "node:crypto";
import type { Family } from "../../model/ip.ts";
import {
  countsOf,
  isKubeProxyChain,
  KUBE_PROXY_TABLES,
  type KubeProxyCounts,
  type KubeProxyFinding,
  type KubeProxyKind,
} from "../../model/kube-proxy.ts";
import { withXtablesLock } from "../xtables/lock.ts";
import { decodeTable, encodeTable, ruleContent, tableEntries, type XtTable } from "../xtables/table-codec.ts";
import { COUNTERS_BYTES, type XtTables, xtTables } from "../xtables/table-socket.ts";
import { type Doomed, findDoomed, formatKept } from "./doomed.ts";
import type { KubeProxyPart } from "./types.ts";

/** Runs a function while nobody else changes the tables. */
type WithLock = <T>(body: () => T) => T;

export class IptablesLegacyPart implements KubeProxyPart {
  readonly kind: KubeProxyKind = "iptables-legacy";
  readonly #tables: XtTables;
  readonly #withLock: WithLock;

  /** Of the namespace that the calling thread is in when a method is called. */
  constructor(tables: XtTables = xtTables, withLock: WithLock = withXtablesLock) {
    this.#tables = tables;
    this.#withLock = withLock;
  }

  find(): KubeProxyFinding | undefined {
    const found = this.#read();
    if (found.length === 0) return undefined;
    const hash = createHash("sha256");
    for (const { table } of found) hashChains(hash, table);
    return {
      kind: this.kind,
      counts: sumCounts(found),
      kept: found.flatMap(({ table: { raw }, doomed }) => {
        const where = `${raw.family === 4 ? "ip" : "ip6"} ${raw.name}`;
        return doomed.kept.map((kept) => formatKept(where, kept));
      }),
      fingerprint: hash.digest("hex"),
    };
  }

  remove(): KubeProxyCounts {
    return this.#withLock(() => {
      const found = this.#read().filter(({ doomed }) => isAnything(doomed));
      for (const { table, doomed } of found) this.#replace(table, doomed);
      return sumCounts(found);
    });
  }

  #read(): FoundTable[] {
    const families: readonly Family[] = [4, 6];
    const names = families.flatMap((family) => {
      const existing = new Set(this.#tables.names(family));
      return KUBE_PROXY_TABLES.filter((name) => existing.has(name)).map((name) => ({ family, name }));
    });
    return names.flatMap(({ family, name }) => {
      const raw = this.#tables.read(family, name);
      if (raw === undefined) return [];
      const table = decodeTable(raw);
      const doomed = findDoomed(
        table.chains.map(({ name: chain, hook, rules }) => ({
          name: chain,
          builtIn: hook !== undefined,
          jumps: writtenRules(rules).map(({ jump }) => jump),
        })),
      );
      return isAnything(doomed) || doomed.kept.length > 0 ? [{ table, doomed }] : [];
    });
  }

  #replace(table: XtTable, doomed: Doomed): void {
    const rest = withoutDoomed(table, doomed);
    const old = this.#tables.replace(encodeTable(rest), table.raw.entryCount);
    const counters = tableEntries(rest).map(({ index }) =>
      old.subarray(index * COUNTERS_BYTES, (index + 1) * COUNTERS_BYTES),
    );
    this.#tables.addCounters(table.raw.family, table.raw.name, Buffer.concat(counters));
  }
}

interface FoundTable {
  readonly table: XtTable;
  readonly doomed: Doomed;
}

function isAnything({ chains, rules }: Doomed): boolean {
  return chains.size > 0 || rules.size > 0;
}

/** Without the last one, which is the chain's own: a policy, or the way back. */
function writtenRules<T>(rules: readonly T[]): readonly T[] {
  return rules.slice(0, -1);
}

function withoutDoomed(table: XtTable, { chains, rules }: Doomed): XtTable {
  return {
    ...table,
    chains: table.chains
      .filter(({ name, hook }) => hook !== undefined || !chains.has(name))
      .map((chain) => {
        const positions = chain.hook === undefined ? undefined : rules.get(chain.name);
        return positions === undefined
          ? chain
          : { ...chain, rules: chain.rules.filter((_, position) => !positions.has(position)) };
      }),
  };
}

function sumCounts(found: readonly FoundTable[]): KubeProxyCounts {
  const chains = found.reduce((sum, { doomed }) => sum + doomed.chains.size, 0);
  const rules = found.reduce((sum, { doomed }) => sum + doomed.ruleCount, 0);
  return countsOf({ chains, rules });
}

/** Of all its chains, also of those that stay: who begins to use one of them rewrites nothing. */
function hashChains(hash: ReturnType<typeof createHash>, { raw, chains }: XtTable): void {
  for (const { name, rules } of chains.filter((chain) => chain.hook === undefined && isKubeProxyChain(chain.name))) {
    hash.update(`${raw.family} ${raw.name} ${name}\n`);
    for (const rule of rules) hash.update(ruleContent(raw.family, rule));
  }
}
