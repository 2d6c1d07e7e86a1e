/** When a lab is ready: every node is, and every pod that is meant to run. */
import type { KubeObject } from "./api/object/object.ts";
import type { Store } from "./api/store.ts";
import type { PodSummary } from "./control-protocol.ts";
import { podAddresses } from "./probe-targets.ts";
import type { Topology } from "./topology.ts";

interface Conditioned {
  readonly phase?: string;
  readonly conditions?: readonly { readonly type: string; readonly status: string }[];
}

function hasCondition(object: KubeObject, type: string): boolean {
  const { conditions = [] } = (object["status"] ?? {}) as Conditioned;
  return conditions.some((condition) => condition.type === type && condition.status === "True");
}

export function nodeIsReady(node: KubeObject): boolean {
  return hasCondition(node, "Ready");
}

function podIsSettled(pod: KubeObject): boolean {
  const { phase } = (pod["status"] ?? {}) as Conditioned;
  return phase === "Succeeded" || hasCondition(pod, "Ready");
}

/** Why a pod's first waiting container waits: " (CNI ADD by breakwater …)"; "" when nobody said. */
function waitingReason(pod: KubeObject): string {
  type Waiting = { containerStatuses?: { state?: { waiting?: { message?: string } } }[] };
  const { containerStatuses = [] } = (pod["status"] ?? {}) as Waiting;
  const message = containerStatuses
    .map(({ state }) => state?.waiting?.message)
    .find((text) => text !== undefined && text !== "");
  return message === undefined ? "" : ` (${message})`;
}

/** What a listing says of a pod. */
export function podSummary(pod: KubeObject): PodSummary {
  const { phase = "Pending" } = (pod["status"] ?? {}) as Conditioned;
  return {
    name: `${pod.metadata.namespace}/${pod.metadata.name}`,
    node: (pod["spec"] as { nodeName?: string }).nodeName ?? "",
    ips: podAddresses(pod),
    phase,
    ready: hasCondition(pod, "Ready"),
  };
}

/** Waits for store events, not for time; what it still waits for is listed when the time is over. */
export function clusterReadiness(
  store: Store,
  topology: Topology,
  timeoutMs: number,
): Promise<{ ready: boolean; waitingFor: readonly string[] }> {
  const waitingFor = () => [
    ...topology.nodes
      .filter(({ name }) => {
        const node = store.get("nodes", undefined, name);
        return node === undefined || !nodeIsReady(node);
      })
      .map(({ name }) => `node ${name}`),
    ...store
      .list("pods")
      .filter((pod) => !podIsSettled(pod))
      .map((pod) => `pod ${pod.metadata.namespace}/${pod.metadata.name}${waitingReason(pod)}`),
  ];
  return new Promise((resolve) => {
    const ends: (() => void)[] = [];
    const finish = () => {
      clearTimeout(timer);
      for (const end of ends) end();
      const rest = waitingFor();
      resolve({ ready: rest.length === 0, waitingFor: rest });
    };
    const check = () => {
      if (waitingFor().length === 0) finish();
    };
    const timer = setTimeout(finish, timeoutMs);
    // The store calls within its write: look behind it.
    for (const resource of ["nodes", "pods"]) ends.push(store.subscribe(resource, () => setImmediate(check)));
    check();
  });
}
