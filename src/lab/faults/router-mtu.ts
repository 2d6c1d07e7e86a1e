/**
 * The router's next links carry less than everybody's first one, and it says so: ICMP fragmentation needed, ICMPv6 packet
 * too big; IPv4 without DF is cut into fragments.
 *
 * The devices keep their MTU: one that receives less than the other end of its wire sends would lose packets in silence.
 * What the router forwards is limited by what its routes say instead.
 */
import { procSysctl } from "../../kernel/sysctl.ts";
import { BreakwaterError } from "../../model/errors.ts";
import { ipFamily, ipFromBigInt, ipToBigInt } from "../../model/ip.ts";
import { OUTSIDE, type Topology } from "../topology.ts";
import { type LabHost, linkIndex } from "../underlay/host.ts";
import { allOrNothing } from "./all-or-nothing.ts";
import type { FaultKind } from "./fault.ts";
import { LEAST_IPV6_MTU_BYTES, sizeParameter } from "./sizes.ts";

export const routerMtu: FaultKind = {
  name: "router-mtu",
  summary: "The router forwards packets up to this size and answers larger ones with ICMP too big",
  parameters: { bytes: "1300" },
  scope: "router",
  teachesPathMtu: true,
  add: async ({ parameters }, { topology, underlay }) => {
    const { mtuBytes, fabric } = topology.options;
    if (fabric !== undefined) {
      throw new BreakwaterError("BW_REFUSED", "This lab has a fabric of routers that choose their routes themselves", {
        remedy: "Bring the lab up with another --routing, or use underlay-mtu or mtu-blackhole",
      });
    }
    const bytes = sizeParameter(parameters, {
      most: mtuBytes,
      remedy: `The router's wires have ${mtuBytes}; give less with --size BYTES`,
    });
    // No link may carry less of IPv6 (RFC 8200, section 5).
    const bytes6 = Math.max(bytes, LEAST_IPV6_MTU_BYTES);
    const undo = allOrNothing((steps) => {
      for (const port of routerPorts(topology)) {
        limitIpv4(underlay.router, port, bytes, steps);
        limitIpv6(underlay.router, port.name, bytes6, steps);
      }
    });
    const other = bytes6 === bytes ? "" : ` (${bytes6} of IPv6)`;
    return {
      description: `the router forwards packets of at most ${bytes} bytes${other} and answers larger ones with ICMP`,
      undo,
    };
  },
};

interface RouterPort {
  readonly name: string;
  readonly gateways: readonly { readonly address: string; readonly length: number }[];
}

function routerPorts({ subnets }: Topology): RouterPort[] {
  const inside = subnets.map(({ index, gateways }) => ({ name: `r${index}`, gateways }));
  return [...inside, { name: "ext", gateways: OUTSIDE.gateways }];
}

const RTPROT_STATIC = 4;

/** The kernel forwards by the MTU of the route: two halves come before the connected subnet, which stays as it is. */
function limitIpv4(router: LabHost, { name, gateways }: RouterPort, mtuBytes: number, undo: DisposableStack): void {
  const oif = linkIndex(router, name);
  const routes = gateways
    .filter(({ address }) => ipFamily(address) === 4)
    .flatMap(({ address, length }) => halves(address, length))
    .map((destination) => ({ destination, oif, mtuBytes, scope: "link", protocol: RTPROT_STATIC }) as const);
  for (const route of routes) {
    router.routes.setRoute(route);
    undo.defer(() => router.routes.deleteRoute(route));
  }
}

function halves(gateway: string, length: number): string[] {
  const hostBits = BigInt(32 - length);
  const network = (ipToBigInt(gateway) >> hostBits) << hostBits;
  return [network, network + (1n << (hostBits - 1n))].map((first) => `${ipFromBigInt(first, 4)}/${length + 1}`);
}

/** IPv6 forwards by a limit of the device's own, apart from its MTU. Kernels without IPv6 have none. */
function limitIpv6(router: LabHost, device: string, mtuBytes: number, undo: DisposableStack): void {
  const name = `net/ipv6/conf/${device}/mtu`;
  const before = router.run(() => procSysctl.read(name));
  if (before === undefined) return;
  router.sysctl(name, String(mtuBytes));
  undo.defer(() => router.sysctl(name, before));
}
