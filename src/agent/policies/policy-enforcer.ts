/**
 * Enforces NetworkPolicies on this node's pods: plans the tables from the API's state, commits what differs, and cuts flows
 * that are forbidden now. A pod's rules are in the kernel before its network is up, or it does not come up.
 */
import { diffNft } from "../../diff/nft.ts";
import { tableBehind } from "../../diff/nft-outcome.ts";
import type { Conntrack } from "../../kernel/ctnetlink/types.ts";
import type { Nftables } from "../../kernel/nfnetlink/types.ts";
import type { Clock } from "../../kube/clock.ts";
import type { PolicySource } from "../../kube/policy-source.ts";
import type { ClusterNamespace, ClusterPod } from "../../model/cluster.ts";
import { BreakwaterError, messageOf } from "../../model/errors.ts";
import type { Family } from "../../model/ip.ts";
import { POLICY_TABLES } from "../../model/marks.ts";
import type { ObservedTable } from "../../model/nft-changes.ts";
import type { PolicyPod } from "../../model/policy.ts";
import type { LocalPod } from "../../model/state.ts";
import { type PolicyInput, planPolicyTable } from "../../plan/policies/table.ts";
import type { Log } from "../log.ts";
import { cutForbidden } from "./flow-cutter.ts";

export interface PolicyEnforcerOptions {
  readonly nodeName: string;
  readonly nftables: Nftables;
  readonly conntrack: Conntrack;
  readonly source: Pick<PolicySource, "policies" | "pods" | "complete">;
  readonly namespaces: () => ReadonlyMap<string, ClusterNamespace>;
  /** Pods of this node as the API has them. */
  readonly ownPods: () => ReadonlyMap<string, ClusterPod>;
  /** Pods that are attached here, with the addresses that they were given. */
  readonly attached: () => readonly LocalPod[];
  /** Asks the API for a pod, whatever the view has; undefined when there is none. */
  readonly readPod: (namespace: string, name: string) => Promise<ClusterPod | undefined>;
  readonly log: Log;
  readonly clock: Clock;
}

/** Rounds are no closer than this: an event storm becomes few transactions. */
const PAUSE_MS = 20;
const REPAIR_MS = 50;
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 10_000;

export class PolicyEnforcer implements Disposable {
  readonly #options: PolicyEnforcerOptions;
  readonly #watches: Disposable[];
  readonly #observed = new Map<Family, ObservedTable | undefined>();
  /** Pods that are being attached, or that the watch does not know yet, by `namespace/name`. */
  readonly #arriving = new Map<string, PolicyPod>();
  #started = false;
  #endedAt = Number.NEGATIVE_INFINITY;
  #retryMs = RETRY_MIN_MS;
  #failure: string | undefined = "NetworkPolicies have not been read from the API yet";
  #cancel: (() => void) | undefined;
  /** What was enforced last: policies decide about flows that are there. */
  #enforced = "";

  constructor(options: PolicyEnforcerOptions) {
    this.#options = options;
    const repair = () => {
      this.#started = false;
      this.#schedule(REPAIR_MS);
    };
    this.#watches = Object.values(POLICY_TABLES).map((table) => options.nftables.watch(table, repair));
  }

  [Symbol.dispose](): void {
    this.#cancel?.();
    for (const watch of this.#watches) watch[Symbol.dispose]();
  }

  /** Why policies are not enforced as the API has them; undefined when they are. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Something changed: a round follows. */
  request(): void {
    this.#schedule(Math.max(0, this.#endedAt + PAUSE_MS - this.#options.clock.now()));
  }

  /**
   * Puts a pod's rules into the kernel, before it has a network.
   * @throws BreakwaterError BW_POLICY when that cannot be done: the pod must not start
   */
  async admit(pod: LocalPod): Promise<void> {
    if (this.#failure !== undefined) throw this.#refusal(pod, this.#failure);
    if (this.#options.source.policies().size === 0) return;
    const [namespace = "", name = ""] = pod.name.split("/");
    // The watch may still speak of an older pod of the same name, with other labels.
    const found = await this.#options.readPod(namespace, name);
    // Labels that are not known could be any.
    if (found === undefined) throw this.#refusal(pod, "the API does not know the pod");
    this.#arriving.set(pod.name, { ...asPolicyPod(found), ips: pod.ips, nodeName: this.#options.nodeName });
    this.#run();
    if (this.#failure === undefined) return;
    this.#arriving.delete(pod.name);
    throw this.#refusal(pod, this.#failure);
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
    if (!source.complete()) {
      // Peers that are not known would be denied, and their connections cut.
      this.#failure = "the pods that NetworkPolicies speak of have not been read from the API yet";
      return;
    }
    try {
      const input = this.#input();
      if (!this.#started) this.#read();
      for (const family of [4, 6] as const) this.#enforce(family, input);
      this.#started = true;
      if (this.#failure !== undefined) log.info({ policies: input.policies.length }, "NetworkPolicies are enforced");
      this.#failure = undefined;
      this.#retryMs = RETRY_MIN_MS;
      this.#cut(input);
    } catch (error) {
      this.#started = false;
      this.#failure = messageOf(error);
      log.error(
        { error: this.#failure, retryInMs: this.#retryMs },
        "cannot enforce NetworkPolicies; the last rules stand",
      );
      this.#schedule(this.#retryMs);
      this.#retryMs = Math.min(RETRY_MAX_MS, 2 * this.#retryMs);
    }
    this.#endedAt = clock.now();
  }

  #read(): void {
    for (const family of [4, 6] as const) {
      this.#observed.set(family, this.#options.nftables.table(POLICY_TABLES[family]));
    }
  }

  #enforce(family: Family, input: PolicyInput): void {
    const planned = planPolicyTable(input, family);
    // A table that isolates nobody is no table.
    const isolates = planned.sets.some(({ data, elements }) => data === "verdict" && elements.length > 0);
    const wanted = isolates ? planned : { ...planned, sets: [], chains: [] };
    const observed = this.#observed.get(family);
    const changes = diffNft(wanted, observed);
    if (changes.length === 0) return;
    this.#options.nftables.commit(POLICY_TABLES[family], changes);
    this.#observed.set(family, tableBehind(POLICY_TABLES[family], observed, changes));
  }

  #input(): PolicyInput {
    const { nodeName, source, namespaces } = this.#options;
    const pods = new Map(source.pods());
    const here = this.#localPods();
    const taken = new Set(here.flatMap(({ ips }) => ips));
    // The API may still tell of a pod that is gone from here while another one has its address already.
    for (const [key, pod] of pods) {
      if (pod.nodeName === nodeName && pod.ips.some((ip) => taken.has(ip))) pods.delete(key);
    }
    for (const pod of here) pods.set(`${pod.namespace}/${pod.name}`, pod);
    return {
      nodeName,
      pods: [...pods.values()],
      namespaces: new Map([...namespaces()].map(([name, { labels }]) => [name, labels])),
      policies: [...source.policies().values()],
    };
  }

  /** With the addresses that they have here, whatever the API says of them by now. */
  #localPods(): PolicyPod[] {
    const { attached, ownPods, source, nodeName } = this.#options;
    const here = attached();
    const pods = here.flatMap(({ name, ips }) => {
      const own = ownPods().get(name);
      const watched = source.pods().get(name);
      const arrived = this.#arriving.get(name);
      if (arrived !== undefined && watched?.uid === arrived.uid) this.#arriving.delete(name);
      const known = this.#arriving.get(name) ?? watched ?? (own && asPolicyPod(own));
      return known === undefined ? [] : [{ ...known, ips, nodeName }];
    });
    const attachedNames = new Set(here.map(({ name }) => name));
    for (const [name, pod] of this.#arriving) if (!attachedNames.has(name)) pods.push(pod);
    return pods;
  }

  /** A pod is gone, or was given up before it was attached. Another of its name may be arriving: it has other addresses. */
  forget(pod: LocalPod | undefined): void {
    if (pod !== undefined && this.#arriving.get(pod.name)?.ips.join() === pod.ips.join())
      this.#arriving.delete(pod.name);
    if (this.#started) this.request();
  }

  /** Established flows pass without a look: where policies changed, those that they forbid now are cut. */
  #cut(input: PolicyInput): void {
    const enforced = JSON.stringify(input.policies);
    if (enforced === this.#enforced) return;
    this.#enforced = enforced;
    try {
      const cut = cutForbidden(this.#options.conntrack, input);
      if (cut > 0) this.#options.log.info({ cut }, "connections that NetworkPolicies forbid now are cut");
    } catch (error) {
      this.#options.log.error({ error: messageOf(error) }, "cannot cut connections that NetworkPolicies forbid now");
    }
  }
}

/** Without the names of its ports: those come by the watch of all pods, and admit nothing until then. */
function asPolicyPod({ namespace, name, uid, labels, nodeName, podIps }: ClusterPod): PolicyPod {
  return { namespace, name, uid, labels, nodeName, ips: podIps, ports: [] };
}
