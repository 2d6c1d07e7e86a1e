/**
 * Chains of ClusterNetworkPolicies: the rules of a tier in their order, the first that matches counts. They are few, and are
 * walked. Pods that are subject to the same policies, and go on to the same chain, share them.
 *
 *   ingress-admin-X ─▶ Accept: return   Deny: ingress-denied-Y   Pass, or no rule: what NetworkPolicies made, or Baseline
 *   ingress-baseline-X ─▶ Accept, Pass, or no rule: return       Deny: ingress-denied-Y
 */
import type { PolicyTier, TierPeer } from "../../model/cluster-network-policy.ts";
import { type Ip, ipFamily } from "../../model/ip.ts";
import type { NftChain, NftRule, NftSet, NftStatement, NftVerdict } from "../../model/nft.ts";
import type { PolicyPod, PolicyPort } from "../../model/policy.ts";
import { portRanges } from "./admissions.ts";
import {
  addressFields,
  type ChainContext,
  type CompiledChain,
  deniedChain,
  inFew,
  policyName,
  portStatements,
  ruleComment,
} from "./chains.ts";
import type { Block } from "./peer-sets.ts";
import { digest, type PodSelection, selectionOf } from "./peers.ts";
import { addressesOfNodes, type PlacedRule, type PolicyTiers } from "./tiers.ts";

export interface TierContext extends ChainContext {
  readonly tier: PolicyTier;
  readonly nodes: PolicyTiers["nodes"];
  /** Where it goes on behind the tier; undefined: to an end, what nothing forbids is admitted. */
  readonly next?: CompiledChain | undefined;
}

/** @param key what tells the chain from others of this direction and tier */
export function compileTier(
  key: string,
  rules: readonly PlacedRule[],
  pod: PolicyPod,
  context: TierContext,
): CompiledChain {
  return new TierCompiler(pod, context).compile(
    `${context.direction}-${context.tier.toLowerCase()}-${digest(key)}`,
    rules,
  );
}

class TierCompiler {
  /** Whose ports have the names that ingress rules speak of. */
  readonly #pod: PolicyPod;
  readonly #context: TierContext;
  readonly #used = new Set<string>();
  readonly #portSets = new Map<string, NftSet>();
  readonly #denied = new Map<string, NftChain>();
  readonly #denials = new Map<string, readonly string[]>();

  constructor(pod: PolicyPod, context: TierContext) {
    this.#pod = pod;
    this.#context = context;
  }

  compile(name: string, rules: readonly PlacedRule[]): CompiledChain {
    const { next } = this.#context;
    const own = rules.flatMap((rule) => this.#rules(rule));
    const goOn: NftRule[] = next === undefined ? [] : [{ statements: [{ verdict: { goto: next.name } }] }];
    return {
      name,
      chains: [{ name, rules: [...own, ...goOn] }, ...this.#denied.values(), ...(next?.chains ?? [])],
      maps: [...this.#portSets.values(), ...(next?.maps ?? [])],
      sets: [...this.#used, ...(next?.sets ?? [])],
      denials: new Map([...this.#denials, ...(next?.denials ?? [])]),
    };
  }

  #rules(placed: PlacedRule): NftRule[] {
    const { direction } = this.#context;
    const { policy, number, rule } = placed;
    const comment = ruleComment(`${policy.name} ${direction} rule ${number}${called(rule.name)}: ${rule.action}`);
    const verdict = this.#verdict(placed);
    return this.#alternatives(placed).map((statements) => ({ statements: [...statements, { verdict }], comment }));
  }

  #verdict({ policy, rule: { action } }: PlacedRule): NftVerdict {
    const { next } = this.#context;
    if (action === "Accept" || (action === "Pass" && next === undefined)) return "return";
    if (action === "Pass" && next !== undefined) return { goto: next.name };
    const names = [policyName({ name: policy.name })];
    const chain = deniedChain(names, this.#context);
    this.#denied.set(chain.name, chain);
    this.#denials.set(chain.name, names);
    return { goto: chain.name };
  }

  /** Statements of which any may hold. */
  #alternatives({ rule: { peers, ports } }: PlacedRule): NftStatement[][] {
    const isNamed = ({ port }: PolicyPort) => typeof port === "string" && this.#context.direction === "egress";
    const plain = ports?.filter((port) => !isNamed(port));
    const matches = this.#plainPorts(plain);
    const from = matches.length === 0 ? [] : this.#peers(peers);
    return [
      ...matches.flatMap((match) => from.map((lookup) => [...match, ...lookup])),
      ...this.#namedPorts(peers, (ports ?? []).filter(isNamed)),
    ];
  }

  /** Single ports are one look-up, ranges are compared. No statement: all traffic. */
  #plainPorts(ports: readonly PolicyPort[] | undefined): NftStatement[][] {
    if (ports === undefined) return [[]];
    const ranges = ports.flatMap((port) => portRanges(port, this.#pod));
    const single = ranges.filter(({ first, last }) => first !== undefined && first === last);
    const elements = single.map(({ protocol = "TCP", first }) => `${protocol.toLowerCase()} . ${first}`);
    const others = ranges.filter((range) => !single.includes(range)).map(portStatements);
    if (elements.length < 2) return [...single.map(portStatements), ...others];
    return [[{ lookup: ["meta l4proto", "th dport"], set: this.#portSet(elements) }], ...others];
  }

  #portSet(elements: readonly string[]): string {
    const sorted = [...new Set(elements)].sort();
    const name = `ports-${digest(sorted.join(" "))}`;
    this.#portSets.set(name, { name, key: ["inet_proto", "inet_service"], interval: false, elements: sorted });
    return name;
  }

  /** One look-up a set; none for anybody. */
  #peers(peers: readonly TierPeer[] | undefined): NftStatement[][] {
    if (peers === undefined) return [[]];
    const { direction, family, sets } = this.#context;
    const [source, destination] = addressFields(family);
    const field = direction === "ingress" ? source : destination;
    const selections = inFew(selectionsOf(peers), (some) => sets.pods(some));
    const blocks = this.#blocks(peers);
    const network = blocks.length === 0 ? undefined : sets.blocks(blocks);
    const names = new Set([...selections, ...(network === undefined ? [] : [network])]);
    for (const name of names) this.#used.add(name);
    return [...names].sort().map((set) => [{ lookup: field, set }]);
  }

  #blocks(peers: readonly TierPeer[]): Block[] {
    return peers.flatMap((peer): Block[] => {
      if (peer.kind === "block") return [peer];
      if (peer.kind !== "nodes") return [];
      return addressesOfNodes(peer.nodes, this.#context.nodes).map(asBlock);
    });
  }

  /** A name means another number for each pod that is dialled. */
  #namedPorts(peers: readonly TierPeer[] | undefined, ports: readonly PolicyPort[]): NftStatement[][] {
    const { family, sets } = this.#context;
    const [, destination] = addressFields(family);
    const selections = peers === undefined ? [undefined] : selectionsOf(peers);
    const named = selections.flatMap((selection) =>
      ports.map(({ protocol, port }) => ({ selection, protocol, port: String(port) })),
    );
    if (named.length === 0) return [];
    const set = sets.namedPorts(named);
    this.#used.add(set);
    return [[{ lookup: [destination, "meta l4proto", "th dport"], set }]];
  }
}

/** People may call a rule anything. nft quotes comments and escapes nothing, and the kernel counts their bytes. */
function called(name: string): string {
  return name === "" ? "" : ` (${name.replace(/[^\w .,:;/()+-]/gu, "?")})`;
}

function selectionsOf(peers: readonly TierPeer[]): PodSelection[] {
  return peers.flatMap((peer) => (peer.kind === "pods" ? [selectionOf(peer, "")] : []));
}

function asBlock(ip: Ip): Block {
  return { prefix: `${ip}/${ipFamily(ip) === 4 ? 32 : 128}`, except: [] };
}
