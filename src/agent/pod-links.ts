/**
 * Gives a pod's namespace its interface, and takes it away. The host end exists once the veth pair does; the pod's end is
 * configured in one system call from inside. Nothing is left behind when a step fails.
 */
import type { Kernel, PodNamespace } from "../kernel/kernel.ts";
import { isAlreadyExists, isNotFound } from "../kernel/netlink/error.ts";
import type { RouteChange } from "../kernel/rtnetlink/types.ts";
import { BreakwaterError, isBreakwaterError, messageOf } from "../model/errors.ts";
import { familyBits, ipFamily } from "../model/ip.ts";
import type { Link } from "../model/kernel-objects.ts";
import { DOOMED_GROUP, GIVEN_UP_MAC, HOST_END_MAC, POD_GATEWAY } from "../model/marks.ts";
import type { DesiredPod } from "../model/state.ts";
import type { PodLinks } from "./apply.ts";
import type { Mirror } from "./mirror.ts";

export function createPodLinks(kernel: Kernel, mirror: Mirror): PodLinks & { cutOff(hostIfname: string): void } {
  const indexes = new PairIndexes(mirror);
  return {
    attach: (pod) => attach(kernel, mirror, indexes, pod),
    setMtu: (pod) => setMtu(kernel, mirror, pod),
    endMtu: (pod) => endMtu(kernel, pod),
    cutOff: (hostIfname) => cutOff(kernel, mirror, hostIfname),
  };
}

/**
 * Interface indexes for new pairs, each given out once: a pair whose indexes are known need not be looked up, and the
 * kernel's rtnl lock is taken once less. Both ends get different ones, as in one namespace: tools take a link whose
 * peer has its own index for one without a peer.
 */
class PairIndexes {
  readonly #mirror: Mirror;
  #last = 0;

  constructor(mirror: Mirror) {
    this.#mirror = mirror;
  }

  next(): { readonly host: number; readonly pod: number } {
    const host = Math.max(this.#last, this.#mirror.largestIndex()) + 1;
    this.#last = host + 1;
    return { host, pod: host + 1 };
  }
}

function attach(kernel: Kernel, mirror: Mirror, indexes: PairIndexes, pod: DesiredPod): void {
  using namespace = kernel.openPod(pod.netns);
  removeDoomed(kernel, mirror, pod.hostIfname);
  try {
    const index = createPair(kernel, mirror, indexes, pod, namespace.fd);
    namespace.enter((inside) => configurePod(inside, pod, index));
  } catch (error) {
    // What existed before is not ours to take away.
    if (isBreakwaterError(error, "BW_POD_INTERFACE_EXISTS")) throw error;
    undo(kernel, mirror, pod.hostIfname, error);
  }
}

/** A link of the same container that waits for its deletion has the name, here and in the pod: it goes now. */
function removeDoomed(kernel: Kernel, mirror: Mirror, name: string): void {
  if (mirror.link(name)?.group === DOOMED_GROUP) removeLink(kernel, mirror, name);
}

/** Takes the pair away again. Where that fails too it is marked as given up, so that the next round begins anew. */
function undo(kernel: Kernel, mirror: Mirror, name: string, error: unknown): never {
  try {
    removeLink(kernel, mirror, name);
  } catch (second) {
    cutOff(kernel, mirror, name);
    const message = `${messageOf(error)}; and ${name} could not be taken away again: ${messageOf(second)}`;
    if (!isBreakwaterError(error)) throw new Error(message, { cause: second });
    throw new BreakwaterError(error.code, message, { ...error, cause: second });
  }
  throw error;
}

/** @returns the index of the pod's end */
function createPair(
  kernel: Kernel,
  mirror: Mirror,
  indexes: PairIndexes,
  pod: DesiredPod,
  namespaceFd: number,
): number {
  const { hostIfname: name, mtuBytes } = pod;
  const end = { name: pod.ifname, mac: pod.podMac, mtuBytes, namespaceFd };
  const make = (index?: number, peerIndex?: number) => {
    const peer = { ...end, index: peerIndex };
    kernel.routes.createLink({ name, index, mac: HOST_END_MAC, mtuBytes, up: true, kind: { type: "veth", peer } });
  };
  const { host, pod: inner } = indexes.next();
  try {
    make(host, inner);
    mirror.apply([{ type: "link", link: newHostEnd(pod, host, inner), deleted: false }]);
    return inner;
  } catch (error) {
    if (!isTaken(error)) throw error;
  }
  // A name exists, or somebody was quicker with an index: with the kernel's own choice of indexes it can only be a name.
  try {
    make();
  } catch (error) {
    throw isAlreadyExists(error) ? interfaceExists(pod, error) : error;
  }
  const index = mirror.refreshLink(name)?.peerIndex;
  if (index === undefined) throw new ReferenceError(`${name} vanished from the node`);
  return index;
}

/** The host end as the kernel will announce it. */
function newHostEnd({ hostIfname: name, mtuBytes }: DesiredPod, index: number, peerIndex: number): Link {
  const fixed = { kind: "veth", mac: HOST_END_MAC, up: true, carrier: false, group: 0 } as const;
  return { ...fixed, index, name, mtuBytes, peerIndex, master: undefined, vxlan: undefined };
}

function interfaceExists(pod: DesiredPod, cause: unknown): BreakwaterError {
  return new BreakwaterError(
    "BW_POD_INTERFACE_EXISTS",
    `Cannot attach pod ${pod.name}: ${pod.ifname} in ${pod.netns} or ${pod.hostIfname} on the node exists already`,
    {
      operation: "create veth pair",
      object: pod.hostIfname,
      errno: "EEXIST",
      cause,
      remedy: "Delete the sandbox (crictl rmp) so that the runtime makes a new one",
    },
  );
}

function isTaken(error: unknown): boolean {
  return isAlreadyExists(error) || (isBreakwaterError(error) && error.errno === "EBUSY");
}

function configurePod(inside: PodNamespace, pod: DesiredPod, index: number): void {
  if (pod.ips.some((ip) => ipFamily(ip) === 6)) enableIpv6(inside, pod.ifname);
  const errors = inside.routes.applyMany([
    { do: "changeLink", index, change: { up: true }, name: pod.ifname },
    ...pod.ips.flatMap((ip) => podSide(index, ip)),
  ]);
  const error = errors.find((entry) => entry !== undefined);
  if (error !== undefined) throw error;
}

/** Some runtimes make namespaces with IPv6 switched off; an address would then be refused (EACCES). */
function enableIpv6(inside: PodNamespace, ifname: string): void {
  const name = `net/ipv6/conf/${ifname}/disable_ipv6`;
  if (inside.sysctl.read(name) === "1") inside.sysctl.write(name, "0");
}

/** Address, way to the gateway, default route and the gateway's permanent neighbour entry, for one family. */
function podSide(index: number, ip: string): RouteChange[] {
  const family = ipFamily(ip);
  const gateway = POD_GATEWAY[family];
  const any = family === 4 ? "0.0.0.0/0" : "::/0";
  const RTPROT_BOOT = 3;
  const toGateway: RouteChange = {
    do: "setRoute",
    route: { destination: `${gateway}/32`, oif: index, scope: "link", protocol: RTPROT_BOOT },
  };
  return [
    { do: "addAddress", address: { index, address: ip, length: familyBits(family), noDad: true } },
    { do: "setNeighbour", neighbour: { index, ip: gateway, mac: HOST_END_MAC } },
    // fe80::/64 is on the link by itself.
    ...(family === 4 ? [toGateway] : []),
    { do: "setRoute", route: { destination: any, gateway, oif: index, protocol: RTPROT_BOOT, onlink: family === 6 } },
  ];
}

function setMtu(kernel: Kernel, mirror: Mirror, pod: DesiredPod): void {
  const host = mirror.link(pod.hostIfname);
  if (host === undefined) return;
  using namespace = kernel.openPod(pod.netns);
  namespace.enter(({ routes }) => {
    const inner = routes.link(pod.ifname);
    if (inner !== undefined) routes.changeLink(inner.index, { mtuBytes: pod.mtuBytes });
  });
  kernel.routes.changeLink(host.index, { mtuBytes: pod.mtuBytes });
  mirror.refreshLink(pod.hostIfname);
  mirror.setPodEndMtu(pod.hostIfname, pod.mtuBytes);
}

function endMtu(kernel: Kernel, pod: DesiredPod): number | undefined {
  using namespace = kernel.openPod(pod.netns);
  return namespace.enter(({ routes }) => routes.link(pod.ifname)?.mtuBytes);
}

/**
 * Takes the pod off the network at once and leaves the link to the reaper.
 *
 * A link that goes down makes the kernel wait for RCU, a millisecond on a busy machine, in which no other pod gets on.
 * Another MAC does the same without that: whatever the pod sends is addressed to somebody else (PACKET_OTHERHOST), and
 * the node takes none of it. No route leads to the pod any more.
 */
function cutOff(kernel: Kernel, mirror: Mirror, hostIfname: string): void {
  const link = mirror.link(hostIfname) ?? mirror.refreshLink(hostIfname);
  if (link === undefined) return;
  const { index } = link;
  const routes = mirror.routesOver(index);
  const change = { group: DOOMED_GROUP, mac: GIVEN_UP_MAC };
  const [error, ...others] = kernel.routes.applyMany([
    { do: "changeLink", index, change, name: hostIfname },
    ...routes.map((route) => ({ do: "deleteRoute", route }) as const),
  ]);
  if (isNotFound(error)) {
    mirror.refreshLink(hostIfname);
    return;
  }
  const failed = [error, ...others].find((entry) => entry !== undefined && !isNotFound(entry));
  if (failed !== undefined) throw failed;
  mirror.apply([{ type: "link", link: { ...link, ...change }, deleted: false }]);
}

function removeLink(kernel: Kernel, mirror: Mirror, name: string): void {
  const link = kernel.routes.link(name);
  try {
    if (link !== undefined) kernel.routes.deleteLink(link.index);
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  mirror.refreshLink(name);
}
