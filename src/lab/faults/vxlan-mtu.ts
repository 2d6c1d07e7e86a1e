/**
 * The classic: an overlay whose device, and whose pods, believe in the MTU of the wire. The 50 bytes of VXLAN come on top,
 * and every full packet leaves as two fragments, or not at all.
 *
 * Linux refuses such an MTU to a VXLAN device that knows its underlay (vxlan_change_mtu: at most the underlay's MTU less
 * the headers), but checks only when it is set: a device from a time when the underlay was larger keeps it, and one made
 * without `dev`, as some scripts do, is never checked. So the underlay is larger here for the length of three requests.
 */
import type { Link, RouteTable } from "../../kernel/rtnetlink/types.ts";
import { BreakwaterError } from "../../model/errors.ts";
import { VXLAN_DEVICE } from "../../model/marks.ts";
import type { LabHost } from "../underlay/host.ts";
import { allOrNothing } from "./all-or-nothing.ts";
import type { FaultKind } from "./fault.ts";
import type { FaultPod } from "./pods.ts";
import { sizeParameter } from "./sizes.ts";
import { inRoutes, setWrongMtu } from "./wrong-device-mtu.ts";

/** More than the outer headers of any family: 70 over IPv6. */
const AMPLE_HEADER_BYTES = 100;

export const vxlanMtu: FaultKind = {
  name: "vxlan-mtu-1500",
  summary: "bwvxlan and the pods behind it believe in the wire's MTU (all nodes, or --node); the agent puts it right",
  parameters: { bytes: "1500" },
  scope: "cluster",
  teachesPathMtu: true,
  add: async ({ hosts, everywhere, node, parameters }, { pods }) => {
    const bytes = sizeParameter(parameters, { remedy: "Say with --size BYTES what the overlay shall believe in" });
    const struck = hosts.filter(({ routes }) => routes.link(VXLAN_DEVICE) !== undefined);
    if (struck.length === 0) {
      throw new BreakwaterError("BW_REFUSED", `There is no VXLAN device on ${everywhere ? "any node" : node}`, {
        remedy: "VXLAN is there when a lab has --subnets 2 or --routing vxlan",
      });
    }
    const undo = allOrNothing((steps) => {
      for (const host of struck) believeIn(host, podsOn(host, pods.all()), bytes, steps);
    });
    return {
      description: `${VXLAN_DEVICE} and the pods of ${struck.map(({ name }) => name).join(", ")} have MTU ${bytes}`,
      undo,
    };
  },
};

function podsOn(host: LabHost, pods: readonly FaultPod[]): string[] {
  return pods.flatMap(({ node, netns }) => (node === host.name && netns !== undefined ? [netns] : []));
}

/** The node's VXLAN device, and both ends of its pods' pairs. */
function believeIn(host: LabHost, pods: readonly string[], bytes: number, undo: DisposableStack): void {
  for (const netns of pods) {
    const peer = inRoutes(netns, (routes) => routes.link("eth0")?.peerIndex);
    const hostEnd = host.routes.links().find(({ index }) => index === peer);
    undo.defer(setWrongMtu(netns, "eth0", bytes));
    if (hostEnd !== undefined) undo.defer(setWrongMtu(host.netns, hostEnd.name, bytes));
  }
  undo.defer(setWrongMtu(host.netns, VXLAN_DEVICE, bytes, setPastTheCheck));
}

function setPastTheCheck(routes: RouteTable, { index, vxlan }: Link, mtuBytes: number): void {
  const underlay = routes.links().find((link) => link.index === vxlan?.underlayIndex);
  const needed = mtuBytes + AMPLE_HEADER_BYTES;
  const raise = underlay !== undefined && underlay.mtuBytes < needed ? underlay : undefined;
  if (raise !== undefined) routes.changeLink(raise.index, { mtuBytes: needed });
  try {
    routes.changeLink(index, { mtuBytes });
  } finally {
    if (raise !== undefined) routes.changeLink(raise.index, { mtuBytes: raise.mtuBytes });
  }
}
