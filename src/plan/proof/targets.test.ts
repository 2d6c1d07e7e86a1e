import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterNode } from "../../model/cluster.ts";
import type { ProofState } from "../../model/proof.ts";
import type { PlannedPath } from "../../model/state.ts";
import { LONGEST_INTERVAL_MS, provingIntervalMs, SHORTEST_INTERVAL_MS } from "./pace.ts";
import { unproven } from "./settle.ts";
import { planTargets, provenPathMtu, TargetsMemo } from "./targets.ts";

const node: ClusterNode = { name: "peer", internalIps: ["192.168.1.2", "fd00:1::2"], podCidrs: [], labels: {} };
const path: PlannedPath = {
  node: "peer",
  mode: "direct",
  podCidrs: ["10.244.2.0/24"],
  peer: "192.168.1.2",
  device: "eth0",
  underlayMtuBytes: 1500,
  overheadBytes: 0,
  mtuBytes: 1500,
};
const vxlan = { ...path, mode: "vxlan", device: "bwvxlan", overheadBytes: 50 } as const;
const both = ["10.244.2.0/24", "fd00:10:244:2::/64"];

/** Path, limit -> "layer family address bytes overhead". */
const table: [string, PlannedPath, number | undefined, string[]][] = [
  ["direct", path, undefined, ["underlay 4 192.168.1.2 1500 0"]],
  [
    "direct, two families",
    { ...path, podCidrs: both },
    undefined,
    ["underlay 4 192.168.1.2 1500 0", "underlay 6 fd00:1::2 1500 0"],
  ],
  ["tunnel", vxlan, undefined, ["underlay 4 192.168.1.2 1500 50", "overlay 4 10.244.2.0 1450 0"]],
  [
    "tunnel, two families",
    { ...vxlan, podCidrs: both },
    undefined,
    ["underlay 4 192.168.1.2 1500 50", "overlay 4 10.244.2.0 1450 0", "overlay 6 fd00:10:244:2:: 1450 0"],
  ],
  [
    "tunnel over IPv6",
    { ...vxlan, peer: "fd00:1::2", overheadBytes: 70 },
    undefined,
    ["underlay 6 fd00:1::2 1500 70", "overlay 4 10.244.2.0 1430 0"],
  ],
  ["no way", { ...path, mode: "none" }, undefined, []],
  [
    "no larger than the operator lets pods be",
    vxlan,
    1400,
    ["underlay 4 192.168.1.2 1450 50", "overlay 4 10.244.2.0 1400 0"],
  ],
  ["a limit above the path", vxlan, 9000, ["underlay 4 192.168.1.2 1500 50", "overlay 4 10.244.2.0 1450 0"]],
];

for (const [name, planned, most, expected] of table) {
  test(`planTargets(): ${name}`, () => {
    const targets = planTargets([planned], new Map([["peer", node]]), most).get("peer") ?? [];
    assert.deepEqual(
      targets.map(({ layer, family, address, bytes, overheadBytes }) =>
        [layer, family, address, bytes, overheadBytes].join(" "),
      ),
      expected,
    );
  });
}

test("planTargets() leaves out a node that is gone", () => {
  assert.deepEqual(planTargets([path], new Map(), undefined), new Map());
});

test("planTargets() with what it made before says the same as without, and says it with the same objects", () => {
  const memo = new TargetsMemo();
  const peers = [1, 2, 3].map((i) => ({ ...node, name: `peer${i}` }));
  const nodes = new Map(peers.map((peer) => [peer.name, peer]));
  const paths: PlannedPath[] = peers.map(({ name }) => ({ ...vxlan, node: name }));
  const check = () => {
    const targets = planTargets(paths, nodes, undefined, memo);
    assert.deepEqual(targets, planTargets(paths, nodes, undefined));
    assert.equal(planTargets([...paths], new Map(nodes), undefined, memo), targets);
    return targets;
  };
  const first = check();
  nodes.set("peer2", { ...node, name: "peer2", internalIps: ["192.168.1.9"] });
  const second = check();
  assert.deepEqual(
    [second.get("peer1") === first.get("peer1"), second.get("peer2") === first.get("peer2")],
    [true, false],
  );
  paths[2] = { ...path, mode: "none", node: "peer3" };
  assert.deepEqual([...check().keys()], ["peer1", "peer2"]);
  nodes.delete("peer1");
  assert.deepEqual([...check().keys()], ["peer2"]);
});

test("provenPathMtu() is the least of what each layer and family leaves to pods; the unknown has no say", () => {
  const targets = planTargets([{ ...vxlan, podCidrs: both }], new Map([["peer", node]]), undefined).get("peer") ?? [];
  const known = (sizes: Record<string, number>) =>
    provenPathMtu(targets, ({ layer, family }): ProofState => {
      const inForceBytes = sizes[`${layer}${family}`];
      return { ...unproven(0), ...(inForceBytes === undefined ? {} : { inForceBytes }) } as ProofState;
    });
  assert.equal(known({}), undefined);
  assert.equal(known({ underlay4: 1500 }), 1450);
  assert.equal(known({ underlay4: 1500, overlay4: 1400 }), 1400);
  assert.equal(known({ underlay4: 1300, overlay4: 1450, overlay6: 1450 }), 1250);
  assert.equal(known({ overlay6: 1380 }), 1380);
});

test("provingIntervalMs() looks often among few, and never sends ten packets a second", () => {
  const peers = (count: number, targets: number) => Array.from({ length: count }, () => targets);
  assert.equal(provingIntervalMs([]), SHORTEST_INTERVAL_MS);
  assert.equal(provingIntervalMs(peers(2, 3)), SHORTEST_INTERVAL_MS);
  assert.equal(provingIntervalMs(peers(10_000, 3)), LONGEST_INTERVAL_MS);
  for (const targets of [1, 2, 3, 4]) {
    for (const count of [10, 100, 200, 500, 999]) {
      const seconds = provingIntervalMs(peers(count, targets)) / 1000;
      assert.ok((count * (targets + 1)) / seconds < 10, `${count} peers, ${targets} targets`);
      assert.ok(seconds < 600);
    }
  }
});
