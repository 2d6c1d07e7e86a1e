/**
 * The cluster's NetworkPolicies, its ClusterNetworkPolicies where they are wanted and, once there is one of either, its pods:
 * a cluster without policies is not asked for all of its pods.
 */
import type { ClusterNetworkPolicy } from "../model/cluster-network-policy.ts";
import type { ClusterPolicy, PolicyPod } from "../model/policy.ts";
import type { KubeClient } from "./client.ts";
import type { Clock } from "./clock.ts";
import { coalesce } from "./coalesce.ts";
import type { ObjectProblem, ParseObject } from "./object-reader.ts";
import { parseClusterNetworkPolicy } from "./parse-cluster-network-policy.ts";
import { parseNetworkPolicy } from "./parse-network-policy.ts";
import { parsePolicyPod } from "./parse-policy-pod.ts";
import { Reflector } from "./reflector.ts";
import type { ReflectorState, ReflectorTiming } from "./reflector-options.ts";
import { clusterNetworkPolicies, networkPolicies, pods, type ResourceType, resourceName } from "./resource.ts";

export interface PolicySourceOptions {
  readonly client: Pick<KubeClient, "listPage" | "watch">;
  /** ClusterNetworkPolicies are watched; a cluster that does not know them has none. @default false */
  readonly withClusterNetworkPolicies?: boolean;
  /** A policy or a pod changed. Called once for all changes of one turn of the event loop. */
  readonly onChange: () => void;
  /** An object of the API, or a field of one, that could not be used. */
  readonly onProblem: (problem: ObjectProblem) => void;
  /** A list or watch that failed; the last known state stands meanwhile. */
  readonly onError?: (resource: string, error: Error, retryInMs: number) => void;
  readonly timing?: Partial<ReflectorTiming>;
  readonly clock?: Clock;
}

export interface PolicySource {
  /** Resolves when policies of both kinds were listed once, and pods where there are any; rejects with BW_KUBE_STOPPED when stopped before. */
  readonly synced: Promise<void>;
  /** By "namespace/name". */
  policies(): ReadonlyMap<string, ClusterPolicy>;
  /** By name; empty where they are not wanted. */
  clusterNetworkPolicies(): ReadonlyMap<string, ClusterNetworkPolicy>;
  /** All pods of the cluster, by "namespace/name"; empty until the first policy, and until they were listed. */
  pods(): ReadonlyMap<string, PolicyPod>;
  /** Whether pods are known as far as policies speak of them: it is false from the first policy on until they were listed. */
  complete(): boolean;
  state(): readonly ReflectorState[];
  stop(): Promise<void>;
}

export function startPolicySource(options: PolicySourceOptions): PolicySource {
  const notice = coalesce(options.onChange);
  const common = (resource: ResourceType) => ({
    client: options.client,
    timing: options.timing,
    clock: options.clock,
    resource,
    onProblem: options.onProblem,
    onError: (error: Error, retryInMs: number) => options.onError?.(resourceName(resource), error, retryInMs),
  });
  // A policy that cannot be read for a moment goes on to deny what it denied.
  const unparsable = "last-good";
  const policyReflector = new Reflector<ClusterPolicy>({
    ...common(networkPolicies),
    parse: withProblems(parseNetworkPolicy),
    unparsable,
  });
  const clusterReflector = new Reflector<ClusterNetworkPolicy>({
    ...common(clusterNetworkPolicies),
    parse: withProblems(parseClusterNetworkPolicy),
    isOptional: true,
    unparsable,
  });
  const ofPolicies: readonly (Reflector<ClusterPolicy> | Reflector<ClusterNetworkPolicy>)[] =
    options.withClusterNetworkPolicies === true ? [policyReflector, clusterReflector] : [policyReflector];
  let podReflector: Reflector<PolicyPod> | undefined;
  const watchPods = () => {
    podReflector ??= new Reflector<PolicyPod>({ ...common(pods), parse: parsePolicyPod, unparsable: "absent" });
    podReflector.onChange(notice.call);
    podReflector.synced.then(notice.call, () => undefined);
    podReflector.start();
  };
  const hasPolicies = () => ofPolicies.some((reflector) => reflector.items().size > 0);
  for (const reflector of ofPolicies) {
    reflector.onChange(() => {
      if (podReflector === undefined && hasPolicies()) watchPods();
      notice.call();
    });
    reflector.start();
  }
  const synced = Promise.all(ofPolicies.map((reflector) => reflector.synced)).then(() => podReflector?.synced);
  // Who does not wait for it must not be killed by its rejection.
  synced.catch(() => undefined);
  const reflectors = () => [...ofPolicies, ...(podReflector === undefined ? [] : [podReflector])];
  const nobody: ReadonlyMap<string, PolicyPod> = new Map();
  return {
    synced,
    policies: () => policyReflector.items(),
    clusterNetworkPolicies: () => clusterReflector.items(),
    pods: () => podReflector?.items() ?? nobody,
    complete: () => podReflector?.state().synced ?? !hasPolicies(),
    state: () => reflectors().map((reflector) => reflector.state()),
    stop: async () => {
      notice.cancel();
      await Promise.all(reflectors().map((reflector) => reflector.stop()));
    },
  };
}

/** What is reported of an object stays with it. */
function withProblems<T extends object>(
  parse: (...args: Parameters<ParseObject<T>>) => T,
): ParseObject<T & { readonly problems?: readonly string[] }> {
  return (object, report) => {
    const problems: string[] = [];
    const policy = parse(object, (field, why) => {
      problems.push(`${field}: ${why}`);
      report(field, why);
    });
    return problems.length === 0 ? policy : { ...policy, problems };
  };
}
