/**
 * Clusters as users write them, drawn at random: the same ones for the same numbers. One field in some thirty is nonsense that
 * a server would refuse, since not every server is the newest one.
 */
import { type Random, randomNumbers } from "../../../src/plan/services/testing/random-services.ts";
import type { Connection, Protocol, Raw, RawCluster } from "./evaluator.ts";

export { type Random, randomNumbers };

export const NODES = { node1: ["192.168.1.11", "fd00:1::11"], node2: ["192.168.1.12", "fd00:1::12"] } as const;
export const OUTSIDE = ["198.51.100.7", "203.0.113.9", "2001:db8::7", "fd00:77::1"] as const;
export const PROTOCOLS: readonly Protocol[] = ["TCP", "UDP", "SCTP"];
export const PORTS = [1, 80, 81, 443, 8080, 8081, 65_535] as const;
const NAMESPACES = ["x", "y"] as const;
export const PORT_NAMES = ["http", "http", "dns", "80"] as const;
/** One that every object of JavaScript inherits. */
const KEYS = ["app", "tier", "app", "tier", "toString"] as const;
const VALUES = ["a", "a", "b", ""] as const;
export const NONSENSE = [null, "word", 7, [], {}, true] as const;
const BLOCKS = [
  { cidr: "0.0.0.0/0", except: ["10.244.2.0/24", "198.51.100.0/25"] },
  { cidr: "10.244.1.3/16", except: ["10.244.1.0/30", "10.244.2.2/32"] },
  { cidr: "198.51.100.7/32" },
  { cidr: "192.168.1.0/24", except: ["192.168.1.12/32"] },
  { cidr: "::/0", except: ["fd00:10:244:2::/64", "2001:DB8::/33"] },
  { cidr: "fd00:10:244:1:0:0:0:0/64" },
  { cidr: "203.0.113.0/24", except: [] },
  { cidr: "::/0", except: null },
] as const;
const BAD_BLOCKS = [
  {},
  { cidr: "10.0.0.1" },
  { cidr: "10.0.0.0/33" },
  { cidr: "everywhere" },
  { cidr: "10.244.0.0/16", except: ["10.0.0.0/8"] },
  { cidr: "10.244.0.0/16", except: ["11.0.0.0/8"] },
  { cidr: "10.244.0.0/16", except: ["fd00::/8"] },
  { cidr: "10.244.0.0/16", except: ["10.244.1.0/24", "there"] },
  { cidr: "0.0.0.0/0", except: "10.244.1.0/24" },
  { cidr: "0.0.0.0/0", except: [null] },
] as const;

export function shuffle<T>(random: Random, values: readonly T[]): T[] {
  const order = values.map((value) => ({ value, at: random(1 << 30) }));
  return order.sort((a, b) => a.at - b.at).map(({ value }) => value);
}

export const pick = <T>(random: Random, values: readonly T[]): T => values[random(values.length)] as T;
export const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => make(i));
/** One in `of`. */
export const one = (random: Random, of: number): boolean => random(of) === 0;
export const field = (random: Random, often: number, name: string, make: () => unknown): Raw =>
  random(100) < often ? { [name]: make() } : {};

export function randomRawCluster(random: Random): RawCluster {
  return {
    namespaces: NAMESPACES.map((name) => ({ metadata: { name, labels: randomLabels(random) } })),
    pods: times(8, (i) => randomPod(random, i)),
    policies: times(random(6), (i) => randomPolicy(random, `policy${i}`)),
    nodes: NODES,
  };
}

/** Both ends of one family; one of them is a pod or a node. Every second one is to a port that the pod has. */
export function randomConnection(random: Random, { pods, nodes }: RawCluster): Connection {
  const podAddresses = pods.flatMap(addressesOf);
  const inside = [...podAddresses, ...podAddresses, ...Object.values(nodes).flat()];
  const first = pick(random, inside);
  const isSix = first.includes(":");
  const second = pick(
    random,
    [...inside, ...OUTSIDE].filter((ip) => ip.includes(":") === isSix),
  );
  const [source, destination] = one(random, 2) ? [first, second] : [second, first];
  const dialled = pods.find((pod) => addressesOf(pod).includes(destination));
  const { containers = [] } = (dialled?.["spec"] ?? {}) as { containers?: readonly { ports?: readonly Port[] }[] };
  const own = one(random, 2) ? [] : containers.flatMap(({ ports = [] }) => ports);
  if (own.length === 0) return { source, destination, protocol: pick(random, PROTOCOLS), port: pick(random, PORTS) };
  const { containerPort: port, protocol = "TCP" } = pick(random, own);
  return { source, destination, protocol, port };
}

interface Port {
  readonly containerPort: number;
  readonly protocol?: Protocol;
}

function addressesOf(pod: Raw): string[] {
  const { podIP, podIPs } = pod["status"] as { podIP: string; podIPs?: { ip: string }[] };
  return podIPs?.map(({ ip }) => ip) ?? [podIP];
}

export function randomLabels(random: Random): Raw | null {
  const chosen = KEYS.filter(() => one(random, 3)).map((key) => [key, pick(random, VALUES)]);
  return chosen.length === 0 && one(random, 2) ? null : Object.fromEntries(chosen);
}

/** Some are of the host network; some are over, and another pod has their address by now. */
function randomPod(random: Random, number: number): Raw {
  const node = 1 + (number % 2);
  const hostNetwork = one(random, 6);
  const ended = !hostNetwork && one(random, 8);
  const host = ended ? 1 + random(8) : number + 1;
  const own = [`10.244.${node}.${host}`, `fd00:10:244:${node}::${host}`];
  const ips = hostNetwork ? NODES[`node${node as 1 | 2}`] : one(random, 4) ? own.slice(random(2)).slice(0, 1) : own;
  const addresses = one(random, 6) ? { podIP: ips[0] } : { podIP: ips[0], podIPs: ips.map((ip) => ({ ip })) };
  return {
    metadata: { namespace: pick(random, NAMESPACES), name: `pod${number}`, labels: randomLabels(random) },
    spec: {
      nodeName: `node${node}`,
      ...(hostNetwork ? { hostNetwork } : {}),
      containers: times(1 + random(2), () => randomContainer(random)),
      ...field(random, 30, "initContainers", () => [
        { ...randomContainer(random), ...field(random, 60, "restartPolicy", () => "Always") },
      ]),
    },
    status: { phase: ended ? pick(random, ["Succeeded", "Failed"]) : "Running", ...addresses },
  };
}

function randomContainer(random: Random): Raw {
  return field(random, 80, "ports", () =>
    times(random(4), () => ({
      containerPort: pick(random, PORTS),
      ...field(random, 80, "name", () => pick(random, PORT_NAMES)),
      ...field(random, 60, "protocol", () => pick(random, PROTOCOLS)),
    })),
  );
}

function randomPolicy(random: Random, name: string): Raw {
  const section = (peers: "from" | "to") => () =>
    spoiled(random, 60, () => randomList(random, 3, () => randomRule(random, peers)));
  return {
    metadata: { namespace: pick(random, NAMESPACES), name, uid: name },
    spec: {
      ...field(random, 90, "podSelector", () => (one(random, 40) ? "app=a" : randomSelector(random))),
      ...field(random, 70, "ingress", section("from")),
      ...field(random, 60, "egress", section("to")),
      ...field(random, 60, "policyTypes", () => randomTypes(random)),
    },
  };
}

function randomTypes(random: Random): unknown {
  const fine = [["Ingress"], ["Egress"], ["Ingress", "Egress"], ["Egress", "Ingress"], [], null] as const;
  return one(random, 30) ? pick(random, [["Sideways"], ["ingress"], "Egress", ["Ingress", null]]) : pick(random, fine);
}

/** Peers stand where they belong, and now and then in the other direction's field, where they mean nothing. */
function randomRule(random: Random, peers: "from" | "to"): unknown {
  const list = (make: () => unknown) => () => spoiled(random, 40, () => randomList(random, 2, make));
  return spoiled(random, 60, () => ({
    ...field(
      random,
      80,
      peers,
      list(() => randomPeer(random)),
    ),
    ...field(
      random,
      5,
      peers === "from" ? "to" : "from",
      list(() => randomPeer(random)),
    ),
    ...field(
      random,
      75,
      "ports",
      list(() => randomPort(random)),
    ),
  }));
}

function randomPeer(random: Random): unknown {
  if (one(random, 30)) return pick(random, NONSENSE);
  if (random(5) < 2) {
    const ipBlock = one(random, 8) ? pick(random, BAD_BLOCKS) : pick(random, BLOCKS);
    return {
      ipBlock,
      ...field(random, 5, "podSelector", () => ({})),
      ...field(random, 5, "namespaceSelector", () => null),
    };
  }
  return {
    ...field(random, 75, "podSelector", () => randomSelector(random)),
    ...field(random, 50, "namespaceSelector", () => randomSelector(random)),
  };
}

export function randomSelector(random: Random): unknown {
  if (one(random, 3)) return {};
  if (one(random, 50)) return pick(random, ["app=a", null, [], { matchLabels: ["app"] }, { matchLabels: { app: 1 } }]);
  return {
    ...field(random, 40, "matchLabels", () => ({ [pick(random, KEYS)]: pick(random, VALUES) })),
    ...field(random, 50, "matchExpressions", () => randomList(random, 2, () => randomExpression(random))),
  };
}

function randomExpression(random: Random): unknown {
  const key = pick(random, KEYS);
  if (one(random, 25)) {
    return pick(random, [
      { key, operator: "Like", values: ["a"] },
      { key, operator: "in", values: ["a"] },
      { key, operator: "In" },
      { key, operator: "NotIn", values: [] },
      { key, operator: "Exists", values: ["a"] },
      { operator: "Exists" },
      { key, operator: "NotIn", values: [1] },
      null,
    ]);
  }
  const operator = pick(random, ["In", "NotIn", "Exists", "DoesNotExist"]);
  if (operator === "In" || operator === "NotIn")
    return { key, operator, values: [pick(random, VALUES), pick(random, VALUES)] };
  return { key, operator, ...field(random, 30, "values", () => pick(random, [[], null])) };
}

function randomPort(random: Random): unknown {
  const port = pick(random, PORTS);
  const protocol = field(random, 70, "protocol", () => pick(random, [...PROTOCOLS, null]));
  if (one(random, 25)) {
    return pick(random, [
      { protocol: "ICMP", port },
      { protocol: "tcp" },
      { ...protocol, port: 0 },
      { ...protocol, port: 65_536 },
      { ...protocol, port: 80.5 },
      { ...protocol, port: "" },
      { ...protocol, port: 81, endPort: 80 },
      { ...protocol, port: "http", endPort: 8080 },
      { ...protocol, endPort: 8080 },
      ...NONSENSE,
    ]);
  }
  if (one(random, 5)) return { ...protocol, ...field(random, 30, "port", () => null) };
  if (one(random, 2)) return { ...protocol, port: pick(random, PORT_NAMES) };
  const endPort = Math.min(65_535, port + pick(random, [0, 1, 363, 8000, 65_535]));
  return { ...protocol, port, ...field(random, 30, "endPort", () => pick(random, [endPort, endPort, null])) };
}

/** Seldom empty: an empty list says the same as none. */
function randomList(random: Random, most: number, make: () => unknown): readonly unknown[] | null {
  if (one(random, 10)) return one(random, 2) ? null : [];
  return times(1 + random(most), make);
}

/** One in `of` is something else altogether. */
export function spoiled(random: Random, of: number, make: () => unknown): unknown {
  return one(random, of) ? pick(random, NONSENSE) : make();
}
