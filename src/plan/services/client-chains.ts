/**
 * Session affinity over IPv6. A map cannot remember which endpoint a client has as IPv4's `affinity` does: nft 1.0.6 could
 * not read back what it prints of an update whose key is longer than four registers. Updates of sets have no such limit, so
 * a set remembers the client together with the number of the slot that it got, and a client is looked up slot by slot:
 *
 *   services ─▶ affinity-tcp-10s-3: client . address . port . 0, 1 or 2 in clients-tcp? ─▶ remember-tcp-10s-N
 *                                   else one of the three at random                      ─▶ remember-tcp-10s-N
 *               remember-tcp-10s-2: client . address . port . 2 into clients-tcp for 10 s
 *                                   dnat to endpoints[ address . protocol . port . 2 ]
 *
 * Chains are shared by all frontends of a protocol and a timeout. There is a set for each protocol, because nft 1.0.6
 * forgets what keys of more than four parts are made of, and that they end with a number has no other name.
 */
import type { Frontend } from "../../model/frontend.ts";
import type { NftChain, NftField, NftKeyType, NftRule, NftSet } from "../../model/nft.ts";

type Protocol = Frontend["protocol"];
/** Who comes from outside to a Service of externalTrafficPolicy Local has slots of its own. */
type Side = "" | "outside-";

export const CLIENT_PROTOCOLS = ["sctp", "tcp", "udp"] as const;
export type ClientSetName = `${Side}clients-${Protocol}`;

export function clientSetName(side: Side, protocol: Protocol): ClientSetName {
  return `${side}clients-${protocol}`;
}

/** Sets of clients, sorted by name. @param size clients that each remembers at most */
export function clientSets(size: number): NftSet[] {
  const key: readonly NftKeyType[] = ["ipv6_addr", "ipv6_addr", "inet_service", "index"];
  return (["", "outside-"] as const).flatMap((side) =>
    CLIENT_PROTOCOLS.map((protocol) => ({
      name: clientSetName(side, protocol),
      key,
      interval: false,
      dynamic: { size },
      elements: [],
    })),
  );
}

/** The chain that chooses among so many endpoints, for clients that keep their choice so long. */
export function clientChain(side: Side, protocol: Protocol, seconds: number, count: number): string {
  return `${side}affinity-${protocol}-${seconds}s-${count}`;
}

const CLIENT_CHAIN = /^((outside-)?affinity-(sctp|tcp|udp)-(\d+)s)-(\d+)$/;

/** What a verdict does with clients; undefined where it remembers nobody. @param verdict an element of a map of them */
export function rememberedBy(
  verdict: string | undefined,
): { readonly seconds: number; readonly slots: number } | undefined {
  const [, , , , seconds, slots] = CLIENT_CHAIN.exec(verdict?.split("goto ").at(-1) ?? "") ?? [];
  return slots === undefined ? undefined : { seconds: Number(seconds), slots: Number(slots) };
}

/** Those of the chains that {@link clientChain} names among `needs`, and what they lead to. */
export function planClientChains(needs: Iterable<string>): NftChain[] {
  const chains: NftChain[] = [];
  const largest = new Map<string, { readonly rules: ClientRules; readonly count: number }>();
  for (const name of needs) {
    const [, kind, side = "", protocol, seconds, digits] = CLIENT_CHAIN.exec(name) ?? [];
    if (kind === undefined) continue;
    const rules = new ClientRules(side as Side, protocol as Protocol, Number(seconds));
    const count = Number(digits);
    chains.push({ name, rules: rules.choose(count) });
    if (count > (largest.get(kind)?.count ?? 0)) largest.set(kind, { rules, count });
  }
  for (const { rules, count } of largest.values()) {
    for (let slot = 0; slot < count; slot++) chains.push({ name: rules.target(slot), rules: rules.remember(slot) });
  }
  return chains;
}

/** The protocol is that of the set, and of the chain. */
const CLIENT: readonly NftField[] = ["ip6 saddr", "ip6 daddr", "th dport"];
const FRONTEND: readonly NftField[] = ["ip6 daddr", "meta l4proto", "th dport"];

class ClientRules {
  readonly #side: Side;
  readonly #protocol: Protocol;
  readonly #seconds: number;

  constructor(side: Side, protocol: Protocol, seconds: number) {
    this.#side = side;
    this.#protocol = protocol;
    this.#seconds = seconds;
  }

  target(slot: number): string {
    return `${this.#side}remember-${this.#protocol}-${this.#seconds}s-${slot}`;
  }

  get #set(): ClientSetName {
    return clientSetName(this.#side, this.#protocol);
  }

  /** Each slot that is not taken is as likely as those behind it together have a share: all are alike in the end. */
  choose(count: number): NftRule[] {
    const slots = Array.from({ length: count }, (_, slot) => slot);
    const leadTo = (slot: number) => ({ verdict: { goto: this.target(slot) } });
    return [
      ...slots.map((slot) => ({ statements: [{ lookup: CLIENT, slot, set: this.#set }, leadTo(slot)] })),
      ...slots.slice(0, -1).map((slot) => ({
        statements: [{ random: { modulus: count - slot, below: 1 } }, leadTo(slot)],
      })),
      { statements: [leadTo(count - 1)] },
    ];
  }

  /** Two rules: a client is served also where the set is full, which ends a rule. */
  remember(slot: number): NftRule[] {
    const map = `${this.#side}endpoints`;
    return [
      { statements: [{ update: CLIENT, slot, set: this.#set, timeoutSeconds: this.#seconds }] },
      { statements: [{ dnat: FRONTEND, family: 6, map, slot }] },
    ];
  }
}
