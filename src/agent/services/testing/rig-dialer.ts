/** Packets through the tables that an agent made in the kernel in memory; what they leave in dynamic sets stays there. */
import { SERVICE_TABLES } from "../../../model/marks.ts";
import type { NftSet, NftTable } from "../../../model/nft.ts";
import { DynamicElements } from "../../../plan/testing/dynamic-elements.ts";
import { formatOutcome, PacketTracer } from "../../../plan/testing/packet-tracer.ts";
import type { ProxyRig } from "./proxy-rig.ts";

const TABLE = SERVICE_TABLES[6];
/** What packets put into sets ends so long after: longer than any test takes. */
const SECONDS = 3600;

export interface RigDial {
  readonly from: string;
  readonly to: string;
  readonly port: number;
  /** @default "tcp" */
  readonly protocol?: "tcp" | "udp";
}

/** Dials over IPv6. @param drawn what the kernel draws @returns "[fd00:10:244:1::5]:8080", or what else came of it */
export function dialThrough(rig: ProxyRig, { from, to, port, protocol = "tcp" }: RigDial, drawn = 0): string {
  const table = rig.other.nftables.table(TABLE) && rig.other.tableWithRules(TABLE);
  if (table === undefined) return "no table";
  const node = {
    tables: [table],
    addresses: rig.context.addresses,
    route: () => "eth0",
    sourceAddress: () => "fd00:192:168:1::11",
  };
  const sets = table.sets.filter(({ dynamic }) => dynamic !== undefined);
  const before = new Map(sets.map((set) => [set, clientsIn(rig, set)]));
  const dynamic = new DynamicElements();
  for (const [set, clients] of before) {
    for (const client of clients) dynamic.update(TABLE, set, client.split(" . "), undefined, SECONDS);
  }
  const packet = { source: from, destination: to, destinationPort: port, protocol, from: "bwh-any" };
  const outcome = new PacketTracer(node, dynamic).send(packet, (modulus) => drawn % modulus);
  for (const [set, clients] of before) keep(rig, table, set, new Set(dynamic.list(TABLE, set)).difference(clients));
  return formatOutcome(outcome).replace(/ from .*$/, "");
}

function keep(rig: ProxyRig, table: NftTable, set: NftSet, fresh: ReadonlySet<string>): void {
  const elements = Array.from(fresh, (client) => `${client} timeout ${SECONDS * 1000}ms`);
  if (elements.length > 0) rig.other.nftables.commit(table, [{ do: "addElements", set, elements }]);
}

/** Clients that such a set remembers, without when they end. */
export function clientsIn(rig: ProxyRig, set: Pick<NftSet, "name">): Set<string> {
  const shape = { ...set, key: [], interval: false };
  return new Set(rig.other.nftables.elements(TABLE, shape).map(({ text }) => text));
}
