/**
 * The chain of a pod's direction: what any of its policies admits returns, the rest is counted and dropped. However many
 * rules there are, a packet meets a handful of look-ups: its port leads by one verdict map to whom that port admits.
 *
 *   ingress-X ─▶ who may come on every port ─▶ accept
 *             ─▶ protocol, port ─▶ ingress-ports-X ─▶ ingress-peers-Y ─▶ accept
 *             ─▶ ingress-denied-Z: count, drop
 *
 * Nothing is looked at behind ingress: what it admits is accepted, from wherever that is found, so that chains of peers are
 * shared by all pods. What egress admits goes on to ingress: it returns, and its chains of peers lead on to what drops.
 */
import type { Family } from "../../model/ip.ts";
import type { NftChain, NftField, NftRule, NftSet, NftStatement } from "../../model/nft.ts";
import type { ClusterPolicy, PolicyDirection, PolicyPod } from "../../model/policy.ts";
import { Admissions, type Admitted, type PortRange } from "./admissions.ts";
import type { PeerSets } from "./peer-sets.ts";
import { digest } from "./peers.ts";

export type Direction = PolicyDirection;

/** What is said of packets that policies deny. */
export interface DeniedLog {
  /** nflog's group. */
  readonly group: number;
  /** Packets a second of one chain, and as many at once. */
  readonly perSecond: number;
}

/**
 * What becomes of an admitted packet: "accept" ends the hook, "return" goes back to who led it here. Two pods that have one
 * address for a moment both have to admit, so theirs return.
 */
export type Admit = "accept" | "return";

/** What a direction's chains do, but for an address that two pods have. */
export const USUALLY = { ingress: "accept", egress: "return" } as const satisfies Record<PolicyDirection, Admit>;

export interface ChainContext {
  readonly direction: Direction;
  readonly admit: Admit;
  readonly family: Family;
  readonly sets: PeerSets;
  readonly logDenied?: DeniedLog | undefined;
}

/** The chains of one set of policies. */
export interface CompiledChain {
  readonly name: string;
  readonly chains: readonly NftChain[];
  /** From ports to chains. */
  readonly maps: readonly NftSet[];
  /** Sets that the rules look into. */
  readonly sets: readonly string[];
  /** By the chain that drops: the policies that leave it no choice, as {@link policyName} names them. */
  readonly denials: ReadonlyMap<string, readonly string[]>;
}

const PROTOCOL_NUMBERS = { TCP: 6, UDP: 17, SCTP: 132 } as const;
/** Longest comment that nft keeps of a rule. */
const COMMENT_LENGTH = 127;
/** Policies share sets of peers; more of them than this in one place are one set of their own, so that no packet walks a list. */
const MOST_LOOKUPS = 4;
/** From so many ports on they are a map. */
const LEAST_MAPPED = 3;
/** Of a denied packet, for its log: headers of IPv6 with some extensions, and ports. */
const SNAPLEN = 128;

/** @param key what tells the chain from others of this direction: its policies, and the pod's own named ports */
export function compileChain(
  key: string,
  policies: readonly ClusterPolicy[],
  pod: PolicyPod,
  context: ChainContext,
): CompiledChain {
  const names = policies.map(policyName);
  const compiler = new ChainCompiler(context, names);
  return compiler.compile(key, new Admissions(context.direction, policies, pod));
}

/** "namespace/name". A policy of the whole cluster stands in a namespace that there cannot be. */
export function policyName({ namespace, name }: { readonly namespace?: string; readonly name: string }): string {
  return `${namespace ?? "ClusterNetworkPolicy"}/${name}`;
}

/** One for all pods that the same policies deny: it counts. */
export function deniedChain(policies: readonly string[], { direction, family, logDenied }: ChainContext): NftChain {
  const name = `${direction}-denied-${digest(policies.join(" "))}`;
  const [source, destination] = addressFields(family);
  const log: NftStatement[] = logDenied
    ? [
        { limit: { perSecond: logDenied.perSecond, burst: logDenied.perSecond } },
        { log: { prefix: name, group: logDenied.group, snaplen: SNAPLEN } },
      ]
    : [];
  return {
    name,
    rules: [
      // Looked at last: hardly any packet is one of these.
      {
        statements: [{ lookup: [source, destination], set: "self" }, { verdict: "return" }],
        comment: "a pod always reaches itself",
      },
      ...(log.length === 0 ? [] : [{ statements: log }]),
      {
        statements: [{ counter: true }, { verdict: "drop" }],
        comment: ruleComment(`denied by ${policies.join(", ")}`),
      },
    ],
  };
}

class ChainCompiler {
  readonly #context: ChainContext;
  readonly #policies: readonly string[];
  readonly #denied: NftChain;
  readonly #used = new Set<string>();
  readonly #chains = new Map<string, NftChain>();

  constructor(context: ChainContext, policies: readonly string[]) {
    this.#context = context;
    this.#policies = policies;
    this.#denied = deniedChain(policies, context);
    this.#chains.set(this.#denied.name, this.#denied);
  }

  compile(key: string, admissions: Admissions): CompiledChain {
    const { direction } = this.#context;
    const id = digest(key);
    const all = admissions.all();
    const single = all.filter(isSinglePort);
    const mapped = single.length < LEAST_MAPPED ? [] : single;
    const map = this.#portMap(`${direction}-ports-${id}`, mapped);
    const name = `${direction}-${id}`;
    const rules = [
      ...all.filter((each) => !mapped.includes(each)).flatMap((admitted) => this.#portRules(admitted)),
      ...this.#namedRules(admissions),
      ...(map === undefined ? [] : [{ statements: [{ vmap: ["meta l4proto", "th dport"], map: map.name }] } as const]),
      this.#goToDenied(),
    ];
    this.#chains.set(name, { name, rules });
    return {
      name,
      chains: [...this.#chains.values()],
      maps: map === undefined ? [] : [map],
      sets: [...this.#used],
      denials: new Map([[this.#denied.name, this.#policies]]),
    };
  }

  #goToDenied(): NftRule {
    return { statements: [{ verdict: { goto: this.#denied.name } }] };
  }

  #portRules(admitted: Admitted): NftRule[] {
    return this.#peerRules(admitted, portStatements(admitted.ports));
  }

  /** Ports that admit everybody are admitted by the map itself, the others lead to a chain of who is admitted. */
  #portMap(name: string, admitted: readonly Admitted[]): NftSet | undefined {
    if (admitted.length === 0) return undefined;
    const { admit } = this.#context;
    const elements = admitted.map((each) => {
      const { protocol = "TCP", first } = each.ports;
      const verdict = each.anybody ? admit : `${admit === "accept" ? "jump" : "goto"} ${this.#peersChain(each)}`;
      return `${protocol.toLowerCase()} . ${first} : ${verdict}`;
    });
    return {
      name,
      key: ["inet_proto", "inet_service"],
      data: "verdict",
      interval: false,
      elements: elements.sort(),
    };
  }

  /** @returns its name: ports that admit the same by the same rules share it, of whichever pods */
  #peersChain(admitted: Admitted): string {
    const { direction, admit } = this.#context;
    const own = this.#peerRules(admitted, []);
    const rules = admit === "accept" ? own : [...own, this.#goToDenied()];
    const name = `${direction}-peers-${digest(JSON.stringify(rules))}`;
    this.#chains.set(name, { name, rules });
    return name;
  }

  #peerRules(admitted: Admitted, ports: readonly NftStatement[]): NftRule[] {
    const comment = ruleComment([...admitted.rules].join(", "));
    const rule = (...statements: NftStatement[]): NftRule => ({
      statements: [...ports, ...statements, { verdict: this.#context.admit }],
      comment,
    });
    if (admitted.anybody) return [rule()];
    const field = this.#peerField;
    return this.#peerSets(admitted).map((set) => rule({ lookup: field, set }));
  }

  #peerSets({ selections, blocks }: Admitted): string[] {
    const { sets } = this.#context;
    const names = [
      ...inFew([...selections.values()], (some) => sets.pods(some)),
      ...inFew([...blocks.values()], (some) => sets.blocks(some)),
    ].filter((name) => name !== undefined);
    for (const name of names) this.#used.add(name);
    return [...new Set(names)].sort();
  }

  #namedRules({ named, namedRules }: Admissions): NftRule[] {
    if (named.size === 0) return [];
    const [, destination] = addressFields(this.#context.family);
    const ports = [...named.values()];
    const lists = ports.length > MOST_LOOKUPS ? [ports] : ports.map((port) => [port]);
    return lists
      .map((list) => this.#context.sets.namedPorts(list))
      .sort()
      .map((set) => {
        this.#used.add(set);
        return {
          statements: [{ lookup: [destination, "meta l4proto", "th dport"], set }, { verdict: this.#context.admit }],
          comment: ruleComment([...namedRules].join(", ")),
        };
      });
  }

  get #peerField(): NftField {
    const [source, destination] = addressFields(this.#context.family);
    return this.#context.direction === "ingress" ? source : destination;
  }
}

/** Sets of single values, shared with whoever asks for the same, or one of all when they are many. */
export function inFew<T, N>(values: readonly T[], ask: (some: readonly T[]) => N): N[] {
  return values.length > MOST_LOOKUPS ? [ask(values)] : values.map((value) => ask([value]));
}

export function portStatements({ protocol, first, last }: PortRange): NftStatement[] {
  const ports: NftStatement[] = [];
  if (protocol !== undefined) ports.push({ match: "meta l4proto", op: "==", value: PROTOCOL_NUMBERS[protocol] });
  if (first !== undefined && first === last) ports.push({ match: "th dport", op: "==", value: first });
  else if (first !== undefined && last !== undefined) {
    ports.push({ match: "th dport", op: ">", value: first - 1 });
    // Nothing is above the last port there is.
    if (last < 65_535) ports.push({ match: "th dport", op: "<", value: last + 1 });
  }
  return ports;
}

function isSinglePort({ ports: { first, last } }: Admitted): boolean {
  return first !== undefined && first === last;
}

export function addressFields(family: Family): readonly ["ip saddr" | "ip6 saddr", "ip daddr" | "ip6 daddr"] {
  return family === 4 ? ["ip saddr", "ip daddr"] : ["ip6 saddr", "ip6 daddr"];
}

export function ruleComment(text: string): string {
  return text.slice(0, COMMENT_LENGTH);
}
