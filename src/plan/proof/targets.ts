/** What a node has to prove, from its plan: each path's underlay, and for VXLAN the inside of it, in every family that pods use. */
import type { ClusterNode } from "../../model/cluster.ts";
import { type Family, ipFamily } from "../../model/ip.ts";
import type { ProbeTarget, ProofState } from "../../model/proof.ts";
import type { PlannedPath } from "../../model/state.ts";
import { vtepAddress } from "../peers.ts";
import { addressOfFamily } from "../underlay.ts";

/** @param most the operator's upper limit of the pods' MTU, bytes: larger packets are nobody's business */
export function planTargets(
  paths: readonly PlannedPath[],
  nodes: ReadonlyMap<string, ClusterNode>,
  most: number | undefined,
): Map<string, readonly ProbeTarget[]> {
  const targets = new Map<string, readonly ProbeTarget[]>();
  for (const path of paths) {
    const node = nodes.get(path.node);
    if (path.mode !== "none" && node !== undefined) targets.set(path.node, pathTargets(path, node, most));
  }
  return targets;
}

function pathTargets(path: PlannedPath, node: ClusterNode, most: number | undefined): ProbeTarget[] {
  const { overheadBytes, podCidrs } = path;
  const inner = Math.min(path.underlayMtuBytes - overheadBytes, most ?? Number.POSITIVE_INFINITY);
  const underlay = (address: string): ProbeTarget => {
    return {
      peer: node.name,
      layer: "underlay",
      family: ipFamily(address),
      address,
      bytes: inner + overheadBytes,
      overheadBytes,
    };
  };
  if (path.mode === "direct") {
    const families = new Set<Family>(podCidrs.map(ipFamily));
    return [...families].flatMap((family) => addressOfFamily(node.internalIps, family) ?? []).map(underlay);
  }
  const overlay = podCidrs.map((podCidr): ProbeTarget => {
    const address = vtepAddress(podCidr);
    return { peer: node.name, layer: "overlay", family: ipFamily(address), address, bytes: inner, overheadBytes: 0 };
  });
  return [underlay(path.peer), ...overlay];
}

export function targetKey({ peer, layer, family }: ProbeTarget): string {
  return `${peer}/${layer}/${family}`;
}

/** The MTU that a path's proofs leave to its pods, bytes; undefined while nothing is proven. */
export function provenPathMtu(
  targets: readonly ProbeTarget[],
  state: (target: ProbeTarget) => ProofState | undefined,
): number | undefined {
  const sizes = targets.flatMap((target) => {
    const bytes = state(target)?.inForceBytes;
    return bytes === undefined ? [] : [bytes - target.overheadBytes];
  });
  return sizes.length === 0 ? undefined : Math.min(...sizes);
}
