/** Faults that somebody does to Breakwater itself: its routes and entries deleted, its agent killed. */
import { BreakwaterError } from "../../model/errors.ts";
import { ROUTE_PROTOCOL, VXLAN_DEVICE } from "../../model/marks.ts";
import { linkIndex } from "../underlay/host.ts";
import type { FaultKind, FaultTarget } from "./fault.ts";

function nothingThere(what: string, { node }: FaultTarget): BreakwaterError {
  return new BreakwaterError("BW_REFUSED", `Node ${node} has no ${what} that could be spoiled`, {
    remedy: "VXLAN entries are there when a lab has --subnets 2 or --routing vxlan",
  });
}

export const deleteRoute: FaultKind = {
  name: "delete-route",
  summary: "Somebody deletes the node's route to another node's pods; the agent puts it back",
  add: async (target) => {
    const { host, node } = target;
    const route = host.routes.routes({ protocol: ROUTE_PROTOCOL }).find(({ gateway }) => gateway !== undefined);
    if (route === undefined) throw nothingThere("route", target);
    host.routes.deleteRoute(route);
    return { description: `the route ${route.destination} was deleted on ${node}` };
  },
};

/** A tunnel end that no node has: TEST-NET-1 (RFC 5737). */
const NOBODY = "192.0.2.1";
const NOBODY6 = "2001:db8::1";

export const staleFdb: FaultKind = {
  name: "stale-fdb",
  summary: "A VXLAN forwarding entry leads to a tunnel end that is gone; the agent puts it right",
  add: async (target) => {
    const { host, node } = target;
    const device = host.routes.link(VXLAN_DEVICE);
    const entry = host.routes.fdb().find(({ index }) => index === device?.index);
    if (device === undefined || entry === undefined) throw nothingThere("VXLAN forwarding entry", target);
    host.routes.deleteFdb(entry);
    host.routes.setFdb({ ...entry, destination: entry.destination.includes(":") ? NOBODY6 : NOBODY });
    return { description: `the forwarding entry of ${entry.mac} on ${node} led to nobody` };
  },
};

export const killAgent: FaultKind = {
  name: "kill-agent",
  summary: "The node's agent is killed (SIGKILL) and stays down until the fault is cleared",
  add: async ({ node }, { agents }) => {
    const agent = agents.get(node);
    await agent?.hold("SIGKILL");
    return { description: `the agent of ${node} is down`, undo: async () => agent?.start() };
  },
};

export const deleteVxlan: FaultKind = {
  name: "delete-vxlan",
  summary: "Somebody deletes the node's VXLAN device; the agent makes it again with all its entries",
  add: async (target) => {
    const { host, node } = target;
    if (host.routes.link(VXLAN_DEVICE) === undefined) throw nothingThere("VXLAN device", target);
    host.routes.deleteLink(linkIndex(host, VXLAN_DEVICE));
    return { description: `${VXLAN_DEVICE} was deleted on ${node}` };
  },
};
