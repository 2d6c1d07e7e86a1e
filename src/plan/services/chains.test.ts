/** What the chains do to packets that open no flow, and which chains there are. Row "tcp". */
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatOutcome } from "../testing/packet-tracer.ts";
import type { Packet } from "../testing/traced-packet.ts";
import { planServiceChains } from "./chains.ts";
import { aService, aSlice, tcp80 } from "./testing/objects.ts";
import { podOn, ServiceCluster } from "./testing/service-cluster.ts";

const web = aService({ type: "NodePort", ports: [{ ...tcp80, nodePort: 30080 }] });
const slices = [aSlice([podOn(1, 5), podOn(2, 6)])];
const cluster = new ServiceCluster({ services: [web], slices });
const answer: Packet = {
  source: "10.244.1.5",
  sourcePort: 8080,
  destination: "10.244.2.9",
  destinationPort: 40_000,
  from: "bwh-10.244.1.5",
};

test("svc-53 what connection tracking finds invalid is dropped on its way: it would pass untranslated", () => {
  assert.deepEqual(cluster.tracer("node1").texts({ ...answer, state: "invalid" }), ["dropped"]);
  const lenient = new ServiceCluster({ services: [web], slices, config: { dropInvalid: false } });
  assert.deepEqual(lenient.tracer("node1").texts({ ...answer, state: "invalid" }), [
    "10.244.2.9:40000 from 10.244.1.5",
  ]);
});

test("svc-53 invalid answers of this node's pods to the node itself, which hid a client's address, are dropped", () => {
  const toNode = { ...answer, state: "invalid", destination: "192.168.1.11" } as const;
  assert.deepEqual(cluster.tracer("node1").texts(toNode), ["dropped"]);
  const lenient = new ServiceCluster({ services: [web], slices, config: { dropInvalid: false } });
  assert.equal(lenient.tracer("node1").send(toNode).verdict, "local");
});

test("other invalid packets that are for the node itself, or from it, are its own business", () => {
  const tracer = cluster.tracer("node1");
  const fromPeer = {
    ...answer,
    state: "invalid",
    source: "192.168.1.12",
    destination: "192.168.1.11",
    from: "eth0",
  } as const;
  assert.equal(tracer.send(fromPeer).verdict, "local");
  const { from: _, ...own } = answer;
  assert.equal(tracer.send({ ...own, source: "192.168.1.11", state: "invalid" }).verdict, "sent");
});

for (const state of ["related", "invalid", "untracked"] as const) {
  test(`messages that a packet is too big pass, ${state}, to pods and from them`, () => {
    for (const [to, from, protocol, icmp] of [
      ["10.244.1.5", "192.0.2.1", "icmp", { type: 3, code: 4 }],
      ["203.0.113.1", "10.244.1.5", "icmp", { type: 3, code: 4 }],
      ["fd00:10:244:1::5", "2001:db8::1", "icmpv6", { type: 2, code: 0 }],
    ] as const) {
      const outcome = cluster
        .tracer("node1")
        .send({ source: from, destination: to, protocol, icmp, state, from: "eth0" });
      assert.equal(outcome.verdict, "sent", `${to}: ${outcome.trace.join("\n")}`);
    }
  });
}

test("answers and later packets pass as the first one was translated, in both directions", () => {
  const tracer = cluster.tracer("node1");
  const first = tracer.send({
    source: "10.244.1.9",
    destination: "10.96.0.10",
    destinationPort: 80,
    from: "bwh-10.244.1.9",
  });
  assert.ok("flow" in first);
  const { flow } = first;
  assert.equal(formatOutcome(tracer.send({ ...flow.original, from: "bwh-10.244.1.9", flow })), formatOutcome(first));
  assert.equal(
    formatOutcome(tracer.send({ ...flow.reply, from: "bwh-10.244.1.5", flow })),
    "10.244.1.9:40000 from 10.96.0.10",
  );
});

test("established flows outlive their Service: nothing looks at them", () => {
  const tracer = cluster.tracer("node1");
  const first = tracer.send({
    source: "10.244.1.9",
    destination: "10.96.0.10",
    destinationPort: 80,
    from: "bwh-10.244.1.9",
  });
  assert.ok("flow" in first);
  const without = new ServiceCluster({ services: [], slices: [] }).tracer("node1");
  assert.equal(
    formatOutcome(without.send({ ...first.flow.original, from: "bwh-10.244.1.9", flow: first.flow })),
    formatOutcome(first),
  );
});

const input = { podCidrs: ["10.244.1.0/24"], serviceCidrs: ["10.96.0.0/16"], dropInvalid: true } as const;
const names = (needs: string[], family: 4 | 6 = 4) =>
  planServiceChains({ ...input, family, needs }).map(({ name }) => name);

test("planServiceChains() has chains for up to sixteen endpoints from the start, and for more where they are needed", () => {
  const usual = names([]);
  assert.deepEqual(usual.filter((name) => name.startsWith("lb-")).length, 16);
  assert.deepEqual(names(["lb-3", "lb-16"]), usual);
  assert.deepEqual(
    names(["lb-17", "lb-1000"]).filter((name) => !usual.includes(name)),
    ["lb-1000", "lb-17"],
  );
});

test("planServiceChains() is the same for needs in any order, each once or twice", () => {
  const needs = [
    "outside",
    "outside-2",
    "lb-30",
    "affinity:tcp",
    "remember-10s",
    "affinity-30",
    "guard",
    "external:udp",
    "refuse",
  ];
  const expected = planServiceChains({ ...input, family: 4, needs });
  assert.deepEqual(planServiceChains({ ...input, family: 4, needs: [...needs.toReversed(), ...needs] }), expected);
  const all = expected.map(({ name }) => name);
  assert.deepEqual(all, [...all].sort());
});

test("planServiceChains() has a chain for each slot that IPv6 clients of a protocol and a timeout may have, once", () => {
  const plain = names([], 6);
  const needs = ["affinity-tcp-10s-1", "affinity-tcp-10s-3", "affinity-tcp-20s-1", "outside-affinity-udp-10s-1"];
  const expected = [
    ...needs,
    ...["remember-tcp-10s-0", "remember-tcp-10s-1", "remember-tcp-10s-2", "remember-tcp-20s-0"],
    "outside-remember-udp-10s-0",
  ];
  for (const order of [needs, needs.toReversed()]) {
    assert.deepEqual(
      names(order, 6).filter((name) => !plain.includes(name)),
      expected.sort(),
    );
  }
});

test("planServiceChains() leads nowhere that is not there", () => {
  const needs = [
    "affinity-3",
    "lb-3",
    "outside-affinity-40",
    "outside-40",
    "outside",
    "remember-5s",
    "affinity:udp",
    "affinity-tcp-10s-3",
    "affinity-tcp-20s-5",
    "affinity-udp-10s-1",
    "outside-affinity-sctp-10s-4",
    "refuse",
    "guard",
  ];
  const chains = planServiceChains({ ...input, family: 6, podCidrs: [], serviceCidrs: [], needs });
  const all = new Set(chains.map(({ name }) => name));
  for (const { statements } of chains.flatMap(({ rules }) => rules)) {
    for (const statement of statements) {
      if (!("verdict" in statement) || typeof statement.verdict !== "object") continue;
      const target = "jump" in statement.verdict ? statement.verdict.jump : statement.verdict.goto;
      assert.ok(all.has(target), target);
    }
  }
});
