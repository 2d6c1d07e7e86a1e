/**
 * What is between the switches: one router that forwards between all subnets, or a fabric of routers that speak BGP.
 *
 *   sw1 ── r1 router r2 ── sw2        sw1 ── rack tor1 ══ spine ══ tor2 rack ── sw2
 *             └ ext ── outside                              └ ext ── outside
 */
import { type FabricPlan, RACK_DEVICE, type Rack, SPINE } from "../fabric/plan.ts";
import { OUTSIDE, ROUTER, type Topology } from "../topology.ts";
import { addDefaultRoutes, configureLink, createHost, type LabHost, linkIndex } from "./host.ts";
import { wire } from "./wire.ts";

export interface Routers {
  /** The one that `outside` is behind. */
  readonly router: LabHost;
  /** All of them, by name. */
  readonly routers: ReadonlyMap<string, LabHost>;
  /** Devices of routers that send into a switch. */
  readonly gateways: readonly (readonly [host: LabHost, device: string])[];
  readonly outside: LabHost;
}

/** @param switches has a bridge "sw1", … a subnet */
export function buildRouters(
  topology: Topology,
  fabric: FabricPlan | undefined,
  switches: LabHost,
  folder: string,
): Routers {
  const routers =
    fabric === undefined ? buildRouter(topology, switches, folder) : buildFabric(topology, fabric, switches, folder);
  const { mtuBytes } = topology.options;
  const outside = createHost(folder, OUTSIDE.name);
  wire(routers.router, "ext", outside, "eth0", mtuBytes);
  configureLink(routers.router, "ext", OUTSIDE.gateways);
  configureLink(outside, "eth0", OUTSIDE.addresses);
  addDefaultRoutes(
    outside,
    "eth0",
    OUTSIDE.gateways.map(({ address }) => address),
  );
  return { ...routers, outside };
}

function buildRouter({ subnets, options }: Topology, switches: LabHost, folder: string): Omit<Routers, "outside"> {
  const router = createHost(folder, ROUTER);
  forwarding(router);
  const gateways = subnets.map(({ index, gateways: addresses }) => {
    const device = `r${index}`;
    wire(switches, `${device}-port`, router, device, options.mtuBytes, linkIndex(switches, `sw${index}`));
    configureLink(router, device, addresses);
    return [router, device] as const;
  });
  return { router, routers: new Map([[ROUTER, router]]), gateways };
}

function buildFabric(
  { options }: Topology,
  { racks, wires }: FabricPlan,
  switches: LabHost,
  folder: string,
): Omit<Routers, "outside"> {
  const { mtuBytes } = options;
  const spine = createRouter(folder, SPINE);
  const routers = new Map([[SPINE, spine]]);
  const gateways = racks.map(({ name, subnet, gateways: addresses }: Rack) => {
    const router = createRouter(folder, name);
    routers.set(name, router);
    wire(switches, `${name}-port`, router, RACK_DEVICE, mtuBytes, linkIndex(switches, `sw${subnet}`));
    configureLink(router, RACK_DEVICE, addresses);
    return [router, RACK_DEVICE] as const;
  });
  for (const { rack, rackDevice, spineDevice, rackAddresses, spineAddresses } of wires) {
    const router = routers.get(rack) ?? spine;
    wire(spine, spineDevice, router, rackDevice, mtuBytes);
    configureLink(spine, spineDevice, spineAddresses);
    configureLink(router, rackDevice, rackAddresses);
  }
  return { router: spine, routers, gateways };
}

function forwarding(router: LabHost): void {
  router.sysctl("net/ipv4/ip_forward", "1");
  router.sysctl("net/ipv6/conf/all/forwarding", "1");
}

/** With two ways, answers may come by the other one; connections are spread over them by their ports, too. */
function createRouter(folder: string, name: string): LabHost {
  const router = createHost(folder, name);
  forwarding(router);
  // A wire that goes down and up keeps its addresses of IPv6, too.
  router.sysctl("net/ipv6/conf/all/keep_addr_on_down", "1");
  // Link-local addresses are there at once: FRR's sessions of IPv6 that begin before them bring no routes.
  router.sysctl("net/ipv6/conf/default/accept_dad", "0");
  router.sysctl("net/ipv6/conf/default/dad_transmits", "0");
  for (const scope of ["all", "default"]) router.sysctl(`net/ipv4/conf/${scope}/rp_filter`, "0");
  for (const family of ["ipv4", "ipv6"]) router.sysctl(`net/${family}/fib_multipath_hash_policy`, "1");
  return router;
}
