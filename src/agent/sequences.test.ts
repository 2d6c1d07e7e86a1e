/**
 * However a node came to a state, it has what a fresh start in that state gives: sequences of states, replayed backwards,
 * in small steps, with states left out, repeated, emptied in between, and with the agent killed between any two.
 */
import assert from "node:assert/strict";
import { type MockTimers, test } from "node:test";
import type { ClusterNode } from "../model/cluster.ts";
import type { NodeConfig } from "../model/node-config.ts";
import { clusterNode, defaultConfig, NodeRig } from "./testing/node-rig.ts";

interface State {
  readonly nodes: readonly ClusterNode[];
  readonly pods: readonly number[];
  /** Settings change only with a restart. */
  readonly config: Partial<NodeConfig>;
  readonly underlayMtuBytes: number;
}

const own = clusterNode(1);
const empty: State = { nodes: [own], pods: [], config: {}, underlayMtuBytes: 1500 };

function state(change: Partial<State>): State {
  return { ...empty, ...change };
}

/** Brings a running rig into a state. */
async function enter(rig: NodeRig, next: State): Promise<void> {
  rig.nodes.clear();
  for (const node of next.nodes) rig.setNode(node);
  const eth0 = rig.index("eth0");
  if (rig.other.routes.link("eth0")?.mtuBytes !== next.underlayMtuBytes) {
    rig.other.routes.changeLink(eth0, { mtuBytes: next.underlayMtuBytes });
  }
  const before = JSON.stringify(rig.config);
  rig.config = { ...defaultConfig, ...next.config };
  if (JSON.stringify(rig.config) === before) rig.reconciler.request("cluster");
  else await rig.start();
  await rig.settle();
  const attached = new Set([...rig.attached.keys()].map((id) => Number(id.replace("container", ""))));
  for (const pod of attached) if (!next.pods.includes(pod)) await rig.detach(pod);
  for (const pod of next.pods) if (!attached.has(pod)) await rig.attach(pod);
  await rig.settle();
  await rig.network.settled();
  await rig.settle();
}

async function fresh(timers: MockTimers, last: State): Promise<string> {
  using rig = new NodeRig(timers);
  rig.other.routes.changeLink(rig.index("eth0"), { mtuBytes: last.underlayMtuBytes });
  rig.config = { ...rig.config, ...last.config };
  rig.nodes.clear();
  for (const node of last.nodes) rig.setNode(node);
  await rig.start();
  for (const pod of last.pods) await rig.attach(pod);
  await rig.settle();
  timers.reset();
  return rig.text();
}

const moved = clusterNode(3, { internalIps: ["192.168.1.33", "fd00:1::33"] });
const farther = clusterNode(2, { internalIps: ["192.168.9.2", "fd00:9::2"] });
const otherRange = clusterNode(3, { podCidrs: ["10.245.3.0/24", "fd00:10:245:3::/64"] });
const swapped = [
  clusterNode(2, { podCidrs: clusterNode(3).podCidrs }),
  clusterNode(3, { podCidrs: clusterNode(2).podCidrs }),
];

const sequences: Readonly<Record<string, readonly State[]>> = {
  "nodes join and leave": [
    state({ nodes: [own, clusterNode(2)] }),
    state({ nodes: [own, clusterNode(2), clusterNode(3)] }),
    state({ nodes: [own, clusterNode(3), clusterNode(4), clusterNode(5)] }),
    state({ nodes: [own, clusterNode(5)] }),
  ],
  "a node changes its address, subnet and range": [
    state({ nodes: [own, clusterNode(2), clusterNode(3)], pods: [1] }),
    state({ nodes: [own, clusterNode(2), moved], pods: [1] }),
    state({ nodes: [own, farther, moved], pods: [1] }),
    state({ nodes: [own, farther, otherRange], pods: [1] }),
  ],
  "two nodes swap their ranges": [
    state({ nodes: [own, clusterNode(2), clusterNode(3)] }),
    state({ nodes: [own, ...swapped] }),
    state({ nodes: [own, clusterNode(2), clusterNode(3)] }),
  ],
  "pods come and go while the MTU changes": [
    state({ nodes: [own, clusterNode(3)], pods: [1, 2] }),
    state({ nodes: [own, clusterNode(3)], pods: [2, 3], underlayMtuBytes: 1400 }),
    state({ nodes: [own], pods: [2, 3, 4], underlayMtuBytes: 9000 }),
    state({ nodes: [own, clusterNode(2), clusterNode(3)], pods: [1, 4] }),
  ],
  "settings change": [
    state({ nodes: [own, clusterNode(2), clusterNode(3)], pods: [1] }),
    state({ nodes: [own, clusterNode(2), clusterNode(3)], pods: [1], config: { routing: "vxlan" } }),
    state({ nodes: [own, clusterNode(2), clusterNode(3)], pods: [1], config: { routing: "vxlan", vni: 7 } }),
    state({
      nodes: [own, clusterNode(2), clusterNode(3)],
      pods: [1],
      config: { routing: "direct", masquerade: false },
    }),
    state({
      nodes: [own, clusterNode(2), clusterNode(3)],
      pods: [1],
      config: { masqueradeExceptions: ["10.0.0.0/8"] },
    }),
  ],
  "ranges overlap for a while": [
    state({ nodes: [own, clusterNode(2), clusterNode(3)] }),
    state({ nodes: [own, clusterNode(2, { podCidrs: ["10.244.0.0/16"] }), clusterNode(3)] }),
    state({ nodes: [own, clusterNode(2, { podCidrs: ["10.244.3.128/25"] }), clusterNode(3)] }),
    state({ nodes: [own, clusterNode(2), clusterNode(3)] }),
  ],
};

type Expander = (states: readonly State[]) => State[];

/** Between two states: first the nodes one by one, then the rest. */
function smallSteps(from: State, to: State): State[] {
  const steps: State[] = [];
  let nodes = new Map(from.nodes.map((node) => [node.name, node]));
  for (const node of to.nodes) {
    nodes = new Map(nodes).set(node.name, node);
    steps.push({ ...from, nodes: [...nodes.values()] });
  }
  for (const name of nodes.keys()) {
    if (to.nodes.some((node) => node.name === name)) continue;
    nodes = new Map([...nodes].filter(([other]) => other !== name));
    steps.push({ ...from, nodes: [...nodes.values()] });
  }
  return [...steps, { ...from, nodes: to.nodes, pods: to.pods }, to];
}

const expanders: Readonly<Record<string, Expander>> = {
  "as it is": (states) => [...states],
  reversed: (states) => states.toReversed(),
  "nodes listed the other way round": (states) => states.map((s) => ({ ...s, nodes: s.nodes.toReversed() })),
  "in small steps": (states) => states.flatMap((to, i) => smallSteps(states[i - 1] ?? empty, to)),
  "every second state left out": (states) => states.filter((_, i) => (states.length - 1 - i) % 2 === 0),
  "each state twice": (states) => states.flatMap((s) => [s, s]),
  "emptied in between": (states) => states.flatMap((s) => [empty, s]),
  "twice over": (states) => [...states, ...states],
};

for (const [name, states] of Object.entries(sequences)) {
  for (const [how, expand] of Object.entries(expanders)) {
    for (const restarts of [false, true]) {
      test(`a node ends as if it had started so: ${name}, ${how}${restarts ? ", killed between any two" : ""}`, async (t) => {
        const expanded = expand(states);
        const last = expanded.at(-1) ?? empty;
        const expected = await fresh(t.mock.timers, last);
        using rig = new NodeRig(t.mock.timers);
        await rig.start();
        for (const next of expanded) {
          await enter(rig, next);
          if (!restarts) continue;
          rig.operations();
          await rig.start();
          assert.deepEqual(rig.operations(), [], "a restart changes nothing");
        }
        assert.equal(rig.text(), expected);
        assert.deepEqual(rig.reconciler.status.failures, []);
      });
    }
  }
}

/** Numbers that are the same at every run. */
function randomNumbers(seed: number): (below: number) => number {
  let value = seed;
  return (below) => {
    value = (Math.imul(value, 1103515245) + 12345) & 0x7fffffff;
    return (value >> 8) % below;
  };
}

function randomState(random: (below: number) => number): State {
  const nodes = [own];
  for (let number = 2; number <= 7; number++) {
    if (random(3) === 0) continue;
    const kinds = [
      {},
      {},
      { internalIps: [`192.168.1.${100 + number}`, `fd00:1::${100 + number}`] },
      { internalIps: [`192.168.${50 + number}.1`, `fd00:${50 + number}::1`] },
      { podCidrs: [`10.250.${number}.0/24`] },
      { podCidrs: [] },
      { podCidrs: ["10.244.0.0/21"] },
    ];
    nodes.push(clusterNode(number, kinds[random(kinds.length)]));
  }
  const pods = [1, 2, 3].filter(() => random(2) === 0);
  const routing = (["auto", "auto", "direct", "vxlan"] as const)[random(4)];
  return state({
    nodes,
    pods,
    config: { routing, masquerade: random(4) > 0 },
    underlayMtuBytes: [1500, 1400, 9000][random(3)],
  });
}

test("a node ends as if it had started so: 120 random states, one behind the other", async (t) => {
  const random = randomNumbers(98);
  const states = Array.from({ length: 120 }, () => randomState(random));
  const expected: string[] = [];
  for (const next of states) expected.push(await fresh(t.mock.timers, next));
  using rig = new NodeRig(t.mock.timers);
  await rig.start();
  for (const [i, next] of states.entries()) {
    await enter(rig, next);
    assert.equal(rig.text(), expected[i], `state ${i}`);
    rig.operations();
    rig.reconciler.run();
    assert.deepEqual(rig.operations(), [], `state ${i}: nothing is left to do`);
  }
  assert.ok(new Set(expected).size > 100, "the states differ");
});
