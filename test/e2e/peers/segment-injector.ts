/**
 * `segment-injector.ts PORT`: a TCP server that answers each line with itself and, behind the first one of a connection,
 * sends segments of its own making into it whose sequence numbers nobody expects (kubernetes#74839). Connection tracking
 * finds them invalid; who lets them pass, lets them pass untranslated, and the client answers with a reset. Prints
 * "injected N" once they are on the wire, "reset" for each RST that comes back.
 */
import { createServer } from "node:net";
import { socketAddress } from "../../../src/kernel/inet-socket.ts";
import * as libc from "../../../src/kernel/libc.ts";
import { ipBytes, ipFromBytes } from "../../../src/model/ip.ts";

const AF_INET = 2;
/** With SOCK_NONBLOCK and SOCK_CLOEXEC. */
const SOCK_RAW = 0x80803;
const IPPROTO_TCP = 6;
const PSH_ACK = 0x18;
const RST = 0x04;
const HEADER_BYTES = 20;
/** Beyond the largest window there is (1 GiB, RFC 7323 section 2.2), ahead and behind. */
const OFFSETS = [0x4000_0000, 0x5000_0000, 0x6000_0000];

const port = Number(process.argv[2]);
const injected = new Set<string>();
const raw = libc.checked(libc.socket(AF_INET, SOCK_RAW, IPPROTO_TCP), "open", "raw socket");

libc.pollReadable(raw, () => {
  const packet = Buffer.alloc(65_536);
  for (;;) {
    const size = libc.recv(raw, packet, packet.length, 0);
    if (size < 0) return;
    look(packet.subarray(0, size));
  }
});

createServer((socket) => {
  socket.on("data", (line) => socket.write(line));
  socket.on("error", ({ message }) => print(`connection failed: ${message}`));
}).listen(port, "0.0.0.0", () => print("listening"));

/** A raw socket sees each TCP packet that this namespace is given, with its IPv4 header (raw(7)). */
function look(packet: Buffer): void {
  const tcp = packet.subarray(4 * ((packet[0] ?? 0) & 0xf));
  if (tcp.readUInt16BE(2) !== port) return;
  const flags = tcp[13] ?? 0;
  if ((flags & RST) !== 0) print("reset");
  const payloadBytes = tcp.length - 4 * ((tcp[12] ?? 0) >> 4);
  const client = { ip: ipFromBytes(packet.subarray(12, 16)), port: tcp.readUInt16BE(0) };
  const name = `${client.ip} ${client.port}`;
  if (payloadBytes === 0 || injected.has(name)) return;
  injected.add(name);
  // What a reset takes from it must fit: a server ends a connection for the sequence number that it expects, no other.
  const ack = (tcp.readUInt32BE(4) + payloadBytes) >>> 0;
  for (const offset of OFFSETS) {
    inject(ipFromBytes(packet.subarray(16, 20)), client, (tcp.readUInt32BE(8) + offset) >>> 0, ack);
  }
  print(`injected ${OFFSETS.length}`);
}

/** The kernel writes the IPv4 header; TCP's (RFC 9293 section 3.1) and its checksum are ours. */
function inject(from: string, to: { readonly ip: string; readonly port: number }, sequence: number, ack: number): void {
  const segment = Buffer.concat([Buffer.alloc(HEADER_BYTES), Buffer.from("nobody expects this\n")]);
  segment.writeUInt16BE(port, 0);
  segment.writeUInt16BE(to.port, 2);
  segment.writeUInt32BE(sequence, 4);
  segment.writeUInt32BE(ack, 8);
  segment[12] = (HEADER_BYTES / 4) << 4;
  segment[13] = PSH_ACK;
  segment.writeUInt16BE(1024, 14);
  const pseudo = Buffer.from([...ipBytes(from), ...ipBytes(to.ip), 0, IPPROTO_TCP, 0, segment.length]);
  segment.writeUInt16BE(checksum(Buffer.concat([pseudo, segment])), 16);
  const address = socketAddress(to.ip, 0);
  libc.checked(libc.sendto(raw, segment, segment.length, 0, address, address.length), "inject into", to.ip);
}

/** RFC 1071; of an even number of bytes. */
function checksum(data: Buffer): number {
  let sum = 0;
  for (let i = 0; i < data.length; i += 2) sum += data.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
