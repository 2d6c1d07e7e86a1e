/** Structures of FUSE as they travel over /dev/fuse: include/uapi/linux/fuse.h, protocol 7.31, little endian. */
import type { BigIntStats } from "node:fs";

export const OP = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  mkdir: 9,
  unlink: 10,
  rmdir: 11,
  rename: 12,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  flush: 25,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  fsyncdir: 30,
  access: 34,
  create: 35,
  interrupt: 36,
  batchForget: 42,
  rename2: 45,
} as const;

export const IN_HEADER_BYTES = 40;
const OUT_HEADER_BYTES = 16;
export const MAX_WRITE_BYTES = 128 * 1024;
/** How long the kernel may believe attributes and names, seconds: nobody else changes the folder below. */
const VALID_SECONDS = 1n;

export interface FuseRequest {
  readonly opcode: number;
  readonly unique: bigint;
  readonly nodeId: bigint;
  readonly body: Buffer;
}

export function readRequest(data: Buffer): FuseRequest {
  return {
    opcode: data.readUInt32LE(4),
    unique: data.readBigUInt64LE(8),
    nodeId: data.readBigUInt64LE(16),
    body: data.subarray(IN_HEADER_BYTES, data.readUInt32LE(0)),
  };
}

/** @param error 0, or a negative errno */
export function reply(unique: bigint, error: number, body: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(OUT_HEADER_BYTES);
  header.writeUInt32LE(OUT_HEADER_BYTES + body.length, 0);
  header.writeInt32LE(error, 4);
  header.writeBigUInt64LE(unique, 8);
  return Buffer.concat([header, body]);
}

/** The names behind a fixed part: each ends in a zero byte. */
export function names(body: Buffer, from = 0): string[] {
  return body.subarray(from).toString("utf8").split("\0").slice(0, -1);
}

/** struct fuse_init_out. */
export function initOut(body: Buffer): Buffer {
  const BIG_WRITES = 1 << 5;
  const out = Buffer.alloc(64);
  out.writeUInt32LE(7, 0);
  out.writeUInt32LE(Math.min(31, body.readUInt32LE(4)), 4);
  out.writeUInt32LE(body.readUInt32LE(8), 8);
  out.writeUInt32LE(BIG_WRITES, 12);
  out.writeUInt16LE(16, 16);
  out.writeUInt16LE(12, 18);
  out.writeUInt32LE(MAX_WRITE_BYTES, 20);
  out.writeUInt32LE(1, 24);
  return out;
}

/** struct fuse_attr. */
function attributes(stats: BigIntStats): Buffer {
  const out = Buffer.alloc(88);
  const seconds = (ns: bigint) => ns / 1_000_000_000n;
  const rest = (ns: bigint) => Number(ns % 1_000_000_000n);
  const wide = [
    stats.ino,
    stats.size,
    stats.blocks,
    seconds(stats.atimeNs),
    seconds(stats.mtimeNs),
    seconds(stats.ctimeNs),
  ];
  for (const [i, value] of wide.entries()) out.writeBigUInt64LE(value, 8 * i);
  const narrow = [
    rest(stats.atimeNs),
    rest(stats.mtimeNs),
    rest(stats.ctimeNs),
    Number(stats.mode),
    Number(stats.nlink),
    Number(stats.uid),
    Number(stats.gid),
    Number(stats.rdev),
    Number(stats.blksize),
  ];
  for (const [i, value] of narrow.entries()) out.writeUInt32LE(value, 48 + 4 * i);
  return out;
}

/** struct fuse_entry_out. */
export function entryOut(nodeId: bigint, stats: BigIntStats): Buffer {
  const out = Buffer.alloc(40);
  for (const [i, value] of [nodeId, 1n, VALID_SECONDS, VALID_SECONDS].entries()) out.writeBigUInt64LE(value, 8 * i);
  return Buffer.concat([out, attributes(stats)]);
}

/** struct fuse_attr_out. */
export function attrOut(stats: BigIntStats): Buffer {
  const out = Buffer.alloc(16);
  out.writeBigUInt64LE(VALID_SECONDS, 0);
  return Buffer.concat([out, attributes(stats)]);
}

/** struct fuse_open_out. */
export function openOut(handle: number): Buffer {
  const out = Buffer.alloc(16);
  out.writeBigUInt64LE(BigInt(handle), 0);
  return out;
}

/** struct fuse_write_out. */
export function writeOut(bytes: number): Buffer {
  const out = Buffer.alloc(8);
  out.writeUInt32LE(bytes, 0);
  return out;
}

/** struct fuse_kstatfs: as much room as anybody asks for. */
export function statfsOut(): Buffer {
  const out = Buffer.alloc(80);
  for (let i = 0; i < 5; i++) out.writeBigUInt64LE(1_000_000n, 8 * i);
  for (const [i, value] of [4096, 255, 4096].entries()) out.writeUInt32LE(value, 40 + 4 * i);
  return out;
}

/** One struct fuse_dirent. */
export function directoryEntry(name: string, offset: number, isFolder: boolean): Buffer {
  const [DT_DIR, DT_REG] = [4, 8];
  const text = Buffer.from(name);
  const out = Buffer.alloc(24 + Math.ceil(text.length / 8) * 8);
  out.writeBigUInt64LE(BigInt(offset), 0);
  out.writeBigUInt64LE(BigInt(offset), 8);
  out.writeUInt32LE(text.length, 16);
  out.writeUInt32LE(isFolder ? DT_DIR : DT_REG, 20);
  text.copy(out, 24);
  return out;
}
