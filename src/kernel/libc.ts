/**
 * The C library calls that Node has no equivalent of: netlink sockets, setns, mount. One native dependency (koffi)
 * makes them callable; nothing else in the project calls it. All calls are synchronous on purpose: the kernel handles
 * rtnetlink and nfnetlink requests inside send(), so the answer is there when send() returns.
 */
import { constants } from "node:os";
import koffi from "koffi";
import { BreakwaterError } from "../model/errors.ts";

const libc = koffi.load("libc.so.6");

/** send() run on a worker thread, for requests that make the kernel wait (deleting links: RCU, 16-30 ms). */
type AsyncCall = (fd: number, data: Uint8Array, length: number, flags: number, done: Completion) => void;
type Completion = (error: Error | null, result: number) => void;

export const socket: (domain: number, type: number, protocol: number) => number =
  libc.func("int socket(int, int, int)");
export const bind: (fd: number, address: Uint8Array, length: number) => number = libc.func(
  "int bind(int, const void *, uint32_t)",
);
export const listen: (fd: number, backlog: number) => number = libc.func("int listen(int, int)");
const accept4: (fd: number, address: null, length: null, flags: number) => number = libc.func(
  "int accept4(int, void *, void *, int)",
);
/** The next waiting connection's descriptor, close-on-exec and non-blocking, or a negative number. */
export const accept = (fd: number): number => accept4(fd, null, null, 0x80800);
/** The same, but it waits, and so do the calls on what it returns. */
export const acceptWaiting = (fd: number): number => accept4(fd, null, null, 0x80000);
export const connect: (fd: number, address: Uint8Array, length: number) => number = libc.func(
  "int connect(int, const void *, uint32_t)",
);
const sendFunction = libc.func("intptr_t send(int, const void *, size_t, int)");
export const send: (fd: number, data: Uint8Array, length: number, flags: number) => number = sendFunction;
export const sendAsync: AsyncCall = sendFunction.async.bind(sendFunction);
export const recv: (fd: number, data: Uint8Array, length: number, flags: number) => number = libc.func(
  "intptr_t recv(int, void *, size_t, int)",
);
export const sendto: (
  fd: number,
  data: Uint8Array,
  length: number,
  flags: number,
  address: Uint8Array,
  addressLength: number,
) => number = libc.func("intptr_t sendto(int, const void *, size_t, int, const void *, uint32_t)");
export const recvfrom: (
  fd: number,
  data: Uint8Array,
  length: number,
  flags: number,
  address: Uint8Array,
  addressLength: Uint8Array,
) => number = libc.func("intptr_t recvfrom(int, void *, size_t, int, void *, void *)");
const recvmsg: (fd: number, header: Uint8Array, flags: number) => number = libc.func(
  "intptr_t recvmsg(int, void *, int)",
);
export const setsockopt: (fd: number, level: number, name: number, value: Uint8Array, length: number) => number =
  libc.func("int setsockopt(int, int, int, const void *, uint32_t)");
export const getsockopt: (fd: number, level: number, name: number, value: Uint8Array, length: Uint8Array) => number =
  libc.func("int getsockopt(int, int, int, void *, void *)");
export const getsockname: (fd: number, address: Uint8Array, length: Uint8Array) => number = libc.func(
  "int getsockname(int, void *, void *)",
);
export const open: (path: string, flags: number, mode: number) => number = libc.func(
  "int open(const char *, int, int)",
);
export const close: (fd: number) => number = libc.func("int close(int)");
export const flock: (fd: number, operation: number) => number = libc.func("int flock(int, int)");
export const setns: (fd: number, type: number) => number = libc.func("int setns(int, int)");
export const unshare: (flags: number) => number = libc.func("int unshare(int)");
export const mount: (
  source: string,
  target: string,
  type: string | null,
  flags: number,
  data: string | null,
) => number = libc.func("int mount(const char *, const char *, const char *, unsigned long, const char *)");
export const umount2: (target: string, flags: number) => number = libc.func("int umount2(const char *, int)");
/** Gives what malloc holds and nobody uses back to the kernel, in all its arenas (malloc_trim(3)). */
export const mallocTrim: (keepBytes: number) => number = libc.func("int malloc_trim(size_t)");

/** Where a buffer's bytes are, for structures that point to them. Keep the buffer until the call is over. */
export function addressOf(buffer: Uint8Array): bigint {
  return koffi.address(buffer);
}

/** Readiness of a file descriptor on Node's own event loop (uv_poll). */
export interface FdPoll {
  stop(): void;
}

/** Calls `ready` whenever `fd` can be read, until stopped. Takes no thread. */
export function pollReadable(fd: number, ready: () => void): FdPoll {
  return startPoll(fd, { readable: true }, ready);
}

/** Calls `ready` once `fd` can be written, or its connection failed. */
export function pollWritable(fd: number, ready: () => void): FdPoll {
  const poll = startPoll(fd, { writable: true }, () => {
    poll.stop();
    ready();
  });
  return poll;
}

/**
 * A poll that is given up is closed at once: one that is merely stopped is closed when its garbage is collected, and takes
 * out of epoll whatever has the descriptor's number by then.
 */
function startPoll(fd: number, events: { readable?: boolean; writable?: boolean }, ready: () => void): FdPoll {
  let stopped = false;
  // Part of koffi that its changelog calls changeable; the version is pinned. Its callback is (status, events).
  const arm = () =>
    koffi.node.poll(fd, { readable: false, writable: false, disconnect: false, ...events }, (status: unknown) => {
      if (stopped) return;
      // libuv gives up a descriptor with a pending error, such as a netlink socket that overran (POLLERR): begin anew.
      if (typeof status === "number" && status < 0) {
        poll.close();
        poll = arm();
      }
      ready();
    });
  let poll = arm();
  return {
    stop: () => {
      if (!stopped) poll.close();
      stopped = true;
    },
  };
}

const names = new Map<number, string>(Object.entries(constants.errno).map(([name, value]) => [value as number, name]));
// EWOULDBLOCK is EAGAIN on Linux, ENOTSUP is EOPNOTSUPP: print the name that man pages use.
names.set(11, "EAGAIN");
names.set(95, "EOPNOTSUPP");
// include/uapi/asm-generic/errno.h values that Node's table lacks.
for (const [value, name] of [
  [28, "ENOSPC"],
  [85, "ERESTART"],
  [97, "EAFNOSUPPORT"],
  [100, "ENETDOWN"],
  [107, "ENOTCONN"],
] as const) {
  if (!names.has(value)) names.set(value, name);
}

/** The name of an errno value, "E42" style when it has none. */
export function errnoName(errno: number): string {
  return names.get(errno) ?? `E${errno}`;
}

/** errno of the last failed call. Read it before anything else runs. */
export function lastErrno(): number {
  return koffi.errno();
}

/** Returns `result`, or throws the errno of the call as a BreakwaterError. */
export function checked(result: number, operation: string, object: string): number {
  if (result >= 0) return result;
  const errno = errnoName(lastErrno());
  throw new BreakwaterError("BW_SYSCALL", `Cannot ${operation} ${object}: ${errno}`, { operation, object, errno });
}

/** One message of a socket's error queue: where the packet was going, control messages, the packet's payload. */
export interface ErrorEntry {
  readonly name: Buffer;
  readonly control: Buffer;
  readonly data: Buffer;
}

// struct msghdr and struct iovec of a 64-bit machine, pointing into these buffers for good: they are never moved.
const errorName = Buffer.alloc(28);
const errorControl = Buffer.alloc(512);
const errorData = Buffer.alloc(2048);
const ioVector = Buffer.alloc(16);
const header = Buffer.alloc(56);

/** Takes one entry off a socket's error queue (recvmsg with MSG_ERRQUEUE); undefined when it is empty. */
export function receiveError(fd: number): ErrorEntry | undefined {
  const MSG_ERRQUEUE_DONTWAIT = 0x2040;
  ioVector.writeBigUInt64LE(koffi.address(errorData), 0);
  ioVector.writeBigUInt64LE(BigInt(errorData.length), 8);
  header.fill(0);
  header.writeBigUInt64LE(koffi.address(errorName), 0);
  header.writeUInt32LE(errorName.length, 8);
  header.writeBigUInt64LE(koffi.address(ioVector), 16);
  header.writeBigUInt64LE(1n, 24);
  header.writeBigUInt64LE(koffi.address(errorControl), 32);
  header.writeBigUInt64LE(BigInt(errorControl.length), 40);
  const size = recvmsg(fd, header, MSG_ERRQUEUE_DONTWAIT);
  if (size < 0) return undefined;
  const controlLength = Number(header.readBigUInt64LE(40));
  return {
    name: Buffer.from(errorName),
    control: Buffer.from(errorControl.subarray(0, controlLength)),
    data: Buffer.from(errorData.subarray(0, size)),
  };
}
