/**
 * The kernel of one node: all that the agent can do to it. `openKernel` is the real one, of the namespace in which the
 * process runs; kernel/fake has the same in memory.
 */
import { BreakwaterError } from "../model/errors.ts";
import { type DeviceFeatures, openDeviceFeatures } from "./genetlink/ethtool.ts";
import { inNamespace, isOwnNamespace, namespaceExists, openNamespace } from "./netns.ts";
import { openNftables } from "./nfnetlink/nft-socket.ts";
import type { Nftables } from "./nfnetlink/types.ts";
import { openLinkReaper } from "./rtnetlink/link-reaper.ts";
import { watchPodEnds } from "./rtnetlink/pod-end-events.ts";
import { watchRoutes } from "./rtnetlink/route-events.ts";
import { openRouteTable } from "./rtnetlink/route-socket.ts";
import type { Link, LinkReaper, RouteEvent, RouteTable, RouteWatch } from "./rtnetlink/types.ts";
import { procSysctl, type Sysctl } from "./sysctl.ts";

/** The inside of a pod's namespace, for the length of one synchronous call. */
export interface PodNamespace {
  readonly routes: RouteTable;
  readonly sysctl: Sysctl;
}

export interface Kernel extends Disposable {
  readonly routes: RouteTable;
  readonly nftables: Nftables;
  readonly sysctl: Sysctl;
  readonly features: DeviceFeatures;
  readonly reaper: LinkReaper;
  /** Bursts of events in the kernel's order, until disposed. */
  watch(listener: (events: RouteEvent[]) => void): RouteWatch;
  /** Links that changed in the namespaces of pods, among others; some may be missed. Until disposed. */
  watchPodEnds(listener: (links: Link[]) => void): Disposable;
  namespaceExists(path: string): boolean;
  /**
   * Opens a namespace: `fd` is for {@link NewLink} peers, `enter` runs synchronous code inside.
   * @throws BreakwaterError BW_NETNS
   */
  openPod(path: string): OpenPod;
}

export interface OpenPod extends Disposable {
  readonly fd: number;
  enter<T>(body: (inside: PodNamespace) => T): T;
}

/** Opens the kernel in the calling thread's network namespace. Needs CAP_NET_ADMIN there. */
export function openKernel(): Kernel {
  const routes = openRouteTable();
  const nftables = openNftables();
  const reaper = openLinkReaper();
  const features = openDeviceFeatures();
  return {
    routes,
    nftables,
    reaper,
    features,
    sysctl: procSysctl,
    watch: watchRoutes,
    watchPodEnds,
    namespaceExists,
    openPod: openRealPod,
    [Symbol.dispose]: () => {
      routes.close();
      nftables[Symbol.dispose]();
      reaper[Symbol.dispose]();
      features[Symbol.dispose]();
    },
  };
}

function openRealPod(path: string): OpenPod {
  const namespace = openNamespace(path);
  if (isOwnNamespace(namespace)) {
    namespace.close();
    throw new BreakwaterError("BW_NETNS", `${path} is the node's own network namespace, not a pod's`, {
      operation: "open network namespace",
      object: path,
      remedy: "Name the pod's namespace: a pod on the host network needs no CNI",
    });
  }
  return {
    fd: namespace.fd,
    enter: (body) =>
      inNamespace(namespace, () => {
        using routes = openRouteTable();
        return body({ routes, sysctl: procSysctl });
      }),
    [Symbol.dispose]: () => namespace.close(),
  };
}
