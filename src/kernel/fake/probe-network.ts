/**
 * Probe ports in memory: addresses that agents listen on, and a network between them that carries, loses or refuses each
 * packet as a test says. Everything is delivered by the clock that the test moves.
 */
import type { Family, Ip } from "../../model/ip.ts";
import { ipFamily } from "../../model/ip.ts";
import { PROBE_HEADER_BYTES } from "../../model/probe-packet.ts";
import type { OpenProbePort, ProbeDatagram, ProbeError, ProbePort } from "../probe-port.ts";

/** What becomes of one packet. */
export type PacketFate =
  | "arrives"
  | "vanishes"
  /** This node's interface is smaller. */
  | "EMSGSIZE"
  /** There is no way: the errno of sendto(2). */
  | "EHOSTUNREACH"
  | { readonly from: Ip; readonly mtuBytes: number };

export interface FakePacket {
  /** Name of the sending node. */
  readonly node: string;
  readonly to: Ip;
  /** Size of the IP packet. */
  readonly bytes: number;
  readonly payload: Buffer;
}

export interface FakeProbeNetworkOptions {
  /** Runs `deliver` after the network's delay. */
  readonly schedule: (delayMs: number, deliver: () => void) => unknown;
  readonly delayMs?: number;
}

interface Listener {
  readonly node: string;
  readonly onDatagram: (datagram: ProbeDatagram) => void;
  readonly errors: ProbeError[];
}

export class FakeProbeNetwork {
  /** Decides about each packet; set it to break the network. */
  fate: (packet: FakePacket) => PacketFate = () => "arrives";
  /** Packets that were sent, refused ones left out. */
  sent = 0;
  readonly #options: FakeProbeNetworkOptions;
  readonly #addresses = new Map<Ip, string>();
  readonly #sources = new Map<string, Partial<Record<Family, Ip>>>();
  readonly #listeners = new Map<string, Listener>();

  constructor(options: FakeProbeNetworkOptions) {
    this.#options = options;
  }

  /** Gives a node its addresses; it sends from the first of each family. */
  addNode(node: string, addresses: readonly Ip[]): OpenProbePort {
    for (const address of addresses) this.#addresses.set(address, node);
    const first = (family: Family) => addresses.find((address) => ipFamily(address) === family);
    this.#sources.set(node, { 4: first(4), 6: first(6) });
    return (_port, onDatagram) => this.#open(node, onDatagram);
  }

  /** A packet from nowhere: what a stranger could send. */
  inject(to: string, from: Ip, payload: Buffer): void {
    this.#listeners.get(to)?.onDatagram({ from, payload });
  }

  /** An ICMP error from nowhere. */
  injectError(node: string, error: ProbeError): void {
    this.#listeners.get(node)?.errors.push(error);
  }

  #open(node: string, onDatagram: (datagram: ProbeDatagram) => void): ProbePort {
    const listener: Listener = { node, onDatagram, errors: [] };
    this.#listeners.set(node, listener);
    return {
      probe: (to, payload) => this.#send(listener, to, payload),
      answer: (to, payload) => void this.#send(listener, to, payload),
      errors: () => listener.errors.splice(0),
      [Symbol.dispose]: () => void this.#listeners.delete(node),
    };
  }

  #send(sender: Listener, to: Ip, payload: Buffer): string {
    const bytes = payload.length + PROBE_HEADER_BYTES[ipFamily(to)];
    const fate = this.fate({ node: sender.node, to, bytes, payload });
    if (fate === "EMSGSIZE" || fate === "EHOSTUNREACH") return fate;
    this.sent++;
    if (fate !== "vanishes") this.#after(() => this.#deliver(sender, to, payload, fate));
    return "";
  }

  #deliver(sender: Listener, to: Ip, payload: Buffer, fate: Exclude<PacketFate, string> | "arrives"): void {
    if (fate !== "arrives") {
      sender.errors.push({ to, errno: "EMSGSIZE", origin: "icmp", ...fate, quoted: payload });
      return;
    }
    const receiver = this.#listeners.get(this.#addresses.get(to) ?? "");
    const from = this.#sources.get(sender.node)?.[ipFamily(to)];
    if (receiver !== undefined && from !== undefined) receiver.onDatagram({ from, payload });
    else if (this.#addresses.has(to)) {
      sender.errors.push({ to, errno: "ECONNREFUSED", origin: "icmp", from: to, quoted: payload });
    }
  }

  #after(deliver: () => void): void {
    this.#options.schedule(this.#options.delayMs ?? 1, deliver);
  }
}
