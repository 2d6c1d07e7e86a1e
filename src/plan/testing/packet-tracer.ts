/**
 * A packet's way through the netfilter hooks of one node, by planned tables: what the kernel would do with it, in
 * microseconds and without one. test/kernel holds it against the real kernel.
 *
 *   by a device ─▶ prerouting ─▶ local? ─▶ input ─▶ this node
 *                                  └─no─▶ forward ─▶ postrouting ─▶ a device
 *   this node ─▶ output ─▶ routed anew ─▶ postrouting ─▶ a device, or by lo: prerouting ─▶ input
 */
import { type Family, type Ip, ipFamily } from "../../model/ip.ts";
import type { NftBaseChain, NftChain, NftTable } from "../../model/nft.ts";
import { prefixContains } from "../../model/prefix.ts";
import { DynamicElements } from "./dynamic-elements.ts";
import { type ChainVerdict, walkBaseChain } from "./rule-walk.ts";
import {
  endpointText,
  type Flow,
  formatPacket,
  type Packet,
  sameTuple,
  TracedPacket,
  tupleOf,
} from "./traced-packet.ts";
import { schedule, type TracedIpvs } from "./virtual-servers.ts";

/** What the walk has to know of a node beside its rules. */
export interface TracedNode {
  /** In the order in which they were made. */
  readonly tables: readonly NftTable[];
  /** Its own addresses; loopback's are always its own. */
  readonly addresses: readonly Ip[];
  /** Absent: the kernel has no virtual servers. */
  readonly ipvs?: TracedIpvs;
  /** Device that a packet leaves by; undefined: there is no route. Its own addresses are not asked for. */
  readonly route: (destination: Ip) => string | undefined;
  /** What masquerading makes the source. */
  readonly sourceAddress: (device: string, family: Family) => Ip;
}

export type Outcome = { readonly trace: readonly string[] } & (
  | {
      /** "local" when a socket of this node gets it; otherwise it left by `device`. */
      readonly verdict: "local" | "sent";
      readonly device: string;
      readonly source: Ip;
      readonly destination: Ip;
      readonly port: number;
      /** For packets that follow, in both directions. */
      readonly flow: Flow;
    }
  | { readonly verdict: "rejected"; readonly how: "icmp" | "icmpv6" | "tcp reset" }
  | { readonly verdict: "dropped" | "no route" }
);

type Hook = NftBaseChain["hook"];
type Draw = (modulus: number, different?: readonly number[]) => number;
type End = "rejected" | "dropped" | "no route";

/** Where chains of type nat run, whatever their own priority, which orders them among themselves (nf_nat_register_fn). */
const NAT_PRIORITY: Partial<Record<Hook, number>> = { prerouting: -100, output: -100, postrouting: 100, input: 100 };
/** Chains of type nat of these hooks translate the destination, those of the others the source. */
const DESTINATION_HOOKS: readonly Hook[] = ["prerouting", "output"];

export class PacketTracer {
  readonly #node: TracedNode;
  /** What packets made; {@link send} goes on from it, {@link outcomes} leaves it alone. */
  readonly dynamic: DynamicElements;

  constructor(node: TracedNode, dynamic = new DynamicElements()) {
    this.dynamic = dynamic;
    const ingress = node.tables.flatMap(({ chains }) => chains).find(({ base }) => base?.hook === "ingress");
    if (ingress !== undefined) throw new TypeError(`Teach this walk where the hook of chain ${ingress.name} is`);
    this.#node = node;
  }

  /** @param draw a number below `modulus` */
  send(packet: Packet, draw: (modulus: number) => number = () => 0): Outcome {
    return new Journey(this.#node, packet, this.dynamic, draw).run();
  }

  /** What can become of the packet, over all random numbers; one outcome for each drawing. */
  outcomes(packet: Packet): Outcome[] {
    const found: Outcome[] = [];
    const scripts: number[][] = [[]];
    for (let script = scripts.pop(); script !== undefined; script = scripts.pop()) {
      const known = script;
      const drawn: number[] = [];
      const draw: Draw = (modulus, different = Array.from({ length: modulus }, (_, i) => i)) => {
        const at = drawn.length;
        if (at >= known.length) for (const other of different.slice(1)) scripts.push([...drawn, other]);
        const number = known[at] ?? different[0] ?? 0;
        drawn.push(number);
        return number;
      };
      found.push(new Journey(this.#node, packet, this.dynamic.copy(), draw).run());
    }
    return found;
  }

  /** The same as sorted text, each once: {@link formatOutcome}. */
  texts(packet: Packet): string[] {
    return [...new Set(this.outcomes(packet).map(formatOutcome))].sort();
  }
}

/** "10.244.1.5:8080 from 192.168.1.11", "rejected (tcp reset)", "dropped". */
export function formatOutcome(outcome: Outcome): string {
  if (outcome.verdict === "local" || outcome.verdict === "sent") {
    return `${endpointText(outcome.destination, outcome.port)} from ${outcome.source}`;
  }
  return outcome.verdict === "rejected" ? `rejected (${outcome.how})` : outcome.verdict;
}

class Journey {
  readonly #node: TracedNode;
  readonly #packet: TracedPacket;
  readonly #dynamic: DynamicElements;
  readonly #draw: Draw;
  readonly #trace: string[] = [];
  /** A flow is translated once: what is settled is not looked at again (nf_nat_initialized). */
  readonly #settled = { destination: false, source: false };
  #rejection: "icmp" | "icmpv6" | "tcp reset" = "icmp";

  constructor(node: TracedNode, packet: Packet, dynamic: DynamicElements, draw: Draw) {
    this.#node = node;
    this.#packet = new TracedPacket(packet);
    this.#dynamic = dynamic;
    this.#draw = draw;
  }

  run(): Outcome {
    const packet = this.#packet;
    this.#trace.push(`${formatPacket(packet)}${packet.iif === "" ? " sent here" : ` by ${packet.iif}`}`);
    return packet.iif === "" ? this.#fromHere() : this.#fromDevice();
  }

  #fromDevice(): Outcome {
    const packet = this.#packet;
    // No device but lo may bring what is for loopback (RFC 1122, section 3.2.1.3).
    if (packet.iif !== "lo" && isLoopback(packet.destination)) return this.#end("no route");
    const arrived = this.#hook("prerouting");
    if (arrived !== undefined) return arrived;
    if (this.#isLocal(packet.destination)) return this.#input();
    const device = this.#node.route(packet.destination);
    if (device === undefined) return this.#end("no route");
    packet.oif = device;
    return this.#hook("forward") ?? this.#leave();
  }

  /** IPVS sends on what is for a virtual server: it passes output (ip_vs_nat_xmit), not forward. */
  #input(): Outcome {
    const packet = this.#packet;
    const scheduled = this.#schedule();
    if (scheduled === "refused") return this.#reject();
    if (scheduled === undefined || this.#isLocal(packet.destination)) {
      return this.#hook("input") ?? this.#arrive("local", packet.iif);
    }
    const device = this.#node.route(packet.destination);
    if (device === undefined) return this.#end("no route");
    packet.oif = device;
    return this.#hook("output") ?? this.#leave();
  }

  #schedule(): "refused" | "scheduled" | undefined {
    const { ipvs } = this.#node;
    const packet = this.#packet;
    if (ipvs === undefined || packet.state !== "new") return undefined;
    const found = schedule(ipvs, packet, this.#dynamic, (modulus) => this.#draw(modulus));
    if (found === undefined || found === "refused") return found;
    packet.destination = found.destination;
    packet.destinationPort = found.port;
    this.#trace.push(`IPVS: ${formatPacket(packet)}`);
    return "scheduled";
  }

  #reject(): Outcome {
    this.#rejection = this.#packet.family === 4 ? "icmp" : "icmpv6";
    return this.#end("rejected");
  }

  #fromHere(): Outcome {
    const packet = this.#packet;
    const device = this.#deviceTo(packet.destination);
    if (device === undefined) return this.#end("no route");
    packet.oif = device;
    const refused = this.#hook("output");
    if (refused !== undefined) return refused;
    if (this.#schedule() === "refused") return this.#reject();
    const after = this.#deviceTo(packet.destination);
    if (after === undefined) return this.#end("no route");
    packet.oif = after;
    return this.#leave();
  }

  #leave(): Outcome {
    const packet = this.#packet;
    const refused = this.#hook("postrouting");
    if (refused !== undefined) return refused;
    if (packet.oif !== "lo") return this.#arrive("sent", packet.oif);
    [packet.iif, packet.oif] = ["lo", ""];
    return this.#hook("prerouting") ?? this.#hook("input") ?? this.#arrive("local", "lo");
  }

  #deviceTo(destination: Ip): string | undefined {
    return this.#isLocal(destination) ? "lo" : this.#node.route(destination);
  }

  #isLocal(ip: Ip): boolean {
    return isLoopback(ip) || this.#node.addresses.includes(ip) || this.#node.ipvs?.bound.includes(ip) === true;
  }

  /** @returns what ended the way here; undefined when the packet goes on */
  #hook(hook: Hook): Outcome | undefined {
    const chains = this.#node.tables
      .filter(({ family }) => family === "inet" || family === (this.#packet.family === 4 ? "ip" : "ip6"))
      .flatMap((table) => table.chains.map((chain) => ({ table, chain })))
      .filter(({ chain }) => chain.base?.hook === hook)
      // Of one priority the one that came later runs first (nf_hook_entries_grow).
      .reverse()
      .sort((a, b) => (a.chain.base?.priority ?? 0) - (b.chain.base?.priority ?? 0));
    const isNat = ({ chain }: { chain: NftChain }) => chain.base?.type === "nat";
    const natAt = NAT_PRIORITY[hook];
    const isBefore = ({ chain }: { chain: NftChain }) => natAt === undefined || (chain.base?.priority ?? 0) < natAt;
    const plain = chains.filter((entry) => !isNat(entry));
    return (
      this.#walkAll(plain.filter(isBefore), hook) ??
      (natAt === undefined ? undefined : this.#nat(chains.filter(isNat), hook)) ??
      this.#walkAll(
        plain.filter((entry) => !isBefore(entry)),
        hook,
      )
    );
  }

  #walkAll(chains: readonly { table: NftTable; chain: NftChain }[], hook: Hook): Outcome | undefined {
    for (const { table, chain } of chains) {
      const end = this.#endOf(this.#walk(table, chain, hook));
      if (end !== undefined) return end;
    }
    return undefined;
  }

  /** Only what opens a flow passes chains of type nat; what follows is translated as the first packet was. */
  #nat(chains: readonly { table: NftTable; chain: NftChain }[], hook: Hook): Outcome | undefined {
    const side = DESTINATION_HOOKS.includes(hook) ? "destination" : "source";
    if (this.#settled[side]) return undefined;
    if (this.#packet.flow !== undefined) this.#translateAsBefore(this.#packet.flow, side);
    else if (this.#packet.state === "new") {
      for (const { table, chain } of chains) {
        const end = this.#endOf(this.#walk(table, chain, hook));
        if (end !== undefined) return end;
        if (this.#settled[side]) break;
      }
    }
    this.#settled[side] = true;
    return undefined;
  }

  #walk(table: NftTable, chain: NftChain, hook: Hook): ChainVerdict {
    return walkBaseChain(table, chain, {
      packet: this.#packet,
      hook,
      dynamic: this.#dynamic,
      draw: this.#draw,
      isLocal: (ip) => this.#isLocal(ip),
      translate: (change) => this.#translate(change),
      note: (line) => this.#trace.push(line),
    });
  }

  #translate(change: { readonly destination: Ip; readonly port: number } | "masquerade"): void {
    const packet = this.#packet;
    if (change === "masquerade") {
      const source = this.#node.sourceAddress(packet.oif, packet.family);
      if (source !== packet.source) packet.status.add("snat");
      packet.source = source;
      this.#settled.source = true;
      return;
    }
    if (change.destination !== packet.destination || change.port !== packet.destinationPort) packet.status.add("dnat");
    packet.destination = change.destination;
    packet.destinationPort = change.port;
    this.#settled.destination = true;
  }

  #translateAsBefore({ original, reply }: Flow, side: "destination" | "source"): void {
    const packet = this.#packet;
    const isReply = packet.source === reply.source && packet.sourcePort === reply.sourcePort;
    const isOriginal = !isReply || sameTuple(tupleOf(packet), original);
    const other = isOriginal ? reply : original;
    if (side === "destination") [packet.destination, packet.destinationPort] = [other.source, other.sourcePort];
    else [packet.source, packet.sourcePort] = [other.destination, other.destinationPort];
  }

  #endOf(verdict: ChainVerdict): Outcome | undefined {
    if (verdict === "accept") return undefined;
    if (verdict === "drop") return this.#end("dropped");
    this.#rejection = verdict.reject;
    return this.#end("rejected");
  }

  #end(how: End): Outcome {
    const trace = [...this.#trace, how];
    if (how === "rejected") return { verdict: how, how: this.#rejection, trace };
    return { verdict: how, trace };
  }

  #arrive(verdict: "local" | "sent", device: string): Outcome {
    const packet = this.#packet;
    const { source, destination, destinationPort: port, original } = packet;
    const reply = {
      source: destination,
      sourcePort: port,
      destination: source,
      destinationPort: packet.sourcePort,
    };
    const where = verdict === "local" ? "for this node" : `leaves by ${device}`;
    const trace = [...this.#trace, `${formatPacket(packet)} ${where}`];
    return { verdict, device, source, destination, port, flow: packet.flow ?? { original, reply }, trace };
  }
}

function isLoopback(ip: Ip): boolean {
  return ip === "::1" || (ipFamily(ip) === 4 && prefixContains("127.0.0.0/8", ip));
}
