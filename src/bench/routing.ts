/**
 * What an overlay costs beside native routes, side by side: `breakwater bench routing`. The packets of a pod that is routed
 * to by BGP are those of the direct way: no header is added, whoever made the route. Each way is measured with segmentation
 * offload, as a network card gives that can cut up what is inside a tunnel, and without it: then every frame has a header.
 */
import { measureInTurn, type TrapCase, type TrapOptions, type TrapResult } from "./mtu-trap.ts";

const WIRE_MTU_BYTES = 1500;
/** Outer Ethernet, IPv4, UDP and VXLAN headers (RFC 7348). */
const VXLAN_BYTES = 50;

const common = { wireMtuBytes: WIRE_MTU_BYTES, dontFragment: false, silentLimitBytes: undefined };
const direct = { ...common, overlayMtuBytes: WIRE_MTU_BYTES, isDirect: true };
const vxlan = { ...common, overlayMtuBytes: WIRE_MTU_BYTES - VXLAN_BYTES };

/** In pairs: the direct way, then VXLAN. */
export const routingCases: readonly TrapCase[] = [
  {
    name: "direct",
    ...direct,
    explanation: "Routes to the other node's pods, as BGP makes them. A packet crosses the wire as the pod sent it.",
  },
  {
    name: "VXLAN",
    ...vxlan,
    explanation: `Each packet gets ${VXLAN_BYTES} bytes of headers; the card cuts up what is inside the tunnel.`,
  },
  {
    name: "direct, no offload",
    ...direct,
    isSegmented: true,
    explanation: "The nodes cut segments up before they send them: what each frame costs is paid 45 times as often.",
  },
  {
    name: "VXLAN, no offload",
    ...vxlan,
    isSegmented: true,
    explanation: "The same through the tunnel, as with cards that cannot look into it.",
  },
];

/** Measures all ways, in turn. Run it where namespaces may be made, as root of them. */
export function measureRouting(options: TrapOptions): Promise<TrapResult[]> {
  return measureInTurn(routingCases, options);
}
