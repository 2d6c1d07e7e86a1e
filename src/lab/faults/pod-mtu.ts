/** Somebody set a pod's interface to another MTU: an init container, a sysctl plugin, a person who tried something. */
import { BreakwaterError } from "../../model/errors.ts";
import { ipFamily } from "../../model/ip.ts";
import type { FaultKind } from "./fault.ts";
import { LEAST_IPV6_MTU_BYTES, LEAST_MTU_BYTES, sizeParameter } from "./sizes.ts";
import { inRoutes, setWrongMtu } from "./wrong-device-mtu.ts";

export const podMtu: FaultKind = {
  name: "pod-mtu",
  summary: "Somebody set the eth0 of a pod (--pod) to a wrong MTU; what its node's end cannot take is lost in silence",
  parameters: { bytes: "9000" },
  scope: "pod",
  teachesPathMtu: true,
  add: async ({ pod, parameters }) => {
    if (pod?.netns === undefined) {
      throw new BreakwaterError("BW_REFUSED", `Pod ${pod?.name} has no network of its own`, {
        remedy: "Wait until it runs; of a pod on the host network the node's wire counts: underlay-mtu",
      });
    }
    const { netns } = pod;
    const { mtuBytes, ipv6 } = inRoutes(netns, (routes) => ({
      mtuBytes: routes.link("eth0")?.mtuBytes,
      ipv6: routes.addresses().some(({ address, scope }) => ipFamily(address) === 6 && scope === "global"),
    }));
    const bytes = sizeParameter(parameters, {
      least: ipv6 ? LEAST_IPV6_MTU_BYTES : LEAST_MTU_BYTES,
      remedy: ipv6 ? "The pod has IPv6: below 1280 bytes the kernel takes its addresses for good" : "Give --size BYTES",
    });
    const undo = setWrongMtu(netns, "eth0", bytes);
    return { description: `eth0 of ${pod.name} has MTU ${bytes}, ${mtuBytes} before`, undo: async () => undo() };
  },
};
