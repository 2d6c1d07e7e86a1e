/**
 * Seven Services of every kind, dialled by real sockets from pods, the node and a client outside: each has to get what the
 * tracer says, under the source that it says. Whatever serves them.
 *
 *   pod a 10.244.1.5 ═╗                       ╔═ 192.168.1.12 outside: 198.51.100.200
 *   pod b 10.244.1.9 ═╬═ node 192.168.1.11 ═══╬═ pod far 10.244.2.6
 */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { diffNft } from "../../src/diff/nft.ts";
import type { Nftables } from "../../src/kernel/nfnetlink/types.ts";
import { type DialResult, dial } from "../../src/lab/dial.ts";
import { startResponder } from "../../src/lab/kubelet/responder.ts";
import type { NftTable } from "../../src/model/nft.ts";
import type { ClusterService } from "../../src/model/service.ts";
import { anEndpoint, aService, aSlice } from "../../src/plan/services/testing/objects.ts";
import { pod6On, podOn, ServiceCluster } from "../../src/plan/services/testing/service-cluster.ts";
import { makeServiceNode, type ServiceNode } from "./service-node.ts";

const TCP = { name: "http", protocol: "TCP", port: 80, nodePort: 30080 } as const;
const UDP = { name: "dns", protocol: "UDP", port: 53, nodePort: 30053 } as const;
const slicePorts = [
  { name: "http", protocol: "TCP", port: 8080 },
  { name: "dns", protocol: "UDP", port: 5353 },
] as const;
/** Long enough for what answers on one machine; what is dropped waits for it. */
const TIMEOUT_MS = 400;
const ENOUGH_DIALS = 60;

const web = (number: number, fields: Partial<ClusterService>): ClusterService => ({
  ...aService({ name: `s${number}`, clusterIps: [`10.96.0.${number}`, `fd00:10:96::${number}`] }),
  type: "LoadBalancer",
  ports: [
    { ...TCP, nodePort: 30000 + number },
    { ...UDP, nodePort: 31000 + number },
  ],
  loadBalancerIps: [`203.0.113.${number}`, `2001:db8::${number}`],
  ...fields,
});
const HERE = [podOn(1, 5)];
const AWAY = [podOn(2, 6)];
const HERE6 = [pod6On(1, 5)];
const AWAY6 = [pod6On(2, 6)];

export const services = [
  web(1, {}),
  web(2, { externalPolicy: "Local" }),
  web(3, { externalPolicy: "Local", internalPolicy: "Local" }),
  web(4, {}),
  web(5, { sourceRanges: ["198.51.100.0/24", "10.244.1.9/32", "2001:db8:99::/48"] }),
  web(6, { affinitySeconds: 1000 }),
  web(7, {}),
];
const slice = (number: number, endpoints: Parameters<typeof aSlice>[0]) =>
  aSlice(endpoints, { name: `s${number}-${endpoints[0]?.address}`, service: `s${number}`, ports: slicePorts });
export const slices = [
  ...[1, 2, 5, 6].flatMap((n) => [slice(n, [...HERE, ...AWAY]), slice(n, [...HERE6, ...AWAY6])]),
  // None of the third is on this node, the fourth has none at all, the seventh is on the node's own address.
  ...[slice(3, AWAY), slice(3, AWAY6)],
  ...[slice(7, [anEndpoint("192.168.1.11")]), slice(7, [anEndpoint("fd00:192:168:1::11")])],
];
export function dialledCluster(backend: "nftables" | "ipvs"): ServiceCluster {
  return new ServiceCluster({ services, slices, backend });
}

/** Names of the responders by the addresses of endpoints. */
const OWNERS: Readonly<Record<string, string>> = {
  "10.244.1.5": "a",
  "10.244.2.6": "far",
  "192.168.1.11": "node",
  "fd00:10:244:1::5": "a",
  "fd00:10:244:2::6": "far",
  "fd00:192:168:1::11": "node",
};

interface Case {
  readonly from: "a" | "b" | "node" | "outside";
  readonly to: string;
  readonly port: number;
  readonly protocol: "TCP" | "UDP";
}

function cases(): Case[] {
  const all: Case[] = [];
  const add = (to: string, port: number, protocol: Case["protocol"]) => {
    for (const from of ["a", "b", "node", "outside"] as const) all.push({ from, to, port, protocol });
  };
  for (const { clusterIps, loadBalancerIps, ports } of services) {
    for (const { protocol, port, nodePort = 0 } of ports as readonly {
      protocol: "TCP" | "UDP";
      port: number;
      nodePort?: number;
    }[]) {
      for (const to of [...clusterIps, ...loadBalancerIps]) add(to, port, protocol);
      for (const to of ["192.168.1.11", "fd00:192:168:1::11"]) add(to, nodePort, protocol);
    }
  }
  // An undefined port, an address that nobody has.
  for (const to of ["10.96.0.1", "10.96.77.77", "fd00:10:96::1", "fd00:10:96::7777"]) add(to, 81, "TCP");
  return all;
}

const SOURCES = {
  4: { a: "10.244.1.5", b: "10.244.1.9", node: "192.168.1.11", outside: "198.51.100.200" },
  6: { a: "fd00:10:244:1::5", b: "fd00:10:244:1::9", node: "fd00:192:168:1::11", outside: "2001:db8:99::200" },
} as const;

/** What the tracer says, in the words of a socket: "a from 10.244.1.9", "ECONNREFUSED", "ETIMEDOUT". */
function expected(cluster: ServiceCluster, { from, to, port, protocol }: Case): string[] {
  const usual = SOURCES[to.includes(":") ? 6 : 4][from];
  // A socket that dials an address of its own machine has that address itself.
  const isBound = from === "node" && cluster.virtualServers("node1")?.bound.includes(to) === true;
  const source = isBound ? to : usual;
  const device = { a: "bwha", b: "bwhb", node: undefined, outside: "eth0" }[from];
  const packet = {
    source,
    destination: to,
    destinationPort: port,
    protocol: protocol === "TCP" ? ("tcp" as const) : ("udp" as const),
    ...(device && { from: device }),
  };
  const texts = cluster
    .tracer("node1")
    .outcomes(packet)
    .map((outcome) => {
      if (outcome.verdict === "rejected") return "ECONNREFUSED";
      if (outcome.verdict !== "local" && outcome.verdict !== "sent") return "ETIMEDOUT";
      const owner = OWNERS[outcome.destination];
      assert.ok(owner, `${JSON.stringify(packet)}: ${outcome.trace.join("\n")}`);
      return `${owner} from ${outcome.source}`;
    });
  return [...new Set(texts)].sort();
}

/** A node's own datagram that a rule drops or rejects fails at once. */
function said({ allowed, answer, clientIp, error }: DialResult, wanted: readonly string[]): string {
  if (error === "EPERM") return wanted.find((text) => text === "ETIMEDOUT" || text === "ECONNREFUSED") ?? error;
  return allowed ? `${answer} from ${clientIp}` : (error ?? "nothing");
}

/** Dials until all that is expected was seen, and a few times more. */
async function observed(node: ServiceNode, one: Case, wanted: readonly string[], timeoutMs: number): Promise<string[]> {
  const seen = new Set<string>();
  const target = {
    netns: node.paths[one.from],
    ip: one.to,
    port: one.port,
    protocol: one.protocol,
    timeoutMs,
  };
  const isSilent = wanted.includes("ETIMEDOUT");
  for (let dials = 0; dials < (isSilent ? 1 : ENOUGH_DIALS); dials++) {
    seen.add(said(await dial(target), wanted));
    if (dials >= 2 && wanted.every((text) => seen.has(text))) break;
  }
  return [...seen].sort();
}

export function loadTables(nft: Nftables, tables: readonly NftTable[]): void {
  for (const table of tables) nft.commit(table, diffNft(table, nft.table(table)));
}

/** The node with what answers on it and beyond; nothing serves yet. */
export async function nodeOfResponders(t: TestContext): Promise<ServiceNode> {
  const node = await makeServiceNode(t);
  const ports = [
    { port: 8080, protocol: "TCP" },
    { port: 5353, protocol: "UDP" },
  ] as const;
  for (const who of ["a", "node", "far"] as const) {
    const responder = startResponder(node.paths[who], who, ports, true);
    t.after(() => responder.close());
  }
  await reachable(node);
  return node;
}

/** IPv6 needs a moment: addresses of links are tried first. */
async function reachable(node: ServiceNode): Promise<void> {
  for (const from of ["a", "b", "far", "outside"] as const) {
    const target = { netns: node.paths[from], port: 8080, protocol: "TCP", timeoutMs: TIMEOUT_MS } as const;
    for (const ip of ["192.168.1.11", "fd00:192:168:1::11"]) {
      const giveUpAt = performance.now() + 20_000;
      while (!(await dial({ ...target, ip })).allowed) assert.ok(performance.now() < giveUpAt, `${from} reaches ${ip}`);
    }
  }
}

/** What is not as the tracer says; undefined when all is. */
async function wrong(
  node: ServiceNode,
  cluster: ServiceCluster,
  one: Case,
  timeoutMs: number,
): Promise<string | undefined> {
  // Clients with affinity have one endpoint: any of those that are expected.
  const isSticky = one.to.endsWith(".6") || one.to.endsWith(":6") || one.port === 30006 || one.port === 31006;
  const wanted = expected(cluster, one);
  const found = await observed(node, one, isSticky ? [] : wanted, timeoutMs);
  const right = isSticky ? found.length === 1 && wanted.includes(found[0] ?? "") : String(found) === String(wanted);
  return right ? undefined : `${JSON.stringify(one)}: ${found.join(", ")}; not ${wanted.join(", ")}`;
}

/** Who dials: so many at the same time, each waiting so long for an answer. */
const MANY = { dialers: 24, timeoutMs: TIMEOUT_MS } as const;

/** Dials everything from everywhere. @returns what is not as the tracer says */
export async function dialEverything(
  t: TestContext,
  node: ServiceNode,
  cluster: ServiceCluster,
  { dialers, timeoutMs }: { readonly dialers: number; readonly timeoutMs: number } = MANY,
): Promise<string[]> {
  const failures: string[] = [];
  const all = cases();
  const work = all.entries();
  const worker = async () => {
    for (const [, one] of work) {
      // On a busy machine what should answer may be late.
      if ((await wrong(node, cluster, one, timeoutMs)) === undefined) continue;
      const failure = await wrong(node, cluster, one, 10 * timeoutMs);
      if (failure !== undefined) failures.push(failure);
    }
  };
  await Promise.all(Array.from({ length: dialers }, worker));
  t.diagnostic(`${all.length} dials, each until all its outcomes were seen`);
  return failures;
}
