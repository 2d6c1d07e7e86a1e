/** ICMP errors that somebody's firewall eats: path MTU discovery (RFC 1191, RFC 8201) is deaf. */
import type { NftRule } from "../../model/nft.ts";
import { allOrNothing } from "./all-or-nothing.ts";
import type { FaultKind } from "./fault.ts";
import { filterTable, removeTable, replaceTable, withTable } from "./nft-table.ts";

/** Destination unreachable; its code 4 is "fragmentation needed and DF set" (RFC 792, RFC 1191). */
const ICMP_UNREACHABLE = 3;
const ICMP_FRAGMENTATION_NEEDED = 4;
/** RFC 4443. */
const ICMPV6_PACKET_TOO_BIG = 2;
const IPPROTO_ICMP = 1;
const IPPROTO_ICMPV6 = 58;

/** @param code undefined for every code of destination unreachable */
function dropTooBig(code: number | undefined): NftRule[] {
  return [
    {
      statements: [
        { match: "meta l4proto", op: "==", value: IPPROTO_ICMP },
        { match: "icmp type", op: "==", value: ICMP_UNREACHABLE },
        ...(code === undefined ? [] : [{ match: "icmp code", op: "==", value: code } as const]),
        { counter: true },
        { verdict: "drop" },
      ],
    },
    {
      statements: [
        { match: "meta l4proto", op: "==", value: IPPROTO_ICMPV6 },
        { match: "icmpv6 type", op: "==", value: ICMPV6_PACKET_TOO_BIG },
        { counter: true },
        { verdict: "drop" },
      ],
    },
  ];
}

function routerTable(name: string, rules: readonly NftRule[]) {
  const chains = (["forward", "output"] as const).flatMap((hook) => filterTable(name, "inet", hook, rules).chains);
  return { family: "inet", name, sets: [], chains } as const;
}

export const icmpFiltered: FaultKind = {
  name: "icmp-filtered",
  summary: "ICMP fragmentation needed and ICMPv6 packet too big vanish at router and switches",
  scope: "router",
  add: async (_, { underlay }) => {
    const rules = dropTooBig(ICMP_FRAGMENTATION_NEEDED);
    const places = [
      ...[...underlay.routers.values()].map((router) => [router, routerTable("icmp-filtered", rules)] as const),
      [underlay.fabric, filterTable("icmp-filtered", "bridge", "forward", rules)] as const,
    ];
    const undo = allOrNothing((steps) => {
      for (const [host, table] of places) {
        replaceTable(host, table);
        steps.defer(() => removeTable(host, table));
      }
    });
    return {
      description: "the router and the switches drop ICMP fragmentation needed and ICMPv6 packet too big",
      undo,
    };
  },
};

/** Older than icmp-filtered: at the router alone, and all of destination unreachable. */
export const icmpBlackhole: FaultKind = {
  name: "icmp-blackhole",
  summary: "The same at the router alone, and ICMP unreachable of every code",
  scope: "router",
  add: async (_, { underlay }) => {
    const undo = withTable(underlay.router, routerTable("icmp-blackhole", dropTooBig(undefined)));
    return { description: "the router drops ICMP unreachable and ICMPv6 packet too big", undo };
  },
};
