/**
 * The cluster's NetworkPolicies, its ClusterNetworkPolicies where they are wanted and, once there is one of either, its pods:
 * a cluster without policies is not asked for all of its pods.
 */
import type { ClusterNetworkPolicy } from "../model/cluster-network-policy.ts";
import type { ClusterPolicy, PolicyPod } from "../model/policy.ts";
import { coalesce } from "./coalesce.ts";
import { parseClusterNetworkPolicy } from "./parse-cluster-network-policy.ts";
import { parseNetworkPolicy } from "./parse-network-policy.ts";
import { parsePolicyPod } from "./parse-policy-pod.ts";
import { Reflector } from "./reflector.ts";
import type { ReflectorState } from "./reflector-options.ts";
import { clusterNetworkPolicies, networkPolicies, pods, type ResourceType } from "./resource.ts";
import { reflectorOptions, type SourceOptions, withProblems } from "./source-options.ts";

export interface PolicySourceOptions extends SourceOptions {
  /** ClusterNetworkPolicies are watched; a cluster that does not know them has none. @default false */
  readonly withClusterNetworkPolicies?: boolean;
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
  /** Keys of the pods that came, went or are another since the last call. */
  takeChangedPods(): ReadonlySet<string>;
  /** Whether pods are known as far as policies speak of them: it is false from the first policy on until they were listed. */
  complete(): boolean;
  state(): readonly ReflectorState[];
  stop(): Promise<void>;
}

export function startPolicySource(options: PolicySourceOptions): PolicySource {
  const notice = coalesce(options.onChange);
  const common = (resource: ResourceType) => reflectorOptions(options, resource);
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
  let changedPods = new Set<string>();
  const watchPods = () => {
    podReflector ??= new Reflector<PolicyPod>({ ...common(pods), parse: parsePolicyPod, unparsable: "absent" });
    podReflector.onChange((changes) => {
      for (const { key } of changes) changedPods.add(key);
      notice.call();
    });
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
    takeChangedPods: () => {
      const taken = changedPods;
      changedPods = new Set();
      return taken;
    },
    complete: () => podReflector?.state().synced ?? !hasPolicies(),
    state: () => reflectors().map((reflector) => reflector.state()),
    stop: async () => {
      notice.cancel();
      await Promise.all(reflectors().map((reflector) => reflector.stop()));
    },
  };
}
