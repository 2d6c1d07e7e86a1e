/** What the takeover from kube-proxy would do once Breakwater serves all Services, for `breakwater plan`. */
import type { FindRunning, KubeProxyPart } from "../kernel/kube-proxy/types.ts";
import { formatCounts } from "../model/kube-proxy.ts";
import type { NodeConfig } from "../model/node-config.ts";
import type { Problem } from "../model/state.ts";
import { decideKubeProxy } from "../plan/kube-proxy.ts";

export interface TakeoverStep {
  /** "remove what kube-proxy left in iptables-nft: 138 chains, 348 rules" */
  readonly text: string;
  readonly cause: string;
}

export interface PlannedTakeover {
  readonly steps: readonly TakeoverStep[];
  readonly problems: readonly Problem[];
}

/** @throws BreakwaterError when kube-proxy's state cannot be read */
export async function planTakeover(
  { nodeName, kubeProxy: mode, services }: NodeConfig,
  parts: readonly KubeProxyPart[],
  findRunning: FindRunning,
): Promise<PlannedTakeover> {
  // Services are another proxy's, and nobody said that it is kube-proxy.
  if (mode === undefined && services === undefined) return { steps: [], problems: [] };
  const running = await findRunning();
  const found = parts.flatMap((part) => part.find() ?? []);
  const decision = decideKubeProxy({ nodeName, mode, found, running, rewritten: [], servesAll: true });
  const doomed = found.filter(({ kind }) => decision.remove.includes(kind));
  return {
    steps: doomed.map(({ kind, counts }) => ({
      text: `remove what kube-proxy left in ${kind}: ${formatCounts(counts)}`,
      cause: "--replace-kube-proxy, once all Services are served",
    })),
    problems: decision.problems,
  };
}
