/**
 * A table of iptables-legacy: the blob that the kernel gives and takes <-> chains of rules. Pure. A blob is a row of
 * entries (struct ipt_entry, ip6t_entry: include/uapi/linux/netfilter_ipv4/ip_tables.h, netfilter_ipv6/ip6_tables.h), each
 * with its matches and its target behind it; jumps and hooks are offsets into the row.
 *
 *   hook_entry[PREROUTING] ▶ rule · rule · policy ◀ underflow[PREROUTING]
 *   hook_entry[OUTPUT]     ▶ rule · policy        ◀ underflow[OUTPUT]
 *                            ERROR "KUBE-SERVICES" · rule · RETURN
 *                            ERROR "ERROR"                            the end
 *
 * Rules are carried as bytes: only where they jump to is read, and written anew when chains moved.
 */
import { BreakwaterError } from "../../model/errors.ts";
import type { Family } from "../../model/ip.ts";

/** What IPT_SO_GET_INFO and IPT_SO_GET_ENTRIES say of a table. */
export interface RawTable {
  readonly family: Family;
  readonly name: string;
  /** Bit n: hook n has a built-in chain. */
  readonly validHooks: number;
  /** Offset of each hook's first entry, and of its policy; five each, those of other hooks as they came. */
  readonly hookEntry: readonly number[];
  readonly underflow: readonly number[];
  readonly entryCount: number;
  readonly entries: Buffer;
}

export interface XtTable {
  readonly raw: RawTable;
  readonly chains: readonly XtChain[];
  /** The entry that ends the row. */
  readonly end: XtEntry;
}

export interface XtChain {
  readonly name: string;
  /** The hook of a built-in chain. */
  readonly hook?: number;
  /** The entry with the name of a chain that is not built in. */
  readonly head?: XtEntry;
  /** The last one is the policy, or a RETURN that nobody wrote. */
  readonly rules: readonly XtRule[];
}

export interface XtEntry {
  readonly bytes: Buffer;
  /** Position in the row that was read: where its counters are. */
  readonly index: number;
}

export interface XtRule extends XtEntry {
  /** The chain that the rule jumps or goes to. */
  readonly jump?: string;
  /** No target: the next rule is a jump to the place behind this one. */
  readonly fallsThrough?: true;
}

interface Layout {
  /** Of the entry before its matches: the counters are the last 16 bytes of it. */
  readonly size: number;
  /** Where the entry says where its target is, and (two bytes behind) where the next entry is. */
  readonly targetOffset: number;
  readonly nextOffset: number;
}

/** Of a 64-bit machine. */
const LAYOUTS: Readonly<Record<Family, Layout>> = {
  4: { size: 112, targetOffset: 88, nextOffset: 90 },
  6: { size: 168, targetOffset: 140, nextOffset: 142 },
};
/** struct xt_entry_target: size, name[29], revision; a standard target's verdict and an error's name stand behind it. */
const TARGET_NAME = 2;
const TARGET_NAME_BYTES = 29;
const TARGET_DATA = 32;
const ERROR_NAME_BYTES = 30;
const STANDARD_TARGET = "";
const ERROR_TARGET = "ERROR";

/** NF_INET_ hooks by number. */
const HOOK_NAMES = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];

/** @throws BreakwaterError BW_XTABLES for a row that no iptables would make: it is then better left alone */
export function decodeTable(raw: RawTable): XtTable {
  const starts = new Map<number, string>();
  const open = splitChains(raw, starts);
  const last = open.pop();
  const end = last?.head;
  if (last === undefined || end === undefined || last.rules.length > 0) throw malformed(raw, "it has no end");
  const chains = open.map((chain) => ({
    ...chain,
    rules: chain.rules.map((rule) => withJump(raw, rule, starts)),
  }));
  const endless = chains.find(({ rules }) => rules.length === 0);
  if (endless !== undefined) throw malformed(raw, `chain ${endless.name} has no last rule`);
  return { raw, chains, end };
}

interface PlacedEntry extends XtEntry {
  readonly offset: number;
}

interface OpenChain {
  readonly name: string;
  readonly hook?: number;
  readonly head?: XtEntry;
  readonly rules: PlacedEntry[];
}

/** @param starts is filled: the offset of each chain's first rule -> the chain's name */
function splitChains(raw: RawTable, starts: Map<number, string>): OpenChain[] {
  const hooks = hooksByOffset(raw);
  const chains: OpenChain[] = [];
  for (const entry of splitEntries(raw)) {
    const hook = hooks.get(entry.offset);
    const name = errorName(raw.family, entry.bytes);
    if (hook !== undefined) chains.push({ name: HOOK_NAMES[hook] ?? "", hook, rules: [] });
    if (name === undefined) {
      const chain = chains.at(-1);
      if (chain === undefined) throw malformed(raw, "its first rule belongs to no chain");
      chain.rules.push(entry);
    } else {
      chains.push({ name, head: { bytes: entry.bytes, index: entry.index }, rules: [] });
    }
    if (hook !== undefined) starts.set(entry.offset, HOOK_NAMES[hook] ?? "");
    else if (name !== undefined) starts.set(entry.offset + entry.bytes.length, name);
  }
  return chains;
}

function splitEntries(raw: RawTable): PlacedEntry[] {
  const { size, targetOffset, nextOffset } = LAYOUTS[raw.family];
  const { entries } = raw;
  const placed: PlacedEntry[] = [];
  for (let offset = 0; offset < entries.length; ) {
    if (offset + size > entries.length) throw malformed(raw, `entry ${placed.length} is cut short`);
    const target = entries.readUInt16LE(offset + targetOffset);
    const next = entries.readUInt16LE(offset + nextOffset);
    if (target < size || next < target + TARGET_DATA || offset + next > entries.length) {
      throw malformed(raw, `entry ${placed.length} has no room for its target`);
    }
    placed.push({ offset, index: placed.length, bytes: entries.subarray(offset, offset + next) });
    offset += next;
  }
  if (placed.length !== raw.entryCount) {
    throw malformed(raw, `it has ${placed.length} entries and should have ${raw.entryCount}`);
  }
  return placed;
}

function hooksByOffset({ validHooks, hookEntry }: RawTable): Map<number, number> {
  const hooks = HOOK_NAMES.flatMap((_, hook) => ((validHooks & (1 << hook)) !== 0 ? [hook] : []));
  return new Map(hooks.map((hook) => [hookEntry[hook] ?? -1, hook]));
}

function withJump(raw: RawTable, { bytes, index, offset }: PlacedEntry, starts: ReadonlyMap<number, string>): XtRule {
  const at = verdictOffset(raw.family, bytes);
  const verdict = at === undefined ? -1 : bytes.readInt32LE(at);
  if (verdict < 0) return { bytes, index };
  if (verdict === offset + bytes.length) return { bytes, index, fallsThrough: true };
  const jump = starts.get(verdict);
  if (jump === undefined) throw malformed(raw, `entry ${index} jumps into the middle of a chain`);
  return { bytes, index, jump };
}

function targetName(family: Family, entry: Buffer): string {
  const start = entry.readUInt16LE(LAYOUTS[family].targetOffset) + TARGET_NAME;
  return cutAtNul(entry.subarray(start, start + TARGET_NAME_BYTES));
}

/** Where the verdict of a rule with the standard target stands: below 0 what becomes of the packet, else an offset. */
function verdictOffset(family: Family, entry: Buffer): number | undefined {
  const at = entry.readUInt16LE(LAYOUTS[family].targetOffset) + TARGET_DATA;
  return targetName(family, entry) === STANDARD_TARGET && at + 4 <= entry.length ? at : undefined;
}

/** The name in an entry that is no rule: a chain's head, or the end. */
function errorName(family: Family, entry: Buffer): string | undefined {
  if (targetName(family, entry) !== ERROR_TARGET) return undefined;
  const start = entry.readUInt16LE(LAYOUTS[family].targetOffset) + TARGET_DATA;
  return cutAtNul(entry.subarray(start, start + ERROR_NAME_BYTES));
}

function cutAtNul(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString("latin1", 0, end < 0 ? bytes.length : end);
}

/** All entries in the order in which {@link encodeTable} writes them. */
export function tableEntries({ chains, end }: XtTable): XtEntry[] {
  return [...chains.flatMap(({ head, rules }) => (head === undefined ? rules : [head, ...rules])), end];
}

/** The row for the kernel. A table that was not changed gives the bytes that it was read from. */
export function encodeTable(table: XtTable): RawTable {
  const { raw } = table;
  const entries = Buffer.concat(tableEntries(table).map(({ bytes }) => bytes));
  const hookEntry = [...raw.hookEntry];
  const underflow = [...raw.underflow];
  const starts = chainStarts(table.chains);
  for (const { name, hook, head, rules } of table.chains) {
    const start = starts.get(name) ?? 0;
    let offset = start;
    for (const rule of rules) {
      writeJump(raw, entries, rule, offset, starts);
      offset += rule.bytes.length;
    }
    if (head !== undefined || hook === undefined) continue;
    hookEntry[hook] = start;
    underflow[hook] = offset - (rules.at(-1)?.bytes.length ?? 0);
  }
  return { ...raw, entries, hookEntry, underflow, entryCount: tableEntries(table).length };
}

function chainStarts(chains: readonly XtChain[]): Map<string, number> {
  const starts = new Map<string, number>();
  let offset = 0;
  for (const { name, head, rules } of chains) {
    offset += head?.bytes.length ?? 0;
    starts.set(name, offset);
    for (const { bytes } of rules) offset += bytes.length;
  }
  return starts;
}

function writeJump(
  raw: RawTable,
  entries: Buffer,
  { bytes, jump, fallsThrough, index }: XtRule,
  offset: number,
  starts: ReadonlyMap<string, number>,
): void {
  if (jump === undefined && fallsThrough === undefined) return;
  const at = verdictOffset(raw.family, bytes);
  const to = jump === undefined ? offset + bytes.length : starts.get(jump);
  if (at === undefined || to === undefined) throw malformed(raw, `entry ${index} jumps to ${jump}, which is gone`);
  entries.writeInt32LE(to, offset + at);
}

/** A rule with what the kernel and other chains write into it at zero: what people wrote, and where it leads to. */
export function ruleContent(family: Family, { bytes, jump, fallsThrough }: XtRule): Buffer {
  const { nextOffset, size } = LAYOUTS[family];
  const content = Buffer.from(bytes);
  // Hooks from which the rule is reached, a gap, counters.
  content.fill(0, nextOffset + 2, size);
  const verdict = verdictOffset(family, bytes);
  if (verdict !== undefined && (jump !== undefined || fallsThrough === true)) content.writeInt32LE(0, verdict);
  return Buffer.concat([content, Buffer.from(jump ?? "")]);
}

function malformed({ family, name }: RawTable, why: string): BreakwaterError {
  const object = `IPv${family} table ${name} of iptables-legacy`;
  return new BreakwaterError("BW_XTABLES", `Cannot understand the ${object}: ${why}`, {
    operation: "read",
    object,
    remedy: "It is left as it is. Remove kube-proxy's chains by its own means: kube-proxy --cleanup",
  });
}
