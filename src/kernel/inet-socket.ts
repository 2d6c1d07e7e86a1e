/**
 * TCP, UDP and SCTP sockets made by system calls, because the place matters: a socket belongs for life to the namespace
 * in which it was made, and Node makes its own on a later tick, in the wrong one. Call these inside inNamespace().
 */
import { BreakwaterError } from "../model/errors.ts";
import { type Ip, ipBytes, ipFamily } from "../model/ip.ts";
import * as libc from "./libc.ts";

export type Protocol = "TCP" | "UDP" | "SCTP";

const AF = { 4: 2, 6: 10 } as const;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK_CLOEXEC = 0x80800;
const IPPROTO: Record<Protocol, number> = { TCP: 6, UDP: 17, SCTP: 132 };
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_ERROR = 4;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const MSG_NOSIGNAL = 0x4000;

/** struct sockaddr_in or sockaddr_in6 (ip(7), ipv6(7)). */
export function socketAddress(ip: Ip, port: number): Buffer {
  const family = ipFamily(ip);
  const address = Buffer.alloc(family === 4 ? 16 : 28);
  address.writeUInt16LE(AF[family], 0);
  address.writeUInt16BE(port, 2);
  address.set(ipBytes(ip), family === 4 ? 4 : 8);
  return address;
}

function open(ip: Ip, protocol: Protocol): number {
  const type = protocol === "UDP" ? SOCK_DGRAM : SOCK_STREAM;
  const fd = libc.socket(AF[ipFamily(ip)], type | SOCK_NONBLOCK_CLOEXEC, IPPROTO[protocol]);
  return fd >= 0 ? fd : fail("open", `${protocol} socket`);
}

function fail(operation: string, object: string, errno = libc.errnoName(libc.lastErrno())): never {
  throw new BreakwaterError("BW_SOCKET", `Cannot ${operation} ${object}: ${errno}`, { operation, object, errno });
}

/** A socket that is bound, and for TCP and SCTP listens. The caller owns the descriptor. @throws BW_SOCKET */
export function openServerSocket(ip: Ip, port: number, protocol: Protocol): number {
  const fd = open(ip, protocol);
  const address = socketAddress(ip, port);
  const one = Buffer.from([1, 0, 0, 0]);
  libc.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, one, 4);
  // "::" means IPv6 alone: who wants both families opens two sockets.
  if (ipFamily(ip) === 6) libc.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, one, 4);
  const failed = libc.bind(fd, address, address.length) < 0 || (protocol !== "UDP" && libc.listen(fd, 1024) < 0);
  if (!failed) return fd;
  const errno = libc.errnoName(libc.lastErrno());
  libc.close(fd);
  return fail("listen on", `${protocol} ${ip} port ${port}`, errno);
}

/** A socket whose connection is under way (or made, for UDP): see {@link Dial}. @throws BW_SOCKET */
export function openClientSocket(ip: Ip, port: number, protocol: Protocol): number {
  const fd = open(ip, protocol);
  const address = socketAddress(ip, port);
  if (protocol === "SCTP") bindToOneAddress(fd, ip, port);
  if (libc.connect(fd, address, address.length) === 0) return fd;
  const errno = libc.errnoName(libc.lastErrno());
  if (errno === "EINPROGRESS") return fd;
  libc.close(fd);
  return fail("connect to", `${protocol} ${ip} port ${port}`, errno);
}

/**
 * An SCTP socket that is bound to nothing tells its peer all addresses of its machine, on a node those of Services too, as
 * further ways to itself (RFC 9260, section 5.1.2). NAT translates none of them: what the peer sends there, whatever it has
 * to send twice among it, is lost. So it has the address alone that the route has for it, by whatever way connect() finds it.
 */
function bindToOneAddress(fd: number, ip: Ip, port: number): void {
  const scout = open(ip, "UDP");
  try {
    const to = socketAddress(ip, port);
    // Without a route the caller's own connect() says so.
    if (libc.connect(scout, to, to.length) < 0) return;
    const own = Buffer.alloc(to.length);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(own.length);
    if (libc.getsockname(scout, own, length) < 0) return;
    own.writeUInt16BE(0, 2);
    libc.bind(fd, own, own.length);
  } finally {
    libc.close(scout);
  }
}

/** The pending error of a socket, "" for none (SO_ERROR); reading clears it. */
export function socketError(fd: number): string {
  const value = Buffer.alloc(4);
  const length = Buffer.from([4, 0, 0, 0]);
  if (libc.getsockopt(fd, SOL_SOCKET, SO_ERROR, value, length) < 0) return libc.errnoName(libc.lastErrno());
  const errno = value.readInt32LE(0);
  return errno === 0 ? "" : libc.errnoName(errno);
}

/** @returns "" or the errno name */
export function sendSocket(fd: number, data: Uint8Array): string {
  return libc.send(fd, data, data.length, MSG_NOSIGNAL) < 0 ? libc.errnoName(libc.lastErrno()) : "";
}

const MSG_DONTWAIT = 0x40;

/** What is there: bytes, an empty buffer at the end of a stream, or the errno name ("EAGAIN": nothing yet). */
export function receiveSocket(fd: number, maximumBytes = 65536): Buffer | string {
  const buffer = Buffer.alloc(maximumBytes);
  const size = libc.recv(fd, buffer, buffer.length, MSG_DONTWAIT);
  return size < 0 ? libc.errnoName(libc.lastErrno()) : buffer.subarray(0, size);
}
