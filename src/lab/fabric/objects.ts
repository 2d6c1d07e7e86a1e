/** What the lab's API says of the fabric: a BGPPeer a session, the password of them all, and what is announced. */
import type { NewObject } from "../api/store.ts";
import { type FabricNeighbor, type FabricPlan, RACK_LABEL, type Rack, rackName } from "./plan.ts";

const API_VERSION = "breakwater.dev/v1alpha1";
const SECRET = { namespace: "kube-system", name: "fabric-password", key: "password" } as const;
/** On everything that nodes announce (RFC 1997). */
export const FABRIC_COMMUNITY = "64512:100";

export function fabricObjects({ racks, outside }: FabricPlan, password: string): NewObject[] {
  const { namespace, name, key } = SECRET;
  const secret = {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { namespace, name },
    data: { [key]: Buffer.from(password).toString("base64") },
  };
  const configuration = {
    apiVersion: API_VERSION,
    kind: "BGPConfiguration",
    metadata: { name: "default" },
    spec: { communities: [FABRIC_COMMUNITY], advertise: { loadBalancerIPs: true } },
  };
  return [secret, configuration, ...racks.flatMap((rack) => peersOf(rack, outside))];
}

/** The router as the rack's nodes see it: at its gateway addresses. */
function peersOf(rack: Rack, outside: readonly string[]): NewObject[] {
  const sessions = rack.gateways.slice(0, rack.software === "gobgp" ? undefined : 1);
  return sessions.map(({ address }) => ({
    apiVersion: API_VERSION,
    kind: "BGPPeer",
    metadata: { name: peerName(rack, address) },
    spec: {
      address,
      asNumber: rack.asNumber,
      localASNumber: rack.nodeAsNumber,
      nodeSelector: { matchLabels: { [RACK_LABEL]: rackName(rack.subnet) } },
      passwordSecret: SECRET,
      // GoBGP has no BFD.
      ...(rack.software === "frr" ? { bfd: true } : {}),
      importAllow: outside,
    },
  }));
}

function peerName({ name }: Rack, address: string): string {
  return address.includes(":") ? `${name}-ipv6` : name;
}

/** Sessions of a rack's router with one of its nodes. */
export function nodeSessions({ neighbors }: Rack, node: string): readonly FabricNeighbor[] {
  return neighbors.filter(({ kind, name }) => kind === "node" && name === node);
}
