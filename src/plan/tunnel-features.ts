/**
 * Features of the VXLAN device: docs/adr/0006-tunnel-offloads.md. The network card's driver joins received segments while
 * they still carry their outer headers (vxlan_gro_receive): a second attempt behind the tunnel finds nothing to join, and
 * sends each packet through one more queue.
 */
import { VXLAN_DEVICE } from "../model/marks.ts";
import type { DesiredFeature } from "../model/state.ts";

/** NETIF_F_GRO, in the kernel's words. */
export const GENERIC_RECEIVE_OFFLOAD = "rx-gro";

export function planTunnelFeatures(): DesiredFeature[] {
  return [
    {
      device: VXLAN_DEVICE,
      name: GENERIC_RECEIVE_OFFLOAD,
      on: false,
      cause: "the underlay's receive offload came first",
    },
  ];
}
