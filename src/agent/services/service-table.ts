/**
 * The table of Services of one family in the kernel, and what we know of it: read once, then kept by our own commits.
 * After a commit that failed, what we believe is what the kernel has: the transaction applies whole or not at all.
 */
import { canBecome, diffNft } from "../../diff/nft.ts";
import {
  changeFrontend,
  ElementBatch,
  hasLeftovers,
  type ObservedFrontend,
  observeFrontends,
  sweepFrontend,
} from "../../diff/services.ts";
import type { Nftables } from "../../kernel/nfnetlink/types.ts";
import type { Family, Ip } from "../../model/ip.ts";
import { SERVICE_TABLES } from "../../model/marks.ts";
import type { NftChain, NftSet, NftTable } from "../../model/nft.ts";
import { type NftChange, type ObservedChain, type ObservedTable, ruleFingerprint } from "../../model/nft-changes.ts";
import type { ServiceConfig } from "../../model/node-config.ts";
import type { Prefix } from "../../model/prefix.ts";
import { planServiceChains } from "../../plan/services/chains.ts";
import { isInside, type ServiceContext } from "../../plan/services/frontends.ts";
import { elementFamily, noneTouched, type ServiceLedger, type Touched } from "../../plan/services/ledger.ts";
import { planServiceSets } from "../../plan/services/table.ts";
import { RememberedClients } from "./remembered-clients.ts";

export interface ServiceTableOptions {
  readonly family: Family;
  readonly nftables: Nftables;
  readonly ledger: ServiceLedger;
  readonly config: ServiceConfig;
}

/** What a transaction is made of lies in memory thrice: as text, as bytes and in the kernel's copy. */
const FRONTENDS_AT_ONCE = 1000;

/** Sets whose elements belong to no single frontend. */
type SharedSet = "cluster-ips" | "hairpin";

export class ServiceTable {
  readonly #options: ServiceTableOptions;
  readonly #sets: ReadonlyMap<string, NftSet>;
  /** Undefined while there is no table, or none that we can go on from. */
  #chains: readonly ObservedChain[] | undefined;
  #frontends = new Map<string, ObservedFrontend>();
  #shared: Record<SharedSet, Set<string>> = { "cluster-ips": new Set(), hairpin: new Set() };
  /** Frontends with slots that no packet will read soon. */
  readonly #leftovers = new Set<string>();
  /** Chains and sets that nobody needs, or that somebody else put there. */
  #staleChains: readonly string[] = [];
  #staleSets: readonly string[] = [];
  /** What of both was left over before the last {@link sweepRipe}. */
  #ripe: { readonly frontends: Set<string>; readonly chains: Set<string> } = {
    frontends: new Set(),
    chains: new Set(),
  };
  /** A table of another layout stands in the way. */
  #replace = false;
  #missingSets: readonly NftSet[] = [];
  #plannedFrom = "";
  #podCidrs: readonly Prefix[] = [];
  readonly #clients: RememberedClients;

  constructor(options: ServiceTableOptions) {
    this.#options = options;
    const sets = planServiceSets(options.family, options.config.counters);
    this.#sets = new Map(sets.map((set) => [set.name, set]));
    this.#clients = new RememberedClients(options.nftables, options.family);
  }

  get family(): Family {
    return this.#options.family;
  }

  /** Frontends that the kernel has elements of. */
  frontends(): ReadonlyMap<string, ObservedFrontend> {
    return this.#frontends;
  }

  /** Addresses in the shared sets, as the kernel has them. */
  shared(set: SharedSet): ReadonlySet<string> {
    return this.#shared[set];
  }

  /** True when slots, chains, sets or the table wait for their deletion. */
  get hasLeftovers(): boolean {
    return this.#leftovers.size + this.#staleChains.length + this.#staleSets.length > 0 || this.#servesNobody();
  }

  /** True for chains and sets that wait for their deletion. */
  isWaiting(name: string): boolean {
    return this.#staleChains.includes(name) || this.#staleSets.includes(name);
  }

  /** Reads the kernel's table. @throws BreakwaterError BW_NETLINK */
  read(): ObservedTable | undefined {
    const { nftables, family } = this.#options;
    return nftables.table(SERVICE_TABLES[family]);
  }

  /** The same, letting others run in between. */
  readInPieces(): Promise<ObservedTable | undefined> {
    const { nftables, family } = this.#options;
    return nftables.tableInPieces(SERVICE_TABLES[family]);
  }

  /** Goes on from a table as it was read. One of another layout is made anew by the next {@link update}. */
  adopt(observed: ObservedTable | undefined): void {
    const isOurs = observed !== undefined && canBecome(observed, this.#table(this.#desiredChains()));
    this.#chains = isOurs ? observed.chains : undefined;
    this.#missingSets = isOurs
      ? [...this.#sets.values()].filter(({ name }) => !observed.sets.some((s) => s.name === name))
      : [];
    const sets = isOurs ? observed.sets.map(({ name }) => name) : [];
    this.#staleSets = sets.filter((name) => !this.#sets.has(name));
    this.#staleChains = [];
    this.#frontends = isOurs ? observeFrontends(observed.sets) : new Map();
    const elements = (name: SharedSet) =>
      new Set(isOurs ? observed.sets.find((set) => set.name === name)?.elements : undefined);
    this.#shared = { "cluster-ips": elements("cluster-ips"), hairpin: elements("hairpin") };
    this.#plannedFrom = "";
    this.#leftovers.clear();
    this.#ripe = { frontends: new Set(), chains: new Set() };
    this.#replace = observed !== undefined && !isOurs;
    if (isOurs) this.#clients.suspect();
    for (const [key, frontend] of this.#frontends) this.#noteLeftovers(key, frontend);
  }

  /**
   * Brings what was touched in line with the ledger: in one transaction, or where that is much in several, of which each
   * holds whole frontends. A table that takes the place of another comes in one.
   * @returns elements that changed
   * @throws BreakwaterError BW_NFTABLES; what that transaction should have brought has not changed then
   */
  update(touched: Touched, node: Pick<ServiceContext, "podCidrs" | "addresses">): number {
    this.#podCidrs = node.podCidrs;
    const keys = [...touched.frontends].filter((key) => elementFamily(key) === this.family);
    const atOnce = this.#replace ? Number.POSITIVE_INFINITY : FRONTENDS_AT_ONCE;
    let size = this.#updateSome(keys.slice(0, atOnce), touched, node);
    for (let i = atOnce; i < keys.length; i += atOnce) {
      size += this.#updateSome(keys.slice(i, i + atOnce), noneTouched(), node);
    }
    return size;
  }

  #updateSome(keys: readonly string[], touched: Touched, node: Pick<ServiceContext, "podCidrs" | "addresses">): number {
    const { ledger } = this.#options;
    const batch = new ElementBatch();
    const after = new Map<string, ObservedFrontend | undefined>();
    for (const key of keys) {
      after.set(key, changeFrontend(key, this.#frontends.get(key), this.#wanted(key), batch));
    }
    const ips = this.#changeShared(batch, "cluster-ips", touched.clusterIps, (ip: Ip) => ledger.hasClusterIp(ip));
    const hairpins = this.#changeShared(batch, "hairpin", touched.hairpins, (text) => ledger.hasHairpin(text));
    // A family that no Service has needs no table.
    if (this.#chains === undefined && !this.#replace && batch.isEmpty) return 0;
    const chains = this.#planChains();
    const skeleton = chains === undefined ? [] : this.#skeletonChanges(chains);
    const clients = this.#clients.plan(this.#frontends, after, (client) => isInside(client, node));
    this.#clients.commit([...skeleton, ...batch.changes(this.#sets)], clients);
    this.#settleFrontends(after);
    for (const settle of [ips, hairpins]) settle();
    if (chains !== undefined) this.#settleChains(chains);
    return batch.size;
  }

  /** True when clients wait to be forgotten. */
  get hasForgettableClients(): boolean {
    return this.#clients.hasForgettable;
  }

  /** Forgets clients whose endpoint went, or moved. @returns how many @throws BreakwaterError BW_NFTABLES */
  forgetClients(): number {
    return this.#clients.forget();
  }

  /** Deletes all that was left over. @throws BreakwaterError BW_NFTABLES; nothing has changed then */
  sweep(): void {
    this.#sweep([...this.#leftovers], this.#staleChains);
  }

  /**
   * Deletes what was left over at the last call already: no packet has been in it since.
   * @throws BreakwaterError BW_NFTABLES; nothing has changed then
   */
  sweepRipe(): void {
    const { frontends, chains } = this.#ripe;
    this.#sweep(
      [...frontends],
      this.#staleChains.filter((name) => chains.has(name)),
    );
    this.#ripe = { frontends: new Set(this.#leftovers), chains: new Set(this.#staleChains) };
  }

  #sweep(frontends: readonly string[], chains: readonly string[]): void {
    const { nftables } = this.#options;
    if (this.#servesNobody()) {
      nftables.commit(SERVICE_TABLES[this.family], [{ do: "deleteTable" }]);
      this.adopt(undefined);
      return;
    }
    const batch = new ElementBatch();
    const after = new Map<string, ObservedFrontend | undefined>();
    for (const key of frontends) {
      const observed = this.#frontends.get(key);
      if (observed !== undefined) after.set(key, sweepFrontend(key, observed, this.#wanted(key), batch));
    }
    // Rules of chains that wait longer may use them.
    const sets = chains.length === this.#staleChains.length ? this.#staleSets : [];
    const changes: NftChange[] = [
      ...batch.changes(this.#sets),
      ...chains.map((chain) => ({ do: "flushChain", chain }) as const),
      ...sets.map((set) => ({ do: "deleteSet", set }) as const),
      ...chains.map((chain) => ({ do: "deleteChain", chain }) as const),
    ];
    if (changes.length > 0) nftables.commit(SERVICE_TABLES[this.family], changes);
    this.#settleFrontends(after);
    this.#chains = this.#chains?.filter(({ name }) => !chains.includes(name));
    this.#staleChains = this.#staleChains.filter((name) => !chains.includes(name));
    this.#staleSets = this.#staleSets.filter((name) => !sets.includes(name));
  }

  /** A table without frontends and addresses is no table: no packet finds anything in it. */
  #servesNobody(): boolean {
    if (this.#chains === undefined || this.#shared["cluster-ips"].size + this.#shared.hairpin.size > 0) return false;
    return this.#frontends.size === 0;
  }

  #wanted(key: string) {
    return this.#options.ledger.frontend(key);
  }

  #changeShared(batch: ElementBatch, set: SharedSet, touched: Iterable<string>, isWanted: (text: string) => boolean) {
    const have = this.#shared[set];
    const [come, go]: [string[], string[]] = [[], []];
    for (const element of touched) {
      if (elementFamily(element) !== this.family || isWanted(element) === have.has(element)) continue;
      (have.has(element) ? go : come).push(element);
    }
    for (const element of go) batch.delete(set, element);
    for (const element of come) batch.add(set, element);
    return () => {
      for (const element of go) have.delete(element);
      for (const element of come) have.add(element);
    };
  }

  #settleFrontends(after: ReadonlyMap<string, ObservedFrontend | undefined>): void {
    for (const [key, frontend] of after) {
      if (frontend === undefined) this.#frontends.delete(key);
      else this.#frontends.set(key, frontend);
      this.#leftovers.delete(key);
      this.#ripe.frontends.delete(key);
      if (frontend !== undefined) this.#noteLeftovers(key, frontend);
    }
  }

  #noteLeftovers(key: string, frontend: ObservedFrontend): void {
    if (hasLeftovers(frontend, this.#wanted(key))) this.#leftovers.add(key);
  }

  /** The chains, or undefined while nothing that they depend on has changed. */
  #planChains(): NftChain[] | undefined {
    const { ledger } = this.#options;
    const from = `${ledger.needsVersion(this.family)} ${this.#podCidrs.join()}`;
    if (this.#chains !== undefined && this.#plannedFrom === from) return undefined;
    return this.#desiredChains();
  }

  #desiredChains(): NftChain[] {
    const { family, config, ledger } = this.#options;
    return planServiceChains({
      family,
      podCidrs: this.#podCidrs.filter((prefix) => elementFamily(prefix) === family),
      serviceCidrs: config.serviceCidrs.filter((prefix) => elementFamily(prefix) === family),
      needs: ledger.needs(family),
      dropInvalid: config.dropInvalid,
      ipvs: config.ipvs !== undefined,
    });
  }

  /** Chains that nobody needs any more stay until the sweep: packets may be in them. */
  #skeletonChanges(chains: readonly NftChain[]): NftChange[] {
    const names = new Set(chains.map(({ name }) => name));
    const table = this.#table(chains);
    if (this.#chains === undefined) {
      const fresh = diffNft(table, undefined);
      return this.#replace ? [{ do: "deleteTable" }, ...fresh] : fresh;
    }
    const known = this.#chains.filter(({ name }) => names.has(name));
    const sets = table.sets.filter((set) => !this.#missingSets.includes(set));
    return diffNft(table, { ...table, sets, chains: known });
  }

  #table(chains: readonly NftChain[]): NftTable {
    return { ...SERVICE_TABLES[this.family], sets: [...this.#sets.values()], chains };
  }

  #settleChains(chains: readonly NftChain[]): void {
    const names = new Set(chains.map(({ name }) => name));
    const stale = (this.#chains ?? []).filter(({ name }) => !names.has(name));
    this.#staleChains = stale.map(({ name }) => name);
    for (const { name } of chains) this.#ripe.chains.delete(name);
    this.#chains = [...chains.map(observedAs), ...stale];
    this.#replace = false;
    this.#missingSets = [];
    this.#plannedFrom = `${this.#options.ledger.needsVersion(this.family)} ${this.#podCidrs.join()}`;
  }
}

function observedAs({ name, base, rules }: NftChain): ObservedChain {
  return { name, ...(base === undefined ? {} : { base }), fingerprints: rules.map(ruleFingerprint) };
}
