/**
 * IPVS in a traced node: what net/netfilter/ipvs does with a packet that opens a connection. It sees what is for this node
 * behind the filters of hook input, and what this node sends behind those of hook output.
 */
import type { Ip } from "../../model/ip.ts";
import { joinParts, type NftSet } from "../../model/nft.ts";
import type { DynamicElements } from "./dynamic-elements.ts";
import type { TracedPacket } from "./traced-packet.ts";

export interface TracedServer {
  /** `10.244.1.5 . 8080`, those of weight 0 left out. */
  readonly endpoints: readonly string[];
  /** How long a client keeps its endpoint; 0: it does not. */
  readonly timeoutSeconds: number;
}

export interface TracedIpvs {
  /** By the key of its frontend: `10.96.0.1 . tcp . 80`. */
  readonly servers: ReadonlyMap<string, TracedServer>;
  /** Addresses of the device of Services: the node's own. */
  readonly bound: readonly Ip[];
}

/** Templates of persistent connections, as a map of nftables would hold them. */
const TEMPLATES: NftSet = {
  name: "templates",
  key: ["ipv4_addr", "ipv4_addr", "inet_proto", "inet_service"],
  data: ["ipv4_addr", "inet_service"],
  interval: false,
  dynamic: { size: 1 << 20 },
  elements: [],
};
const OWNER = { family: "inet", name: "ipvs", sets: [TEMPLATES], chains: [] } as const;

/** Where a virtual server sends the packet; undefined: none has its address. */
export function schedule(
  { servers }: TracedIpvs,
  packet: TracedPacket,
  dynamic: DynamicElements,
  draw: (modulus: number) => number,
): { readonly destination: Ip; readonly port: number } | "refused" | undefined {
  const words = [packet.destination, packet.protocol, String(packet.destinationPort)];
  const server = servers.get(words.join(" . "));
  if (server === undefined) return undefined;
  if (server.endpoints.length === 0) return "refused";
  const client = [packet.source, ...words];
  const remembered = server.timeoutSeconds > 0 ? dynamic.find(OWNER, TEMPLATES, client)?.data : undefined;
  // What it leads to may be gone: with weight 0 the template ends (expire_quiescent_template).
  const kept = remembered !== undefined && server.endpoints.includes(remembered) ? remembered : undefined;
  const chosen = kept ?? server.endpoints[draw(server.endpoints.length)] ?? "";
  const [destination = "", port = ""] = chosen.split(" . ");
  if (server.timeoutSeconds > 0) {
    if (remembered !== undefined && kept === undefined) {
      dynamic.delete(OWNER, TEMPLATES, `${joinParts(client)} : ${remembered}`);
    }
    dynamic.update(OWNER, TEMPLATES, client, [destination, port], server.timeoutSeconds);
  }
  return { destination, port: Number(port) };
}
