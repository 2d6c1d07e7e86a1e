/**
 * kube-proxy's state in the kernel, in parts that are found and removed by themselves: the real ones of this folder, and
 * one in memory (../fake/kube-proxy.ts).
 */
import type { KubeProxyCounts, KubeProxyFinding, KubeProxyKind, KubeProxyRunning } from "../../model/kube-proxy.ts";

export interface KubeProxyPart {
  readonly kind: KubeProxyKind;
  /** Undefined when there is nothing of it. Loads no kernel module. @throws BreakwaterError */
  find(): KubeProxyFinding | undefined;
  /**
   * Removes what find() counts, and may be called again after a failure: what is gone already is no error.
   * @returns what was removed
   * @throws BreakwaterError with what could not be; what was removed before that stays removed
   */
  remove(): KubeProxyCounts;
}

/** Whether a kube-proxy runs here. Never rejects. */
export type FindRunning = () => Promise<KubeProxyRunning>;
