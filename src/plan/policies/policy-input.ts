/** What the tables of policies are planned from. */
import type { ClusterPolicy, PolicyDirection, PolicyPod } from "../../model/policy.ts";
import { matchesSelector } from "../../model/selector.ts";
import type { DeniedLog } from "./chains.ts";
import type { ClusterPods } from "./peers.ts";
import type { PolicyTiers } from "./tiers.ts";

export interface PolicyInput extends ClusterPods, PolicyTiers {
  readonly nodeName: string;
  readonly policies: readonly ClusterPolicy[];
  /** Services may be served by IPVS, ours or another's: what it sends on passes output, never forward. @default false */
  readonly throughIpvs?: boolean | undefined;
  /** Absent: what is denied is counted, and not logged. */
  readonly logDenied?: DeniedLog | undefined;
}

/**
 * The cluster's pods, those of this node as they are attached here. The API may still tell of a pod that is gone from here
 * while another one has its address already. @param known by "namespace/name"
 */
export function podsOfCluster(
  nodeName: string,
  here: readonly PolicyPod[],
  known: ReadonlyMap<string, PolicyPod>,
): PolicyPod[] {
  const taken = new Set(here.flatMap(({ ips }) => ips));
  const names = new Set(here.map(({ namespace, name }) => `${namespace}/${name}`));
  const pods: PolicyPod[] = [...here];
  for (const [key, pod] of known) {
    const isHere = pod.nodeName === nodeName;
    if (!isHere || !(names.has(key) || pod.ips.some((ip) => taken.has(ip)))) pods.push(pod);
  }
  return pods;
}

/** Whether the policy speaks of the pod in this direction. */
export function selects(policy: ClusterPolicy, pod: PolicyPod, direction: PolicyDirection): boolean {
  return (
    policy[direction] !== undefined && policy.namespace === pod.namespace && matchesSelector(policy.pods, pod.labels)
  );
}
