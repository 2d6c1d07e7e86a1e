/** Which faults may be in force together, on routers that are none but names. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeHost } from "../../kernel/fake/host.ts";
import { isBreakwaterError } from "../../model/errors.ts";
import { planFabric } from "../fabric/plan.ts";
import { planTopology } from "../topology.ts";
import { Faults } from "./catalogue.ts";
import type { FaultSurroundings } from "./fault.ts";

/** Nodes 1 and 3 are in tor1's rack, node2 in tor2's. */
function aLab() {
  const topology = planTopology({
    name: "t",
    nodes: 3,
    subnets: 2,
    mtuBytes: 1500,
    routing: "bgp",
    dualStack: false,
    cniChain: [],
  });
  const plan = planFabric(topology, ["frr"], "password");
  const machines = new FakeHost();
  const all = [plan.spine, ...plan.racks];
  const hosts = new Map(all.map(({ name }) => [name, machines.addNamespace(`/run/netns/${name}`)]));
  const routers = new Map(all.map((router) => [router.name, { name: router.name, plan: router }]));
  const nodes = new Map(topology.nodes.map(({ name }) => [name, {}]));
  const around = { topology, fabric: { plan, routers }, underlay: { routers: hosts, nodes } };
  const faults = new Faults(around as unknown as FaultSurroundings);
  const leak = (node: string, router?: string) =>
    faults.add({ name: "default-route-leak", node, parameters: router === undefined ? {} : { router } });
  const leaking = () =>
    [...hosts].flatMap(([name, { routes }]) =>
      routes.routes().some(({ destination }) => destination === "0.0.0.0/0") ? [name] : [],
    );
  return { faults, leak, leaking };
}

test("Faults: a router is struck once, by whichever of its nodes it is named", async () => {
  const { faults, leak, leaking } = aLab();
  assert.equal((await leak("node1")).node, "tor1");
  for (const [node, router] of [["node3"], ["node2", "tor1"]] as const) {
    await assert.rejects(
      leak(node, router),
      (error) =>
        isBreakwaterError(error, "BW_REFUSED") && /default-route-leak is in force on tor1 already/.test(error.message),
    );
  }
  await leak("node2");
  await leak("node1", "spine");
  assert.deepEqual(leaking(), ["spine", "tor1", "tor2"]);
  assert.equal((await faults.clear(undefined)).length, 3);
  assert.deepEqual(leaking(), []);
  assert.deepEqual(faults.list(), []);
});

test("Faults: of two that come at once the second finds the first", async () => {
  const { leak, leaking } = aLab();
  const outcomes = await Promise.allSettled([leak("node1"), leak("node3")]);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ["fulfilled", "rejected"],
  );
  assert.deepEqual(leaking(), ["tor1"]);
});
