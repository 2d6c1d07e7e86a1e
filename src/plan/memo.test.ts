import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterNode } from "../model/cluster.ts";
import type { NodeInterface } from "../model/state.ts";
import { Each, Remembered, RememberedByKey, Sorted } from "./memo.ts";
import { type PlanInput, PlanMemo, planNode } from "./plan.ts";
import { config, eth0, input, node, pod } from "./testing/scenarios.ts";

/** A number below its argument, the same sequence for the same seed. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test("Remembered makes a value again only for other inputs", () => {
  let made = 0;
  const remembered = new Remembered<number>();
  const get = (...inputs: readonly unknown[]) => remembered.get(inputs, () => ++made);
  assert.deepEqual([get(1, "a"), get(1, "a"), get(1, "b"), get(1), get(1, undefined), get(1)], [1, 1, 2, 3, 4, 5]);
});

test("RememberedByKey forgets what nobody asked for in a turn", () => {
  let made = 0;
  const remembered = new RememberedByKey<string, number>();
  const turn = (...keys: readonly string[]) => {
    const values = keys.map((key) => remembered.get(key, [], () => ++made));
    remembered.sweep();
    return values;
  };
  assert.deepEqual(turn("a", "b"), [1, 2]);
  assert.deepEqual(turn("b"), [2]);
  assert.deepEqual(turn("a", "b"), [3, 2]);
});

test("Each and Sorted say of any list what it would say of itself, whatever came before", () => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = randomNumbers(seed);
    const each = new Each((value: number) => ({ value }));
    const sorted = new Sorted<number>((a, b) => a - b);
    let list: number[] = [];
    for (let step = 0; step < 40; step++) {
      const count = random(10) === 0 ? 100 : random(4);
      list = list.filter(() => random(12) !== 0);
      for (let i = 0; i < count; i++) {
        const value = random(500);
        if (!list.includes(value)) list.splice(random(list.length + 1), 0, value);
      }
      if (random(8) === 0) list.reverse();
      const given = [...list];
      assert.deepEqual(
        each.of(given).map(({ value }) => value),
        given,
      );
      assert.equal(each.of([...given]), each.of([...given]));
      assert.deepEqual(
        sorted.of(given),
        given.toSorted((a, b) => a - b),
      );
      assert.equal(sorted.of([...given]), sorted.of([...given]));
    }
  }
});

test("Each makes only what is new of a list that changed in one place", () => {
  const made: number[] = [];
  const each = new Each((value: number) => {
    made.push(value);
    return value;
  });
  for (const list of [[1, 2, 3, 4], [1, 2, 5, 3, 4], [1, 2, 3, 4], [1, 3, 2, 4], []]) each.of(list);
  assert.deepEqual(made, [1, 2, 3, 4, 5]);
});

interface World {
  nodes: Map<string, ClusterNode>;
  interfaces: NodeInterface[];
  pods: ReturnType<typeof pod>[];
  proven: Map<string, number>;
  config: PlanInput["config"];
}

/** One of the things that happen to a cluster; some make it inconsistent, as users do. */
function happen(world: World, random: (below: number) => number): void {
  const number = 2 + random(40);
  const name = `node${number}`;
  switch (random(12)) {
    case 0:
    case 1:
    case 2:
      world.nodes.set(name, randomNode(number, random));
      break;
    case 3:
      world.nodes.delete(name);
      break;
    case 4: {
      // Moves to the end of the map.
      const known = world.nodes.get(name);
      world.nodes.delete(name);
      if (known !== undefined) world.nodes.set(name, { ...known, labels: { moved: "yes" } });
      break;
    }
    case 5:
      if (random(4) === 0) world.proven.clear();
      else world.proven.set(name, 1200 + random(4) * 100);
      break;
    case 6:
      world.interfaces = [random(3) === 0 ? eth0({ mtuBytes: 9000 }) : eth0()];
      break;
    case 7:
      world.config = {
        ...config,
        ...(random(2) === 0 ? {} : { masqueradeExceptions: ["10.244.0.0/20", "172.16.0.0/12"] }),
      };
      break;
    case 8:
      world.config = { ...world.config, routing: (["auto", "direct", "vxlan"] as const)[random(3)] ?? "auto" };
      break;
    case 9:
      world.pods = world.pods.filter(() => random(3) !== 0);
      break;
    default: {
      const next = pod(random(30));
      if (!world.pods.some(({ containerId }) => containerId === next.containerId)) world.pods.push(next);
    }
  }
}

function randomNode(number: number, random: (below: number) => number): ClusterNode {
  const subnet = random(2) === 0 ? 1 : 2;
  const ips = random(10) === 0 ? [] : [`192.168.${subnet}.${number}`];
  const cidrs = [
    [`10.244.${number}.0/24`],
    [`10.244.${number}.0/24`, `fd00:10:244:${number}::/64`],
    [`10.244.${number - 1}.128/25`],
    [`10.244.${number}.0/23`],
    [],
  ][random(8)] ?? [`10.244.${number}.0/24`];
  return { ...node(number, ips, cidrs), createdAt: `2026-01-0${1 + random(3)}T00:00:00Z` };
}

test("planNode() with what earlier plans left plans the same as without, through random histories", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = randomNumbers(seed);
    const world: World = {
      nodes: new Map([["node1", node(1, ["192.168.1.1"])]]),
      interfaces: [eth0()],
      pods: [],
      proven: new Map(),
      config,
    };
    const memo = new PlanMemo();
    for (let step = 0; step < 60; step++) {
      for (let i = random(3); i >= 0; i--) happen(world, random);
      const { interfaces, pods, proven } = world;
      const given: PlanInput = {
        ...input({ nodes: [], interfaces, pods: [...pods], config: world.config }),
        nodes: world.nodes,
        provenMtuBytes: proven,
      };
      assert.deepEqual(planNode(given, memo), planNode(given), `seed ${seed}, step ${step}`);
    }
  }
});

test("planNode() gives the same objects again where nothing happened, and plans one peer where one came", () => {
  const memo = new PlanMemo();
  const nodes = new Map(Array.from({ length: 100 }, (_, i) => [`node${i + 1}`, node(i + 1, [`192.168.1.${i + 1}`])]));
  const plan = () => {
    const result = planNode({ ...input({ nodes: [], pods: [] }), nodes }, memo);
    assert.ok("state" in result);
    return result.state;
  };
  const first = plan();
  const second = plan();
  for (const part of ["paths", "routes", "neighbours", "fdb", "pods", "nft"] as const)
    assert.equal(second[part], first[part], part);
  nodes.set("node200", node(200, ["192.168.1.200"]));
  const known = new Set(first.routes);
  assert.deepEqual(
    plan()
      .routes.filter((route) => !known.has(route))
      .map(({ cause }) => cause),
    ["Node node200"],
  );
});
