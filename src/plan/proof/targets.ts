/** What a node has to prove, from its plan: each path's underlay, and for VXLAN the inside of it, in every family that pods use. */
import type { ClusterNode } from "../../model/cluster.ts";
import { type Family, ipFamily } from "../../model/ip.ts";
import type { ProbeTarget, ProofState } from "../../model/proof.ts";
import type { PlannedPath } from "../../model/state.ts";
import { Remembered, RememberedByKey } from "../memo.ts";
import { vtepAddress } from "../peers.ts";
import { addressOfFamily } from "../underlay.ts";

export class TargetsMemo {
  readonly ofPeer = new RememberedByKey<string, readonly ProbeTarget[]>();
  readonly together = new Remembered<ReadonlyMap<string, readonly ProbeTarget[]>>();
}

/**
 * @param most the operator's upper limit of the pods' MTU, bytes: larger packets are nobody's business
 * @returns the targets of each peer, by its name
 */
export function planTargets(
  paths: readonly PlannedPath[],
  nodes: ReadonlyMap<string, ClusterNode>,
  most: number | undefined,
  memo = new TargetsMemo(),
): ReadonlyMap<string, readonly ProbeTarget[]> {
  const peers: string[] = [];
  const targets: (readonly ProbeTarget[])[] = [];
  for (const path of paths) {
    const node = nodes.get(path.node);
    if (path.mode === "none" || node === undefined) continue;
    peers.push(path.node);
    targets.push(memo.ofPeer.get(path.node, [path, node, most], () => pathTargets(path, node, most)));
  }
  memo.ofPeer.sweep();
  // Each list was made for one peer: the same lists are those of the same peers.
  return memo.together.get(targets, () => new Map(peers.map((peer, i) => [peer, targets[i] ?? []])));
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
  if (path.mode !== "vxlan") {
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
