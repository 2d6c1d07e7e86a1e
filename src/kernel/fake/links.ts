/** Creating, changing and deleting links in memory, refused where the kernel refuses (net/core/rtnetlink.c, veth, vxlan). */
import { ipFamily } from "../../model/ip.ts";
import type { LinkChange, NewLink, VxlanParameters } from "../../model/kernel-objects.ts";
import { deriveMac } from "../../model/mac.ts";
import type { Purpose } from "../netlink/error.ts";
import { refuse } from "./failures.ts";
import { type FakeLink, type FakeNamespace, SOFTWARE_FEATURES, VETH_FEATURES } from "./namespace.ts";

const ETHERNET_MTU_BYTES = 1500;
/** IFNAMSIZ less the terminating zero. */
const NAME_BYTES = 15;
/** Outer headers, as vxlan_headroom() of drivers/net/vxlan counts them: IP, UDP, VXLAN, inner Ethernet. */
const VXLAN_HEADROOM_BYTES = { 4: 50, 6: 70 } as const;

/** Finds the namespace behind a descriptor; undefined when it is closed. */
export type NamespaceOfFd = (fd: number) => FakeNamespace | undefined;

export function createLink(namespace: FakeNamespace, link: NewLink, purpose: Purpose, byFd: NamespaceOfFd): void {
  if (Buffer.byteLength(link.name) > NAME_BYTES) refuse("ERANGE", purpose);
  if (namespace.links.has(link.index ?? 0) || namespace.linkNamed(link.name) !== undefined) refuse("EEXIST", purpose);
  const mac = link.mac ?? deriveMac(`${namespace.path} ${link.name}`);
  const base = {
    name: link.name,
    mac,
    up: false,
    group: 0,
    master: link.master,
    noLinkLocal: false,
    peer: undefined,
    features: SOFTWARE_FEATURES,
  };
  const { kind } = link;
  if (kind.type === "veth") createVethPair(namespace, link, kind, base, purpose, byFd);
  else if (kind.type === "vxlan") createVxlan(namespace, link, kind.vxlan, base, purpose);
  else {
    const mtuBytes = link.mtuBytes ?? ETHERNET_MTU_BYTES;
    namespace.addLink({ ...base, index: namespace.nextIndex(), kind: kind.type, mtuBytes, vxlan: undefined });
  }
  const made = namespace.linkNamed(link.name);
  if (link.up === true && made !== undefined) namespace.setUp(made);
}

type Base = Pick<FakeLink, "name" | "mac" | "up" | "group" | "master" | "noLinkLocal" | "peer" | "features">;

function createVethPair(
  namespace: FakeNamespace,
  link: NewLink,
  { peer, noLinkLocal = false }: Extract<NewLink["kind"], { type: "veth" }>,
  base: Base,
  purpose: Purpose,
  byFd: NamespaceOfFd,
): void {
  const other = peer.namespaceFd === undefined ? namespace : (byFd(peer.namespaceFd) ?? refuse("EBADF", purpose));
  if (other.linkNamed(peer.name) !== undefined) refuse("EEXIST", purpose);
  // The peer is registered first; a request that names an index of ours is one about that link.
  if (peer.index !== undefined && other.links.has(peer.index)) refuse("EBUSY", purpose);
  const veth = { ...base, kind: "veth", vxlan: undefined, features: VETH_FEATURES } as const;
  const inner: FakeLink = {
    ...veth,
    index: peer.index ?? other.nextIndex(),
    name: peer.name,
    mac: peer.mac,
    mtuBytes: peer.mtuBytes,
  };
  const mtuBytes = link.mtuBytes ?? ETHERNET_MTU_BYTES;
  const outer: FakeLink = { ...veth, index: link.index ?? namespace.nextIndex(), mtuBytes, noLinkLocal };
  inner.peer = { namespace, link: outer };
  outer.peer = { namespace: other, link: inner };
  other.addLink(inner);
  // A pair is announced when it is configured: once.
  namespace.addLink(outer, link.up !== true);
}

function createVxlan(
  namespace: FakeNamespace,
  link: NewLink,
  vxlan: VxlanParameters,
  base: Base,
  purpose: Purpose,
): void {
  const sameVni = [...namespace.links.values()].some((l) => l.vxlan?.vni === vxlan.vni && l.vxlan.port === vxlan.port);
  if (sameVni) refuse("EEXIST", purpose, "A VXLAN device with the specified VNI already exists");
  const underlay = namespace.links.get(vxlan.underlayIndex);
  if (underlay === undefined) refuse("ENODEV", purpose, "Invalid ifindex for underlying network device");
  // A new device that asks for too much is given what fits; a living one is refused.
  const largest = largestMtu(underlay, vxlan);
  const mtuBytes = Math.min(link.mtuBytes ?? largest, largest);
  namespace.addLink({ ...base, index: namespace.nextIndex(), kind: "vxlan", mtuBytes, vxlan });
}

function largestMtu(underlay: FakeLink, vxlan: VxlanParameters): number {
  return underlay.mtuBytes - VXLAN_HEADROOM_BYTES[ipFamily(vxlan.local)];
}

export function changeLink(
  namespace: FakeNamespace,
  index: number,
  change: LinkChange,
  purpose: Purpose,
  byFd: NamespaceOfFd,
): void {
  const link = namespace.links.get(index) ?? refuse("ENODEV", purpose);
  checkMtu(namespace, link, change.mtuBytes, purpose);
  const { name, namespaceFd } = change;
  if (name !== undefined && name !== link.name && namespace.linkNamed(name) !== undefined) refuse("EEXIST", purpose);
  link.mtuBytes = change.mtuBytes ?? link.mtuBytes;
  if (change.mac !== undefined && change.mac !== link.mac) namespace.changeMac(link, change.mac);
  link.name = name ?? link.name;
  link.group = change.group ?? link.group;
  if (change.master !== undefined) link.master = change.master === 0 ? undefined : change.master;
  if (namespaceFd !== undefined) {
    move(namespace, link, byFd(namespaceFd) ?? refuse("EBADF", purpose), purpose);
    return;
  }
  if (change.up === true && !link.up) namespace.setUp(link);
  else if (change.up === false && link.up) namespace.setDown(link);
  else namespace.announce(link);
}

function checkMtu(namespace: FakeNamespace, link: FakeLink, mtuBytes: number | undefined, purpose: Purpose): void {
  if (mtuBytes === undefined || mtuBytes === link.mtuBytes || link.vxlan === undefined) return;
  const underlay = namespace.links.get(link.vxlan.underlayIndex);
  if (underlay !== undefined && mtuBytes > largestMtu(underlay, link.vxlan)) refuse("EINVAL", purpose);
}

/** A device that moves arrives down and empty, under a new index. */
function move(from: FakeNamespace, link: FakeLink, to: FakeNamespace, purpose: Purpose): void {
  if (to.linkNamed(link.name) !== undefined) refuse("EEXIST", purpose);
  from.strip(link);
  from.unlink(link);
  const moved: FakeLink = { ...link, index: to.nextIndex(), up: false, master: undefined };
  if (link.peer !== undefined) link.peer.link.peer = { namespace: to, link: moved };
  to.addLink(moved);
}

/** Deletes a link, the other end of a pair wherever it is, and the tunnels over both. */
export function deleteLink(namespace: FakeNamespace, link: FakeLink): void {
  const ends = [{ namespace, link }, ...(link.peer === undefined ? [] : [link.peer])];
  for (const end of ends) end.namespace.strip(end.link);
  for (const end of ends) deleteTunnels(end.namespace, end.link);
  for (const end of ends) {
    end.link.peer = undefined;
    end.namespace.unlink(end.link);
  }
}

function deleteTunnels(namespace: FakeNamespace, underlay: FakeLink): void {
  for (const link of [...namespace.links.values()]) {
    if (link.vxlan?.underlayIndex !== underlay.index) continue;
    namespace.strip(link);
    namespace.unlink(link);
  }
}
