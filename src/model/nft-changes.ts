/**
 * Steps that change an nftables table, and what a table holds when it is read back: `src/diff` makes the first from the
 * second, `src/kernel` commits them.
 */
import { hash } from "node:crypto";
import {
  formatNftRule,
  type NftBaseChain,
  type NftChain,
  type NftFlowtable,
  type NftRule,
  type NftSet,
  type NftTable,
} from "./nft.ts";

export type NftTableName = Pick<NftTable, "family" | "name">;

/** One step of a transaction. Steps apply in order; the transaction applies whole or not at all. */
export type NftChange =
  | { readonly do: "addTable" }
  | { readonly do: "deleteTable" }
  | { readonly do: "addSet"; readonly set: NftSet }
  | { readonly do: "deleteSet"; readonly set: string }
  | { readonly do: "addElements"; readonly set: NftSet; readonly elements: readonly string[] }
  | { readonly do: "deleteElements"; readonly set: NftSet; readonly elements: readonly string[] }
  /** Makes it, or adds its devices to those that it has. */
  | { readonly do: "addFlowtable"; readonly flowtable: NftFlowtable }
  /** Takes these devices away from it. */
  | { readonly do: "deleteFlowtableDevices"; readonly flowtable: NftFlowtable }
  | { readonly do: "deleteFlowtable"; readonly flowtable: string }
  | { readonly do: "addChain"; readonly chain: Omit<NftChain, "rules"> }
  | { readonly do: "flushChain"; readonly chain: string }
  | { readonly do: "deleteChain"; readonly chain: string }
  | { readonly do: "addRule"; readonly chain: string; readonly rule: NftRule };

/** A table as the kernel has it. Rules are known by the fingerprint that was stored with them. */
export interface ObservedTable extends NftTableName {
  /** Absent: none. */
  readonly flowtables?: readonly NftFlowtable[];
  /** Of a dynamic set without the elements that packets made. */
  readonly sets: readonly Omit<NftSet, "comment">[];
  readonly chains: readonly ObservedChain[];
}

export interface ObservedElement {
  /** As in {@link NftSet.elements}. */
  readonly text: string;
  /** Packets that found it, where the set counts them, and their bytes. */
  readonly packets?: bigint;
  readonly bytes?: bigint;
  /** Milliseconds until it ends by itself; absent: it does not. */
  readonly endsInMs?: number;
}

/** What a rule's counter has counted since the rule was made. */
export interface ObservedCounter {
  readonly chain: string;
  /** Tells the rule from one that was in its place before: the kernel gives each another number. */
  readonly handle: bigint;
  readonly packets: bigint;
  readonly bytes: bigint;
}

export interface ObservedChain {
  readonly name: string;
  readonly base?: NftBaseChain;
  /** {@link ruleFingerprint} of each rule in order; "" for a rule that somebody else put there. */
  readonly fingerprints: readonly string[];
}

/** Plans share rules, and a rule is looked at when it comes and when it goes. */
const fingerprints = new WeakMap<NftRule, string>();

/** Identifies a rule's text: equal rules have equal fingerprints. 16 hexadecimal digits. */
export function ruleFingerprint(rule: NftRule): string {
  const known = fingerprints.get(rule);
  if (known !== undefined) return known;
  const fingerprint = hash("sha256", formatNftRule(rule), "hex").slice(0, 16);
  fingerprints.set(rule, fingerprint);
  return fingerprint;
}
