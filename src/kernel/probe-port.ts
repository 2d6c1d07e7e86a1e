/**
 * UDP sockets that send packets of an exact size with "don't fragment" set, whatever the kernel believes of the path
 * (IP_PMTUDISC_PROBE, ip(7)), and tell what ICMP answered (IP_RECVERR, the error queue). A second socket on the agents'
 * common port receives probes and acknowledgements.
 */
import { BreakwaterError } from "../model/errors.ts";
import { type Family, type Ip, ipFamily, ipFromBytes } from "../model/ip.ts";
import { socketAddress } from "./inet-socket.ts";
import * as libc from "./libc.ts";

/** A UDP payload that arrived. */
export interface ProbeDatagram {
  readonly from: Ip;
  readonly payload: Buffer;
}

/** An entry of the error queue (struct sock_extended_err, include/uapi/linux/errqueue.h). */
export interface ProbeError {
  /** Where the packet was going. */
  readonly to: Ip;
  readonly errno: string;
  /** "local": this kernel refused it; "icmp": somebody on the way did. */
  readonly origin: "local" | "icmp";
  /** Who sent the ICMP. */
  readonly from?: Ip;
  /** EMSGSIZE: the size that would pass, says the sender. */
  readonly mtuBytes?: number;
  /** As much of the UDP payload as came back. */
  readonly quoted: Buffer;
}

export interface ProbePort extends Disposable {
  /** Sends one probe. @returns "" or the errno name ("EMSGSIZE": larger than the interface) */
  probe(to: Ip, payload: Buffer): string;
  /** Sends an answer to the other agent's port; whether it arrives is the other's business. */
  answer(to: Ip, payload: Buffer): void;
  /** What has come back since the last call. */
  errors(): ProbeError[];
}

export type OpenProbePort = (port: number, onDatagram: (datagram: ProbeDatagram) => void) => ProbePort;

const SOL_IP = 0;
const SOL_IPV6 = 41;
const IP_MTU_DISCOVER = 10;
const IP_RECVERR = 11;
const IPV6_MTU_DISCOVER = 23;
const IPV6_V6ONLY = 26;
const IPV6_RECVERR = 25;
const IPV6_DONTFRAG = 62;
const PMTUDISC_PROBE = 3;
const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0x80800;
const AF = { 4: 2, 6: 10 } as const;
const ANY: Record<Family, Ip> = { 4: "0.0.0.0", 6: "::" };
const SENDABLE_BYTES = 65535;

/**
 * Listens on `port` in both families; where the kernel has no IPv6, in IPv4 alone.
 * @throws BreakwaterError BW_SYSCALL
 */
export function openProbePort(port: number, onDatagram: (datagram: ProbeDatagram) => void): ProbePort {
  const halves = new Map<Family, Half>([[4, new Half(4, port, onDatagram)]]);
  try {
    halves.set(6, new Half(6, port, onDatagram));
  } catch (error) {
    if (!(error instanceof BreakwaterError && error.errno === "EAFNOSUPPORT")) {
      halves.get(4)?.close();
      throw error;
    }
  }
  return {
    probe: (to, payload) => halves.get(ipFamily(to))?.probe(to, payload) ?? "EAFNOSUPPORT",
    answer: (to, payload) => halves.get(ipFamily(to))?.answer(to, payload, port),
    errors: () => [...halves.values()].flatMap((half) => half.errors()),
    [Symbol.dispose]: () => {
      for (const half of halves.values()) half.close();
    },
  };
}

/** One family's two sockets. */
class Half {
  readonly #family: Family;
  readonly #listening: number;
  readonly #probing: number;
  readonly #port: number;
  readonly #poll: libc.FdPoll;
  readonly #name = Buffer.alloc(28);
  readonly #nameLength = Buffer.alloc(4);
  readonly #data = Buffer.alloc(SENDABLE_BYTES);

  constructor(family: Family, port: number, onDatagram: (datagram: ProbeDatagram) => void) {
    this.#family = family;
    this.#port = port;
    this.#listening = openListening(family, port);
    try {
      this.#probing = openProbing(family);
    } catch (error) {
      libc.close(this.#listening);
      throw error;
    }
    this.#poll = libc.pollReadable(this.#listening, () => this.#receive(onDatagram));
  }

  close(): void {
    this.#poll.stop();
    libc.close(this.#listening);
    libc.close(this.#probing);
  }

  probe(to: Ip, payload: Buffer): string {
    // An error that came back for an earlier probe would be reported by this send: it stands in the queue as well.
    pendingError(this.#probing);
    return sendTo(this.#probing, to, this.#port, payload);
  }

  answer(to: Ip, payload: Buffer, port: number): void {
    sendTo(this.#listening, to, port, payload);
  }

  #receive(onDatagram: (datagram: ProbeDatagram) => void): void {
    // What is left waits for the loop's next turn: nobody can hold the agent by sending.
    for (let received = 0; received < RECEIVED_A_TURN; received++) {
      this.#nameLength.writeUInt32LE(this.#name.length);
      const size = libc.recvfrom(
        this.#listening,
        this.#data,
        this.#data.length,
        MSG_DONTWAIT,
        this.#name,
        this.#nameLength,
      );
      if (size < 0) return;
      onDatagram({ from: addressIn(this.#name, this.#family), payload: Buffer.from(this.#data.subarray(0, size)) });
    }
  }

  errors(): ProbeError[] {
    const errors: ProbeError[] = [];
    pendingError(this.#probing);
    // Nobody has reason to send anything to this socket; what comes all the same would take the error queue's memory.
    for (let i = 0; i < RECEIVED_A_TURN; i++) {
      if (libc.recv(this.#probing, this.#data, this.#data.length, MSG_DONTWAIT) < 0) break;
    }
    for (;;) {
      const entry = libc.receiveError(this.#probing);
      if (entry === undefined) return errors;
      const error = decodeError(entry, this.#family);
      if (error !== undefined) errors.push(error);
    }
  }
}

/** Datagrams that are taken before the loop turns. */
const RECEIVED_A_TURN = 256;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;

/** Without SO_REUSEADDR: a second agent on the port would take this one's packets. */
function openListening(family: Family, port: number): number {
  const [address, object] = [socketAddress(ANY[family], port), `UDP ${ANY[family]} port ${port} for probes`];
  return openSocket(family, object, (fd) => {
    if (family === 6) setOption(fd, SOL_IPV6, IPV6_V6ONLY, 1, object);
    libc.checked(libc.bind(fd, address, address.length), "listen on", object);
  });
}

function openSocket(family: Family, object: string, configure: (fd: number) => void): number {
  const fd = libc.checked(libc.socket(AF[family], SOCK_DGRAM_NONBLOCK_CLOEXEC, 0), "open", object);
  try {
    configure(fd);
  } catch (error) {
    libc.close(fd);
    throw error;
  }
  return fd;
}

function setOption(fd: number, level: number, name: number, value: number, object: string): void {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  libc.checked(libc.setsockopt(fd, level, name, bytes, 4), `set option ${name} of`, object);
}

function openProbing(family: Family): number {
  const object = `IPv${family} probe socket`;
  const options: readonly (readonly [number, number, number])[] =
    family === 4
      ? [
          [SOL_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE],
          [SOL_IP, IP_RECVERR, 1],
        ]
      : [
          [SOL_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_PROBE],
          [SOL_IPV6, IPV6_RECVERR, 1],
          [SOL_IPV6, IPV6_DONTFRAG, 1],
        ];
  return openSocket(family, object, (fd) => {
    for (const [level, name, value] of options) setOption(fd, level, name, value, object);
  });
}

function pendingError(fd: number): void {
  const SOL_SOCKET = 1;
  const SO_ERROR = 4;
  libc.getsockopt(fd, SOL_SOCKET, SO_ERROR, Buffer.alloc(4), Buffer.from([4, 0, 0, 0]));
}

function sendTo(fd: number, to: Ip, port: number, payload: Buffer): string {
  const address = socketAddress(to, port);
  const sent = libc.sendto(fd, payload, payload.length, MSG_DONTWAIT | MSG_NOSIGNAL, address, address.length);
  return sent < 0 ? libc.errnoName(libc.lastErrno()) : "";
}

/** The address in a struct sockaddr_in or sockaddr_in6. */
function addressIn(name: Buffer, family: Family): Ip {
  return ipFromBytes(family === 4 ? name.subarray(4, 8) : name.subarray(8, 24));
}

const EXTENDED_ERROR_BYTES = 16;
const ORIGINS: Readonly<Record<number, ProbeError["origin"]>> = { 1: "local", 2: "icmp", 3: "icmp" };

/** struct sock_extended_err: errno (4), origin, type, code, pad, info (4), data (4); behind it the offender's address. */
function decodeError({ name, control, data }: libc.ErrorEntry, family: Family): ProbeError | undefined {
  const level = control.length >= 16 ? control.readInt32LE(8) : -1;
  const type = control.length >= 16 ? control.readInt32LE(12) : -1;
  const wanted = family === 4 ? level === SOL_IP && type === IP_RECVERR : level === SOL_IPV6 && type === IPV6_RECVERR;
  const error = control.subarray(16);
  const origin = ORIGINS[error[4] ?? 0];
  if (!wanted || origin === undefined || error.length < EXTENDED_ERROR_BYTES) return undefined;
  const errno = libc.errnoName(error.readUInt32LE(0));
  const offender = error.subarray(EXTENDED_ERROR_BYTES);
  const known = offender.length >= (family === 4 ? 8 : 24) && offender.readUInt16LE(0) === AF[family];
  return {
    to: addressIn(name, family),
    errno,
    origin,
    ...(origin === "icmp" && known ? { from: addressIn(offender, family) } : {}),
    ...(errno === "EMSGSIZE" ? { mtuBytes: error.readUInt32LE(8) } : {}),
    quoted: data,
  };
}
