/**
 * TCP sockets whose calls wait in the kernel, for measurements: what the event loop of Node costs must not be in the
 * figures. Every call ends after a time, also when a network loses everything in silence. For processes that do nothing
 * else meanwhile.
 */
import { BreakwaterError } from "../model/errors.ts";
import { type Ip, ipFamily } from "../model/ip.ts";
import { socketAddress } from "./inet-socket.ts";
import * as libc from "./libc.ts";

const AF = { 4: 2, 6: 10 } as const;
const SOCK_STREAM_CLOEXEC = 0x80001;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_LINGER = 13;
const SO_RCVTIMEO = 20;
const SO_SNDTIMEO = 21;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const MSG_WAITALL = 0x100;
const MSG_NOSIGNAL = 0x4000;

/** "EAGAIN" is what the kernel says of a call that waited too long (socket(7), SO_RCVTIMEO). */
export const TIMED_OUT = "EAGAIN";

/** Makes an errno name of a failed call, and keeps what a successful one returned. */
function outcome(result: number): number | string {
  return result < 0 ? libc.errnoName(libc.lastErrno()) : result;
}

function fail(fd: number, operation: string, object: string): never {
  const errno = libc.errnoName(libc.lastErrno());
  if (fd >= 0) libc.close(fd);
  throw new BreakwaterError("BW_SOCKET", `Cannot ${operation} ${object}: ${errno}`, { operation, object, errno });
}

function open(ip: Ip): number {
  const fd = libc.socket(AF[ipFamily(ip)], SOCK_STREAM_CLOEXEC, 0);
  return fd >= 0 ? fd : fail(fd, "open", "TCP socket");
}

/** struct timeval of 64-bit machines. */
function setPatience(fd: number, timeoutMs: number): void {
  const time = Buffer.alloc(16);
  time.writeBigInt64LE(BigInt(Math.floor(timeoutMs / 1000)), 0);
  time.writeBigInt64LE(BigInt((timeoutMs % 1000) * 1000), 8);
  for (const option of [SO_RCVTIMEO, SO_SNDTIMEO]) libc.setsockopt(fd, SOL_SOCKET, option, time, time.length);
}

const ONE = Buffer.from([1, 0, 0, 0]);

/** @throws BreakwaterError BW_SOCKET */
export function listenWaiting(ip: Ip, port: number, timeoutMs: number): number {
  const fd = open(ip);
  const address = socketAddress(ip, port);
  libc.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, ONE, 4);
  if (libc.bind(fd, address, address.length) < 0 || libc.listen(fd, 8) < 0) fail(fd, "listen on", `${ip} port ${port}`);
  setPatience(fd, timeoutMs);
  return fd;
}

/** @throws BreakwaterError BW_SOCKET; errno EAGAIN when nobody came in time */
export function acceptWaiting(listener: number, timeoutMs: number): number {
  const fd = libc.acceptWaiting(listener);
  if (fd < 0) fail(fd, "accept", "a connection");
  libc.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, ONE, 4);
  setPatience(fd, timeoutMs);
  return fd;
}

/** @throws BreakwaterError BW_SOCKET; errno EINPROGRESS when nobody answered in time */
export function connectWaiting(ip: Ip, port: number, timeoutMs: number): number {
  const fd = open(ip);
  setPatience(fd, timeoutMs);
  const address = socketAddress(ip, port);
  if (libc.connect(fd, address, address.length) < 0) fail(fd, "connect to", `${ip} port ${port}`);
  libc.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, ONE, 4);
  return fd;
}

/** @returns how much the kernel took, or an errno name */
export function sendWaiting(fd: number, data: Uint8Array): number | string {
  return outcome(libc.send(fd, data, data.length, MSG_NOSIGNAL));
}

/** @returns how much came: 0 at the end of the stream; or an errno name. With `whole` less than asked is the end */
export function receiveWaiting(fd: number, into: Uint8Array, whole = false): number | string {
  return outcome(libc.recv(fd, into, into.length, whole ? MSG_WAITALL : 0));
}

/** Closes at once, by a reset: what was not delivered is thrown away, and no TIME_WAIT is left. */
export function resetSocket(fd: number): void {
  libc.setsockopt(fd, SOL_SOCKET, SO_LINGER, Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]), 8);
  libc.close(fd);
}
