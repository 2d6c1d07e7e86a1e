/** Clusters with policies of all tiers as users write them, drawn at random; now and then with what a server would refuse. */
import type { Raw, RawCluster } from "../netpol/evaluator.ts";
import {
  field,
  NODES,
  NONSENSE,
  one,
  PORT_NAMES,
  PORTS,
  pick,
  type Random,
  randomLabels,
  randomRawCluster,
  randomSelector,
  spoiled,
  times,
} from "../netpol/random-objects.ts";

const NETWORKS = ["0.0.0.0/0", "10.244.1.7/24", "198.51.100.0/25", "192.168.1.0/24", "::/0", "FD00:10:244:2::/64"];
const BAD_NETWORKS = ["10.0.0.1", "10.0.0.0/33", "everywhere", 7, null];
const TIERS = ["Admin", "Baseline"];
const PRIORITIES = [0, 1, 1, 500, 1000];
const ACTIONS = ["Accept", "Deny", "Pass"];

export function randomTieredCluster(random: Random): RawCluster {
  const cluster = randomRawCluster(random);
  return {
    ...cluster,
    // Fewer of them than where they are alone: mostly the tiers are to decide.
    policies: cluster.policies.slice(0, random(3)),
    clusterPolicies: times(random(5), (i) => randomClusterPolicy(random, `cluster${i}`)),
    nodeObjects: Object.entries(NODES).map(([name, ips]) => randomNode(random, name, ips)),
  };
}

function randomNode(random: Random, name: string, ips: readonly string[]): Raw {
  const addresses = ips.map((address) => ({ type: pick(random, ["InternalIP", "ExternalIP"]), address }));
  return { metadata: { name, labels: randomLabels(random) }, status: { addresses } };
}

function randomClusterPolicy(random: Random, name: string): Raw {
  const rules = (direction: "ingress" | "egress") => () =>
    spoiled(random, 150, () => times(random(5), () => spoiled(random, 200, () => randomRule(random, direction))));
  return {
    metadata: { name, uid: name, generation: 1 },
    spec: {
      tier: one(random, 100) ? pick(random, ["NetworkPolicy", "admin", undefined]) : pick(random, TIERS),
      priority: one(random, 100) ? pick(random, [-1, 1001, 0.5, "1", undefined]) : pick(random, PRIORITIES),
      subject: randomSubject(random),
      ...field(random, 80, "ingress", rules("ingress")),
      ...field(random, 80, "egress", rules("egress")),
    },
  };
}

function randomSubject(random: Random): unknown {
  if (one(random, 100))
    return pick(random, [...NONSENSE, { nodes: {} }, { namespaces: {}, pods: { podSelector: {} } }]);
  return one(random, 2) ? { namespaces: randomSelector(random) } : { pods: randomPods(random) };
}

function randomPods(random: Random): Raw {
  return {
    ...field(random, 60, "namespaceSelector", () => randomSelector(random)),
    ...field(random, 99, "podSelector", () => randomSelector(random)),
  };
}

function randomRule(random: Random, direction: "ingress" | "egress"): Raw {
  const peers = () => times(one(random, 150) ? 0 : 1 + random(2), () => randomPeer(random, direction));
  return {
    ...field(random, 30, "name", () => "named"),
    action: one(random, 100) ? pick(random, ["Allow", "deny", undefined]) : pick(random, ACTIONS),
    [direction === "ingress" ? "from" : "to"]: spoiled(random, 150, peers),
    ...field(random, 50, "protocols", () =>
      spoiled(random, 150, () => times(one(random, 150) ? 0 : 1 + random(3), () => randomProtocol(random))),
    ),
  };
}

function randomPeer(random: Random, direction: "ingress" | "egress"): unknown {
  if (one(random, 100))
    return pick(random, [...NONSENSE, { namespaces: {}, pods: { podSelector: {} } }, { services: {} }]);
  const isOutside = direction === "egress" ? one(random, 2) : one(random, 150);
  if (!isOutside) return one(random, 2) ? { namespaces: randomSelector(random) } : { pods: randomPods(random) };
  if (one(random, 20)) return { domainNames: ["example.com"] };
  if (one(random, 3)) return { nodes: randomSelector(random) };
  const networks = times(1 + random(2), () => (one(random, 100) ? pick(random, BAD_NETWORKS) : pick(random, NETWORKS)));
  return { networks: one(random, 100) ? [] : networks };
}

function randomProtocol(random: Random): unknown {
  const number = pick(random, PORTS);
  const protocol = pick(random, ["tcp", "udp", "sctp"]);
  if (one(random, 100)) {
    return pick(random, [
      ...NONSENSE,
      { icmp: {} },
      { [protocol]: {} },
      { [protocol]: { destinationPort: {} } },
      { [protocol]: { destinationPort: { number: 0 } } },
      { [protocol]: { destinationPort: { number, range: { start: 1, end: 2 } } } },
      { [protocol]: { destinationPort: { range: { start: number, end: number } } } },
      { tcp: { destinationPort: { number } }, udp: { destinationPort: { number } } },
      { destinationNamedPort: "" },
    ]);
  }
  if (one(random, 5)) return { destinationNamedPort: pick(random, PORT_NAMES) };
  if (one(random, 3)) return { [protocol]: { destinationPort: { range: { start: 1 + random(100), end: 443 } } } };
  return { [protocol]: { destinationPort: { number } } };
}
