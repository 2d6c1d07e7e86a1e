/** The table of policies: what its chains do with packets, and that judge() says the same. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Family, ipFamily } from "../../model/ip.ts";
import type { ClusterPolicy, PolicyPod } from "../../model/policy.ts";
import type { ServiceProtocol } from "../../model/service.ts";
import { type Random, randomNumbers } from "../services/testing/random-services.ts";
import { PacketTracer } from "../testing/packet-tracer.ts";
import { type JudgedFlow, judge } from "./judge.ts";
import { type PolicyInput, planPolicyTable } from "./table.ts";
import { PORTS, PROTOCOLS, pick, randomPolicyInput, randomTieredInput, shuffled } from "./testing/random-policies.ts";

const OUTSIDE = { 4: "198.51.100.7", 6: "2001:db8::7" } as const;
const ROUNDS = 150;
const FLOWS = 40;

function tracer(input: PolicyInput, family: Family): PacketTracer {
  const address = family === 4 ? "192.168.1.11" : "fd00::11";
  const table = planPolicyTable(input, family);
  return new PacketTracer({ tables: [table], addresses: [address], sourceAddress: () => address, route: () => "eth0" });
}

/** Of a protocol that has ports. */
type Dial = JudgedFlow & { readonly protocol: ServiceProtocol };

function isSent(through: PacketTracer, { from, to, protocol, port }: Dial): boolean {
  const name = protocol.toLowerCase() as "tcp" | "udp" | "sctp";
  const outcome = through.send({
    source: from.ip,
    destination: to.ip,
    protocol: name,
    destinationPort: port,
    from: "e",
  });
  return outcome.verdict === "sent";
}

/** By the policies of both ends, as far as they are on the node. */
function isAdmitted(input: PolicyInput, flow: JudgedFlow): boolean {
  return (["egress", "ingress"] as const).every((direction) => {
    const own = direction === "ingress" ? flow.to : flow.from;
    return own.pod?.nodeName !== input.nodeName || judge(direction, flow, input.policies, input).admitted;
  });
}

/** A flow between pods, nodes and an address outside of the cluster. */
function randomFlow(random: Random, input: PolicyInput, family: Family): Dial {
  const nodes = [...(input.nodes?.values() ?? [])].flatMap(({ internalIps, externalIps = [] }) => [
    ...internalIps,
    ...externalIps,
  ]);
  const others = [OUTSIDE[family], ...nodes.filter((ip) => ipFamily(ip) === family)];
  const end = () => {
    const pod = random(6) === 0 ? undefined : pick(random, input.pods);
    return { ip: pod?.ips.find((ip) => ipFamily(ip) === family) ?? pick(random, others), pod };
  };
  return { from: end(), to: end(), protocol: pick(random, PROTOCOLS), port: pick(random, PORTS) };
}

for (const [what, seed, make] of [
  ["NetworkPolicies", 7, randomPolicyInput],
  ["policies of all tiers", 23, randomTieredInput],
] as const) {
  test(`judge() admits exactly what the chains let pass, for random ${what} and packets`, () => {
    const random = randomNumbers(seed);
    const counts = { admitted: 0, denied: 0 };
    for (let round = 0; round < ROUNDS; round++) {
      const input = make(random);
      const tracers = { 4: tracer(input, 4), 6: tracer(input, 6) };
      for (let i = 0; i < FLOWS; i++) {
        const family = pick(random, [4, 6] as const);
        const flow = randomFlow(random, input, family);
        const admitted = isAdmitted(input, flow);
        counts[admitted ? "admitted" : "denied"]++;
        const { policies, clusterNetworkPolicies } = input;
        const text = () => `round ${round}: ${JSON.stringify({ flow, policies, clusterNetworkPolicies })}`;
        if (isSent(tracers[family], flow) !== admitted) assert.fail(text());
      }
    }
    assert.ok(counts.admitted > 500 && counts.denied > 500, JSON.stringify(counts));
  });
}

test("planPolicyTable() gives the same bytes whatever the order of policies, pods, ports and namespaces", () => {
  const random = randomNumbers(11);
  for (let round = 0; round < ROUNDS; round++) {
    const input = randomTieredInput(random);
    for (const family of [4, 6] as const) {
      const other = planPolicyTable(shuffled(random, input), family);
      assert.equal(JSON.stringify(other), JSON.stringify(planPolicyTable(input, family)), `round ${round}`);
    }
  }
});

test("planPolicyTable() decides the same whatever the order of rules, peers and ports in a policy", () => {
  const random = randomNumbers(13);
  const turned = (policy: ClusterPolicy): ClusterPolicy => {
    const rules = (each: ClusterPolicy["ingress"]) =>
      each
        ?.map((rule) => ({
          ...(rule.peers && { peers: rule.peers.toReversed() }),
          ...(rule.ports && { ports: rule.ports.toReversed() }),
        }))
        .toReversed();
    const { ingress, egress, ...head } = policy;
    return {
      ...head,
      ...(ingress && { ingress: rules(ingress) ?? [] }),
      ...(egress && { egress: rules(egress) ?? [] }),
    };
  };
  for (let round = 0; round < ROUNDS; round++) {
    const input = randomPolicyInput(random);
    const [one, other] = [tracer(input, 4), tracer({ ...input, policies: input.policies.map(turned) }, 4)];
    for (let i = 0; i < FLOWS; i++) {
      const [from, to] = [pick(random, input.pods), pick(random, input.pods)].map((pod) => ({
        ip: pod.ips[0] ?? "",
        pod,
      }));
      assert.ok(from && to);
      const flow = { from, to, protocol: pick(random, PROTOCOLS), port: pick(random, PORTS) };
      assert.equal(isSent(one, flow), isSent(other, flow), `round ${round}`);
    }
  }
});

const aPod = (name: string, ip: string, fields: Partial<PolicyPod> = {}): PolicyPod => ({
  ...{ namespace: "x", name, labels: { app: name }, nodeName: "node1", ips: [ip], ports: [] },
  ...fields,
});
const aPolicy = (name: string, fields: Partial<ClusterPolicy>): ClusterPolicy => ({
  ...{ namespace: "x", name, uid: name, pods: [] },
  ...fields,
});
const inputOf = (pods: PolicyPod[], policies: ClusterPolicy[]): PolicyInput => ({
  ...{ nodeName: "node1", pods, policies, namespaces: new Map([["x", {}]]) },
});
const dials = (input: PolicyInput, from: PolicyPod, to: PolicyPod, port: number) =>
  isSent(tracer(input, 4), {
    ...{ from: { ip: from.ips[0] ?? "", pod: from }, to: { ip: to.ips[0] ?? "", pod: to } },
    ...{ protocol: "TCP", port },
  });
const http = (port: number) => ({ ports: [{ name: "http", protocol: "TCP" as const, port }] });

test("planPolicyTable() takes a named port for each pod's own number, in both directions", () => {
  const [one, two, none] = [
    aPod("one", "10.244.1.1", http(80)),
    aPod("two", "10.244.1.2", http(8080)),
    aPod("no", "10.244.1.3"),
  ];
  const ports = [{ protocol: "TCP" as const, port: "http" }];
  for (const section of [{ ingress: [{ ports }] }, { egress: [{ ports }] }]) {
    const input = inputOf([one, two, none], [aPolicy("named", section)]);
    const found = [one, two, none].map((to) =>
      [80, 8080].map((port) => dials(input, to === one ? two : one, to, port)),
    );
    assert.deepEqual(
      found,
      [
        [true, false],
        [false, true],
        [false, false],
      ],
      Object.keys(section)[0],
    );
  }
});

test("planPolicyTable() takes a named port in egress of the pods in a block, and outside of pods for none", () => {
  const [one, two, three] = [
    aPod("one", "10.244.1.1"),
    aPod("two", "10.244.1.2", http(80)),
    aPod("three", "10.244.1.3", http(80)),
  ];
  const peers = [{ kind: "block" as const, prefix: "10.244.0.0/16", except: ["10.244.1.3/32"] }];
  const egress = [{ peers, ports: [{ protocol: "TCP" as const, port: "http" }] }];
  const pods = [{ key: "app", operator: "In" as const, values: ["one"] }];
  const input = inputOf([one, two, three], [aPolicy("named", { pods, egress })]);
  const nobody = aPod("nobody", "10.244.1.4");
  const found = [two, three, nobody].map((to) => [80, 81].map((port) => dials(input, one, to, port)));
  assert.deepEqual(found, [
    [true, false],
    [false, false],
    [false, false],
  ]);
});

test("planPolicyTable() gives pods that the same policies select one chain, by named ports one for each number", () => {
  const pods = [
    aPod("one", "10.244.1.1", http(80)),
    aPod("two", "10.244.1.2", http(80)),
    aPod("three", "10.244.1.3", http(81)),
  ];
  const chains = (policy: ClusterPolicy) => {
    const map = planPolicyTable(inputOf(pods, [policy]), 4).sets.find(({ name }) => name === "ingress");
    return new Set(map?.elements.map((element) => element.replace(/.* : jump /, ""))).size;
  };
  assert.equal(chains(aPolicy("deny", { ingress: [] })), 1);
  assert.equal(chains(aPolicy("named", { ingress: [{ ports: [{ protocol: "TCP", port: "http" }] }] })), 2);
});

test("planPolicyTable() lets pass what both of two pods with one address admit", () => {
  const peer = aPod("peer", "10.244.1.9");
  const [one, two] = [aPod("one", "10.244.1.1"), aPod("two", "10.244.1.1")];
  const admits = (name: string, ...ports: number[]): ClusterPolicy =>
    aPolicy(name, {
      pods: [{ key: "app", operator: "In", values: [name] }],
      ingress: [{ ports: ports.map((port) => ({ protocol: "TCP", port })) }],
    });
  const input = inputOf([one, two, peer], [admits("one", 80, 81), admits("two", 81, 82)]);
  assert.deepEqual(
    [80, 81, 82].map((port) => dials(input, peer, one, port)),
    [false, true, false],
  );
  const map = planPolicyTable(input, 4).sets.find(({ name }) => name === "ingress");
  assert.equal(map?.elements.length, 1, "an address is one element");
});

test("planPolicyTable() lets a pod reach itself, and answers of what was admitted pass", () => {
  const [one, two] = [aPod("one", "10.244.1.1"), aPod("two", "10.244.1.2")];
  const input = inputOf([one, two], [aPolicy("deny", { ingress: [], egress: [] })]);
  assert.equal(dials(input, one, one, 80), true);
  assert.equal(dials(input, one, two, 80), false);
  const answer = { source: "10.244.1.1", destination: "10.244.1.2", state: "established", from: "e" } as const;
  assert.equal(tracer(input, 4).send(answer).verdict, "sent");
});

test("planPolicyTable() lets datagrams of an admitted flow pass that nobody answers", () => {
  const [one, two] = [aPod("one", "10.244.1.1"), aPod("two", "10.244.1.2")];
  const input = inputOf([one, two], [aPolicy("deny", { ingress: [], egress: [] })]);
  const datagram = { source: "10.244.1.2", destination: "10.244.1.1", from: "e", protocol: "udp" } as const;
  assert.equal(tracer(input, 4).send({ ...datagram, isConfirmed: true }).verdict, "sent");
  assert.equal(tracer(input, 4).send(datagram).verdict, "dropped", "what never left the node was never admitted");
});

/** A segment in the middle of a connection that nothing is known of. */
function midstream(input: PolicyInput, from: PolicyPod, to: PolicyPod): string {
  const [source = "", destination = ""] = [from, to].map(({ ips }) => ips[0]);
  const segment = { source, destination, destinationPort: 80, state: "new", from: "e", isSyn: false } as const;
  return tracer(input, 4).send(segment).verdict;
}

test("planPolicyTable() drops segments that open nothing from whom ingress selects and to whom egress selects", () => {
  const [one, two, three] = [aPod("one", "10.244.1.1"), aPod("two", "10.244.1.2"), aPod("three", "10.244.1.3")];
  const admitsAll = (pod: string, section: Partial<ClusterPolicy>) =>
    aPolicy(pod, { pods: [{ key: "app", operator: "In", values: [pod] }], ...section });
  const input = inputOf([one, two, three], [admitsAll("one", { ingress: [{}] }), admitsAll("two", { egress: [{}] })]);
  assert.equal(midstream(input, one, three), "dropped", "an answer of a connection that was cut");
  assert.equal(midstream(input, three, two), "dropped", "an answer to a connection that was cut");
  assert.equal(midstream(input, three, one), "sent");
  assert.equal(midstream(input, two, three), "sent");
  assert.equal(midstream(input, one, one), "sent", "a pod reaches itself");
  assert.equal(dials(input, one, three, 80), true, "it opens connections of its own");
});

test("planPolicyTable() lets ICMP errors of admitted connections pass", () => {
  const [one, two] = [aPod("one", "10.244.1.1"), aPod("two", "10.244.1.2")];
  const input = inputOf([one, two], [aPolicy("deny", { ingress: [], egress: [] })]);
  const error = { source: "10.244.1.2", destination: "10.244.1.1", from: "e", protocol: "icmp" } as const;
  const unreachable = { ...error, icmp: { type: 3, code: 4 } };
  assert.equal(tracer(input, 4).send({ ...unreachable, state: "related" }).verdict, "sent");
  assert.equal(tracer(input, 4).send({ ...unreachable, state: "new" }).verdict, "dropped");
});

test("planPolicyTable() of one family knows nothing of the other one's pods and blocks", () => {
  const pods = [aPod("six", "fd00::1", { ips: ["fd00::1"] }), aPod("four", "10.244.1.1")];
  const peers = [{ kind: "block" as const, prefix: "10.0.0.0/8", except: [] }];
  const table = planPolicyTable(inputOf(pods, [aPolicy("block", { ingress: [{ peers }] })]), 6);
  const elements = table.sets.flatMap((set) => set.elements);
  assert.ok(elements.length > 0 && elements.every((element) => element.startsWith("fd00::1")), elements.join("\n"));
});
