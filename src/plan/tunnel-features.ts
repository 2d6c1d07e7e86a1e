/**
 * Features of the VXLAN device: docs/adr/0006-tunnel-offloads.md. The network card's driver joins received segments while
 * they still carry their outer headers (vxlan_gro_receive): a second attempt behind the tunnel finds nothing to join, and
 * sends each packet through one more queue. Where nobody joined them before, the tunnel has to.
 */
import { RECEIVE_OFFLOAD, VXLAN_DEVICE } from "../model/marks.ts";
import type { DesiredFeature, NodeInterface } from "../model/state.ts";

export function planTunnelFeatures(underlay: NodeInterface): DesiredFeature[] {
  const joined = isJoinedBefore(underlay);
  const cause = `${underlay.name} ${joined ? "gets segments joined" : "joins no segments"}`;
  return [{ device: VXLAN_DEVICE, name: RECEIVE_OFFLOAD, on: !joined, cause }];
}

/**
 * A veth pair has no wire: segments come out of it as they were sent, or as the card of the machine around joined them, so
 * the kernel gives it no receive offload. Of any other device the offload's absence says that somebody switched it off.
 */
function isJoinedBefore({ kind, receiveOffload }: NodeInterface): boolean {
  return kind === "veth" || receiveOffload !== false;
}
