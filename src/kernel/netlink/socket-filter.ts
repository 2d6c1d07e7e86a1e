/** Classic BPF programs of sockets (socket(7), SO_ATTACH_FILTER): messages that nobody wants wake nobody up. */
import * as libc from "../libc.ts";
import { SOL_SOCKET } from "./constants.ts";

/** asm-generic/socket.h. */
const SO_ATTACH_FILTER = 26;
/** Instructions of linux/bpf_common.h. */
const BPF_LD_W_ABS = 0x20;
const BPF_LD_H_ABS = 0x28;
const BPF_LD_B_ABS = 0x30;
const BPF_JMP_JEQ_K = 0x15;
const BPF_RET_K = 0x06;
const [DROP, TAKE] = [0, 0xffffffff];
const INSTRUCTION_BYTES = 8;
const LOADS = { 1: BPF_LD_B_ABS, 2: BPF_LD_H_ABS, 4: BPF_LD_W_ABS } as const;

/** A field of a message: where it is, and its values of interest. */
export interface FilterField {
  readonly offset: number;
  readonly bytes: 1 | 2 | 4;
  /** At most 255 in a field. */
  readonly values: readonly number[];
}

/**
 * Has the kernel drop messages all of whose `fields` have one of their values; replaces a filter that is there.
 * A kernel may refuse it: then all messages go on to arrive. @returns whether it took it
 */
export function dropMessages(fd: number, fields: readonly FilterField[]): boolean {
  const program = Buffer.concat(filterProgram(fields));
  // struct sock_fprog: the number of instructions, padding, where they are.
  const fprog = Buffer.alloc(16);
  fprog.writeUInt16LE(program.length / INSTRUCTION_BYTES, 0);
  fprog.writeBigUInt64LE(libc.addressOf(program), 8);
  return libc.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, fprog, fprog.length) === 0;
}

/** Each field: load, a jump behind its list where a value is the one, otherwise the message is taken. */
function filterProgram(fields: readonly FilterField[]): Buffer[] {
  const blocks = fields.flatMap(({ offset, bytes, values }) => [
    instruction(LOADS[bytes], 0, 0, offset),
    ...values.map((value, i) => instruction(BPF_JMP_JEQ_K, values.length - i, 0, networkOrder(value, bytes))),
    instruction(BPF_RET_K, 0, 0, TAKE),
  ]);
  return [...blocks, instruction(BPF_RET_K, 0, 0, DROP)];
}

/** Loads are in network order, netlink's headers are in the machine's. */
function networkOrder(value: number, bytes: 1 | 2 | 4): number {
  const buffer = Buffer.alloc(bytes);
  buffer.writeUIntLE(value, 0, bytes);
  return buffer.readUIntBE(0, bytes);
}

/** struct sock_filter. */
function instruction(code: number, ifTrue: number, ifFalse: number, value: number): Buffer {
  const bytes = Buffer.alloc(INSTRUCTION_BYTES);
  bytes.writeUInt16LE(code, 0);
  bytes.writeUInt8(ifTrue, 2);
  bytes.writeUInt8(ifFalse, 3);
  bytes.writeUInt32LE(value, 4);
  return bytes;
}
