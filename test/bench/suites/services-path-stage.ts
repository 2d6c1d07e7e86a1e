/**
 * Pairs of nodes for connections through a ClusterIP. All are made by real agents, which are gone when packets are sent;
 * then each pair gets the Services of one kind, the same on both nodes. The Service that is measured comes last, and
 * leads to the pod on the second node.
 *
 *   pod1 ── node1 ══ wire ══ node2 ── pod2
 */
import { execFileSync } from "node:child_process";
import type { LabHost } from "../../../src/lab/underlay/host.ts";
import type { Ip } from "../../../src/model/ip.ts";
import type { Bench } from "../bench.ts";
import { type Endpoints, PROBE_PORT } from "../path-probe.ts";
import { type AgentPair, agentPair, NODE_IPS } from "./path-stage.ts";
import { OurServices } from "./services-ours.ts";
import { PeerNftables } from "./services-peer-batch.ts";
import { allServices, findRestore, restore } from "./services-peer-iptables.ts";
import { loadInChunks } from "./services-peer-nft.ts";
import {
  endpointAt,
  population,
  SERVICE_PORT,
  type ServiceWithSlice,
  serviceIp,
  serviceWithSlice,
} from "./services-population.ts";

export const FEW = 10;

export type Kind = "ours" | "nft" | "iptables";

/** Who connects to whom, and by which address. */
export interface ServiceWay {
  readonly kind: Kind;
  readonly count: number;
  readonly direct: Endpoints;
  readonly throughService: Endpoints;
}

export interface ServicesStage {
  /** No connection is tracked. */
  readonly untracked: Endpoints;
  /** The agent's own tables, and none of Services. */
  readonly direct: Endpoints;
  readonly ways: readonly ServiceWay[];
  /** Our table of few Services comes and goes on both nodes. */
  readonly toggled: { readonly direct: Endpoints; setTable(isThere: boolean): void };
  /** What loads iptables rules here; undefined where nothing does. */
  readonly iptables: string | undefined;
}

/** @param many Services of the larger rulesets */
export async function openServicesStage(bench: Bench, many: number, stack: DisposableStack): Promise<ServicesStage> {
  const pair = async (name: string): Promise<AgentPair> => {
    await using agents = new AsyncDisposableStack();
    return await agentPair(bench, agents, name, { routing: "direct", options: ["--service-proxy", "none"] });
  };
  const untracked = await pair("untracked");
  for (const node of untracked.nodes) node.run(() => execFileSync("nft", ["flush", "ruleset"]));
  const direct = await pair("direct");
  const iptables = findRestore();
  const ways: ServiceWay[] = [];
  for (const kind of ["ours", "nft", "iptables"] as const) {
    if (kind === "iptables" && iptables === undefined) continue;
    for (const count of [FEW, many]) {
      const { nodes, pods } = await pair(`${kind}${count}`);
      bench.say(`${kind}: ${count} Services`);
      const services = [...population(count - 1), target(count - 1, pods.address)];
      for (const [i, node] of nodes.entries()) load(kind, node, i, services, iptables ?? "", stack);
      ways.push({
        kind,
        count,
        direct: pods,
        throughService: { ...pods, via: `${serviceIp(count - 1)}:${SERVICE_PORT}` },
      });
    }
  }
  return {
    untracked: untracked.pods,
    direct: direct.pods,
    ways,
    toggled: toggledPair(await pair("toggled"), stack),
    iptables,
  };
}

/** A Service whose only endpoint is the pod that is measured. */
function target(index: number, address: Ip): ServiceWithSlice {
  const { service, slice } = serviceWithSlice(index);
  const ports = [{ name: "http", protocol: "TCP", port: PROBE_PORT }] as const;
  return { service, slice: { ...slice, ports, endpoints: [endpointAt(address)] } };
}

function load(
  kind: Kind,
  node: LabHost,
  index: number,
  services: readonly ServiceWithSlice[],
  iptables: string,
  stack: DisposableStack,
): void {
  if (kind === "ours") loadOurs(stack.use(ourServices(node, index)), services);
  else if (kind === "iptables") node.run(() => restore(iptables, allServices(services)));
  else loadInChunks(stack.use(node.run(() => new PeerNftables("kube-proxy"))), services);
}

function loadOurs(ours: OurServices, services: readonly ServiceWithSlice[]): void {
  ours.plan(services);
  ours.load();
}

function ourServices(node: LabHost, index: number): OurServices {
  const ip = NODE_IPS[index] ?? "";
  const podCidrs = [`10.244.${index + 1}.0/24`];
  return new OurServices(node, { name: node.name, addresses: [ip], nodePortAddresses: [ip], podCidrs });
}

function toggledPair({ nodes, pods }: AgentPair, stack: DisposableStack): ServicesStage["toggled"] {
  const tables = nodes.map((node, i) => stack.use(ourServices(node, i)));
  const services = population(FEW);
  let wasThere = false;
  return {
    direct: pods,
    setTable: (isThere) => {
      if (isThere === wasThere) return;
      for (const table of tables) isThere ? loadOurs(table, services) : table.delete();
      wasThere = isThere;
    },
  };
}
