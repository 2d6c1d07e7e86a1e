/** Connection tracking in memory: flows that tests put there, and what was asked of them, in the log. */
import { formatConntrackTuple } from "../../model/conntrack.ts";
import { type Family, ipFamily } from "../../model/ip.ts";
import { matchesFilter } from "../ctnetlink/messages.ts";
import type { Conntrack, ConntrackEntry, ConntrackFilter, ConntrackTuple } from "../ctnetlink/types.ts";
import type { Supervision } from "./supervision.ts";

/** IPS_SNAT and IPS_DNAT of include/uapi/linux/netfilter/nf_conntrack_common.h. */
const STATUS = { snat: 0x10, dnat: 0x20 } as const;
const IPPROTO = { tcp: 6, udp: 17, sctp: 132 } as const;

/** "udp 10.244.1.9:4000 > 10.96.0.10:53, 10.244.2.6:5353 > 10.244.1.9:4000": as it came, and how answers come. */
export type FlowText = string;

export class FakeConntrack implements Conntrack {
  readonly #supervision: Supervision;
  #entries: ConntrackEntry[] = [];
  #nextId = 1;
  /** Lists that were asked for. */
  lists = 0;

  constructor(supervision: Supervision) {
    this.#supervision = supervision;
  }

  [Symbol.dispose](): void {}

  /** A flow begins. @returns its entry */
  track(flow: FlowText): ConntrackEntry {
    const entry = parseFlow(flow, this.#nextId++);
    this.#entries.push(entry);
    return entry;
  }

  /** Flows that are tracked, as they were given. */
  flows(): FlowText[] {
    return this.#entries.map(formatFlow);
  }

  entries(filter?: ConntrackFilter): ConntrackEntry[] {
    this.lists++;
    const purpose = { operation: "list", object: "conntrack entries" };
    const matches = (entry: ConntrackEntry) => filter === undefined || matchesFilter(entry, filter);
    return this.#supervision.list("conntrackEntries", purpose, () => this.#entries.filter(matches));
  }

  entriesOf(family: Family): ConntrackEntry[] {
    return this.entries().filter((entry) => entry.family === family);
  }

  deleteEntry({ id, original }: Pick<ConntrackEntry, "family" | "original" | "id" | "zone">): boolean {
    let found = false;
    this.#supervision.run("deleteEntry", { operation: "delete", object: formatConntrackTuple(original) }, () => {
      found = this.#entries.some((entry) => entry.id === id);
      this.#entries = this.#entries.filter((entry) => entry.id !== id);
    });
    return found;
  }

  deleteMatching(filter: ConntrackFilter): void {
    this.#supervision.run("deleteMatching", { operation: "delete", object: JSON.stringify(filter) }, () => {
      this.#entries = this.#entries.filter((entry) => !matchesFilter(entry, filter));
    });
  }
}

function parseFlow(text: FlowText, id: number): ConntrackEntry {
  const [, name = "", there = "", back = ""] = /^(\w+) (.*), (.*)$/.exec(text) ?? [];
  const protocol = IPPROTO[name as keyof typeof IPPROTO];
  if (protocol === undefined) throw new SyntaxError(`Cannot read flow "${text}"`);
  const [original, reply] = [parseTuple(there, protocol), parseTuple(back, protocol)];
  const dnat = reply.source !== original.destination || reply.sourcePort !== original.destinationPort;
  const snat = reply.destination !== original.source || reply.destinationPort !== original.sourcePort;
  const status = (dnat ? STATUS.dnat : 0) | (snat ? STATUS.snat : 0);
  return { family: ipFamily(original.source), original, reply, id, status, timeoutSeconds: 30, mark: 0, zone: 0 };
}

function parseTuple(text: string, protocol: number): ConntrackTuple {
  const [from = "", to = ""] = text.split(" > ");
  const [source, sourcePort] = parseEndpoint(from);
  const [destination, destinationPort] = parseEndpoint(to);
  return { source, destination, protocol, sourcePort, destinationPort, icmp: undefined };
}

function parseEndpoint(text: string): [string, number] {
  const at = text.lastIndexOf(":");
  return [text.slice(0, at).replace(/[[\]]/g, ""), Number(text.slice(at + 1))];
}

function formatFlow({ original, reply }: ConntrackEntry): FlowText {
  const name = Object.entries(IPPROTO).find(([, number]) => number === original.protocol)?.[0];
  return `${name} ${formatTuple(original)}, ${formatTuple(reply)}`;
}

function formatTuple({ source, sourcePort, destination, destinationPort }: ConntrackTuple): string {
  const at = (ip: string, port: number | undefined) => (ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`);
  return `${at(source, sourcePort)} > ${at(destination, destinationPort)}`;
}
