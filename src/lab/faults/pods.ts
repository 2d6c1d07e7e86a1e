/** Pods as faults see them: where they run, and their namespaces. */
import { existsSync } from "node:fs";
import { asObject, asString } from "../../kube/json.ts";
import type { Store } from "../api/store.ts";
import { podNetns } from "../kubelet/pod-sandbox.ts";

export interface FaultPod {
  /** "namespace/name". */
  readonly name: string;
  readonly node: string;
  /** Path of its namespace; undefined while it has none of its own: on the host network, or not started. */
  readonly netns: string | undefined;
}

export interface FaultPods {
  /** Undefined when there is no such pod, or it is on no node yet. */
  find(namespace: string, name: string): FaultPod | undefined;
  /** Those with a network of their own. */
  all(): readonly FaultPod[];
}

type StoredPod = NonNullable<ReturnType<Store["get"]>>;

/** @param netnsFolder where the kubelets bind pod namespaces */
export function faultPods(store: Store, netnsFolder: string): FaultPods {
  const describe = (pod: StoredPod | undefined): FaultPod | undefined => {
    const spec = asObject(pod?.["spec"]);
    const node = asString(spec?.["nodeName"]);
    if (pod === undefined || node === undefined) return undefined;
    const path = podNetns(netnsFolder, String(pod.metadata["uid"]));
    const netns = spec?.["hostNetwork"] !== true && existsSync(path) ? path : undefined;
    return { name: `${pod.metadata["namespace"]}/${pod.metadata["name"]}`, node, netns };
  };
  return {
    find: (namespace, name) => describe(store.get("pods", namespace, name)),
    all: () =>
      store
        .list("pods")
        .map(describe)
        .filter((pod) => pod?.netns !== undefined) as FaultPod[],
  };
}
