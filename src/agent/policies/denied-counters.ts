/**
 * What policies denied since the agent started, for each policy and direction: read from the kernel's counters when
 * somebody asks, and added up, for a chain that is made anew begins at nothing.
 */
import type { Nftables, NftChange, NftTableName } from "../../kernel/nfnetlink/types.ts";
import { messageOf } from "../../model/errors.ts";
import type { Family } from "../../model/ip.ts";
import { POLICY_TABLES } from "../../model/marks.ts";
import type { ObservedCounter } from "../../model/nft-changes.ts";
import type { PolicyDirection } from "../../model/policy.ts";
import { MIDSTREAM } from "../../plan/policies/frame.ts";
import type { Log } from "../log.ts";
import { directionOf } from "./denied-packet.ts";

export interface DeniedCount {
  readonly packets: number;
  readonly bytes: number;
}

export interface PolicyDenials extends DeniedCount {
  /** "namespace/name". */
  readonly policy: string;
  readonly direction: PolicyDirection;
}

/** The policies that select the same pods together: what none of them admits. */
export interface SharedDenials extends DeniedCount {
  readonly direction: PolicyDirection;
  readonly policies: readonly string[];
}

export interface DeniedCountersOptions {
  readonly nftables: Pick<Nftables, "table" | "counters" | "commit" | "watch">;
  /** By the chain that drops ("ingress-denied-…"): the policies that select its pods. */
  readonly denials: () => ReadonlyMap<string, readonly string[]>;
  readonly log: Pick<Log, "warn">;
}

const FAMILIES = [4, 6] as const;
const DENYING = /^(ingress|egress)-denied-/;

export class DeniedCounters {
  readonly #options: DeniedCountersOptions;
  /** What each rule's counter said last, by family, chain and rule. */
  readonly #seen = new Map<string, ObservedCounter>();
  /** The policies of each chain that the kernel may have, also of one that is just being taken away. */
  #policiesOf = new Map<string, readonly string[]>();
  readonly #policies = new Map<string, PolicyDenials>();
  readonly #chains = new Map<string, SharedDenials>();
  #strayPackets = 0;
  /** False until there was something to count: what an earlier agent left is not forgotten before it is compared. */
  #started = false;

  /** What was counted for the agent before this one stays uncounted. @throws BreakwaterError BW_NETLINK */
  constructor(options: DeniedCountersOptions) {
    this.#options = options;
    for (const family of FAMILIES) {
      const table = options.nftables.table(POLICY_TABLES[family]);
      const chains = (table?.chains ?? [])
        .map(({ name }) => name)
        .filter((name) => DENYING.test(name) || name === MIDSTREAM);
      for (const counter of this.#read(family, chains)) this.#seen.set(keyOf(family, counter), counter);
    }
  }

  /** The same tables for whoever changes them: a chain that is taken away or made anew is read before. */
  readBefore(): Pick<Nftables, "table" | "commit" | "watch"> {
    const { nftables } = this.#options;
    return {
      table: (name) => nftables.table(name),
      watch: (name, changed) => nftables.watch(name, changed),
      commit: (name, changes) => {
        this.#rescue(name, changes);
        nftables.commit(name, changes);
      },
    };
  }

  /** Reads the kernel. @throws BreakwaterError BW_NETLINK */
  collect(): void {
    const denials = this.#options.denials();
    if (denials.size === 0 && !this.#started) return;
    this.#started = true;
    this.#policiesOf = new Map(denials);
    const read = FAMILIES.flatMap((family) => this.#countAll(family, [...denials.keys(), MIDSTREAM]));
    const there = new Set(read);
    for (const key of this.#seen.keys()) if (!there.has(key)) this.#seen.delete(key);
    for (const chain of this.#chains.keys()) if (!denials.has(chain)) this.#chains.delete(chain);
    this.#mention(denials);
  }

  /** TCP segments of connections that nobody knows: cut by a policy, or forgotten by connection tracking. */
  get strayPackets(): number {
    return this.#strayPackets;
  }

  #rescue({ family, name }: NftTableName, changes: readonly NftChange[]): void {
    const of = FAMILIES.find((each) => POLICY_TABLES[each].family === family && POLICY_TABLES[each].name === name);
    const going = changes.flatMap((change) => {
      if (change.do === "deleteTable") return [...this.#policiesOf.keys(), MIDSTREAM];
      return change.do === "deleteChain" || change.do === "flushChain" ? [change.chain] : [];
    });
    try {
      const known = going.filter((chain) => this.#policiesOf.has(chain) || chain === MIDSTREAM);
      if (of !== undefined) this.#countAll(of, known);
    } catch (error) {
      // Enforcing goes first.
      this.#options.log.warn({ error: messageOf(error) }, "cannot read how much was denied before a change");
    }
    for (const [chain, policies] of this.#options.denials()) this.#policiesOf.set(chain, policies);
  }

  /** Since the agent started; also of policies that select no pod here any more. */
  byPolicy(): PolicyDenials[] {
    return [...this.#policies.values()];
  }

  /** Of the policies that select pods here now, those that share pods together. */
  together(): SharedDenials[] {
    return [...this.#chains.values()];
  }

  /** Policies that are gone are not told of any more, but for those that still select pods here. */
  retain(isThere: (policy: string) => boolean): void {
    const selecting = new Set([...this.#policiesOf.values()].flat());
    for (const [key, { policy }] of this.#policies) {
      if (!isThere(policy) && !selecting.has(policy)) this.#policies.delete(key);
    }
  }

  /** @returns the keys of the counters that were read */
  #countAll(family: Family, chains: readonly string[]): string[] {
    return this.#read(family, chains).map((counter) => {
      const key = keyOf(family, counter);
      this.#count(counter, this.#seen.get(key));
      this.#seen.set(key, counter);
      return key;
    });
  }

  #read(family: Family, chains: readonly string[]): readonly ObservedCounter[] {
    return chains.length === 0 ? [] : this.#options.nftables.counters(POLICY_TABLES[family], chains);
  }

  #count({ chain, packets: packetsNow, bytes: bytesNow }: ObservedCounter, before: ObservedCounter | undefined): void {
    // In a table that was made anew rules have the numbers of older ones, and begin at nothing.
    const goesOn = before !== undefined && before.packets <= packetsNow;
    const packets = Number(packetsNow - (goesOn ? before.packets : 0n));
    const bytes = Number(bytesNow - (goesOn ? before.bytes : 0n));
    if (chain === MIDSTREAM) {
      this.#strayPackets += packets;
      return;
    }
    const [direction, policies] = [directionOf(chain), this.#policiesOf.get(chain) ?? []];
    for (const policy of policies) this.#add(policy, direction, packets, bytes);
    const sum = this.#chains.get(chain) ?? { direction, policies, packets: 0, bytes: 0 };
    this.#chains.set(chain, { ...sum, packets: sum.packets + packets, bytes: sum.bytes + bytes });
  }

  #add(policy: string, direction: PolicyDirection, packets: number, bytes: number): void {
    const key = `${direction} ${policy}`;
    const sum = this.#policies.get(key) ?? { policy, direction, packets: 0, bytes: 0 };
    this.#policies.set(key, { ...sum, packets: sum.packets + packets, bytes: sum.bytes + bytes });
  }

  /** Nothing denied yet is a count, too: the first denial is then seen as a rise. */
  #mention(denials: ReadonlyMap<string, readonly string[]>): void {
    for (const [chain, policies] of denials) {
      for (const policy of policies) this.#add(policy, directionOf(chain), 0, 0);
    }
  }
}

function keyOf(family: Family, { chain, handle }: ObservedCounter): string {
  return `${family} ${chain} ${handle}`;
}
