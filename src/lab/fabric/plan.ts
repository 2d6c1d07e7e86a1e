/**
 * The fabric of a lab that routes by BGP, as values: a top-of-rack router a subnet, a spine, the wires between them with
 * their addresses, and everybody's AS number. docs/design/lab.md has the picture.
 */
import type { Family, Ip } from "../../model/ip.ts";
import { ipFamily } from "../../model/ip.ts";
import type { Prefix } from "../../model/prefix.ts";
import { OUTSIDE, type Topology } from "../topology.ts";

/** What a router runs. */
export type RouterSoftware = "frr" | "gobgp";
export const ROUTER_SOFTWARE: readonly RouterSoftware[] = ["frr", "gobgp"];

export interface FabricAddress {
  readonly address: Ip;
  readonly length: number;
}

/** A session that a router has. */
export interface FabricNeighbor {
  /** The node, or the router. */
  readonly name: string;
  readonly kind: "node" | "router";
  readonly address: Ip;
  readonly asNumber: number;
  /** Whose routes the session carries. */
  readonly families: readonly Family[];
  /** TCP MD5 (RFC 2385). */
  readonly password?: string;
  /** Our address that routes of IPv6 name as next hop, in a session of IPv4 that carries both families. */
  readonly nextHop6?: Ip;
}

export interface FabricRouter {
  readonly name: string;
  readonly software: RouterSoftware;
  readonly asNumber: number;
  readonly routerId: Ip;
  readonly neighbors: readonly FabricNeighbor[];
}

export interface Rack extends FabricRouter {
  /** The subnet that it is the gateway of. */
  readonly subnet: number;
  readonly gateways: readonly FabricAddress[];
  /** AS number of the rack's nodes towards it. */
  readonly nodeAsNumber: number;
}

/** A wire between a rack's router and the spine. */
export interface FabricWire {
  readonly rack: string;
  /** Devices are "spine-1" on the rack's router and "tor1-1" on the spine. */
  readonly rackDevice: string;
  readonly spineDevice: string;
  readonly rackAddresses: readonly FabricAddress[];
  readonly spineAddresses: readonly FabricAddress[];
}

export interface FabricPlan {
  readonly spine: FabricRouter;
  readonly racks: readonly Rack[];
  readonly wires: readonly FabricWire[];
  /** Networks behind the fabric that are no part of the cluster: nodes take routes to them. */
  readonly outside: readonly Prefix[];
}

export const SPINE = "spine";
/** Device of a rack's router in its rack. */
export const RACK_DEVICE = "rack";
/** A node's label that says in which rack it is. */
export const RACK_LABEL = "breakwater.dev/rack";

/** RFC 6996: numbers for private use. The spine's; each rack's router has its rack's number more. */
const SPINE_AS = 65000;
/** Each rack's nodes have its number more. The mesh inside a rack stays with the cluster's own, 64512. */
const NODE_AS = 64600;
/** Two ways from each rack to the spine: one may break. */
const WIRES = [1, 2];

export const rackName = (subnet: number) => `rack${subnet}`;
const routerName = (subnet: number) => `tor${subnet}`;

/** @param password the nodes' sessions with their rack's router have it */
export function planFabric(
  { options, nodes, subnets }: Topology,
  software: readonly RouterSoftware[],
  password: string,
): FabricPlan {
  const families: readonly Family[] = options.dualStack ? [4, 6] : [4];
  const wires = subnets.flatMap(({ index }) => WIRES.map((wire) => planWire(index, wire, families)));
  const racks = subnets.map(({ index, gateways }): Rack => {
    const kind = software[(index - 1) % software.length] ?? "frr";
    const own = wires.filter(({ rack }) => rack === routerName(index));
    const nodeAsNumber = NODE_AS + index;
    const members = nodes.filter(({ subnet }) => subnet === index);
    return {
      name: routerName(index),
      software: kind,
      asNumber: SPINE_AS + index,
      routerId: gateways[0]?.address ?? "",
      subnet: index,
      gateways,
      nodeAsNumber,
      neighbors: [
        ...members.flatMap(({ name, addresses }) =>
          kind === "frr"
            ? [bothFamilies({ name, kind: "node", asNumber: nodeAsNumber, password }, addresses, gateways)]
            : perFamily({ name, kind: "node", asNumber: nodeAsNumber, password }, addresses),
        ),
        ...own.flatMap(({ spineAddresses }) =>
          perFamily({ name: SPINE, kind: "router", asNumber: SPINE_AS }, spineAddresses),
        ),
      ],
    };
  });
  return { spine: planSpine(racks, wires), racks, wires, outside: outsidePrefixes(families) };
}

function planSpine(racks: readonly Rack[], wires: readonly FabricWire[]): FabricRouter {
  const neighbors = racks.flatMap(({ name, asNumber }) =>
    wires
      .filter(({ rack }) => rack === name)
      .flatMap(({ rackAddresses }) => perFamily({ name, kind: "router", asNumber }, rackAddresses)),
  );
  return { name: SPINE, software: "frr", asNumber: SPINE_AS, routerId: OUTSIDE.gateways[0].address, neighbors };
}

type Common = Pick<FabricNeighbor, "name" | "kind" | "asNumber" | "password">;

/** A session a family: each names addresses of its own as next hops. GoBGP could do nothing else. */
function perFamily(common: Common, addresses: readonly FabricAddress[]): FabricNeighbor[] {
  return addresses.map(({ address }) => ({ ...common, address, families: [ipFamily(address)] }));
}

/** One session for both (RFC 4760). */
function bothFamilies(
  common: Common,
  addresses: readonly FabricAddress[],
  own: readonly FabricAddress[],
): FabricNeighbor {
  const nextHop6 = own.find(({ address }) => ipFamily(address) === 6)?.address;
  return {
    ...common,
    address: addresses[0]?.address ?? "",
    families: addresses.map(({ address }) => ipFamily(address)),
    ...(nextHop6 === undefined ? {} : { nextHop6 }),
  };
}

/** A network of four addresses a wire, and a /80 of IPv6. */
function planWire(subnet: number, wire: number, families: readonly Family[]): FabricWire {
  const end = (host: number): FabricAddress[] =>
    families.map((family) =>
      family === 4
        ? { address: `172.31.${subnet}.${4 * wire + host}`, length: 30 }
        : { address: `fd00:172:31:${subnet}:${wire}::${host}`, length: 80 },
    );
  return {
    rack: routerName(subnet),
    rackDevice: `${SPINE}-${wire}`,
    spineDevice: `${routerName(subnet)}-${wire}`,
    spineAddresses: end(1),
    rackAddresses: end(2),
  };
}

function outsidePrefixes(families: readonly Family[]): Prefix[] {
  return families.map((family) => (family === 4 ? "203.0.113.0/24" : "2001:db8:113::/64"));
}
