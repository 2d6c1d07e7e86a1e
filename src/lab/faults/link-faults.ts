/** Faults of wires: a smaller MTU, no carrier, lost packets, lost ICMP errors. */
import { openNftables } from "../../kernel/nfnetlink/nft-socket.ts";
import type { NftChange, NftTableName } from "../../kernel/nfnetlink/types.ts";
import { BreakwaterError } from "../../model/errors.ts";
import type { NftRule, NftTable } from "../../model/nft.ts";
import { type LabHost, linkIndex } from "../underlay/host.ts";
import type { FaultKind } from "./fault.ts";

/** Puts a table into a host and returns what takes it out again. */
function withTable(host: LabHost, table: NftTable): () => Promise<void> {
  const name: NftTableName = { family: table.family, name: table.name };
  const changes: NftChange[] = [
    { do: "addTable" },
    ...table.chains.map((chain) => ({ do: "addChain", chain }) as const),
    ...table.chains.flatMap((chain) =>
      chain.rules.map((rule) => ({ do: "addRule", chain: chain.name, rule }) as const),
    ),
  ];
  commit(host, name, changes);
  return async () => commit(host, name, [{ do: "deleteTable" }]);
}

function commit(host: LabHost, name: NftTableName, changes: readonly NftChange[]): void {
  using nft = host.run(() => openNftables());
  nft.commit(name, changes);
}

function filterTable(
  name: string,
  family: NftTable["family"],
  hook: "prerouting" | "forward" | "output",
  rules: NftRule[],
): NftTable {
  const base = { type: "filter", hook, priority: -300, policy: "accept" } as const;
  return { family, name, sets: [], chains: [{ name: hook, base, rules }] };
}

const LEAST_MTU_BYTES = 576;

export const mtu: FaultKind = {
  name: "mtu",
  summary: "The node's wire carries less than before (100 bytes less, unless told); the node itself sees it",
  parameters: { bytes: "less" },
  add: async ({ node, host, parameters }, { underlay }) => {
    const ends = [
      { host, name: "eth0" },
      { host: underlay.fabric, name: node },
    ];
    const now = host.routes.link("eth0")?.mtuBytes ?? 1500;
    const bytes = smallerMtu(parameters["bytes"] ?? "less", now);
    const set = (mtuBytes: number) => {
      for (const end of ends) end.host.routes.changeLink(linkIndex(end.host, end.name), { mtuBytes });
    };
    set(bytes);
    return { description: `${node} eth0 has MTU ${bytes}, ${now} before`, undo: async () => set(now) };
  },
};

function smallerMtu(text: string, now: number): number {
  const bytes = text === "less" ? Math.min(1400, now - 100) : Number(text);
  if (Number.isInteger(bytes) && bytes >= LEAST_MTU_BYTES && bytes < now) return bytes;
  throw new BreakwaterError("BW_USAGE", `bytes="${text}" is no MTU from ${LEAST_MTU_BYTES} to ${now - 1}`, {
    remedy: `The wire has ${now} now; give less with --set bytes=N`,
  });
}

export const linkDown: FaultKind = {
  name: "link-down",
  summary: "The switch port of a node goes down",
  add: async ({ node }, { underlay }) => {
    const port = linkIndex(underlay.fabric, node);
    underlay.fabric.routes.changeLink(port, { up: false });
    return {
      description: `the switch port of ${node} is down`,
      undo: async () => underlay.fabric.routes.changeLink(port, { up: true }),
    };
  },
};

export const loss: FaultKind = {
  name: "loss",
  summary: "The switch loses packets to and from a node at random",
  parameters: { percent: "10" },
  add: async ({ node, parameters }, { underlay }) => {
    const percent = Number(parameters["percent"]);
    if (!Number.isInteger(percent) || percent < 1 || percent > 100) {
      throw new BreakwaterError("BW_USAGE", `A loss of "${parameters["percent"]}" percent is none from 1 to 100`);
    }
    const drop = (field: "meta iifname" | "meta oifname"): NftRule => ({
      statements: [
        { match: field, op: "==", value: node },
        { random: { modulus: 100, below: percent } },
        { counter: true },
        { verdict: "drop" },
      ],
    });
    const table = filterTable(`loss-${node}`, "bridge", "forward", [drop("meta iifname"), drop("meta oifname")]);
    return {
      description: `${percent} % of the packets to and from ${node} are lost in the switch`,
      undo: withTable(underlay.fabric, table),
    };
  },
};

/** ICMP destination unreachable (code 4 is "fragmentation needed") and ICMPv6 packet too big. */
const ICMP_UNREACHABLE = 3;
const ICMPV6_PACKET_TOO_BIG = 2;
const IPPROTO_ICMP = 1;
const IPPROTO_ICMPV6 = 58;

export const icmpBlackhole: FaultKind = {
  name: "icmp-blackhole",
  summary: "The router sends and forwards no ICMP errors: path MTU discovery is deaf",
  global: true,
  add: async (_, { underlay }) => {
    const rules: NftRule[] = [
      {
        statements: [
          { match: "meta l4proto", op: "==", value: IPPROTO_ICMP },
          { match: "icmp type", op: "==", value: ICMP_UNREACHABLE },
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
    const chains = (["forward", "output"] as const).flatMap((hook) => filterTable("icmp", "inet", hook, rules).chains);
    const undo = withTable(underlay.router, { family: "inet", name: "icmp-blackhole", sets: [], chains });
    return { description: "the router drops ICMP unreachable and ICMPv6 packet too big", undo };
  },
};
