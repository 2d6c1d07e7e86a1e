/**
 * The cluster's NetworkPolicies and, once there is one, its pods: a cluster without policies is not asked for all of its
 * pods.
 */
import type { ClusterPolicy, PolicyPod } from "../model/policy.ts";
import type { KubeClient } from "./client.ts";
import type { Clock } from "./clock.ts";
import { coalesce } from "./coalesce.ts";
import type { ObjectProblem } from "./object-reader.ts";
import { parseNetworkPolicy } from "./parse-network-policy.ts";
import { parsePolicyPod } from "./parse-policy-pod.ts";
import { Reflector } from "./reflector.ts";
import type { ReflectorState, ReflectorTiming } from "./reflector-options.ts";
import { networkPolicies, pods, type ResourceType, resourceName } from "./resource.ts";

export interface PolicySourceOptions {
  readonly client: Pick<KubeClient, "listPage" | "watch">;
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
  /** Resolves when policies were listed once, and pods where there are any; rejects with BW_KUBE_STOPPED when stopped before. */
  readonly synced: Promise<void>;
  /** By "namespace/name". */
  policies(): ReadonlyMap<string, ClusterPolicy>;
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
  const policyReflector = new Reflector<ClusterPolicy>({
    ...common(networkPolicies),
    parse: withProblems,
    unparsable: "last-good",
  });
  let podReflector: Reflector<PolicyPod> | undefined;
  const watchPods = () => {
    podReflector ??= new Reflector<PolicyPod>({ ...common(pods), parse: parsePolicyPod, unparsable: "absent" });
    podReflector.onChange(notice.call);
    podReflector.synced.then(notice.call, () => undefined);
    podReflector.start();
  };
  policyReflector.onChange(() => {
    if (podReflector === undefined && policyReflector.items().size > 0) watchPods();
    notice.call();
  });
  policyReflector.start();
  const synced = policyReflector.synced.then(() => podReflector?.synced);
  // Who does not wait for it must not be killed by its rejection.
  synced.catch(() => undefined);
  const reflectors = () => [policyReflector, ...(podReflector === undefined ? [] : [podReflector])];
  const nobody: ReadonlyMap<string, PolicyPod> = new Map();
  return {
    synced,
    policies: () => policyReflector.items(),
    pods: () => podReflector?.items() ?? nobody,
    complete: () => podReflector?.state().synced ?? policyReflector.items().size === 0,
    state: () => reflectors().map((reflector) => reflector.state()),
    stop: async () => {
      notice.cancel();
      await Promise.all(reflectors().map((reflector) => reflector.stop()));
    },
  };
}

const withProblems: typeof parseNetworkPolicy = (object, report) => {
  const problems: string[] = [];
  const policy = parseNetworkPolicy(object, (field, why) => {
    problems.push(`${field}: ${why}`);
    report(field, why);
  });
  return problems.length === 0 ? policy : { ...policy, problems };
};
