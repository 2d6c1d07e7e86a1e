/**
 * The tables of iptables-legacy in the kernel: read and replaced whole, by getsockopt and setsockopt on a raw socket
 * (include/uapi/linux/netfilter_ipv4/ip_tables.h, netfilter_ipv6/ip6_tables.h). A table of these exists in a namespace
 * once somebody asked for it; /proc/net/ip_tables_names tells without asking, and without loading a module.
 */
import * as fs from "node:fs";
import { BreakwaterError } from "../../model/errors.ts";
import type { Family } from "../../model/ip.ts";
import * as libc from "../libc.ts";
import type { RawTable } from "./table-codec.ts";

/** The kernel's tables of one namespace. Real here, in memory for tests. */
export interface XtTables {
  /** Names of the tables that exist: "nat", "filter". */
  names(family: Family): string[];
  /** Undefined when there is no such table. @throws BreakwaterError BW_XTABLES */
  read(family: Family, name: string): RawTable | undefined;
  /**
   * Puts `table` in the place of one with `oldCount` entries; its counters begin at zero.
   * @returns the counters of the old entries, in their order, 16 bytes each
   * @throws BreakwaterError BW_XTABLES; errno EAGAIN: somebody replaced it meanwhile
   */
  replace(table: RawTable, oldCount: number): Buffer;
  /** Adds to the counters of a table, one pair for each of its entries. @throws BreakwaterError BW_XTABLES */
  addCounters(family: Family, name: string, counters: Buffer): void;
}

export const COUNTERS_BYTES = 16;
const NAME_BYTES = 32;
const HOOKS = 5;

const AF = { 4: 2, 6: 10 } as const;
/** IPPROTO_IP and IPPROTO_IPV6: the level of the options. */
const LEVEL = { 4: 0, 6: 41 } as const;
const SOCK_RAW_CLOEXEC = 0x80003;
const IPPROTO_RAW = 255;

const SO_SET_REPLACE = 64;
const SO_SET_ADD_COUNTERS = 65;
const SO_GET_INFO = 64;
const SO_GET_ENTRIES = 65;

/** struct ipt_getinfo: name, valid_hooks, hook_entry[5], underflow[5], num_entries, size. */
const INFO_BYTES = NAME_BYTES + 4 + 4 * HOOKS * 2 + 8;
/** struct ipt_get_entries: name, size, a gap; then the entries. */
const GET_ENTRIES_BYTES = 40;
/** struct ipt_replace: name, valid_hooks, num_entries, size, hook_entry, underflow, num_counters, a pointer; then them. */
const REPLACE_BYTES = 96;
/** struct xt_counters_info: name, num_counters, a gap; then the counters. */
const COUNTERS_INFO_BYTES = 40;

/** Between the size that the kernel told and the entries themselves somebody may replace the table. */
const READ_ATTEMPTS = 10;
const NO_TABLE: readonly string[] = ["ENOENT", "ENOPROTOOPT", "EAFNOSUPPORT"];

const NAMES_FILE: Readonly<Record<Family, string>> = { 4: "ip_tables_names", 6: "ip6_tables_names" };

/** The tables of the namespace that the calling thread is in. Needs CAP_NET_ADMIN there. */
export const xtTables: XtTables = {
  names(family) {
    try {
      const text = fs.readFileSync(`/proc/thread-self/net/${NAMES_FILE[family]}`, "utf8");
      return [...new Set(text.split("\n").filter((name) => name !== ""))].sort();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw failure("list", `IPv${family} tables of iptables-legacy`, (error as NodeJS.ErrnoException).code ?? "");
    }
  },
  read: (family, name) => withSocket(family, (fd) => readTable(fd, family, name)),
  replace: (table, oldCount) => withSocket(table.family, (fd) => replaceTable(fd, table, oldCount)) ?? Buffer.alloc(0),
  addCounters(family, name, counters) {
    const header = Buffer.alloc(COUNTERS_INFO_BYTES);
    header.write(name);
    header.writeUInt32LE(counters.length / COUNTERS_BYTES, NAME_BYTES);
    const value = Buffer.concat([header, counters]);
    withSocket(family, (fd) => set(fd, family, SO_SET_ADD_COUNTERS, value, "restore the counters of", name));
  },
};

/** Undefined where the kernel knows no such sockets: no IPv6. */
function withSocket<T>(family: Family, body: (fd: number) => T): T | undefined {
  const fd = libc.socket(AF[family], SOCK_RAW_CLOEXEC, IPPROTO_RAW);
  if (fd < 0) {
    const errno = libc.errnoName(libc.lastErrno());
    if (NO_TABLE.includes(errno)) return undefined;
    throw failure("open", `raw IPv${family} socket`, errno);
  }
  try {
    return body(fd);
  } finally {
    libc.close(fd);
  }
}

function readTable(fd: number, family: Family, name: string): RawTable | undefined {
  for (let attempt = 1; ; attempt++) {
    const info = Buffer.alloc(INFO_BYTES);
    info.write(name);
    const told = get(fd, family, SO_GET_INFO, info);
    if (NO_TABLE.includes(told)) return undefined;
    if (told !== "") throw failure("read", describe(family, name), told);
    const { size, ...table } = readInfo(info);
    const value = Buffer.alloc(GET_ENTRIES_BYTES + size);
    value.write(name);
    value.writeUInt32LE(size, NAME_BYTES);
    const errno = get(fd, family, SO_GET_ENTRIES, value);
    if (errno === "") return { family, name, ...table, entries: value.subarray(GET_ENTRIES_BYTES) };
    if (errno !== "EAGAIN" || attempt === READ_ATTEMPTS) throw failure("read", describe(family, name), errno);
  }
}

function readInfo(info: Buffer) {
  const numbers = (start: number) => Array.from({ length: HOOKS }, (_, i) => info.readUInt32LE(start + 4 * i));
  const hooks = NAME_BYTES + 4;
  return {
    validHooks: info.readUInt32LE(NAME_BYTES),
    hookEntry: numbers(hooks),
    underflow: numbers(hooks + 4 * HOOKS),
    entryCount: info.readUInt32LE(INFO_BYTES - 8),
    size: info.readUInt32LE(INFO_BYTES - 4),
  };
}

function replaceTable(fd: number, table: RawTable, oldCount: number): Buffer {
  const { family, name, validHooks, entryCount, entries, hookEntry, underflow } = table;
  const counters = Buffer.alloc(oldCount * COUNTERS_BYTES);
  const header = Buffer.alloc(REPLACE_BYTES);
  header.write(name);
  const numbers = [validHooks, entryCount, entries.length, ...hookEntry, ...underflow, oldCount];
  for (const [i, number] of numbers.entries()) header.writeUInt32LE(number, NAME_BYTES + 4 * i);
  header.writeBigUInt64LE(libc.addressOf(counters), REPLACE_BYTES - 8);
  set(fd, family, SO_SET_REPLACE, Buffer.concat([header, entries]), "replace", name);
  return counters;
}

/** @returns "" or the errno's name */
function get(fd: number, family: Family, option: number, value: Buffer): string {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(value.length);
  const result = libc.getsockopt(fd, LEVEL[family], option, value, length);
  return result < 0 ? libc.errnoName(libc.lastErrno()) : "";
}

function set(fd: number, family: Family, option: number, value: Buffer, operation: string, name: string): void {
  if (libc.setsockopt(fd, LEVEL[family], option, value, value.length) >= 0) return;
  throw failure(operation, describe(family, name), libc.errnoName(libc.lastErrno()));
}

function describe(family: Family, name: string): string {
  return `IPv${family} table ${name} of iptables-legacy`;
}

function failure(operation: string, object: string, errno: string): BreakwaterError {
  const remedy = errno === "EPERM" ? "Run as root, or with CAP_NET_ADMIN in this network namespace" : undefined;
  return new BreakwaterError("BW_XTABLES", `Cannot ${operation} ${object}: the kernel answered ${errno}`, {
    operation,
    object,
    errno,
    ...(remedy === undefined ? {} : { remedy }),
  });
}
