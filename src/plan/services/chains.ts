/**
 * The table's chains: dispatch, one chain for all frontends with N endpoints, source NAT, refusal. They depend on which
 * numbers of endpoints and which features are in use, not on how many Services there are.
 */
import type { Family } from "../../model/ip.ts";
import type { NftChain, NftField, NftRule, NftStatement } from "../../model/nft.ts";
import type { Prefix } from "../../model/prefix.ts";
import { planClientChains } from "./client-chains.ts";

export const lbChain = (count: number) => `lb-${count}`;
export const affinityChain = (count: number) => `affinity-${count}`;
export const localChain = (count: number) => `outside-${count}`;
export const localAffinityChain = (count: number) => `outside-affinity-${count}`;
export const rememberChain = (seconds: number) => `remember-${seconds}s`;

/** NF_IP_PRI_NAT_DST. */
const PRIORITY_DSTNAT = -100;
/** NF_IP_PRI_MANGLE: connection tracking (-200) has looked at the packet, nothing has translated it. */
const PRIORITY_BEHIND_CONNTRACK = -150;
/** Just before NF_IP_PRI_NAT_SRC (100): the chain there masquerades what leaves the cluster. */
const PRIORITY_SRCNAT = 99;
/** Chains for up to so many endpoints are always there: most changes of a Service touch no chain. */
export const USUAL_ENDPOINTS = 16;

const PROTOCOL_NUMBERS = { tcp: 6, udp: 17, sctp: 132 } as const;
const ICMP_NUMBERS = { 4: 1, 6: 58 } as const;
type Protocol = keyof typeof PROTOCOL_NUMBERS;

export interface ChainInput {
  readonly family: Family;
  /** Pod CIDRs of this node, of the family. */
  readonly podCidrs: readonly Prefix[];
  /** Prefixes of which every address belongs to a Service or to nobody, of the family. */
  readonly serviceCidrs: readonly Prefix[];
  /** What frontends need, each once: see frontendNeeds(). */
  readonly needs: Iterable<string>;
  /** Packets that connection tracking finds invalid are dropped on their way through the node. */
  readonly dropInvalid: boolean;
  /** IPVS translates what `services` accepts: connection tracking does not know that it is translated. @default false */
  readonly ipvs?: boolean;
}

/** Fields of a family, and keys that are looked up. */
function words(family: Family) {
  const [source, destination, original] =
    family === 4
      ? (["ip saddr", "ip daddr", "ct original ip daddr"] as const)
      : (["ip6 saddr", "ip6 daddr", "ct original ip6 daddr"] as const);
  return {
    source,
    destination,
    original,
    frontend: [destination, "meta l4proto", "th dport"],
    /** The frontend of a packet whose destination is translated already. */
    originalFrontend: [original, "meta l4proto", "ct original proto-dst"],
  } as const;
}
type Words = ReturnType<typeof words>;

/** Sorted by name. */
export function planServiceChains(input: ChainInput): NftChain[] {
  const needs = new Set(input.needs);
  const w = words(input.family);
  const guard = needs.has("guard") ? [guardRule(w)] : [];
  const toServices: NftRule = { statements: [{ verdict: { goto: "services" } }] };
  const chains: NftChain[] = [
    natChain("prerouting", PRIORITY_DSTNAT, [...guard, ...outsideRules(input, w, needs), toServices]),
    natChain("output", PRIORITY_DSTNAT, [...guard, toServices]),
    {
      name: "services",
      rules: [
        { statements: [{ vmap: w.frontend, map: "services" }] },
        ...(input.ipvs === true ? [refusalOfOwn] : []),
        ...refusals(input, w, needs),
      ],
    },
    natChain("postrouting", PRIORITY_SRCNAT, postroutingRules(input, w, needs)),
    { name: "hide-source", rules: [{ statements: [{ masquerade: true }] }] },
    {
      name: "hide-own-source",
      rules: [{ statements: [{ local: "saddr" }, { masquerade: true }], comment: "this node's own connections" }],
    },
    ...(input.dropInvalid ? invalidChains(input, w) : []),
    ...numberedChains(input.family, w, needs),
    ...affinityChains(w, needs),
    ...planClientChains(needs),
  ];
  return chains.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function natChain(
  hook: "prerouting" | "output" | "postrouting" | "input",
  priority: number,
  rules: NftRule[],
): NftChain {
  return { name: hook, base: { type: "nat", hook, priority, policy: "accept" }, rules };
}

/** Sources are looked at before the address is translated, and only where a Service asks for it. */
function guardRule(w: Words): NftRule {
  return {
    statements: [
      { lookup: w.frontend, set: "guarded" },
      { lookup: [...w.frontend, w.source], set: "source-ranges", negate: true },
      { verdict: "drop" },
    ],
    comment: "loadBalancerSourceRanges",
  };
}

/** externalTrafficPolicy Local: who is outside is let to this node's endpoints only. */
function outsideRules({ podCidrs }: ChainInput, w: Words, needs: ReadonlySet<string>): NftRule[] {
  if (!needs.has("outside")) return [];
  const pods = podCidrs.map((prefix) => ({
    statements: [
      { match: w.source, op: "==", value: prefix },
      { verdict: { goto: "services" } },
    ] satisfies NftStatement[],
    comment: "pods of this node are inside",
  }));
  return [...pods, { statements: [{ vmap: w.frontend, map: "outside" }], comment: "externalTrafficPolicy Local" }];
}

function postroutingRules(input: ChainInput, w: Words, needs: ReadonlySet<string>): NftRule[] {
  const hairpin: readonly NftField[] = [w.source, w.destination];
  return [
    ...(input.ipvs === true ? rememberTranslated(w, needs) : [notTranslated, ...rememberRules(w, needs)]),
    {
      statements: [{ lookup: hairpin, set: "hairpin" }, { masquerade: true }],
      comment: "pods that reach themselves",
    },
    ...input.podCidrs.map((prefix) => ({
      statements: [{ match: w.source, op: "==", value: prefix }, { verdict: "return" }] satisfies NftStatement[],
      comment: "answers to pods of this node pass it anyhow",
    })),
    { statements: [{ lookup: w.original, set: "cluster-ips" }, { masquerade: true }] },
    ...perProtocol(needs, "external").map((protocol) => byOriginal(w, protocol, "external")),
  ];
}

/** Also first packets that go to this node itself, which do not pass postrouting. */
const notTranslated: NftRule = {
  statements: [{ match: "ct status", op: "!=", value: "dnat" }, { verdict: "return" }],
  comment: "no Service's",
};

function rememberRules(w: Words, needs: ReadonlySet<string>): NftRule[] {
  return perProtocol(needs, "affinity").map((protocol) => byOriginal(w, protocol, "affine"));
}

/** Among packets that IPVS has translated, and remembers itself. */
function rememberTranslated(w: Words, needs: ReadonlySet<string>): NftRule[] {
  return rememberRules(w, needs).map(({ statements }) => ({
    statements: [{ match: "ct status", op: "==", value: "dnat" }, ...statements],
  }));
}

function byOriginal(w: Words, protocol: Protocol, map: string): NftRule {
  return {
    statements: [
      { match: "meta l4proto", op: "==", value: PROTOCOL_NUMBERS[protocol] },
      { vmap: w.originalFrontend, map },
    ],
  };
}

function perProtocol(needs: ReadonlySet<string>, feature: string): Protocol[] {
  return (["tcp", "udp", "sctp"] as const).filter((protocol) => needs.has(`${feature}:${protocol}`));
}

/**
 * Packets that connection tracking finds invalid would pass untranslated, and be answered by a reset. They are dropped on
 * their way through the node, and where they are answers of its pods to the node itself, which hid a client's address.
 * Errors of ICMP are invalid when their flow is forgotten; some carry a path's MTU: docs/packets/too-big.md.
 */
function invalidChains({ family, podCidrs }: ChainInput, w: Words): NftChain[] {
  const isInvalid: NftStatement[] = [
    { match: "ct state", op: "==", value: "invalid" },
    { match: "meta l4proto", op: "!=", value: ICMP_NUMBERS[family] },
  ];
  const comment = "would pass untranslated, and be answered by a reset";
  const drop = (which: NftStatement): NftRule => ({ statements: [which, { verdict: "drop" }], comment });
  return [
    {
      name: "filter",
      base: { type: "filter", hook: "prerouting", priority: PRIORITY_BEHIND_CONNTRACK, policy: "accept" },
      rules: [{ statements: [...isInvalid, { verdict: { goto: "invalid" } }] }],
    },
    {
      name: "invalid",
      rules: [
        ...podCidrs.map((prefix) => drop({ match: w.source, op: "==", value: prefix })),
        drop({ unicast: "daddr" }),
      ],
    },
  ];
}

/**
 * What still goes to a Service's address here has not been translated: nothing serves it. Chains of type nat see what opens
 * a flow: what is refused there opens none, so each attempt comes here again.
 */
function refusals(input: ChainInput, w: Words, needs: ReadonlySet<string>): NftRule[] {
  return [
    ...refuse(input.family, { lookup: w.destination, set: "cluster-ips" }, "no endpoints, or no such port"),
    ...(needs.has("refuse") ? refused(input, w) : []),
    ...input.serviceCidrs.map((prefix) => ({
      statements: [{ match: w.destination, op: "==", value: prefix }, { verdict: "drop" }] satisfies NftStatement[],
      comment: "no Service has this address",
    })),
  ];
}

/**
 * Where IPVS serves, what the node itself sends to a Service has the Service's address for its source: the refusal goes
 * there, too, and would be refused in turn.
 */
const refusalOfOwn: NftRule = {
  statements: [{ match: "ct state", op: "==", value: "related" }, { verdict: "accept" }],
  comment: "what tells this node that it is refused",
};

function refused({ family }: ChainInput, w: Words): NftRule[] {
  return refuse(family, { lookup: w.frontend, set: "refused" }, "no endpoints");
}

/** A reset is not limited in rate as ICMP is: each attempt learns at once. */
function refuse(family: Family, which: NftStatement, comment: string): NftRule[] {
  return [
    {
      statements: [{ match: "meta l4proto", op: "==", value: PROTOCOL_NUMBERS.tcp }, which, { reject: "tcp reset" }],
      comment,
    },
    { statements: [which, { reject: family === 4 ? "icmp" : "icmpv6" }], comment },
  ];
}

/** One chain for all frontends with so many endpoints. */
function numberedChains(family: Family, w: Words, needs: ReadonlySet<string>): NftChain[] {
  const usual = Array.from({ length: USUAL_ENDPOINTS }, (_, i) => lbChain(i + 1));
  const chains: NftChain[] = [];
  for (const name of new Set([...usual, ...needs])) {
    const [, kind, digits] = /^(lb|outside|affinity|outside-affinity)-(\d+)$/.exec(name) ?? [];
    if (digits === undefined) continue;
    const count = Number(digits);
    if (kind === "lb") chains.push({ name, rules: [balance(family, w, "endpoints", count)] });
    else if (kind === "outside") chains.push({ name, rules: [balance(family, w, "outside-endpoints", count)] });
    else {
      const next = kind === "affinity" ? lbChain(count) : localChain(count);
      chains.push({ name, rules: [recall(family, w), { statements: [{ verdict: { goto: next } }] }] });
    }
  }
  return chains;
}

function balance(family: Family, w: Words, map: string, count: number): NftRule {
  return { statements: [{ dnat: w.frontend, family, map, index: count }] };
}

function recall(family: Family, w: Words): NftRule {
  return { statements: [{ dnat: [w.source, ...w.frontend], family, map: "affinity" }] };
}

function affinityChains(w: Words, needs: ReadonlySet<string>): NftChain[] {
  const protocols = perProtocol(needs, "affinity");
  if (protocols.length === 0) return [];
  const chains = [...needs].flatMap((name) => {
    const seconds = /^remember-(\d+)s$/.exec(name)?.[1];
    return seconds === undefined ? [] : [{ name, rules: protocols.map((each) => remember(w, each, Number(seconds))) }];
  });
  return [natChain("input", PRIORITY_SRCNAT, [notTranslated, ...rememberRules(w, needs)]), ...chains];
}

/**
 * Behind the translation the packet itself says which endpoint it got. nft drops a protocol that the next field implies
 * when it prints a rule, and could not read its own print: the comparison of the port keeps it there.
 */
function remember(w: Words, protocol: Protocol, timeoutSeconds: number): NftRule {
  return {
    statements: [
      { match: "meta l4proto", op: "==", value: PROTOCOL_NUMBERS[protocol] },
      { match: "th dport", op: "!=", value: 0 },
      {
        update: [w.source, ...w.originalFrontend],
        map: "affinity",
        data: [w.destination, "th dport"],
        timeoutSeconds,
      },
    ],
  };
}
