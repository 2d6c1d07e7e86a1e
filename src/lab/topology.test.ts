import assert from "node:assert/strict";
import { test } from "node:test";
import { type LabOptions, planTopology } from "./topology.ts";

const options: LabOptions = {
  name: "t",
  nodes: 5,
  subnets: 2,
  mtuBytes: 1500,
  routing: "auto",
  dualStack: false,
  cniChain: [],
};

test("planTopology() puts nodes into subnets round-robin, named node1 to nodeN", () => {
  const { nodes } = planTopology(options);
  assert.deepEqual(
    nodes.map(({ name, subnet, addresses, gateways }) => [name, subnet, addresses[0]?.address, gateways[0]]),
    [
      ["node1", 1, "192.168.1.11", "192.168.1.1"],
      ["node2", 2, "192.168.2.12", "192.168.2.1"],
      ["node3", 1, "192.168.1.13", "192.168.1.1"],
      ["node4", 2, "192.168.2.14", "192.168.2.1"],
      ["node5", 1, "192.168.1.15", "192.168.1.1"],
    ],
  );
});

test("planTopology() has a zone a subnet, or as many zones as asked for, round-robin", () => {
  const zones = (more: Partial<LabOptions>) => planTopology({ ...options, ...more }).nodes.map(({ zone }) => zone);
  assert.deepEqual(zones({}), ["subnet1", "subnet2", "subnet1", "subnet2", "subnet1"]);
  assert.deepEqual(zones({ zones: 3 }), ["zone1", "zone2", "zone3", "zone1", "zone2"]);
  assert.deepEqual(zones({ zones: 1 }), ["zone1", "zone1", "zone1", "zone1", "zone1"]);
});

test("planTopology() has the cluster's ranges of the documents", () => {
  assert.deepEqual(planTopology(options).clusterCidrs, ["10.244.0.0/16"]);
  assert.deepEqual(planTopology(options).serviceCidrs, ["10.96.0.0/16"]);
  const dual = planTopology({ ...options, dualStack: true });
  assert.deepEqual(dual.clusterCidrs, ["10.244.0.0/16", "fd00:10:244::/48"]);
  assert.deepEqual(dual.nodes[1]?.addresses, [
    { address: "192.168.2.12", length: 24 },
    { address: "fd00:192:168:2::c", length: 64 },
  ]);
});

test("planTopology() gives every node of the largest lab an address of its own inside its subnet", () => {
  const { nodes } = planTopology({ ...options, nodes: 200, subnets: 1 });
  const addresses = new Set(nodes.map((node) => node.addresses[0]?.address));
  assert.equal(addresses.size, 200);
  assert.equal(nodes[199]?.addresses[0]?.address, "192.168.1.210");
});
