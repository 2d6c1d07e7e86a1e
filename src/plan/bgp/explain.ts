/**
 * Why a prefix is not taken from a session, and why one is announced to it: the filters of config-text.ts, said in words.
 */
import type { BgpPlan, BgpSession } from "../../model/bgp.ts";
import { type Prefix, type PrefixRange, prefixLength, prefixRange } from "../../model/prefix.ts";

/** Who asks for the announcement of a Service address. */
export type ServiceReasons = ReadonlyMap<Prefix, readonly { readonly service: string; readonly kind: string }[]>;

export type ExplainedPlan = Pick<BgpPlan, "podCidrs" | "otherPodCidrs" | "keptPodCidrs">;

export class Explainer {
  readonly #plan: ExplainedPlan;
  readonly #services: ServiceReasons;
  /** Lists of a thousand prefixes are asked a thousand times: each is read once. */
  readonly #ranges = new Map<readonly Prefix[], readonly PrefixRange[]>();

  constructor(plan: ExplainedPlan, services: ServiceReasons = new Map()) {
    this.#plan = plan;
    this.#services = services;
  }

  /** @returns why the session's import filter or its limit keeps the prefix out */
  whyRefused(session: BgpSession, prefix: Prefix): string {
    const { podCidrs, otherPodCidrs, keptPodCidrs } = this.#plan;
    if (prefixLength(prefix) === 0) return "it is a default route: none is ever taken";
    const own = this.#outerOf(prefix, podCidrs);
    if (own !== undefined) return `it is inside ${own}, where this node's own pods are`;
    const kept = this.#outerOf(prefix, keptPodCidrs);
    if (kept !== undefined) return `it is inside ${kept}, to which this node has a route of its own`;
    const { pods, exact, within } = session.import;
    const passes = (pods && otherPodCidrs.includes(prefix)) || exact.includes(prefix);
    if (passes || this.#outerOf(prefix, within) !== undefined) {
      return `the limit of ${session.importLimit} prefixes is reached`;
    }
    if (session.kind === "peer") {
      return `it is no other node's pod CIDR, and not inside importAllow of BGPPeer ${session.peer}`;
    }
    return pods
      ? "it is no other node's pod CIDR"
      : `it is none of node ${session.peer}'s own pod CIDRs (${exact.join(", ")})`;
  }

  /** @returns why the prefix is announced to the session's other end */
  whyAnnounced(session: BgpSession, prefix: Prefix): string {
    if (this.#plan.podCidrs.includes(prefix)) return "pods of this node";
    const reasons = this.#services.get(prefix) ?? [];
    if (reasons.length > 0) return reasons.map(({ service, kind }) => `${service} (${kind})`).join(", ");
    if (this.#outerOf(prefix, session.export.within) !== undefined) {
      return `learned by BGP, and inside exportAllow of BGPPeer ${session.peer}`;
    }
    return session.export.pods ? "pods of another node: this node reflects routes" : "nothing asks for it any more";
  }

  /** The prefix of a list that has this one inside, or is the same. */
  #outerOf(prefix: Prefix, list: readonly Prefix[]): Prefix | undefined {
    const inner = prefixRange(prefix);
    let ranges = this.#ranges.get(list);
    if (ranges === undefined) {
      ranges = list.map(prefixRange);
      this.#ranges.set(list, ranges);
    }
    const index = ranges.findIndex(
      ({ family, first, last }) => family === inner.family && first <= inner.first && inner.last <= last,
    );
    return list[index];
  }
}
