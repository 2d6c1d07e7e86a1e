/** Gathers what a node's BGP is planned from, and plans anew only when something of it changed. */
import type { BgpWanted } from "../../kube/bgp-source.ts";
import { type BgpClusterConfig, type BgpPlan, DEFAULT_BGP_CONFIG } from "../../model/bgp.ts";
import type { ClusterNode } from "../../model/cluster.ts";
import type { RoutingMode } from "../../model/node-config.ts";
import type { Prefix } from "../../model/prefix.ts";
import type { DesiredState, NodeFacts } from "../../model/state.ts";
import type { AnnouncementPlan } from "../../plan/bgp/announcements.ts";
import { planBgp } from "../../plan/bgp/plan.ts";
import { Remembered } from "../../plan/memo.ts";
import type { BgpApi } from "./bgp-api.ts";

export const NO_WISHES: BgpWanted = {
  settings: DEFAULT_BGP_CONFIG,
  peers: [],
  passwords: new Map(),
  withoutPassword: new Map(),
  unread: [],
};

export interface BgpPlannerOptions {
  readonly nodeName: string;
  readonly routing: RoutingMode;
  readonly nodes: () => ReadonlyMap<string, ClusterNode> | undefined;
  readonly facts: () => NodeFacts;
  /** The node's own plan; undefined while there is none. */
  readonly state: () => DesiredState | undefined;
  /** What the operator asks for; absent: nothing. While it is not known, what is configured stays. */
  readonly api?: Pick<BgpApi, "source">;
  /** Which Service addresses are announced; undefined while Services are not known. Absent: the node serves none. */
  readonly announcements?: (advertise: BgpClusterConfig["advertise"]) => AnnouncementPlan | undefined;
}

export class BgpPlanner {
  readonly #options: BgpPlannerOptions;
  readonly #planned = new Remembered<BgpPlan>();
  #announced: AnnouncementPlan | undefined;
  /** The same list while it says the same. */
  #serviceAddresses: readonly Prefix[] | undefined;

  constructor(options: BgpPlannerOptions) {
    this.#options = options;
  }

  /** Service addresses that the node announces, and those that it does not; undefined where no kind of them is to be. */
  get announced(): AnnouncementPlan | undefined {
    return this.#announced;
  }

  /** @returns the same plan until something of it changes; undefined while something is not known */
  plan(): BgpPlan | undefined {
    const { nodeName, routing, nodes, facts, state, api } = this.#options;
    const [all, own, desired] = [nodes(), nodes()?.get(nodeName), state()];
    if (all === undefined || own === undefined || desired === undefined) return undefined;
    // The node's labels may be others.
    api?.source.follow();
    const wanted = api === undefined ? NO_WISHES : api.source.wanted();
    if (wanted === undefined || !this.#announce(wanted)) return undefined;
    const serviceAddresses = this.#serviceAddresses;
    // Without a peer there is no session to be planned by the node's interfaces, and most nodes never have one.
    const isIdle = routing !== "bgp" && wanted.peers.length === 0;
    const known = isIdle ? { nodeName, interfaces: [] } : facts();
    const labels = wanted.settings.routeReflectors === undefined ? undefined : all;
    const { paths, podCidrs } = desired;
    const inputs = [own, paths, podCidrs, JSON.stringify(known.interfaces), wanted, labels, serviceAddresses];
    return this.#planned.get(inputs, () =>
      planBgp({
        ...wanted,
        ...{ own, facts: known, nodes: all, state: desired, beside: routing !== "bgp" },
        ...(serviceAddresses === undefined ? {} : { serviceAddresses }),
      }),
    );
  }

  /** @returns false while Services are not known: to announce less would take from peers what they have */
  #announce({ settings, peers }: BgpWanted): boolean {
    const { announcements, routing } = this.#options;
    const { clusterIPs, externalIPs, loadBalancerIPs } = settings.advertise;
    const isForNobody = routing !== "bgp" && peers.length === 0;
    if (announcements === undefined || isForNobody || !(clusterIPs || externalIPs || loadBalancerIPs)) {
      this.#announced = undefined;
      this.#serviceAddresses = undefined;
      return true;
    }
    const plan = announcements(settings.advertise);
    if (plan === undefined) return false;
    if (plan === this.#announced) return true;
    this.#announced = plan;
    const prefixes = plan.announced.map(({ prefix }) => prefix);
    if (!sameList(this.#serviceAddresses, prefixes)) this.#serviceAddresses = prefixes;
    return true;
  }
}

function sameList(before: readonly Prefix[] | undefined, now: readonly Prefix[]): boolean {
  return before?.length === now.length && now.every((prefix, i) => before[i] === prefix);
}
