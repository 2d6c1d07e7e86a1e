/**
 * The lines of the journal (journal.ts). Pure: text <-> entries <-> state.
 *
 * One line is one batch of entries that were written together, with a checksum over them:
 *
 *   {"crc":"0a1b2c3d","entries":[{"op":"add","record":{…}},{"op":"del","key":"4f…/eth0","atMs":…}]}
 *
 * Killed while it writes, or without power, a node leaves at most the last line torn: no later batch is begun before
 * an earlier one is complete. A torn line was never acknowledged to anybody and is dropped. Torn means: without its
 * newline, or holding NUL bytes (blocks of the file that were allocated and never written). Anything else that does not
 * read back is damage, and an error that names file and line.
 */
import { crc32 } from "node:zlib";
import { BreakwaterError, messageOf } from "../model/errors.ts";
import type { Ip } from "../model/ip.ts";
import type { AttachedPod } from "./pod-network.ts";
import { type AttachmentKey, attachmentKey, type PodRecord } from "./pod-record.ts";

export const FORMAT_VERSION = 1;

export type JournalEntry =
  /** First entry of a file. */
  | { readonly op: "format"; readonly version: number }
  | { readonly op: "add"; readonly record: PodRecord }
  | { readonly op: "attached"; readonly key: AttachmentKey; readonly attached: AttachedPod }
  | { readonly op: "del"; readonly key: AttachmentKey; readonly atMs: number }
  /** Only in snapshots: where an address walk goes on, and an address that rests. */
  | { readonly op: "cursor"; readonly ip: Ip }
  | { readonly op: "rest"; readonly ip: Ip; readonly atMs: number };

/** What a journal says when it has been read to its end. */
export interface JournalState {
  readonly records: Map<AttachmentKey, PodRecord>;
  readonly resting: Map<Ip, number>;
  readonly cursors: Ip[];
  /** Bytes of the file up to its last good line. */
  goodBytes: number;
  /** Bytes of a torn last line; 0 when there is none. */
  tornBytes: number;
}

const CRC_HEAD = '{"crc":"';
const ENTRIES_HEAD = '","entries":';
const CRC_DIGITS = 8;

export function encodeBatch(entries: readonly JournalEntry[]): string {
  const text = JSON.stringify(entries);
  return `${CRC_HEAD}${checksum(text)}${ENTRIES_HEAD}${text}}\n`;
}

/**
 * Reads a whole journal.
 * @throws BreakwaterError BW_JOURNAL_CORRUPT naming file and line
 */
export function replayJournal(bytes: Buffer, path: string): JournalState {
  const state: JournalState = { records: new Map(), resting: new Map(), cursors: [], goodBytes: 0, tornBytes: 0 };
  for (let line = 1; state.goodBytes < bytes.length; line++) {
    const newline = bytes.indexOf(0x0a, state.goodBytes);
    const end = newline < 0 ? bytes.length : newline + 1;
    const text = bytes.subarray(state.goodBytes, end);
    if (isTorn(text, end === bytes.length)) {
      state.tornBytes = text.length;
      return state;
    }
    try {
      for (const entry of decodeBatch(text.toString("utf8"))) applyEntry(state, entry);
    } catch (error) {
      throw corrupt(path, line, messageOf(error));
    }
    state.goodBytes = end;
  }
  return state;
}

function isTorn(line: Buffer, last: boolean): boolean {
  return last && (line.at(-1) !== 0x0a || line.includes(0));
}

/** @throws SyntaxError saying what is wrong with the line */
function decodeBatch(line: string): readonly JournalEntry[] {
  const start = CRC_HEAD.length + CRC_DIGITS;
  const text = line.slice(start + ENTRIES_HEAD.length, -2);
  const framed = line.startsWith(CRC_HEAD) && line.startsWith(ENTRIES_HEAD, start) && line.endsWith("}\n");
  if (!framed) throw new SyntaxError("it is no line of a journal");
  if (line.slice(CRC_HEAD.length, start) !== checksum(text)) throw new SyntaxError("its checksum does not match");
  return JSON.parse(text) as readonly JournalEntry[];
}

/** The checksum says that the entry is one we wrote: only its kind and the format are looked at again. */
function applyEntry(state: JournalState, entry: JournalEntry): void {
  switch (entry.op) {
    case "format":
      if (entry.version !== FORMAT_VERSION) throw new SyntaxError(`format ${entry.version} is not ${FORMAT_VERSION}`);
      return;
    case "add":
      for (const ip of entry.record.ips) state.resting.delete(ip);
      state.records.set(attachmentKey(entry.record), entry.record);
      state.cursors.push(...entry.record.ips);
      return;
    case "attached": {
      const record = state.records.get(entry.key);
      if (record !== undefined) state.records.set(entry.key, { ...record, attached: entry.attached });
      return;
    }
    case "del":
      for (const ip of state.records.get(entry.key)?.ips ?? []) state.resting.set(ip, entry.atMs);
      state.records.delete(entry.key);
      return;
    case "cursor":
      state.cursors.push(entry.ip);
      return;
    case "rest":
      state.resting.set(entry.ip, entry.atMs);
      return;
    default:
      throw new SyntaxError(`it holds an entry of unknown kind ${JSON.stringify(entry)}`);
  }
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(CRC_DIGITS, "0");
}

function corrupt(path: string, line: number, why: string): BreakwaterError {
  return new BreakwaterError("BW_JOURNAL_CORRUPT", `Journal ${path} is damaged in line ${line}: ${why}`, {
    operation: "read journal",
    object: `${path}:${line}`,
    remedy:
      "restore the file, or drain this node, move the file away, restart the agent and uncordon: " +
      "without it the agent does not know which addresses its pods have",
  });
}
