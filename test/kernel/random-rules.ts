/**
 * Random tables for loopback: filters of all that the tracer knows, destinations that are translated, maps that packets
 * fill. The same ones for the same numbers.
 */
import type { NftBaseChain, NftChain, NftKey, NftRule, NftSet, NftStatement, NftTable } from "../../src/model/nft.ts";

export const SOURCES = ["10.1.0.1", "10.1.0.2", "10.1.0.3"] as const;
export const DESTINATIONS = ["10.2.0.1", "10.2.0.2", "10.2.0.129", "10.2.0.130"] as const;
export const PORTS = [1001, 1002, 1003] as const;

type Random = (below: number) => number;

export interface RandomRules {
  readonly tables: readonly NftTable[];
  /** Translations depend on what the kernel draws. */
  readonly drawsLots: boolean;
}

export function randomRules(random: Random): RandomRules {
  const drawsLots = random(2) === 0;
  const make = (family: "ip" | "inet", priority: number) => new RandomTable(random, drawsLots).make(family, priority);
  return { tables: [make("ip", random(3) * 10 + 1), make("inet", 5)], drawsLots };
}

const frontend = ["ip daddr", "meta l4proto", "th dport"] as const;
const frontendKey = ["ipv4_addr", "inet_proto", "inet_service"] as const;
const endpoint = ["ipv4_addr", "inet_service"] as const;
/** Errors come back whatever the rules are: what a rule rejects is seen so. */
const passErrors: NftRule = { statements: [{ match: "meta l4proto", op: "==", value: 1 }, { verdict: "accept" }] };
const client = ["ip saddr", "ip daddr", "th dport"] as const;
const update = ["ip saddr", "ct original ip daddr", "meta l4proto", "ct original proto-dst"] as const;
const remember: NftRule = {
  statements: [
    { match: "ct status", op: "==", value: "dnat" },
    { update, map: "affinity", data: ["ip daddr", "th dport"], timeoutSeconds: 1000 },
  ],
};

function nat(hook: "output" | "postrouting", priority: number, rules: readonly NftRule[]): NftChain {
  return { name: `nat-${hook}`, base: { type: "nat", hook, priority, policy: "accept" }, rules };
}

const FILTERS = ["f1", "f2", "f3"] as const;
const TRANSLATORS = ["n1", "n2"] as const;

class RandomTable {
  readonly #random: Random;
  readonly #drawsLots: boolean;

  constructor(random: Random, drawsLots: boolean) {
    this.#random = random;
    this.#drawsLots = drawsLots;
  }

  /** @param priority of the filters behind the translation; the one before it is 120 earlier */
  make(family: "ip" | "inet", priority: number): NftTable {
    const others = [this.#filter("prerouting", priority), this.#filter("postrouting", priority)];
    return {
      family,
      name: "breakwater",
      sets: this.#sets(),
      chains: [
        this.#filter("output", priority - 120),
        this.#filter("output", priority, "filter-output-late"),
        this.#filter("input", priority),
        ...(family === "inet" ? others : []),
        nat(
          "output",
          -100,
          this.#rules(() => this.#translation(), 0, 0),
        ),
        nat("postrouting", 99, [remember]),
        ...FILTERS.map((name, i) => ({ name, rules: this.#rules((n) => this.#filterEnd(n), i + 1) })),
        ...TRANSLATORS.map((name) => ({ name, rules: [{ statements: [this.#dnat()] }] })),
      ],
    };
  }

  #filter(hook: NftBaseChain["hook"], priority: number, name = `filter-${hook}`): NftChain {
    const policy = this.#random(12) === 0 ? "drop" : "accept";
    // The kernel has no reject behind routing, also not in a chain that is led to.
    const end = (depth: number) => (hook === "postrouting" ? this.#verdict() : this.#filterEnd(depth));
    return { name, base: { type: "filter", hook, priority, policy }, rules: [passErrors, ...this.#rules(end, 0)] };
  }

  #pick<T>(values: readonly T[]): T {
    return values[this.#random(values.length)] as T;
  }

  #some<T>(values: readonly T[]): T[] {
    return values.filter(() => this.#random(2) === 0);
  }

  #frontends(): string[] {
    return this.#some(DESTINATIONS.flatMap((ip) => PORTS.map((port) => `${ip} . udp . ${port}`)));
  }

  #sets(): NftSet[] {
    const set = (name: string, rest: Omit<NftSet, "name" | "interval"> & { interval?: boolean }): NftSet => ({
      name,
      interval: false,
      ...rest,
      elements: [...rest.elements].sort(),
    });
    const target = () => `${this.#pick(DESTINATIONS)} . ${this.#pick(PORTS)}`;
    const slots = [...new Set([...this.#frontends(), ...this.#frontends()])].flatMap((key) =>
      ["0", ...this.#some(["1", "2"])].map((slot) => `${key} . ${slot} : ${target()}`),
    );
    const verdicts = [
      "accept",
      "accept",
      "drop",
      "return",
      ...FILTERS.slice(1).flatMap((name) => [`jump ${name}`, `goto ${name}`]),
    ];
    const prefixes = ["10.1.0.2/31", "10.2.0.0/25", "10.2.0.130/32", "10.1.0.1/32"];
    return [
      set("plain", { key: frontendKey, elements: this.#frontends() }),
      set("prefixes", { key: "ipv4_addr", interval: true, elements: this.#some(prefixes) }),
      set("ranges", {
        key: [...frontendKey, "ipv4_addr"],
        interval: true,
        elements: this.#frontends().map((key) => `${key} . ${this.#pick(["10.1.0.0/31", "10.1.0.2/32", "0.0.0.0/0"])}`),
      }),
      set("verdicts", {
        key: frontendKey,
        data: "verdict",
        elements: this.#frontends().map((key) => `${key} comment "of ${key.length}" : ${this.#pick(verdicts)}`),
      }),
      set("translators", {
        key: frontendKey,
        data: "verdict",
        elements: this.#frontends().map(
          (key) => `${key} : ${this.#pick(["goto n1", "jump n2", "jump n1", "drop", "return"])}`,
        ),
      }),
      set("endpoints", { key: [...frontendKey, "index"], data: endpoint, elements: slots }),
      set("affinity", { key: ["ipv4_addr", ...frontendKey], data: endpoint, dynamic: { size: 64 }, elements: [] }),
      set("clients", {
        key: ["ipv4_addr", "ipv4_addr", "inet_service", "index"],
        dynamic: { size: 512 },
        elements: [],
      }),
    ];
  }

  #rules(end: (depth: number) => NftStatement, depth: number, least = 1): NftRule[] {
    return Array.from({ length: 1 + this.#random(4) }, () => ({
      statements: [...Array.from({ length: least + this.#random(3) }, () => this.#condition()), end(depth)],
    }));
  }

  #condition(): NftStatement {
    const op = this.#pick(["==", "!="] as const);
    const negate = this.#random(2) === 0;
    return this.#pick<() => NftStatement>([
      () => ({ match: "ip saddr", op, value: this.#pick([...SOURCES, "10.1.0.2/31"]) }),
      () => ({ match: "ip daddr", op, value: this.#pick([...DESTINATIONS, "10.2.0.128/25"]) }),
      () => ({ match: "th dport", op: this.#pick(["==", "!=", "<", ">"] as const), value: this.#pick(PORTS) }),
      () => ({ match: "meta l4proto", op, value: this.#pick([6, 17]) }),
      () => ({ match: "ct state", op, value: this.#pick(["new", "established,related", "invalid,new"]) }),
      () => ({ match: "ct status", op, value: "dnat" }),
      () => ({ match: "ct original ip daddr", op, value: this.#pick(DESTINATIONS) }),
      () => ({ match: "ct original proto-dst", op, value: this.#pick(PORTS) }),
      () => ({ match: "meta iifname", op, value: "lo" }),
      () => ({ match: "meta oifname", op, value: this.#pick(["lo", "l*"]) }),
      () => ({ local: this.#pick(["saddr", "daddr"] as const) }),
      () => ({ lookup: frontend, set: "plain", negate }),
      () => ({ lookup: this.#pick<NftKey>(["ip saddr", "ip daddr"]), set: "prefixes", negate }),
      () => ({ lookup: [...frontend, "ip saddr"], set: "ranges", negate }),
      () => ({ counter: true }),
      ...(this.#drawsLots ? [] : this.#memory(negate)),
    ])();
  }

  /** Where the kernel draws lots nobody knows whom it remembers. */
  #memory(negate: boolean): (() => NftStatement)[] {
    return [
      () => ({ lookup: client, slot: this.#random(2), set: "clients", negate }),
      () => ({ update: client, slot: this.#random(2), set: "clients", timeoutSeconds: 1000 }),
    ];
  }

  /** @param depth chains lead to later ones only */
  #filterEnd(depth: number): NftStatement {
    const deeper = FILTERS.slice(depth);
    return this.#pick<() => NftStatement>([
      () => this.#verdict(),
      () => (this.#random(3) === 0 ? { reject: "icmp" } : { counter: true }),
      () => (depth === 0 ? { vmap: frontend, map: "verdicts" } : { counter: true }),
      () => (deeper.length === 0 ? { counter: true } : { verdict: { jump: this.#pick(deeper) } }),
      () => (deeper.length === 0 ? { verdict: "return" } : { verdict: { goto: this.#pick(deeper) } }),
    ])();
  }

  #verdict(): NftStatement {
    return { verdict: this.#pick(["accept", "accept", "accept", "accept", "drop", "return"] as const) };
  }

  #translation(): NftStatement {
    return this.#pick<() => NftStatement>([
      () => this.#dnat(),
      () => ({ dnat: ["ip saddr", ...frontend], family: 4, map: "affinity" }),
      () => ({ dnat: frontend, family: 4, map: "endpoints", slot: this.#random(2) }),
      () => ({ vmap: frontend, map: "translators" }),
      () => ({ verdict: "return" }),
    ])();
  }

  #dnat(): NftStatement {
    return { dnat: frontend, family: 4, map: "endpoints", index: this.#drawsLots ? 3 : 1 };
  }
}
