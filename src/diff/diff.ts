/**
 * desired x observed -> operations, in an order that never breaks what works: settings and devices, then what is added
 * or replaced (a forwarding entry before the neighbour, the neighbour before the route that needs it), then what is
 * deleted, the other way round. Only objects with our mark are deleted. Nothing differs: nothing is returned.
 */
import type { Link } from "../model/kernel-objects.ts";
import { DOOMED_GROUP, IPVS_DEVICE, isOurLink, TUNNEL, VXLAN_DEVICE } from "../model/marks.ts";
import type { NftChange } from "../model/nft-changes.ts";
import { addressKey, fdbKey, featureKey, neighbourKey, type Observed } from "../model/observed.ts";
import type { Operation } from "../model/operation.ts";
import type { DesiredPod, DesiredRoute, DesiredState, DesiredSysctl, DesiredVxlan } from "../model/state.ts";
import { fastPathOperations, isFastPathChange } from "./fast-path.ts";
import { diffNft } from "./nft.ts";

const GONE = "no object of the cluster asks for it";

export function diffNode(desired: DesiredState, observed: Observed): Operation[] {
  const links = diffLinks(desired, observed);
  // A device that is made or replaced has a new index and none of its entries: they are all to be set.
  const fresh = new Set(
    links.flatMap((op) =>
      op.do === "createVxlan" ? [op.vxlan.name] : op.do === "attachPod" ? [op.pod.hostIfname] : [],
    ),
  );
  const table = diffTable(desired, observed, fresh);
  const index = (device: string) => (fresh.has(device) ? undefined : observed.links.get(device)?.index);
  return [
    ...diffSysctls(desired, observed, ({ name }) => !isOfFresh(name, fresh)),
    ...links,
    ...diffSysctls(desired, observed, ({ name }) => isOfFresh(name, fresh)),
    ...diffFeatures(desired, observed, fresh),
    // Before the routes: a new peer's pods are inside the cluster from their first packet, and never masqueraded.
    ...table.gains,
    // A route that becomes narrow sends connections back, which must not be offered again by rules that do not know it.
    ...table.fastPath,
    ...addAddresses(desired, observed, index),
    ...setFdb(desired, observed, index),
    ...setNeighbours(desired, observed, index),
    ...setRoutes(desired, observed, index),
    ...deleteRoutes(desired, observed),
    ...deleteNeighbours(desired, observed),
    ...deleteFdb(desired, observed),
    ...deleteAddresses(desired, observed),
    ...deleteLinks(desired, observed),
    ...table.losses,
  ];
}

type IndexOf = (device: string) => number | undefined;

function isOurs(link: Link | undefined): boolean {
  return link !== undefined && isOurLink(link.name) && link.group !== DOOMED_GROUP;
}

/** @param chosen which of them: a device's own are there once the device is */
function diffSysctls(
  desired: DesiredState,
  observed: Observed,
  chosen: (sysctl: DesiredSysctl) => boolean,
): Operation[] {
  return desired.sysctls.filter(chosen).flatMap(({ name, value, alsoFine, ifThere, cause }) => {
    const previous = observed.sysctls.get(name);
    const isFine = previous === undefined ? ifThere === true : previous === value || alsoFine?.includes(previous);
    return isFine ? [] : [{ do: "setSysctl", name, value, previous, cause }];
  });
}

/** "net/ipv4/conf/DEVICE/rp_filter". */
function isOfFresh(name: string, fresh: ReadonlySet<string>): boolean {
  return fresh.size > 0 && name.split("/").some((part) => fresh.has(part));
}

/** A device that is new has what its driver gives it. Nothing is asked of a kernel that says nothing about features. */
function diffFeatures(desired: DesiredState, { features }: Observed, fresh: ReadonlySet<string>): Operation[] {
  if (features === undefined) return [];
  return desired.features.flatMap(({ device, name, on, cause }) => {
    const set = !fresh.has(device) && features.get(featureKey({ device, name })) === on;
    return set ? [] : [{ do: "setFeature", device, name, on, cause }];
  });
}

function diffLinks(desired: DesiredState, observed: Observed): Operation[] {
  const vxlan = desired.vxlan === undefined ? [] : diffVxlan(desired.vxlan, observed.links.get(desired.vxlan.name));
  const pods = desired.pods.flatMap((pod) =>
    diffPod(pod, observed.links.get(pod.hostIfname), observed.podEndMtus.get(pod.hostIfname)),
  );
  return [...vxlan, ...pods];
}

function diffVxlan(vxlan: DesiredVxlan, link: Link | undefined): Operation[] {
  const cause = "peers behind a router";
  const device = vxlan.name;
  const create: Operation = { do: "createVxlan", vxlan, cause };
  if (link === undefined) return [create];
  const has = link.vxlan;
  const same =
    has !== undefined &&
    has.vni === vxlan.vni &&
    has.port === vxlan.port &&
    has.local === vxlan.local &&
    has.underlayIndex === vxlan.underlayIndex &&
    has.learning === TUNNEL.learning &&
    has.udpChecksum === TUNNEL.udpChecksum &&
    has.sourcePorts?.first === TUNNEL.sourcePorts.first &&
    has.sourcePorts.last === TUNNEL.sourcePorts.last;
  // The kernel cannot change these on a living device.
  if (!same) return [{ do: "deleteLink", device, cause }, create];
  const change = {
    ...(link.mac === vxlan.mac ? {} : { mac: vxlan.mac }),
    ...(link.mtuBytes === vxlan.mtuBytes ? {} : { mtuBytes: vxlan.mtuBytes }),
    ...(link.up ? {} : { up: true }),
  };
  return Object.keys(change).length === 0 ? [] : [{ do: "changeLink", device, change, cause }];
}

/** @param inside MTU of the pod's own end */
function diffPod(pod: DesiredPod, link: Link | undefined, inside = pod.mtuBytes): Operation[] {
  const cause = `Pod ${pod.name}`;
  // A link that was given up and still has the name is in the way; attaching removes it.
  if (link === undefined || link.group === DOOMED_GROUP) return [{ do: "attachPod", pod, cause }];
  return [
    ...(link.mtuBytes === pod.mtuBytes && inside === pod.mtuBytes ? [] : [{ do: "setPodMtu", pod, cause } as const]),
    ...(link.up ? [] : [{ do: "changeLink", device: link.name, change: { up: true }, cause } as const]),
  ];
}

function addAddresses(desired: DesiredState, observed: Observed, indexOf: IndexOf): Operation[] {
  return desired.addresses.flatMap(({ cause, ...address }) => {
    const index = indexOf(address.device);
    const has = index !== undefined && observed.addresses.has(addressKey({ ...address, index }));
    return has ? [] : [{ do: "addAddress", address, cause }];
  });
}

// The loops below pass over every object of the cluster in every round: nothing is made for what is right already.

function setFdb(desired: DesiredState, observed: Observed, indexOf: IndexOf): Operation[] {
  const operations: Operation[] = [];
  for (const wanted of desired.fdb) {
    const index = indexOf(wanted.device);
    const key = { index: index ?? 0, mac: wanted.mac, destination: wanted.destination };
    const has = index === undefined ? undefined : observed.fdb.get(fdbKey(key));
    if (has?.destination === wanted.destination) continue;
    const { cause, ...entry } = wanted;
    operations.push({ do: "setFdb", entry, cause });
  }
  return operations;
}

function setNeighbours(desired: DesiredState, observed: Observed, indexOf: IndexOf): Operation[] {
  const operations: Operation[] = [];
  for (const wanted of desired.neighbours) {
    const index = indexOf(wanted.device);
    const has = index === undefined ? undefined : observed.neighbours.get(neighbourKey({ index, ip: wanted.ip }));
    if (has?.mac === wanted.mac) continue;
    const { cause, ...neighbour } = wanted;
    operations.push({ do: "setNeighbour", neighbour, cause });
  }
  return operations;
}

function setRoutes(desired: DesiredState, observed: Observed, indexOf: IndexOf): Operation[] {
  const operations: Operation[] = [];
  for (const wanted of desired.routes) {
    if (routeIsSet(wanted, observed, indexOf(wanted.device))) continue;
    const { cause, ...route } = wanted;
    operations.push({ do: "setRoute", route, cause });
  }
  return operations;
}

function routeIsSet(route: Omit<DesiredRoute, "cause">, observed: Observed, index: number | undefined): boolean {
  const has = observed.routes.get(route.destination);
  // Of these the kernel says no device, or one of its own choice.
  if (route.type === "unreachable") return has?.type === route.type;
  return (
    has !== undefined &&
    has.type === "unicast" &&
    index !== undefined &&
    has.oif === index &&
    has.gateway === route.gateway &&
    has.onlink === route.onlink &&
    has.mtuBytes === route.mtuBytes
  );
}

/** Pod CIDRs to which BGP is to bring a route, and has not yet. */
function awaitedRoutes({ paths }: DesiredState, { routes, learned }: Observed): ReadonlySet<string> {
  const awaited = new Set<string>();
  if (learned === undefined) return awaited;
  for (const { mode, podCidrs } of paths) {
    if (mode !== "bgp") continue;
    for (const prefix of podCidrs) {
      if (routes.get(prefix)?.type === "unicast" && !learned.has(prefix)) awaited.add(prefix);
    }
  }
  return awaited;
}

function deleteRoutes(desired: DesiredState, observed: Observed): Operation[] {
  const wanted = new Set<string>();
  for (const { destination } of desired.routes) wanted.add(destination);
  const strangers = new Set(desired.strangers);
  const awaited = awaitedRoutes(desired, observed);
  const operations: Operation[] = [];
  for (const { destination, gateway, onlink, oif, type } of observed.routes.values()) {
    if (wanted.has(destination)) continue;
    const device = oif === undefined ? undefined : observed.linksByIndex.get(oif)?.name;
    // Our way to a node whose routes are BGP's from now on goes when BGP's is there: add before delete.
    if (device !== VXLAN_DEVICE && awaited.has(destination)) continue;
    if (strangers.has(device ?? "")) continue;
    const kind = type === "unreachable" ? { type } : {};
    operations.push({ do: "deleteRoute", route: { destination, ...kind, gateway, device, onlink }, cause: GONE });
  }
  return operations;
}

function deleteNeighbours(desired: DesiredState, observed: Observed): Operation[] {
  const wanted = new KeysByDevice();
  for (const { device, ip } of desired.neighbours) wanted.add(device, ip);
  const strangers = new Set(desired.strangers);
  const operations: Operation[] = [];
  for (const { index, ip } of observed.neighbours.values()) {
    const link = observed.linksByIndex.get(index);
    if (link === undefined || wanted.has(link.name, ip) || !isOurs(link) || strangers.has(link.name)) continue;
    operations.push({ do: "deleteNeighbour", device: link.name, ip, cause: GONE });
  }
  return operations;
}

/** An entry whose MAC is wanted with another destination is not deleted: setting that replaces it. */
function deleteFdb(desired: DesiredState, observed: Observed): Operation[] {
  const wanted = new KeysByDevice();
  for (const { device, mac } of desired.fdb) wanted.add(device, mac);
  const operations: Operation[] = [];
  for (const { index, mac, destination } of observed.fdb.values()) {
    const link = observed.linksByIndex.get(index);
    if (link === undefined || wanted.has(link.name, mac) || !isOurs(link)) continue;
    operations.push({ do: "deleteFdb", device: link.name, mac, destination, cause: GONE });
  }
  return operations;
}

/** Keys that are each unique on their device: no text is put together for looking one up. */
class KeysByDevice {
  readonly #devices = new Map<string, Set<string>>();

  add(device: string, key: string): void {
    const keys = this.#devices.get(device);
    if (keys === undefined) this.#devices.set(device, new Set([key]));
    else keys.add(key);
  }

  has(device: string, key: string): boolean {
    return this.#devices.get(device)?.has(key) === true;
  }
}

/** Addresses of the VXLAN device alone are ours; a link-local address is the kernel's. */
function deleteAddresses(desired: DesiredState, observed: Observed): Operation[] {
  const device = desired.vxlan?.name;
  const link = device === undefined ? undefined : observed.links.get(device);
  if (link === undefined || device === undefined) return [];
  const wanted = new Set(desired.addresses.map((address) => `${address.address}/${address.length}`));
  return [...observed.addresses.values()]
    .filter((address) => address.index === link.index && address.scope === "global")
    .filter((address) => !wanted.has(`${address.address}/${address.length}`))
    .map(({ index, address, length }) => ({
      do: "deleteAddress",
      device,
      address: { index, address, length },
      cause: GONE,
    }));
}

/** A pod link that no record knows is an ADD that was killed before its record: its sandbox was never used. */
function deleteLinks(desired: DesiredState, observed: Observed): Operation[] {
  const pods = desired.pods.map((pod) => pod.hostIfname);
  // The device of Services is its proxy's, in a loop of its own.
  const wanted = new Set([desired.vxlan?.name, IPVS_DEVICE, ...pods, ...(desired.strangers ?? [])]);
  return [...observed.links.values()]
    .filter((link) => isOurs(link) && !wanted.has(link.name))
    .map((link) => ({ do: "deleteLink", device: link.name, cause: GONE }));
}

/** What the table gains comes before the routes, what it only loses behind them: two transactions where there is both. */
function diffTable(
  desired: DesiredState,
  observed: Observed,
  fresh: ReadonlySet<string>,
): { gains: Operation[]; losses: Operation[]; fastPath: Operation[] } {
  const all = diffNft(desired.nft, observed.nft);
  const changes = all.filter((change) => !isFastPathChange(change));
  const gone = new Set(changes.map((change) => (change.do === "deleteChain" ? change.chain : undefined)));
  const removes = (change: NftChange) =>
    change.do.startsWith("delete") || (change.do === "flushChain" && gone.has(change.chain));
  const split = changes.findLastIndex((change) => !removes(change)) + 1;
  const operation = (some: readonly NftChange[]): Operation[] =>
    some.length === 0 ? [] : [{ do: "changeNft", changes: some, cause: "masquerade and MSS of the pods' packets" }];
  return {
    gains: operation(changes.slice(0, split)),
    losses: operation(changes.slice(split)),
    fastPath: fastPathOperations(all, observed, fresh),
  };
}
