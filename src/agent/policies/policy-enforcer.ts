/**
 * Enforces NetworkPolicies on this node's pods: plans the tables from the API's state, commits what differs, and cuts flows
 * that are forbidden now. A pod's rules are in the kernel before its network is up, or it does not come up.
 */
import { diffNft } from "../../diff/nft.ts";
import type { Conntrack } from "../../kernel/ctnetlink/types.ts";
import type { Nftables } from "../../kernel/nfnetlink/types.ts";
import type { Clock } from "../../kube/clock.ts";
import type { PolicySource } from "../../kube/policy-source.ts";
import type { ClusterNamespace, ClusterNode, ClusterPod } from "../../model/cluster.ts";
import type { ClusterNetworkPolicy } from "../../model/cluster-network-policy.ts";
import { BreakwaterError, messageOf } from "../../model/errors.ts";
import type { Family, Ip } from "../../model/ip.ts";
import { POLICY_TABLES } from "../../model/marks.ts";
import type { ObservedTable } from "../../model/nft-changes.ts";
import type { ForbiddenConnections } from "../../model/node-config.ts";
import type { ClusterPolicy } from "../../model/policy.ts";
import type { LocalPod } from "../../model/state.ts";
import { PolicyPlanners } from "../../plan/policies/both-families.ts";
import type { DeniedLog } from "../../plan/policies/chains.ts";
import type { PolicySteps } from "../../plan/policies/planner.ts";
import type { PolicyInput } from "../../plan/policies/policy-input.ts";
import type { Log } from "../log.ts";
import { cutForbidden } from "./flow-cutter.ts";
import { FormerFlows } from "./former-flows.ts";
import { KnownPods, type KnownPodsOptions } from "./known-pods.ts";

export interface PolicyEnforcerOptions extends KnownPodsOptions {
  readonly nftables: Pick<Nftables, "table" | "commit" | "watch">;
  readonly conntrack: Conntrack;
  readonly source: Pick<PolicySource, "policies" | "clusterNetworkPolicies" | "complete"> & KnownPodsOptions["source"];
  readonly namespaces: () => ReadonlyMap<string, ClusterNamespace>;
  /** Of the whole cluster. */
  readonly nodes: () => ReadonlyMap<string, ClusterNode>;
  /** Asks the API for a pod, whatever the view has; undefined when there is none. */
  readonly readPod: (namespace: string, name: string) => Promise<ClusterPod | undefined>;
  /** What becomes of connections that a new policy forbids. @default "cut" */
  readonly forbiddenConnections?: ForbiddenConnections;
  /** Services may be served by IPVS, ours or another's. @default false */
  readonly throughIpvs?: boolean;
  /** Absent: denied packets are counted, and not logged. */
  readonly logDenied?: DeniedLog | undefined;
  /** Called when policies are enforced that were not: pods may start. */
  readonly onEnforced?: (() => void) | undefined;
  readonly log: Log;
  readonly clock: Clock;
}

const FAMILIES = [4, 6] as const;

/** A round rests as long as it took, and at least so long behind a transaction: an event storm becomes few of them. */
const PAUSE_MS = 2;
const REPAIR_MS = 50;
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 10_000;

export class PolicyEnforcer implements Disposable {
  readonly #options: PolicyEnforcerOptions;
  readonly #watches: Disposable[];
  readonly #former: FormerFlows;
  readonly #planners = new PolicyPlanners();
  readonly #pods: KnownPods;
  /** The kernel holds what the last round planned. */
  #started = false;
  /** When the next round may be. */
  #restsUntil = Number.NEGATIVE_INFINITY;
  #retryMs = RETRY_MIN_MS;
  #failure: string | undefined = "NetworkPolicies have not been read from the API yet";
  #cancel: (() => void) | undefined;
  /** By which the flows that are there were judged last. */
  #enforced: ReadonlySet<ClusterPolicy | ClusterNetworkPolicy> = new Set();

  constructor(options: PolicyEnforcerOptions) {
    this.#options = options;
    this.#former = new FormerFlows(options);
    this.#pods = new KnownPods(options);
    const repair = () => {
      this.#started = false;
      this.#schedule(REPAIR_MS);
    };
    this.#watches = Object.values(POLICY_TABLES).map((table) => options.nftables.watch(table, repair));
  }

  [Symbol.dispose](): void {
    this.#cancel?.();
    this.#former[Symbol.dispose]();
    for (const watch of this.#watches) watch[Symbol.dispose]();
  }

  /** By the chain that drops ("ingress-denied-…"): the policies that select its pods, each "namespace/name". */
  get denials(): ReadonlyMap<string, readonly string[]> {
    return this.#planners.denials;
  }

  /** Why policies are not enforced as the API has them; undefined when they are. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Whether the API's list of this node's pods says anything that the watch of all pods does not. */
  get looksAtOwnPods(): boolean {
    return this.#pods.looksAtOwnPods;
  }

  /** Something changed: a round follows. */
  request(): void {
    this.#schedule(Math.max(0, this.#restsUntil - this.#options.clock.now()));
  }

  /**
   * Puts a pod's rules into the kernel, before it has a network.
   * @throws BreakwaterError BW_POLICY when that cannot be done: the pod must not start
   */
  async admit(pod: LocalPod): Promise<void> {
    const former = this.#former.take(pod.ips);
    if (this.#failure !== undefined) throw this.#refusal(pod, this.#failure);
    const { source, namespaces } = this.#options;
    const isSubject = source.clusterNetworkPolicies().size > 0;
    if (source.policies().size === 0 && !isSubject) return;
    const [namespace = "", name = ""] = pod.name.split("/");
    // By its labels a policy of the whole cluster could be about the pod.
    if (isSubject && !namespaces().has(namespace)) {
      throw this.#refusal(pod, `namespace ${namespace} has not been read from the API yet`);
    }
    // The watch may still speak of an older pod of the same name, with other labels.
    const found = await this.#options.readPod(namespace, name);
    // Labels that are not known could be any.
    if (found === undefined) throw this.#refusal(pod, "the API does not know the pod");
    this.#pods.arrive(pod, found);
    this.#run();
    const failure = this.#failure ?? this.#cutFormer(former);
    if (failure === undefined) return;
    this.#pods.leave(pod);
    throw this.#refusal(pod, failure);
  }

  /** Behind the rules, so that no packet opens anew what is cut. @returns why that could not be done */
  #cutFormer(ips: readonly Ip[]): string | undefined {
    try {
      this.#former.cut(ips);
      return undefined;
    } catch (error) {
      return messageOf(error);
    }
  }

  #refusal(pod: LocalPod, why: string): BreakwaterError {
    return new BreakwaterError("BW_POLICY", `Cannot enforce NetworkPolicies on pod ${pod.name}: ${why}`, {
      operation: "enforce NetworkPolicies on",
      object: pod.name,
      remedy: "The runtime tries again; see the agent's log if this goes on",
    });
  }

  #schedule(delayMs: number): void {
    this.#cancel ??= this.#options.clock.schedule(delayMs, () => {
      this.#cancel = undefined;
      this.#run();
    });
  }

  #run(): void {
    const { clock, log, source } = this.#options;
    const startedAt = clock.now();
    let changed = true;
    if (!source.complete()) {
      // Peers that are not known would be denied, and their connections cut.
      this.#failure = "the pods that NetworkPolicies speak of have not been read from the API yet";
      return;
    }
    try {
      const input = this.#input();
      const found = this.#started ? undefined : this.#read();
      // Until both families are done nobody knows what the kernel holds.
      this.#started = false;
      const steps = this.#planners.update(input, this.#pods.follow());
      const counts = FAMILIES.map((family) => this.#enforce(family, steps[family], found));
      changed = counts.some((count) => count > 0);
      this.#started = true;
      if (this.#failure !== undefined) {
        log.info({ policies: input.policies.length }, "NetworkPolicies are enforced");
        this.#failure = undefined;
        this.#options.onEnforced?.();
      }
      this.#cut(input);
    } catch (error) {
      this.#started = false;
      this.#failure = messageOf(error);
      this.#retry(this.#failure, "cannot enforce NetworkPolicies; the last rules stand");
    }
    const now = clock.now();
    this.#restsUntil = now + Math.max(changed ? PAUSE_MS : 0, now - startedAt);
  }

  /** A round later, and later each time. */
  #retry(error: string, what: string): void {
    this.#options.log.error({ error, retryInMs: this.#retryMs }, what);
    this.#schedule(this.#retryMs);
    this.#retryMs = Math.min(RETRY_MAX_MS, 2 * this.#retryMs);
  }

  #read(): Map<Family, ObservedTable | undefined> {
    const { nftables } = this.#options;
    return new Map(FAMILIES.map((family) => [family, nftables.table(POLICY_TABLES[family])]));
  }

  /** @param found what the kernel holds; undefined: what the last round left there @returns how many steps that took */
  #enforce(
    family: Family,
    { wanted, before }: PolicySteps,
    found: Map<Family, ObservedTable | undefined> | undefined,
  ): number {
    const changes =
      found === undefined ? diffNft(wanted, before) : diffNft(this.#planners.table(family), found.get(family));
    if (changes.length > 0) this.#options.nftables.commit(POLICY_TABLES[family], changes);
    return changes.length;
  }

  #input(): PolicyInput {
    const { nodeName, source, namespaces, nodes, logDenied, throughIpvs } = this.#options;
    const pods = this.#pods;
    return {
      ...{ nodeName, logDenied, throughIpvs },
      /** Seldom asked for: planners are told of what changed. */
      get pods() {
        return pods.all();
      },
      namespaces: new Map(Array.from(namespaces(), ([name, { labels }]) => [name, labels])),
      policies: [...source.policies().values()],
      clusterNetworkPolicies: [...source.clusterNetworkPolicies().values()],
      nodes: nodes(),
    };
  }

  /** A pod is gone, or was given up before it was attached. */
  forget(pod: LocalPod | undefined): void {
    if (pod !== undefined) this.#pods.leave(pod);
    if (pod !== undefined && this.#isolates) this.#former.leave(pod.ips);
    if (this.#started) this.request();
  }

  /** Whether there is any policy: without one nothing is looked at. */
  get #isolates(): boolean {
    const { source } = this.#options;
    return source.policies().size > 0 || source.clusterNetworkPolicies().size > 0;
  }

  /** Established flows pass without a look: where policies changed, those that they forbid now are cut. */
  #cut(input: PolicyInput): void {
    const { forbiddenConnections, conntrack, log } = this.#options;
    const before = this.#enforced;
    const now = [...input.policies, ...(input.clusterNetworkPolicies ?? [])];
    const isSame = before.size === now.length && now.every((policy) => before.has(policy));
    try {
      const cut = isSame || forbiddenConnections === "keep" ? 0 : cutForbidden(conntrack, input);
      if (cut > 0) log.info({ cut }, "connections that NetworkPolicies forbid now are cut");
      if (!isSame) this.#enforced = new Set(now);
      this.#retryMs = RETRY_MIN_MS;
    } catch (error) {
      this.#retry(messageOf(error), "cannot cut connections that NetworkPolicies forbid now");
    }
  }
}
