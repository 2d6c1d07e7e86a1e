/**
 * The cluster's pods as policies see them: those of this node with the addresses that they have here, whatever the API says
 * of them by now.
 */
import type { PolicySource } from "../../kube/policy-source.ts";
import type { ClusterPod } from "../../model/cluster.ts";
import type { Ip } from "../../model/ip.ts";
import type { PolicyPod } from "../../model/policy.ts";
import { sameItems } from "../../model/same.ts";
import type { LocalPod } from "../../model/state.ts";
import { type Exchange, exchanged } from "../../plan/policies/planner.ts";
import { podsOfCluster } from "../../plan/policies/policy-input.ts";

export interface KnownPodsOptions {
  readonly nodeName: string;
  readonly source: Pick<PolicySource, "pods" | "takeChangedPods">;
  /** Pods of this node as the API has them. */
  readonly ownPods: () => ReadonlyMap<string, ClusterPod>;
  /** Pods that are attached here, with the addresses that they were given. */
  readonly attached: () => readonly LocalPod[];
}

interface KnownLocal {
  /** What the pod was made from. */
  readonly known: PolicyPod | ClusterPod;
  readonly pod: PolicyPod;
}

export class KnownPods {
  readonly #options: KnownPodsOptions;
  /** Pods that are being attached, or that the watch does not know yet, by `namespace/name`. */
  readonly #arriving = new Map<string, PolicyPod>();
  /** Pods of this node as they were last followed, by `namespace/name`. */
  #local = new Map<string, KnownLocal>();
  /** Pods that the API has, by `namespace/name`: of other nodes, and of this one. */
  readonly #elsewhere = new Map<string, PolicyPod>();
  readonly #ofNode = new Map<string, PolicyPod>();
  /** Those of this node, as they are told of. */
  #own: readonly PolicyPod[] = [];
  /** What was attached when they were last put together; undefined: they are to be put together anew. */
  #attached: readonly LocalPod[] | undefined;
  #looksAtOwnPods = true;

  constructor(options: KnownPodsOptions) {
    this.#options = options;
  }

  /** Whether the API's list of this node's pods was needed: the watch of all pods did not know one that is attached. */
  get looksAtOwnPods(): boolean {
    return this.#looksAtOwnPods;
  }

  /** A pod that is being attached. */
  arrive({ name, ips }: LocalPod, found: ClusterPod): void {
    this.#arriving.set(name, this.#here(asPolicyPod(found), ips));
    this.#attached = undefined;
  }

  /** It is not attached after all, or gone again. Another of its name may be arriving: it has other addresses. */
  leave({ name, ips }: LocalPod): void {
    if (sameIps(this.#arriving.get(name)?.ips, ips)) this.#arriving.delete(name);
    this.#attached = undefined;
  }

  /**
   * Follows API and node, at the price of what changed.
   * @returns what came and went since the last call; what did not change is the same object
   */
  follow(): Exchange<PolicyPod> {
    const [added, removed]: [PolicyPod[], PolicyPod[]] = [[], []];
    const { nodeName, source } = this.#options;
    const known = source.pods();
    const changedHere: string[] = [];
    for (const key of source.takeChangedPods()) {
      const pod = known.get(key);
      const isHere = pod?.nodeName === nodeName;
      const wasHere = put(this.#ofNode, key, isHere ? pod : undefined) !== undefined;
      if (isHere || wasHere || this.#local.has(key)) changedHere.push(key);
      const before = put(this.#elsewhere, key, isHere ? undefined : pod);
      const now = this.#elsewhere.get(key);
      if (before === now) continue;
      if (before !== undefined) removed.push(before);
      if (now !== undefined) added.push(now);
    }
    const before = this.#own;
    this.#own = this.#followOwn(changedHere);
    const change = exchanged(before, this.#own);
    return { added: [...added, ...change.added], removed: [...removed, ...change.removed] };
  }

  /** All of them as they were last followed, those of this node first. */
  all(): readonly PolicyPod[] {
    return [...this.#own, ...this.#elsewhere.values()];
  }

  /** @param changed keys of what the API says something new of: bound to this node, or attached here under that name */
  #followOwn(changed: readonly string[]): readonly PolicyPod[] {
    const { nodeName, attached } = this.#options;
    const here = attached();
    const isAsBefore = here === this.#attached && !this.#looksAtOwnPods;
    // Beside those that arrive; how they end is told of.
    this.#attached = this.#arriving.size === 0 ? here : undefined;
    if (isAsBefore && changed.every((key) => this.#local.has(key) && this.#ofNode.has(key))) {
      return this.#renewed(changed);
    }
    return podsOfCluster(nodeName, this.#localPods(here), this.#ofNode);
  }

  /** What is attached stays; labels and ports of these pods are others. */
  #renewed(changed: readonly string[]): readonly PolicyPod[] {
    const fresh = new Map<PolicyPod, PolicyPod>();
    for (const key of changed) {
      const [last, known] = [this.#local.get(key), this.#ofNode.get(key)];
      if (last !== undefined && known !== undefined) {
        fresh.set(last.pod, this.#localPod(key, known, last.pod.ips, last));
      }
    }
    return fresh.size === 0 ? this.#own : this.#own.map((pod) => fresh.get(pod) ?? pod);
  }

  #localPods(here: readonly LocalPod[]): PolicyPod[] {
    const { ownPods, source } = this.#options;
    const before = this.#local;
    this.#local = new Map();
    this.#looksAtOwnPods = false;
    const pods = here.flatMap(({ name, ips }) => {
      const own = ownPods().get(name);
      const watched = source.pods().get(name);
      const arrived = this.#arriving.get(name);
      if (arrived !== undefined && watched?.uid === arrived.uid) this.#arriving.delete(name);
      if (watched === undefined) this.#looksAtOwnPods = true;
      const last = before.get(name);
      // Deleted by force, it goes on to run until the runtime has ended it: it stays what it was, or nothing would isolate it.
      const former = sameIps(last?.pod.ips, ips) ? last?.known : undefined;
      const known = this.#arriving.get(name) ?? watched ?? own ?? former;
      return known === undefined ? [] : [this.#localPod(name, known, ips, last)];
    });
    const attachedNames = new Set(here.map(({ name }) => name));
    for (const [name, pod] of this.#arriving) if (!attachedNames.has(name)) pods.push(pod);
    return pods;
  }

  #localPod(
    name: string,
    known: PolicyPod | ClusterPod,
    ips: readonly Ip[],
    before: KnownLocal | undefined,
  ): PolicyPod {
    const isSame = before?.known === known && sameIps(before.pod.ips, ips);
    const pod = isSame ? before.pod : this.#here("ports" in known ? known : asPolicyPod(known), ips);
    this.#local.set(name, { known, pod });
    return pod;
  }

  #here(pod: PolicyPod, ips: readonly Ip[]): PolicyPod {
    return { ...pod, ips, nodeName: this.#options.nodeName };
  }
}

/** @returns what was there before */
function put<T>(map: Map<string, T>, key: string, value: T | undefined): T | undefined {
  const before = map.get(key);
  if (value === undefined) map.delete(key);
  else map.set(key, value);
  return before;
}

function sameIps(a: readonly Ip[] | undefined, b: readonly Ip[]): boolean {
  return a !== undefined && (a === b || sameItems(a, b));
}

/** Without the names of its ports: those come by the watch of all pods, and admit nothing until then. */
function asPolicyPod({ namespace, name, uid, labels, nodeName, podIps }: ClusterPod): PolicyPod {
  return { namespace, name, uid, labels, nodeName, ips: podIps, ports: [] };
}
