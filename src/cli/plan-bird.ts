/** The part of the dry run that is BIRD's: what its configuration would become, and what would be ended with it. */
import { existsSync, readFileSync } from "node:fs";
import { NO_WISHES } from "../agent/bgp/bgp-planner.ts";
import { bgpRoutes } from "../agent/bgp/bird-cleanup.ts";
import { birdPaths, birdPid } from "../agent/bgp/bird-process.ts";
import { diffBirdConfig } from "../diff/bird-config.ts";
import type { RouteTable } from "../kernel/rtnetlink/types.ts";
import type { KubeClient } from "../kube/client.ts";
import { parseEndpointSlice } from "../kube/parse-endpoint-slice.ts";
import { parseService } from "../kube/parse-service.ts";
import { readBgp } from "../kube/read-bgp.ts";
import { endpointSlices, services as serviceObjects } from "../kube/resource.ts";
import { SharedValues } from "../kube/shared-values.ts";
import type { BgpClusterConfig } from "../model/bgp.ts";
import type { ClusterNode } from "../model/cluster.ts";
import type { NodeConfig } from "../model/node-config.ts";
import type { Prefix } from "../model/prefix.ts";
import { matchesSelector } from "../model/selector.ts";
import { serviceKey } from "../model/service.ts";
import type { DesiredState, NodeFacts, Problem } from "../model/state.ts";
import { AnnouncementPlanner } from "../plan/bgp/announcements.ts";
import { formatBirdConfig } from "../plan/bgp/config-text.ts";
import { planBgp } from "../plan/bgp/plan.ts";

export interface BirdDryRun {
  /** What would be done, a line each; none where nothing would. */
  readonly changes: readonly string[];
  /** Somebody would be told of the node's pod CIDRs. */
  readonly announces: boolean;
  readonly problems: readonly Problem[];
}

export interface BirdDryRunInput {
  readonly client: KubeClient;
  readonly config: NodeConfig;
  readonly nodes: ReadonlyMap<string, ClusterNode>;
  readonly facts: NodeFacts;
  readonly state: DesiredState;
  readonly routes: Pick<RouteTable, "routes">;
  readonly stateDir: string;
}

export async function planBird(input: BirdDryRunInput): Promise<BirdDryRun> {
  const { client, config, nodes, facts, state, stateDir } = input;
  const own = nodes.get(config.nodeName);
  if (own === undefined) return { changes: [], announces: false, problems: [] };
  const concerns = ({ nodes: selector }: { nodes: Parameters<typeof matchesSelector>[0] }) =>
    matchesSelector(selector, own.labels);
  const wanted = await readBgp({ client, namespace: client.connection.namespace, concerns });
  const beside = config.routing !== "bgp";
  if (wanted === undefined) return { changes: [], announces: !beside, problems: [unusable(own.name)] };
  const advertised = beside && wanted.peers.length === 0 ? NO_WISHES.settings : wanted.settings;
  const serviceAddresses = await announced(input, own, advertised.advertise);
  const plan = planBgp({
    ...{ ...wanted, own, facts, nodes, state, beside },
    ...(serviceAddresses === undefined ? {} : { serviceAddresses }),
  });
  const isIdle = beside && plan.sessions.length === 0;
  const problems = isIdle ? plan.problems.filter(({ code }) => code !== "BW_BGP_FORBIDDEN") : plan.problems;
  const changes = isIdle ? ending(input) : configuring(input, formatBirdConfig(plan, birdPaths(stateDir)));
  return { changes, announces: !isIdle, problems };
}

function configuring({ stateDir }: BirdDryRunInput, text: string): string[] {
  const paths = birdPaths(stateDir);
  const before = existsSync(paths.config) ? readFileSync(paths.config, "utf8") : "";
  return [...(birdPid(paths) === undefined ? ["start BIRD"] : []), ...diffBirdConfig(before, text)];
}

function ending({ stateDir, routes }: BirdDryRunInput): string[] {
  const left = bgpRoutes(routes);
  return [
    ...(birdPid(birdPaths(stateDir)) === undefined ? [] : ["end BIRD"]),
    ...left.map(({ destination }) => `delete BIRD's route ${destination}`),
  ];
}

async function announced(
  { client, config, nodes }: BirdDryRunInput,
  node: ClusterNode,
  advertise: BgpClusterConfig["advertise"],
): Promise<readonly Prefix[] | undefined> {
  const { clusterIPs, externalIPs, loadBalancerIPs } = advertise;
  if (config.services === undefined || !(clusterIPs || externalIPs || loadBalancerIPs)) return undefined;
  const [listed, sliced] = await Promise.all([client.list(serviceObjects), client.list(endpointSlices)]);
  const [ignore, shared] = [() => undefined, new SharedValues()];
  const services = listed.flatMap((object) => parseService(object, ignore) ?? []);
  const slices = Map.groupBy(
    sliced.flatMap((object) => parseEndpointSlice(object, ignore, shared) ?? []),
    ({ namespace, service }) => `${namespace}/${service}`,
  );
  const plan = new AnnouncementPlanner().plan({
    ...{ node, nodes, advertise },
    services: new Map(services.map((service) => [serviceKey(service), service])),
    slicesOf: (key) => slices.get(key) ?? [],
  });
  return plan.announced.map(({ prefix }) => prefix);
}

function unusable(node: string): Problem {
  return {
    code: "BW_BGP_SETTINGS",
    object: "BGPConfiguration default",
    message: `BGPConfiguration default cannot be used: BIRD of node ${node} stays as it is`,
    remedy: "kubectl describe bgpconfiguration default says what of it is not understood",
  };
}
