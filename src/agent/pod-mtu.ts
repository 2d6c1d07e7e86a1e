/** What a pod has of MTU (devices, routes, the kernel's memory of paths) beside what it should have. */

import { type IpCounters, readIpCounters } from "../kernel/ip-counters.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { PmtuCache } from "../kernel/rtnetlink/pmtu-cache.ts";
import { MAIN_TABLE } from "../model/kernel-objects.ts";
import type { PodMtuReport } from "../model/mtu-report.ts";
import type { LocalPod } from "../model/state.ts";
import { planPod } from "../plan/pods.ts";
import type { Mirror } from "./mirror.ts";

export interface PodMtuSources {
  readonly kernel: Kernel;
  readonly mirror: Mirror;
  readonly pmtuCache: PmtuCache;
}

/**
 * @param pods what is attached now: the last round's plan may not have the newest of them
 * @param name "namespace/name"; of two sandboxes with one name the one that was attached last is meant
 * @param plannedBytes the MTU that every pod of this node should have
 * @returns undefined when this node has no such pod
 */
export function reportPodMtu(
  { kernel, mirror, pmtuCache }: PodMtuSources,
  pods: readonly LocalPod[],
  { name, plannedBytes }: { readonly name: string; readonly plannedBytes: number },
): PodMtuReport | undefined {
  const attached = pods.findLast((candidate) => candidate.name === name);
  if (attached === undefined) return undefined;
  const { pod } = planPod(attached, plannedBytes);
  using namespace = kernel.openPod(pod.netns);
  return namespace.enter(({ routes }) => {
    const link = routes.link(pod.ifname);
    const own = routes.routes().filter(({ table, oif }) => table === MAIN_TABLE && oif === link?.index);
    return {
      pod: name,
      plannedBytes: pod.mtuBytes,
      device: { name: pod.ifname, mtuBytes: link?.mtuBytes ?? null },
      hostDevice: { name: pod.hostIfname, mtuBytes: mirror.link(pod.hostIfname)?.mtuBytes ?? null },
      routes: own.map(({ destination, gateway, mtuBytes }) => {
        return { destination, gateway: gateway ?? null, mtuBytes: mtuBytes ?? null };
      }),
      learned: pmtuCache.list(),
    };
  });
}

/** The counters of the node's own namespace and of every pod's, by "namespace/name"; "" is the node. */
export function readCounters(kernel: Kernel, pods: readonly LocalPod[]): Record<string, IpCounters> {
  const counters: Record<string, IpCounters> = { "": readIpCounters() };
  for (const { name, netns } of pods) {
    try {
      using namespace = kernel.openPod(netns);
      counters[name] = namespace.enter(() => readIpCounters());
    } catch {
      // The pod is just being deleted.
    }
  }
  return counters;
}
