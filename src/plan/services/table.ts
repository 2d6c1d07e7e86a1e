/**
 * The table of one family that serves all Services of a node: `ip breakwater` and `ip6 breakwater`. One map leads from
 * address, protocol and port to a chain that all frontends with N endpoints share, one holds the endpoints by index;
 * a packet costs the same with ten Services and with ten thousand.
 */
import type { Frontend, ServicePlan } from "../../model/frontend.ts";
import { type Family, type Ip, ipFamily } from "../../model/ip.ts";
import { SERVICE_TABLES } from "../../model/marks.ts";
import type { NftKeyType, NftSet, NftTable } from "../../model/nft.ts";
import type { Prefix } from "../../model/prefix.ts";
import { planServiceChains } from "./chains.ts";
import { clientSets } from "./client-chains.ts";
import { type FrontendElements, frontendElements, frontendNeeds, SINGLE_SETS } from "./elements.ts";

/** Clients that are remembered at most; more are served without being remembered. */
const AFFINITY_SIZE = 1 << 17;

/** What all Services of a node together are, of one family. */
export interface ServiceTableInput {
  readonly family: Family;
  readonly podCidrs: readonly Prefix[];
  readonly serviceCidrs: readonly Prefix[];
  readonly dropInvalid: boolean;
  readonly counters: boolean;
  /** @default false */
  readonly ipvs?: boolean;
  readonly plans: Iterable<ServicePlan>;
}

/** Empty sets and maps of a family, sorted by name. */
export function planServiceSets(family: Family, counters: boolean): NftSet[] {
  const address: NftKeyType = family === 4 ? "ipv4_addr" : "ipv6_addr";
  const frontend = [address, "inet_proto", "inet_service"] as const;
  const endpoint = [address, "inet_service"] as const;
  const set = (
    name: string,
    rest: Omit<NftSet, "name" | "elements" | "interval"> & { interval?: boolean },
  ): NftSet => ({
    name,
    interval: false,
    ...rest,
    elements: [],
  });
  const sets = [
    ...(family === 4
      ? [
          set("affine", { key: frontend, data: "verdict" }),
          set("affinity", { key: [address, ...frontend], data: endpoint, dynamic: { size: AFFINITY_SIZE } }),
        ]
      : clientSets(AFFINITY_SIZE)),
    set("cluster-ips", { key: address }),
    set("endpoints", { key: [...frontend, "index"], data: endpoint }),
    set("external", { key: frontend, data: "verdict" }),
    set("guarded", { key: frontend }),
    set("hairpin", { key: [address, address] }),
    set("outside", { key: frontend, data: "verdict" }),
    set("outside-endpoints", { key: [...frontend, "index"], data: endpoint }),
    set("refused", { key: frontend }),
    set("services", { key: frontend, data: "verdict", ...(counters ? { counter: true } : {}) }),
    set("source-ranges", { key: [...frontend, address], interval: true }),
  ];
  return sets.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The whole table with endpoints in the order of their text. Conflicts are resolved: see {@link claimFrontends}. */
export function planServiceTable(input: ServiceTableInput): NftTable {
  const { family, counters } = input;
  const plans = [...input.plans];
  const { frontends } = claimFrontends(plans);
  const ours = [...frontends.values()].filter((frontend) => frontend.family === family);
  const elements = new Map<string, string[]>(planServiceSets(family, counters).map(({ name }) => [name, []]));
  for (const frontend of ours) addElements(elements, frontend, frontendElements(frontend));
  elements.set("cluster-ips", clusterIps(plans, family));
  elements.set("hairpin", hairpins(plans, family));
  const needs = new Set(ours.flatMap(frontendNeeds));
  return {
    ...SERVICE_TABLES[family],
    sets: planServiceSets(family, counters).map((set) => ({ ...set, elements: (elements.get(set.name) ?? []).sort() })),
    chains: planServiceChains({ ...input, needs }),
  };
}

function addElements(to: Map<string, string[]>, { key }: Frontend, elements: FrontendElements): void {
  for (const name of SINGLE_SETS) {
    const element = elements.single[name];
    if (element !== undefined) to.get(name)?.push(element);
  }
  to.get("source-ranges")?.push(...elements.ranges);
  to.get("endpoints")?.push(...elements.endpoints.map((data, i) => slotElement(key, i, data)));
  to.get("outside-endpoints")?.push(...elements.outsideEndpoints.map((data, i) => slotElement(key, i, data)));
}

export function slotElement(key: string, slot: number, data: string): string {
  return `${key} . ${slot} : ${data}`;
}

export function clusterIps(plans: Iterable<ServicePlan>, family: Family): Ip[] {
  const ips = new Set<Ip>();
  for (const plan of plans) for (const ip of plan.clusterIps) if (ipFamily(ip) === family) ips.add(ip);
  return [...ips].sort();
}

export function hairpins(plans: Iterable<ServicePlan>, family: Family): string[] {
  const ips = new Set<Ip>();
  for (const plan of plans) for (const ip of plan.localAddresses) if (ipFamily(ip) === family) ips.add(ip);
  return [...ips].map(hairpinElement).sort();
}

export function hairpinElement(ip: Ip): string {
  return `${ip} . ${ip}`;
}

export interface Claims {
  /** By key: who has it. */
  readonly frontends: ReadonlyMap<string, Frontend>;
  readonly conflicts: readonly FrontendConflict[];
}

export interface FrontendConflict {
  readonly key: string;
  /** The Service that goes without, `namespace/name`. */
  readonly loser: string;
  readonly winner: string;
}

/**
 * Where several Services claim one address, protocol and port, the one whose ClusterIP it is has it, else the oldest. So
 * nobody can draw a Service's traffic to himself by naming its address as an external one (CVE-2020-8554).
 */
export function claimFrontends(plans: Iterable<ServicePlan>): Claims {
  const frontends = new Map<string, Frontend>();
  const owners = new Map<string, ServicePlan>();
  const conflicts: FrontendConflict[] = [];
  const claims = [...plans].flatMap((plan) => plan.frontends.map((frontend) => ({ plan, frontend })));
  for (const { plan, frontend } of claims.sort(betterFirst)) {
    const owner = owners.get(frontend.key);
    if (owner !== undefined) conflicts.push({ key: frontend.key, loser: plan.key, winner: owner.key });
    else {
      owners.set(frontend.key, plan);
      frontends.set(frontend.key, frontend);
    }
  }
  return { frontends, conflicts };
}

/** A Service that claims a frontend. */
export interface Claim {
  readonly plan: ServicePlan;
  readonly frontend: Frontend;
}

/** Who has a frontend that several claim. */
export function betterFirst(a: Claim, b: Claim): number {
  const isOwn = ({ frontend }: Claim) => Number(frontend.kind === "ClusterIP");
  return isOwn(b) - isOwn(a) || olderFirst(a.plan, b.plan);
}

/** By age, then by name. */
function olderFirst(a: ServicePlan, b: ServicePlan): number {
  if (a.createdAt !== b.createdAt) return a.createdAt < b.createdAt ? -1 : 1;
  return a.key < b.key ? -1 : 1;
}
