/**
 * What to do about a kube-proxy that ran, or runs, on this node, and what to say. Pure; docs/design/takeover.md has the
 * reasons.
 *
 * Without --replace-kube-proxy nothing is touched: removing what another program made needs a word from the operator. But
 * it is reported, for both serve Services then. Which of them rewrites a connection depends on the order of their chains,
 * and what kube-proxy left behind rejects, drops and masquerades by the Services of the day on which it stopped.
 */
import {
  countObjects,
  formatCounts,
  type KubeProxyFinding,
  type KubeProxyKind,
  type KubeProxyMode,
  type KubeProxyRunning,
} from "../model/kube-proxy.ts";
import type { Problem } from "../model/state.ts";

export interface KubeProxyInput {
  readonly nodeName: string;
  readonly mode: KubeProxyMode | undefined;
  readonly found: readonly KubeProxyFinding[];
  readonly running: KubeProxyRunning;
  /** Kinds that somebody rewrote since they were looked at last, or made anew after they were removed. */
  readonly rewritten: readonly KubeProxyKind[];
  /** Whether ours serves every Service that the cluster has. */
  readonly servesAll: boolean;
}

export interface KubeProxyDecision {
  /** "wait": it goes once ours serves; "leave": it stays as it is. */
  readonly do: "nothing" | "leave" | "wait" | "remove";
  /** Kinds that are to be removed now, in this order. */
  readonly remove: readonly KubeProxyKind[];
  readonly problems: readonly Problem[];
}

const DELETE_IT =
  "kubectl -n kube-system delete daemonset kube-proxy (k3s: start the server with --disable-kube-proxy; one node at a time: docs/design/takeover.md)";

export function decideKubeProxy(input: KubeProxyInput): KubeProxyDecision {
  const { mode, found, servesAll } = input;
  const removable = found.filter(({ counts }) => countObjects(counts) > 0);
  const runs = describeRunning(input);
  if (mode === "keep") {
    const problems = runs === undefined && removable.length === 0 ? [absent(input)] : [];
    return { do: removable.length === 0 ? "nothing" : "leave", remove: [], problems };
  }
  if (runs !== undefined) return { do: "leave", remove: [], problems: [both(input, runs)] };
  if (removable.length === 0) return { do: "nothing", remove: [], problems: [] };
  const byWhom = input.rewritten.length === 0 ? [] : [rewritten(input)];
  if (mode === undefined) {
    return { do: "leave", remove: [], problems: byWhom.length > 0 ? byWhom : [left(input, removable)] };
  }
  if (!servesAll) return { do: "wait", remove: [], problems: byWhom };
  return { do: "remove", remove: removable.map(({ kind }) => kind), problems: byWhom };
}

/** "processes 71 and 72, an answer at 127.0.0.1:10256/healthz"; undefined when there is no sign of it. */
function describeRunning({ running: { pids, healthz } }: KubeProxyInput): string | undefined {
  const signs = [
    ...(pids.length === 0 ? [] : [`${pids.length === 1 ? "process" : "processes"} ${pids.join(" and ")}`]),
    ...(healthz === undefined ? [] : [`an answer as its own at http://${healthz}/healthz`]),
  ];
  return signs.length === 0 ? undefined : signs.join(", ");
}

function both({ nodeName, mode }: KubeProxyInput, signs: string): Problem {
  const waits = mode === "replace" ? "; its rules stay until it is gone, for it would write them again" : "";
  return {
    code: "BW_KUBE_PROXY_RUNNING",
    object: nodeName,
    message: `kube-proxy runs on node ${nodeName} (${signs}), and Breakwater serves Services too: both rewrite the same packets${waits}`,
    remedy: `Delete one of them: ${DELETE_IT}; or leave Services to it: --keep-kube-proxy`,
  };
}

function left({ nodeName }: KubeProxyInput, found: readonly KubeProxyFinding[]): Problem {
  return {
    code: "BW_KUBE_PROXY_STATE",
    object: nodeName,
    message: `kube-proxy left its rules on node ${nodeName}, and Breakwater serves Services too: ${formatFound(found)}`,
    remedy: "Let Breakwater remove them: --replace-kube-proxy; or leave Services to kube-proxy: --keep-kube-proxy",
  };
}

function rewritten({ nodeName, rewritten: kinds }: KubeProxyInput): Problem {
  return {
    code: "BW_KUBE_PROXY_RUNNING",
    object: nodeName,
    message: `Something on node ${nodeName} writes kube-proxy's rules while Breakwater serves Services (${kinds.join(", ")}); no kube-proxy is to be seen from here`,
    remedy: `Find it and stop it: ${DELETE_IT}; or leave Services to it: --keep-kube-proxy`,
  };
}

function absent({ nodeName }: KubeProxyInput): Problem {
  return {
    code: "BW_KUBE_PROXY_ABSENT",
    object: nodeName,
    message: `Nobody serves Services on node ${nodeName}: --keep-kube-proxy leaves them to kube-proxy, and there is no sign of one`,
    remedy: "Start kube-proxy on this node, or let Breakwater serve Services: leave --keep-kube-proxy out",
  };
}

/** "iptables-nft (312 chains, 914 rules), ipvs (1 link)" */
export function formatFound(found: readonly KubeProxyFinding[]): string {
  return found.map(({ kind, counts }) => `${kind} (${formatCounts(counts)})`).join(", ");
}
