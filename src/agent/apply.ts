/**
 * Carries operations out. Route, neighbour, address and forwarding changes that stand next to each other go to the kernel
 * in one system call. One that fails does not stop the others; each failure is returned with its operation.
 */
import type { Kernel } from "../kernel/kernel.ts";
import { isAlreadyExists, isNotFound } from "../kernel/netlink/error.ts";
import type { RouteChange } from "../kernel/rtnetlink/types.ts";
import { ipFamily } from "../model/ip.ts";
import { MAIN_TABLE, type Route } from "../model/kernel-objects.ts";
import { NFT_TABLE, ROUTE_PROTOCOL, TUNNEL } from "../model/marks.ts";
import type { Operation } from "../model/operation.ts";
import type { DesiredPod } from "../model/state.ts";
import type { Mirror } from "./mirror.ts";

export interface ApplyResult {
  readonly operation: Operation;
  /** Undefined when it was done, or when there was nothing left to do. */
  readonly error: Error | undefined;
}

/** What operations on pods need beyond the kernel: see pod-links.ts. */
export interface PodLinks {
  attach(pod: DesiredPod): void;
  setMtu(pod: DesiredPod): void;
  /** MTU of the pod's own end; undefined when it is not there. */
  endMtu(pod: DesiredPod): number | undefined;
}

export function applyOperations(
  operations: readonly Operation[],
  kernel: Kernel,
  mirror: Mirror,
  pods: PodLinks,
): ApplyResult[] {
  const results: ApplyResult[] = [];
  let batch: { operation: Operation; change: RouteChange }[] = [];
  const flush = () => {
    const errors = applyBatch(
      kernel,
      batch.map(({ change }) => change),
    );
    for (const [i, { operation, change }] of batch.entries()) {
      const error = harmless(change, errors[i]) ? undefined : errors[i];
      if (error === undefined) mirror.apply([eventOf(change)].flat());
      results.push({ operation, error });
    }
    batch = [];
  };
  for (const operation of operations) {
    const change = routeChange(operation, mirror);
    if (change !== undefined && !(change instanceof Error)) {
      batch.push({ operation, change });
      continue;
    }
    flush();
    results.push({ operation, error: change ?? attempt(() => applyAlone(operation, kernel, mirror, pods)) });
  }
  flush();
  return results;
}

/** One answer a change, also when the system call itself fails: then that is the answer to each. */
function applyBatch(kernel: Kernel, changes: readonly RouteChange[]): (Error | undefined)[] {
  let errors: (Error | undefined)[] = [];
  const error = attempt(() => {
    errors = kernel.routes.applyMany(changes);
  });
  return error === undefined ? errors : changes.map(() => error);
}

function attempt(body: () => void): Error | undefined {
  try {
    body();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Deleting what is gone and adding what is there are no errors: the state is as wanted. */
function harmless(change: RouteChange, error: Error | undefined): boolean {
  return change.do.startsWith("delete") ? isNotFound(error) : isAlreadyExists(error);
}

function applyAlone(operation: Operation, kernel: Kernel, mirror: Mirror, pods: PodLinks): void {
  switch (operation.do) {
    case "setSysctl":
      kernel.sysctl.write(operation.name, operation.value);
      break;
    case "createVxlan":
      createVxlan(operation, kernel, mirror);
      break;
    case "changeLink":
      changeLink(operation, kernel, mirror);
      break;
    case "setFeature":
      kernel.features.write(operation.device, operation.name, operation.on);
      break;
    case "deleteLink":
      deleteLink(operation.device, kernel, mirror);
      break;
    case "attachPod":
      pods.attach(operation.pod);
      break;
    case "setPodMtu":
      pods.setMtu(operation.pod);
      break;
    case "changeNft":
      changeNft(operation, kernel, mirror);
      break;
    default:
      throw new TypeError(`Operation ${operation.do} is a route change`);
  }
}

function changeNft({ changes }: Extract<Operation, { do: "changeNft" }>, kernel: Kernel, mirror: Mirror): void {
  try {
    kernel.nftables.commit(NFT_TABLE, changes);
  } catch (error) {
    // Whether the kernel committed is not ours to guess.
    mirror.listNft();
    throw error;
  }
  mirror.nftCommitted(changes);
}

function createVxlan({ vxlan }: Extract<Operation, { do: "createVxlan" }>, kernel: Kernel, mirror: Mirror): void {
  const { name, mac, mtuBytes, vni, port, local, underlayIndex } = vxlan;
  const parameters = { vni, port, local, underlayIndex, ...TUNNEL };
  kernel.routes.createLink({ name, mac, mtuBytes, up: true, kind: { type: "vxlan", vxlan: parameters } });
  mirror.refreshLink(name);
}

function changeLink(operation: Extract<Operation, { do: "changeLink" }>, kernel: Kernel, mirror: Mirror): void {
  const link = mirror.link(operation.device);
  if (link === undefined) throw new ReferenceError(`No link ${operation.device}`);
  kernel.routes.changeLink(link.index, operation.change);
  mirror.refreshLink(operation.device);
}

function deleteLink(device: string, kernel: Kernel, mirror: Mirror): void {
  const link = mirror.link(device);
  if (link === undefined) return;
  try {
    kernel.routes.deleteLink(link.index);
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  mirror.apply([{ type: "link", link, deleted: true }]);
}

/** The kernel change of an operation; an Error when its device is not there; undefined for the other operations. */
function routeChange(operation: Operation, mirror: Mirror): RouteChange | Error | undefined {
  const index = (device: string) => mirror.link(device)?.index;
  const missing = (device: string) => new ReferenceError(`Cannot ${operation.do}: there is no link ${device}`);
  switch (operation.do) {
    case "addAddress": {
      const { device, address, length } = operation.address;
      const at = index(device);
      return at === undefined
        ? missing(device)
        : { do: "addAddress", address: { index: at, address, length, noDad: true } };
    }
    case "deleteAddress":
      return { do: "deleteAddress", address: operation.address };
    case "setRoute": {
      const { device, ...route } = operation.route;
      if (route.type === "unreachable") return { do: "setRoute", route: { ...route, protocol: ROUTE_PROTOCOL } };
      const oif = index(device);
      return oif === undefined
        ? missing(device)
        : { do: "setRoute", route: { ...route, oif, protocol: ROUTE_PROTOCOL } };
    }
    case "deleteRoute": {
      const { destination, type, gateway, device } = operation.route;
      // The kernel asks for the type (fib_table_delete).
      if (type !== undefined) return { do: "deleteRoute", route: { destination, type, protocol: ROUTE_PROTOCOL } };
      const oif = device === undefined ? undefined : index(device);
      return { do: "deleteRoute", route: { destination, gateway, oif, protocol: ROUTE_PROTOCOL } };
    }
    case "setNeighbour": {
      const { device, ip, mac } = operation.neighbour;
      const at = index(device);
      return at === undefined ? missing(device) : { do: "setNeighbour", neighbour: { index: at, ip, mac } };
    }
    case "deleteNeighbour": {
      const at = index(operation.device);
      return at === undefined
        ? missing(operation.device)
        : { do: "deleteNeighbour", neighbour: { index: at, ip: operation.ip } };
    }
    case "setFdb": {
      const { device, mac, destination } = operation.entry;
      const at = index(device);
      return at === undefined ? missing(device) : { do: "setFdb", entry: { index: at, mac, destination } };
    }
    case "deleteFdb": {
      const at = index(operation.device);
      const { mac, destination } = operation;
      return at === undefined ? missing(operation.device) : { do: "deleteFdb", entry: { index: at, mac, destination } };
    }
    default:
      return undefined;
  }
}

/** What the mirror learns from a change that was made; the kernel's own event says the same a moment later. */
function eventOf(change: RouteChange): Parameters<Mirror["apply"]>[0][number] | [] {
  switch (change.do) {
    case "addAddress":
    case "deleteAddress": {
      const { index, address, length } = change.address;
      const deleted = change.do === "deleteAddress";
      return { type: "address", address: { index, address, length, scope: "global" }, deleted };
    }
    case "setRoute":
    case "deleteRoute":
      return { type: "route", route: completeRoute(change.route), deleted: change.do === "deleteRoute" };
    case "setNeighbour":
      return { type: "neighbour", neighbour: { ...change.neighbour, permanent: true }, deleted: false };
    case "deleteNeighbour":
      return { type: "neighbour", neighbour: { ...change.neighbour, mac: undefined, permanent: true }, deleted: true };
    case "setFdb":
    case "deleteFdb":
      return { type: "fdb", entry: change.entry, deleted: change.do === "deleteFdb" };
    default:
      return [];
  }
}

/** IP6_RT_PRIO_USER of include/uapi/linux/ipv6_route.h: what an IPv6 route gets that names no metric. */
const IPV6_METRIC = 1024;

/** The route as the kernel will list it. */
function completeRoute(route: Extract<RouteChange, { do: "setRoute" }>["route"]): Route {
  const v6 = ipFamily(route.destination) === 6;
  return {
    destination: route.destination,
    gateway: route.gateway,
    oif: route.oif,
    source: route.source,
    table: route.table ?? MAIN_TABLE,
    protocol: route.protocol,
    scope: v6 || route.gateway !== undefined || route.oif === undefined ? "universe" : "link",
    type: route.type ?? "unicast",
    onlink: route.onlink ?? false,
    mtuBytes: route.mtuBytes,
    metric: route.metric ?? (v6 ? IPV6_METRIC : undefined),
  };
}
