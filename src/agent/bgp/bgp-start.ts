/** Starts what a node has to do with BGP, in every routing mode: in others than "bgp" it waits for a BGPPeer. */
import type { Kernel } from "../../kernel/kernel.ts";
import type { KubeClient } from "../../kube/client.ts";
import { systemClock } from "../../kube/clock.ts";
import type { ServiceSource } from "../../kube/service-source.ts";
import type { NodeConfig } from "../../model/node-config.ts";
import { AnnouncementPlanner } from "../../plan/bgp/announcements.ts";
import type { Log } from "../log.ts";
import type { ReconcilerStatus } from "../reconciler.ts";
import { BgpApi } from "./bgp-api.ts";
import { BgpParts, type BgpPartsOptions } from "./bgp-parts.ts";
import { RoutingAnnotation } from "./routing-annotation.ts";

interface AgentSide {
  readonly config: NodeConfig;
  readonly kernel: Kernel;
  readonly stateDir: string;
  readonly log: Log;
}

interface Surroundings extends Pick<BgpPartsOptions, "registry" | "nodes" | "facts" | "onChange"> {
  readonly client: KubeClient;
  readonly status: () => ReconcilerStatus;
  /** A list or watch failed. */
  readonly onApiError: (resource: string) => void;
  /** Absent: this agent serves no Services, and announces none. */
  readonly services?: () => Pick<ServiceSource, "services" | "slicesOf"> | undefined;
}

/** What `Agent` has to do with BGP. */
export interface Bgp
  extends Pick<BgpParts, "announces" | "followSoon" | "notReadyReason" | "document" | "collect" | "stop" | "problems"> {
  /** Behind every round of the loop. */
  follow(): void;
}

/** In other modes than "bgp" nobody may ever ask for BGP: its kinds are looked for seldom, milliseconds. */
const ABSENT_BESIDE_MS = 300_000;

export function startBgp({ config, kernel, stateDir, log }: AgentSide, around: Surroundings): Bgp {
  const { client, nodes, services, status, onApiError } = around;
  const { nodeName, routing } = config;
  const absent = routing === "bgp" ? {} : { absentMs: ABSENT_BESIDE_MS };
  const api = new BgpApi({ nodeName, client, nodes, onChange: () => parts.follow(), onApiError, ...absent, log });
  const parts: BgpParts = new BgpParts({
    ...around,
    ...{ nodeName, routing, stateDir, log, api },
    routes: kernel.routes,
    state: () => status().state,
    hasOwnRoutes: () => status().failures.length === 0 && status().error === undefined,
    ...(services === undefined ? {} : { announcements: announcer(services, nodes, nodeName) }),
  });
  const annotation = new RoutingAnnotation({ nodeName, routing, client, clock: systemClock, log });
  return {
    follow: () => {
      annotation.follow(nodes()?.get(nodeName));
      parts.follow();
    },
    followSoon: () => parts.followSoon(),
    notReadyReason: () => parts.notReadyReason(),
    get problems() {
      return parts.problems;
    },
    get announces() {
      return parts.announces;
    },
    document: (url) => parts.document(url),
    collect: () => parts.collect(),
    stop: () => parts.stop(),
  };
}

/** Which Service addresses this node announces; undefined while Services or nodes are not known. */
function announcer(
  services: () => Pick<ServiceSource, "services" | "slicesOf"> | undefined,
  nodes: BgpPartsOptions["nodes"],
  nodeName: string,
): NonNullable<BgpPartsOptions["announcements"]> {
  const planner = new AnnouncementPlanner();
  return (advertise) => {
    const [view, all] = [services(), nodes()];
    const node = all?.get(nodeName);
    if (view === undefined || all === undefined || node === undefined) return undefined;
    return planner.plan({ node, nodes: all, advertise, services: view.services(), slicesOf: view.slicesOf });
  };
}
