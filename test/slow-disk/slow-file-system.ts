/**
 * A file system whose syncs are slow: FUSE, served by this process, over a folder of the machine's own. Everything is passed
 * through; fsync and fdatasync are answered so many milliseconds later. It is mounted in the process's own mount namespace
 * (`unshare --mount`), and gone with it. It knows as much of FUSE as etcd uses.
 */
import * as fs from "node:fs";
import { basename, dirname, join } from "node:path";
import * as libc from "../../src/kernel/libc.ts";
import {
  attrOut,
  directoryEntry,
  entryOut,
  type FuseRequest,
  IN_HEADER_BYTES,
  initOut,
  MAX_WRITE_BYTES,
  names,
  OP,
  openOut,
  readRequest,
  reply,
  statfsOut,
  writeOut,
} from "./fuse-wire.ts";

const ROOT = 1n;
const ENOSYS = -38;
const EIO = -5;
const NO_DATA = Buffer.alloc(0);
/** FATTR_MODE, FATTR_SIZE of fuse.h: what etcd sets; times and owners are let be. */
const [SET_MODE, SET_SIZE] = [1, 8];
const MS_NOSUID_NODEV = 6;
/** Flags of open(2) that are the kernel's to mind, not ours. */
const CREATING = fs.constants.O_CREAT | fs.constants.O_EXCL | fs.constants.O_NOCTTY;

export class SlowFileSystem {
  delayMs: number;
  readonly #folder: string;
  readonly #device: number;
  /** Paths below the folder by node id; "" is the folder. */
  readonly #paths = new Map<bigint, string>([[ROOT, ""]]);
  readonly #ids = new Map<string, bigint>([["", ROOT]]);
  #lastId = ROOT;
  readonly #buffer = Buffer.alloc(MAX_WRITE_BYTES + IN_HEADER_BYTES + 4096);

  /** @throws when this process may not mount */
  constructor(folder: string, target: string, delayMs: number) {
    this.#folder = folder;
    this.delayMs = delayMs;
    this.#device = fs.openSync("/dev/fuse", fs.constants.O_RDWR | fs.constants.O_NONBLOCK);
    const data = `fd=${this.#device},rootmode=40000,user_id=0,group_id=0,allow_other`;
    libc.checked(libc.mount("slow", target, "fuse", MS_NOSUID_NODEV, data), "mount", target);
    libc.pollReadable(this.#device, () => this.#serve());
  }

  #serve(): void {
    for (;;) {
      let size: number;
      try {
        size = fs.readSync(this.#device, this.#buffer);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        // Nothing more; or a request that was taken back before it was read.
        if (code === "EAGAIN" || code === "ENODEV") return;
        if (code === "ENOENT" || code === "EINTR") continue;
        throw error;
      }
      this.#answer(readRequest(Buffer.from(this.#buffer.subarray(0, size))));
    }
  }

  #answer(request: FuseRequest): void {
    const { opcode, unique } = request;
    // These are told, not asked.
    if (opcode === OP.forget || opcode === OP.batchForget || opcode === OP.interrupt) return;
    let answer: Buffer;
    try {
      const body = this.#do(request);
      answer = body === undefined ? reply(unique, ENOSYS) : reply(unique, 0, body);
    } catch (error) {
      answer = reply(unique, (error as NodeJS.ErrnoException).errno ?? EIO);
    }
    const send = () => fs.writeSync(this.#device, answer);
    if (opcode === OP.fsync || opcode === OP.fsyncdir) setTimeout(send, this.delayMs);
    else send();
  }

  /** @returns undefined for what this file system cannot do */
  #do({ opcode, nodeId, body }: FuseRequest): Buffer | undefined {
    const handle = () => Number(body.readBigUInt64LE(0));
    switch (opcode) {
      case OP.init:
        return initOut(body);
      case OP.lookup:
        return this.#entry(nodeId, names(body)[0] ?? "");
      case OP.getattr:
        return attrOut(this.#stat(nodeId));
      case OP.setattr:
        return this.#setAttributes(nodeId, body);
      case OP.mkdir:
        fs.mkdirSync(this.#path(nodeId, names(body, 8)[0]), body.readUInt32LE(0));
        return this.#entry(nodeId, names(body, 8)[0] ?? "");
      case OP.unlink:
        fs.unlinkSync(this.#path(nodeId, names(body)[0]));
        return NO_DATA;
      case OP.rmdir:
        fs.rmdirSync(this.#path(nodeId, names(body)[0]));
        return NO_DATA;
      case OP.rename:
        return this.#rename(nodeId, body, 8);
      case OP.rename2:
        return this.#rename(nodeId, body, 16);
      case OP.create:
        return this.#create(nodeId, body);
      case OP.open:
        return openOut(fs.openSync(this.#path(nodeId), body.readUInt32LE(0) & ~CREATING));
      case OP.read:
        return read(handle(), body);
      case OP.write:
        return writeOut(fs.writeSync(handle(), body, 40, body.readUInt32LE(16), Number(body.readBigUInt64LE(8))));
      case OP.fsync:
        fs.fdatasyncSync(handle());
        return NO_DATA;
      case OP.release:
        fs.closeSync(handle());
        return NO_DATA;
      case OP.readdir:
        return this.#list(nodeId, body);
      case OP.opendir:
        return openOut(0);
      case OP.statfs:
        return statfsOut();
      case OP.flush:
      case OP.fsyncdir:
      case OP.releasedir:
      case OP.access:
        return NO_DATA;
      default:
        return undefined;
    }
  }

  #path(nodeId: bigint, name = ""): string {
    return join(this.#folder, this.#paths.get(nodeId) ?? "", name);
  }

  #stat(nodeId: bigint): fs.BigIntStats {
    return fs.lstatSync(this.#path(nodeId), { bigint: true });
  }

  #entry(parent: bigint, name: string): Buffer {
    const path = join(this.#paths.get(parent) ?? "", name);
    const stats = fs.lstatSync(join(this.#folder, path), { bigint: true });
    const known = this.#ids.get(path);
    if (known !== undefined) return entryOut(known, stats);
    this.#lastId++;
    this.#ids.set(path, this.#lastId);
    this.#paths.set(this.#lastId, path);
    return entryOut(this.#lastId, stats);
  }

  #create(parent: bigint, body: Buffer): Buffer {
    const name = names(body, 16)[0] ?? "";
    const handle = fs.openSync(
      this.#path(parent, name),
      body.readUInt32LE(0) | fs.constants.O_CREAT,
      body.readUInt32LE(4) & 0o7777,
    );
    return Buffer.concat([this.#entry(parent, name), openOut(handle)]);
  }

  #setAttributes(nodeId: bigint, body: Buffer): Buffer {
    const valid = body.readUInt32LE(0);
    if ((valid & SET_MODE) !== 0) fs.chmodSync(this.#path(nodeId), body.readUInt32LE(68) & 0o7777);
    if ((valid & SET_SIZE) !== 0) fs.truncateSync(this.#path(nodeId), Number(body.readBigUInt64LE(16)));
    return attrOut(this.#stat(nodeId));
  }

  #rename(parent: bigint, body: Buffer, from: number): Buffer {
    const [before = "", after = ""] = names(body, from);
    const target = body.readBigUInt64LE(0);
    const [old, next] = [join(this.#paths.get(parent) ?? "", before), join(this.#paths.get(target) ?? "", after)];
    fs.renameSync(join(this.#folder, old), join(this.#folder, next));
    this.#ids.delete(next);
    for (const [path, id] of [...this.#ids]) {
      if (path !== old && !path.startsWith(`${old}/`)) continue;
      const moved = join(dirname(next), basename(next), path.slice(old.length));
      this.#ids.delete(path);
      this.#ids.set(moved, id);
      this.#paths.set(id, moved);
    }
    return NO_DATA;
  }

  #list(nodeId: bigint, body: Buffer): Buffer {
    const [offset, room] = [Number(body.readBigUInt64LE(8)), body.readUInt32LE(16)];
    const entries = fs.readdirSync(this.#path(nodeId), { withFileTypes: true });
    const parts: Buffer[] = [];
    let used = 0;
    for (const [i, entry] of entries.entries()) {
      const part = directoryEntry(entry.name, i + 1, entry.isDirectory());
      if (i < offset) continue;
      if (used + part.length > room) break;
      parts.push(part);
      used += part.length;
    }
    return Buffer.concat(parts);
  }
}

function read(handle: number, body: Buffer): Buffer {
  const data = Buffer.alloc(body.readUInt32LE(16));
  return data.subarray(0, fs.readSync(handle, data, 0, data.length, Number(body.readBigUInt64LE(8))));
}
