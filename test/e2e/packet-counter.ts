/**
 * Counts the TCP and UDP packets that a pod's namespace gets, by a packet socket that is there before any device is: what a
 * device receives is copied to it before the stack looks at it (packet(7)). Neighbour discovery is neither TCP nor UDP.
 */
import * as libc from "../../src/kernel/libc.ts";
import { inNamespaceAt } from "../../src/kernel/netns.ts";

const AF_PACKET = 17;
/** With SOCK_NONBLOCK and SOCK_CLOEXEC. */
const SOCK_RAW = 0x80803;
/** ETH_P_ALL in network byte order: all devices of the namespace, those that are yet to come, too. */
const ALL_PROTOCOLS = 0x0300;
const [ETHERTYPE_AT, IPV4_PROTOCOL_AT, IPV6_NEXT_HEADER_AT] = [12, 23, 20];
const [ETH_P_IP, ETH_P_IPV6] = [0x0800, 0x86dd];
const TRANSPORTS: readonly (number | undefined)[] = [6, 17];

export class PacketCounter implements Disposable {
  readonly #fd: number;
  #count = 0;

  constructor(netns: string) {
    this.#fd = inNamespaceAt(netns, () =>
      libc.checked(libc.socket(AF_PACKET, SOCK_RAW, ALL_PROTOCOLS), "open packet socket in", netns),
    );
  }

  /** Packets so far. */
  count(): number {
    const frame = Buffer.alloc(2048);
    for (let size = this.#receive(frame); size > 0; size = this.#receive(frame)) {
      if (isTransport(frame.subarray(0, size))) this.#count++;
    }
    return this.#count;
  }

  #receive(frame: Buffer): number {
    return libc.recv(this.#fd, frame, frame.length, 0);
  }

  [Symbol.dispose](): void {
    libc.close(this.#fd);
  }
}

function isTransport(frame: Buffer): boolean {
  const type = frame.length < ETHERTYPE_AT + 2 ? 0 : frame.readUInt16BE(ETHERTYPE_AT);
  if (type === ETH_P_IP) return TRANSPORTS.includes(frame[IPV4_PROTOCOL_AT]);
  return type === ETH_P_IPV6 && TRANSPORTS.includes(frame[IPV6_NEXT_HEADER_AT]);
}
