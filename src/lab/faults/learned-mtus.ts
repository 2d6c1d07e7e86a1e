/**
 * After a fault of sizes: what its ICMP errors taught would outlast it by ten minutes in the kernels of nodes and pods, as
 * it does on real machines, and a fault that is taken back must leave nothing.
 */
import { inNamespaceAt, namespaceExists } from "../../kernel/netns.ts";
import { pmtuCache } from "../../kernel/rtnetlink/pmtu-cache.ts";
import { procSysctl } from "../../kernel/sysctl.ts";
import type { FaultSurroundings } from "./fault.ts";

/** Makes every machine and every pod of the lab forget the path MTUs that they learned. */
export function forgetLearnedMtus({ underlay, pods }: Pick<FaultSurroundings, "underlay" | "pods">): void {
  const { router, outside, nodes } = underlay;
  const cache = pmtuCache(procSysctl);
  const hosts = [router, outside, ...nodes.values()].map(({ netns }) => netns);
  const inPods = pods.all().flatMap(({ netns }) => (netns === undefined ? [] : [netns]));
  for (const netns of [...hosts, ...inPods]) {
    // A pod may end meanwhile.
    if (namespaceExists(netns)) inNamespaceAt(netns, () => cache.flush());
  }
}
