/**
 * `datagram.ts ADDRESS BYTES`: what an application sees that sends IP packets of so many bytes which nobody may cut up
 * (IP_PMTUDISC_DO, ip(7)) from a connected UDP socket to `server.ts`: the first packet, what comes back for it, the MTU
 * that the kernel then knows, a second packet as large as the first, and one as large as that MTU.
 */
import { socketAddress } from "../../../src/kernel/inet-socket.ts";
import * as libc from "../../../src/kernel/libc.ts";
import { ipFamily } from "../../../src/model/ip.ts";
import { PEER_PORT } from "./port.ts";

export interface DatagramOutcome {
  /** Of send(): "" or the errno name. */
  readonly first: string;
  /** Of the recv() after it: the server's text, or the errno name ("EAGAIN": five seconds of silence). */
  readonly answer: string;
  /** IP_MTU of the socket. */
  readonly mtuBytes: number;
  readonly again: string;
  readonly fitting: string;
}

const SOCK_DGRAM_CLOEXEC = 0x80002;
const PATIENCE_SECONDS = 5n;
const SO_RCVTIMEO = 20;
const SOL_SOCKET = 1;
const PMTUDISC_DO = 2;
/** Numbers of ip(7) and ipv6(7); `headers` is IP and UDP, bytes. */
const OPTIONS = {
  4: { family: 2, level: 0, discover: 10, mtu: 14, headers: 28 },
  6: { family: 10, level: 41, discover: 23, mtu: 24, headers: 48 },
} as const;

const [ip = "", bytes = "0"] = process.argv.slice(2);
const { family, level, discover, mtu, headers } = OPTIONS[ipFamily(ip)];
const fd = libc.checked(libc.socket(family, SOCK_DGRAM_CLOEXEC, 0), "open", "UDP socket");
const address = socketAddress(ip, PEER_PORT);
setOption(level, discover, Buffer.from([PMTUDISC_DO, 0, 0, 0]));
const patience = Buffer.alloc(16);
patience.writeBigInt64LE(PATIENCE_SECONDS, 0);
setOption(SOL_SOCKET, SO_RCVTIMEO, patience);
libc.checked(libc.connect(fd, address, address.length), "connect to", ip);

const first = send(Number(bytes));
const answer = receive();
const mtuBytes = currentMtu();
const again = send(Number(bytes));
const fitting = send(mtuBytes) || receive();
const outcome: DatagramOutcome = { first, answer, mtuBytes, again, fitting };
process.stdout.write(JSON.stringify(outcome));

function setOption(optionLevel: number, name: number, value: Buffer): void {
  libc.checked(libc.setsockopt(fd, optionLevel, name, value, value.length), "set option of", `socket to ${ip}`);
}

function send(packetBytes: number): string {
  const size = packetBytes - headers;
  return libc.send(fd, Buffer.alloc(size), size, 0) < 0 ? libc.errnoName(libc.lastErrno()) : "";
}

/** Waits in the kernel: an ICMP error for this socket ends it as an answer does. */
function receive(): string {
  const buffer = Buffer.alloc(2048);
  const size = libc.recv(fd, buffer, buffer.length, 0);
  return size < 0 ? libc.errnoName(libc.lastErrno()) : buffer.toString("utf8", 0, size);
}

function currentMtu(): number {
  const value = Buffer.alloc(4);
  libc.checked(libc.getsockopt(fd, level, mtu, value, Buffer.from([4, 0, 0, 0])), "read the MTU of", ip);
  return value.readInt32LE(0);
}
