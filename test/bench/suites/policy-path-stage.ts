/**
 * Two nodes with a pod each, and on them the tables of many sets of policies at once, of which one a node is awake. What is
 * compared differs in nothing else: the same pods, the same wires, the same memory.
 *
 *   client ── node1 ══ wire ══ node2 ── server
 */
import { execFileSync } from "node:child_process";
import { diffNft } from "../../../src/diff/nft.ts";
import { openNftables } from "../../../src/kernel/nfnetlink/nft-socket.ts";
import type { LabHost } from "../../../src/lab/underlay/host.ts";
import type { Ip } from "../../../src/model/ip.ts";
import type { NftTable } from "../../../src/model/nft.ts";
import { planPolicyTable } from "../../../src/plan/policies/table.ts";
import type { Bench } from "../bench.ts";
import type { Endpoints } from "../path-probe.ts";
import { agentPair } from "./path-stage.ts";
import { type Shape, shapeInput } from "./policy-shapes.ts";

/** Which tables see packets: by node; a node without policies only tracks connections. */
export type PolicyWay = readonly (NftTable | undefined)[];

export interface PolicyStage {
  readonly pods: Endpoints;
  /** Of a shape with so many policies. */
  way(shape: Shape, count: number): PolicyWay;
  /** This way's tables see packets, and no others. */
  choose(way: PolicyWay): void;
}

/** Connections are tracked, and nothing else. */
export const BARE: PolicyWay = [];

/** A packet of a tracked connection passes, and so does every other. */
const CONNTRACK: NftTable = {
  family: "ip",
  name: "conntrack",
  sets: [],
  chains: [
    {
      name: "forward",
      base: { type: "filter", hook: "forward", priority: 1, policy: "accept" },
      rules: [{ statements: [{ match: "ct state", op: "==", value: "established,related" }, { verdict: "accept" }] }],
    },
  ],
};
export async function openPolicyStage(
  bench: Bench,
  shapes: readonly Shape[],
  counts: readonly number[],
): Promise<PolicyStage> {
  await using agents = new AsyncDisposableStack();
  const { nodes, pods } = await agentPair(bench, agents, "policies", { routing: "direct" });
  await agents.disposeAsync();
  for (const node of nodes) node.run(() => execFileSync("nft", ["flush", "ruleset"]));
  const client = podAddress(nodes[0] as LabHost);
  const ways = new Map<string, PolicyWay>();
  for (const shape of shapes) {
    for (const count of counts) {
      bench.say(`${count} policies: ${shape.name}`);
      ways.set(`${shape.name} ${count}`, planWay(`way-${ways.size}`, shape, count, client, pods.address));
    }
  }
  const switches = nodes.map((node, i) => {
    const tables = [...ways.values()].flatMap((way) => way[i] ?? []);
    return new TableSwitch(node, [CONNTRACK, ...tables]);
  });
  return {
    pods,
    way: (shape, count) => ways.get(`${shape.name} ${count}`) ?? BARE,
    choose: (way) => {
      for (const [i, each] of switches.entries()) each.wake(way[i]?.name ?? CONNTRACK.name);
    },
  };
}

/** The pod's address, as the node's only route to a host of its CIDR has it. */
function podAddress(node: LabHost): Ip {
  const route = node.routes.routes().find(({ destination }) => /^10\.244\.\d+\.\d+\/32$/.test(destination));
  if (route === undefined) throw new ReferenceError(`${node.name} has no route to a pod`);
  return route.destination.split("/")[0] ?? "";
}

function planWay(name: string, shape: Shape, count: number, client: Ip, server: Ip): PolicyWay {
  return ["node1", "node2"].map((nodeName) => {
    const table = planPolicyTable({ ...shapeInput(shape, count, client, server), nodeName }, 4);
    return table.chains.length === 0 ? undefined : { ...table, name };
  });
}

/** Tables of a node that are all there, and of which one is awake. */
class TableSwitch {
  readonly #node: LabHost;
  #awake: string;

  constructor(node: LabHost, tables: readonly NftTable[]) {
    this.#node = node;
    this.#awake = tables[0]?.name ?? "";
    using nftables = node.run(() => openNftables());
    for (const table of tables) {
      nftables.commit(table, diffNft(table, undefined));
      if (table.name !== this.#awake) this.#nft(`add table ip ${table.name} { flags dormant; }`);
    }
  }

  wake(name: string): void {
    if (name === this.#awake) return;
    this.#nft(`add table ip ${this.#awake} { flags dormant; }; add table ip ${name} { }`);
    this.#awake = name;
  }

  #nft(command: string): void {
    this.#node.run(() => execFileSync("nft", [command], { stdio: ["ignore", "ignore", "inherit"] }));
  }
}
