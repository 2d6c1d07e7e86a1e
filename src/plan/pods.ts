/**
 * A pod's attachment: a veth pair without a bridge. The host has a /32 (/128) route to the pod's device and a permanent
 * neighbour entry, so that neither side ever asks who has an address. See docs/packets/pod-to-pod-same-node.md.
 */
import { hash } from "node:crypto";
import { deriveMac } from "../model/mac.ts";
import { POD_LINK_PREFIX } from "../model/marks.ts";
import { hostPrefix } from "../model/prefix.ts";
import type { DesiredNeighbour, DesiredPod, DesiredRoute, LocalPod } from "../model/state.ts";
import { Remembered, RememberedByKey } from "./memo.ts";

/** Name of the host end: the same for the same container and interface, at every start. */
export function hostIfname(containerId: string, ifname: string): string {
  return `${POD_LINK_PREFIX}${hash("sha256", `${containerId}/${ifname}`).slice(0, 11)}`;
}

export interface PodPlan {
  readonly pod: DesiredPod;
  readonly routes: readonly DesiredRoute[];
  readonly neighbours: readonly DesiredNeighbour[];
}

export function planPod(pod: LocalPod, mtuBytes: number): PodPlan {
  const device = hostIfname(pod.containerId, pod.ifname);
  const podMac = deriveMac(`pod ${pod.containerId}/${pod.ifname}`);
  const cause = `Pod ${pod.name}`;
  return {
    pod: { ...pod, hostIfname: device, podMac, mtuBytes },
    routes: pod.ips.map((ip) => ({ destination: hostPrefix(ip), device, onlink: false, cause })),
    neighbours: pod.ips.map((ip) => ({ device, ip, mac: podMac, cause })),
  };
}

export interface AllPods {
  readonly pods: readonly DesiredPod[];
  readonly routes: readonly DesiredRoute[];
  readonly neighbours: readonly DesiredNeighbour[];
}

export class AllPodsMemo {
  readonly plans = new RememberedByKey<LocalPod, PodPlan>();
  readonly together = new Remembered<AllPods>();
}

/** All pods of the node, by name and container. */
export function planAllPods(pods: readonly LocalPod[], mtuBytes: number, memo = new AllPodsMemo()): AllPods {
  return memo.together.get([mtuBytes, ...pods], () => {
    const plans = [...pods]
      .sort(byContainer)
      .map((pod) => memo.plans.get(pod, [mtuBytes], () => planPod(pod, mtuBytes)));
    memo.plans.sweep();
    return {
      pods: plans.map(({ pod }) => pod),
      routes: plans.flatMap(({ routes }) => routes),
      neighbours: plans.flatMap(({ neighbours }) => neighbours),
    };
  });
}

function byContainer(a: LocalPod, b: LocalPod): number {
  const [x, y] = [`${a.name}/${a.containerId}/${a.ifname}`, `${b.name}/${b.containerId}/${b.ifname}`];
  return x < y ? -1 : x > y ? 1 : 0;
}
