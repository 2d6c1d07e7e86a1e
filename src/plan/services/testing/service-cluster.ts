/**
 * Three nodes with the tables that are planned for them, and packets that go from one to the next: what a client gets
 * who dials a Service. Node N has the addresses 192.168.1.1N and fd00:192:168:1::1N, the pods 10.244.N.x and
 * fd00:10:244:N::x, and is in zone N.
 */
import type { ServicePlan } from "../../../model/frontend.ts";
import { type Ip, ipFamily } from "../../../model/ip.ts";
import { NFT_TABLE } from "../../../model/marks.ts";
import type { NftTable } from "../../../model/nft.ts";
import { DEFAULT_SERVICE_CONFIG, type ServiceConfig } from "../../../model/node-config.ts";
import { prefixContains } from "../../../model/prefix.ts";
import { type ClusterService, type EndpointSlice, type SliceEndpoint, serviceKey } from "../../../model/service.ts";
import { planMasquerade } from "../../masquerade.ts";
import { DynamicElements } from "../../testing/dynamic-elements.ts";
import { formatOutcome, type Outcome, PacketTracer } from "../../testing/packet-tracer.ts";
import type { Packet } from "../../testing/traced-packet.ts";
import type { TracedIpvs } from "../../testing/virtual-servers.ts";
import { planService, type ServiceContext } from "../frontends.ts";
import { planIpvsServer } from "../ipvs.ts";
import { nodePortAddresses } from "../node-ports.ts";
import { claimFrontends, planServiceTable } from "../table.ts";
import { anEndpoint } from "./objects.ts";

export type NodeName = "node1" | "node2" | "node3";
const NODES: readonly NodeName[] = ["node1", "node2", "node3"];

/** Clients outside the cluster. */
export const OUTSIDE = { 4: "198.51.100.200", 6: "2001:db8:99::200" } as const;
export const SERVICE_CIDRS = ["10.96.0.0/16", "fd00:10:96::/112"] as const;

export interface ClusterInput {
  readonly services: readonly ClusterService[];
  readonly slices: readonly EndpointSlice[];
  /** @default the three zones */
  readonly zones?: Partial<Record<NodeName, string | undefined>>;
  readonly config?: Partial<ServiceConfig>;
  /** Who balances. @default what {@link serveWith} said last */
  readonly backend?: "nftables" | "ipvs";
  /** More addresses of nodes. */
  readonly addresses?: Partial<Record<NodeName, readonly Ip[]>>;
}

let usualBackend: "nftables" | "ipvs" = "nftables";

/** What clusters from here on have: the same tests stand for each backend. */
export function serveWith(backend: "nftables" | "ipvs"): void {
  usualBackend = backend;
}

export interface Dial {
  /** A pod's address, a node's name for what runs on its host network, or "outside". */
  readonly from: string;
  readonly to: Ip;
  readonly port: number;
  /** @default "tcp" */
  readonly protocol?: "tcp" | "udp" | "sctp";
  /** Node to which a router brings what comes from outside; the owner of the address where absent. */
  readonly via?: NodeName;
  /** Source of a dial from a node, where it is not the usual one. */
  readonly source?: Ip;
}

export class ServiceCluster {
  #input: ClusterInput;
  readonly #tracers = new Map<NodeName, PacketTracer>();
  readonly #dynamic = new Map(NODES.map((name) => [name, new DynamicElements()]));

  constructor(input: ClusterInput) {
    this.#input = input;
  }

  /** The API changes; what packets made of dynamic maps stays. */
  apply(change: Partial<ClusterInput>): void {
    this.#input = { ...this.#input, ...change };
    this.#tracers.clear();
  }

  /** All that can come of a dial, sorted: "10.244.1.5:8080 from 10.244.1.9", "rejected (tcp reset)", "dropped". */
  dial(dial: Dial): string[] {
    const { node, packet } = this.#start(dial);
    return [...new Set(this.#all(node, packet).map(formatOutcome))].sort();
  }

  /** Endpoints that a dial reaches, without their sources. */
  reached(dial: Dial): string[] {
    return [...new Set(this.dial(dial).map((text) => text.replace(/ from .*$/, "")))].sort();
  }

  /** One dial after which clients are remembered. @param drawn what the kernel draws */
  connect(dial: Dial, drawn = 0): string {
    const start = this.#start(dial);
    let outcome = this.tracer(start.node).send(start.packet, (modulus) => drawn % modulus);
    for (let next = this.#next(start.node, outcome, start.packet); next !== undefined; ) {
      outcome = this.tracer(next.node).send(next.packet, (modulus) => drawn % modulus);
      next = this.#next(next.node, outcome, next.packet);
    }
    return formatOutcome(outcome).replace(/ from .*$/, "");
  }

  /** Lets time go by for what dynamic maps hold. */
  elapse(seconds: number): void {
    for (const dynamic of this.#dynamic.values()) dynamic.now += seconds;
  }

  /** What IPVS has on a node; undefined where the maps of nftables balance. */
  virtualServers(name: NodeName): TracedIpvs | undefined {
    const { ipvs } = this.#config();
    if (ipvs === undefined) return undefined;
    const { frontends } = claimFrontends(this.#plans(name));
    const servers = [...frontends.values()].flatMap((frontend) => {
      const server = planIpvsServer(frontend, ipvs.scheduler);
      const { endpoints } = frontend;
      return server === undefined ? [] : [[server.key, { endpoints, timeoutSeconds: server.timeoutSeconds }] as const];
    });
    const bound = [...frontends.values()].flatMap(({ ipvs: manner, address }) =>
      manner?.bind === true ? address : [],
    );
    return { servers: new Map(servers), bound };
  }

  tracer(name: NodeName): PacketTracer {
    const found = this.#tracers.get(name) ?? this.#makeTracer(name);
    this.#tracers.set(name, found);
    return found;
  }

  context(name: NodeName): ServiceContext {
    const { zones = {}, addresses = {} } = this.#input;
    const number = numberOf(name);
    const usual = [`192.168.1.1${number}`, `fd00:192:168:1::1${number}`];
    const all = ["127.0.0.1", "::1", ...usual, ...(addresses[name] ?? [])];
    return {
      name,
      zone: name in zones ? zones[name] : `zone${number}`,
      addresses: all,
      nodePortAddresses: nodePortAddresses(this.#config(), all, usual),
      podCidrs: [`10.244.${number}.0/24`, `fd00:10:244:${number}::/64`],
      ...(this.#config().ipvs === undefined ? {} : { ipvs: { elsewhere: this.#elsewhere(name) } }),
    };
  }

  #elsewhere(name: NodeName): Ip[] {
    return NODES.filter((other) => other !== name).flatMap((other) => [addressOf(other), addressOf(other, 6)]);
  }

  #plans(name: NodeName): ServicePlan[] {
    const context = this.context(name);
    const { services, slices } = this.#input;
    const ofService = (service: ClusterService) =>
      slices.filter((slice) => `${slice.namespace}/${slice.service}` === serviceKey(service));
    return services.map((service) => planService(service, ofService(service), context));
  }

  /** Tables of the node, the older one first. */
  tables(name: NodeName): NftTable[] {
    const context = this.context(name);
    const plans = this.#plans(name);
    const { serviceCidrs, dropInvalid, counters, ipvs } = this.#config();
    const ofServices = ([4, 6] as const).map((family) =>
      planServiceTable({
        family,
        podCidrs: context.podCidrs.filter((prefix) => ipFamily(prefix) === family),
        serviceCidrs: serviceCidrs.filter((prefix) => ipFamily(prefix) === family),
        dropInvalid,
        counters,
        ipvs: ipvs !== undefined,
        plans,
      }),
    );
    const { sets, chain } = planMasquerade(
      context.podCidrs,
      NODES.flatMap((node) => this.context(node).podCidrs),
    );
    return [{ ...NFT_TABLE, sets, chains: [chain] }, ...ofServices];
  }

  #config(): ServiceConfig {
    const { backend = usualBackend, config } = this.#input;
    const ipvs = backend === "ipvs" ? { ipvs: { scheduler: "rr", drainSeconds: 900 } as const } : {};
    return { ...DEFAULT_SERVICE_CONFIG, serviceCidrs: SERVICE_CIDRS, ...ipvs, ...config };
  }

  #makeTracer(name: NodeName): PacketTracer {
    const { addresses, podCidrs } = this.context(name);
    const ipvs = this.virtualServers(name);
    const node = {
      tables: this.tables(name),
      ...(ipvs === undefined ? {} : { ipvs }),
      addresses,
      route: (ip: Ip) => (podCidrs.some((prefix) => prefixContains(prefix, ip)) ? `bwh-${ip}` : "eth0"),
      sourceAddress: (_: string, family: 4 | 6) => addressOf(name, family),
    };
    return new PacketTracer(node, this.#dynamic.get(name));
  }

  #start({ from, to, port, protocol = "tcp", via, source }: Dial): { node: NodeName; packet: Packet } {
    const family = ipFamily(to);
    const common = { destination: to, destinationPort: port, protocol };
    if (from === "outside") {
      const node = via ?? this.#ownerOf(to) ?? "node1";
      return { node, packet: { ...common, source: source ?? OUTSIDE[family], from: "eth0" } };
    }
    if (isNode(from)) {
      // A socket that dials an address of its own machine has that address itself.
      const usual = this.virtualServers(from)?.bound.includes(to) === true ? to : addressOf(from, family);
      return { node: from, packet: { ...common, source: source ?? usual } };
    }
    const node = this.#nodeOfPod(from);
    if (node === undefined) throw new RangeError(`There is no pod ${from}`);
    return { node, packet: { ...common, source: from, from: `bwh-${from}` } };
  }

  #all(node: NodeName, packet: Packet): Outcome[] {
    return this.tracer(node)
      .outcomes(packet)
      .flatMap((outcome) => {
        const next = this.#next(node, outcome, packet);
        return next === undefined ? [outcome] : this.#all(next.node, next.packet);
      });
  }

  /** The node to which a packet was sent, and how it arrives there. */
  #next(node: NodeName, outcome: Outcome, { protocol }: Packet): { node: NodeName; packet: Packet } | undefined {
    if (outcome.verdict !== "sent") return undefined;
    const { source, destination, port } = outcome;
    const next = this.#ownerOf(destination) ?? this.#nodeOfPod(destination);
    if (next === undefined || next === node) return undefined;
    const packet = { source, destination, destinationPort: port, from: "eth0", ...(protocol && { protocol }) };
    return { node: next, packet };
  }

  #ownerOf(ip: Ip): NodeName | undefined {
    return NODES.find((name) => this.context(name).addresses.slice(2).includes(ip));
  }

  #nodeOfPod(ip: Ip): NodeName | undefined {
    return NODES.find((name) => this.context(name).podCidrs.some((prefix) => prefixContains(prefix, ip)));
  }
}

/** An endpoint on a node: pod 5 of node 1 is 10.244.1.5. */
export function podOn(node: 1 | 2 | 3, pod: number, fields: Partial<SliceEndpoint> = {}): SliceEndpoint {
  return anEndpoint(`10.244.${node}.${pod}`, { nodeName: `node${node}`, ...fields });
}

/** The same over IPv6. */
export function pod6On(node: 1 | 2 | 3, pod: number, fields: Partial<SliceEndpoint> = {}): SliceEndpoint {
  return anEndpoint(`fd00:10:244:${node}::${pod}`, { nodeName: `node${node}`, ...fields });
}

export function addressOf(name: NodeName, family: 4 | 6 = 4): Ip {
  return family === 4 ? `192.168.1.1${numberOf(name)}` : `fd00:192:168:1::1${numberOf(name)}`;
}

function numberOf(name: NodeName): number {
  return NODES.indexOf(name) + 1;
}

function isNode(name: string): name is NodeName {
  return (NODES as readonly string[]).includes(name);
}
