/** Writes down what a kernel answers and announces, in words that do not depend on indexes, timing or luck. */
import { once } from "node:events";
import type { Route, RouteEvent, RouteTable } from "../../src/kernel/rtnetlink/types.ts";
import { isBreakwaterError } from "../../src/model/errors.ts";
import type { Machine } from "./machine.ts";

/** Protocols of routes that somebody set, as against those that the kernel makes: boot and ours. */
const SET_PROTOCOLS = [3, 98];
/** A route that comes last says that all events before it are here (TEST-NET-3, RFC 5737). */
const SENTINEL = { destination: "203.0.113.0/24", protocol: 4, type: "blackhole" } as const;

export class Transcript {
  readonly lines: string[] = [];
  readonly #machine: Machine;
  readonly #watch: Disposable;
  readonly #names = new Map<number, string>();
  readonly #sentinel = new EventTarget();

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#watch = machine.watch((events) => {
      for (const event of events) this.#note(event);
    });
  }

  /** Does one thing and writes down whether it was done. */
  try(label: string, body: (node: RouteTable) => unknown): void {
    try {
      body(this.#machine.node);
      this.lines.push(`${label}: done`);
    } catch (error) {
      if (!isBreakwaterError(error)) throw error;
      this.lines.push(`${label}: ${error.errno}`);
    }
  }

  /** Waits for the events so far and writes down all that there is. */
  async show(title: string): Promise<void> {
    const arrived = once(this.#sentinel, "arrived");
    this.#machine.other.setRoute(SENTINEL);
    this.#machine.other.deleteRoute(SENTINEL);
    await arrived;
    this.lines.push(`-- ${title}`, ...listAll(this.#machine.node, "node"), ...listAll(this.#machine.pod, "pod"));
  }

  index(name: string): number {
    return this.#machine.node.link(name)?.index ?? 9999;
  }

  end(): string {
    this.#watch[Symbol.dispose]();
    return this.lines.join("\n");
  }

  #note(event: RouteEvent): void {
    if (event.type === "link") this.#names.set(event.link.index, event.link.name);
    if (event.type === "route" && event.route.destination === SENTINEL.destination) {
      if (event.deleted) this.#sentinel.dispatchEvent(new Event("arrived"));
      return;
    }
    const text = describe(event, (index) => this.#names.get(index ?? -1) ?? `?${index}`);
    // The kernel says some things twice.
    if (text !== undefined && this.lines.at(-1) !== text) this.lines.push(text);
  }
}

function describe(event: RouteEvent, name: (index: number | undefined) => string): string | undefined {
  if (event.type === "lost") return "event lost";
  // Every new device says how it forwards, at a time of its own.
  if (event.type === "forwarding") return undefined;
  const verb = `event ${"deleted" in event && event.deleted ? "deleted" : "new"}`;
  switch (event.type) {
    case "link":
      return event.link.name.startsWith("bw")
        ? `${verb} link ${event.link.name} ${event.link.up ? "up" : "down"} mtu ${event.link.mtuBytes}`
        : undefined;
    case "address":
      // A new IPv6 address is announced by a worker, a little later than the others.
      if (event.address.scope !== "global" || (!event.deleted && event.address.address.includes(":"))) return undefined;
      return `${verb} address ${event.address.address}`;
    case "route":
      return SET_PROTOCOLS.includes(event.route.protocol) ? `${verb} route ${routeText(event.route, name)}` : undefined;
    case "neighbour":
      return event.neighbour.ip.startsWith("10.") ? `${verb} neighbour ${event.neighbour.ip}` : undefined;
    case "fdb":
      return `${verb} fdb ${event.entry.mac} ${event.entry.destination} dev ${name(event.entry.index)}`;
  }
}

function routeText(route: Route, name: (index: number | undefined) => string): string {
  const { destination, gateway, oif, protocol, metric, mtuBytes, scope, onlink } = route;
  return `${destination} via ${gateway} dev ${name(oif)} proto ${protocol} metric ${metric} mtu ${mtuBytes} ${scope} ${onlink}`;
}

function listAll(routes: RouteTable, where: string): string[] {
  const links = routes.links();
  const name = (index: number | undefined) => links.find((link) => link.index === index)?.name ?? "none";
  const set = routes.routes().filter((route) => route.destination !== SENTINEL.destination);
  return [
    ...links.map((l) => `link ${l.name} ${l.kind} mtu ${l.mtuBytes} up ${l.up} carrier ${l.carrier} group ${l.group}`),
    ...routes
      .addresses()
      .filter((a) => a.scope === "global")
      .map((a) => `address ${a.address}/${a.length} dev ${name(a.index)}`),
    ...set
      .filter((r) => r.table === 254 && !r.destination.startsWith("fe80:"))
      .map((r) => `route ${routeText(r, name)}`),
    ...routes
      .neighbours()
      .filter((n) => n.permanent)
      .map((n) => `neighbour ${n.ip} ${n.mac} dev ${name(n.index)}`),
    ...routes
      .fdb()
      .filter((f) => name(f.index).startsWith("bw"))
      .map((f) => `fdb ${f.mac} ${f.destination} dev ${name(f.index)}`),
  ]
    .sort()
    .map((line) => `${where} ${line}`);
}
