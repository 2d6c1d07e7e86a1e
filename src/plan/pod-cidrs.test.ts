import assert from "node:assert/strict";
import { test } from "node:test";
import { claimPodCidrs } from "./pod-cidrs.ts";
import { node } from "./testing/scenarios.ts";

/** Claims by node number -> what each is granted, and who loses to whom. */
function claim(claims: Readonly<Record<number, readonly string[]>>) {
  const nodes = Object.entries(claims).map(([number, prefixes]) => node(Number(number), [], [...prefixes]));
  const { byNode, problems } = claimPodCidrs(nodes);
  return {
    granted: Object.fromEntries([...byNode].sort().map(([name, prefixes]) => [name, prefixes])),
    lost: problems.map(({ message }) =>
      /CIDR (\S+) of node (\S+) .* of node (\S+):/.exec(message)?.slice(1, 4).join(" "),
    ),
  };
}

const table: [string, Readonly<Record<number, readonly string[]>>, Record<string, string[]>, string[]][] = [
  ["nothing of nobody", {}, {}, []],
  [
    "neighbouring ranges",
    { 1: ["10.0.0.0/24"], 2: ["10.0.1.0/24"] },
    { node1: ["10.0.0.0/24"], node2: ["10.0.1.0/24"] },
    [],
  ],
  ["a node without a range", { 1: ["10.0.0.0/24"], 2: [] }, { node1: ["10.0.0.0/24"] }, []],
  ["both families of a node", { 1: ["fd00::/64", "10.0.0.0/24"] }, { node1: ["10.0.0.0/24", "fd00::/64"] }, []],
  [
    "the same range twice",
    { 2: ["10.0.0.0/24"], 1: ["10.0.0.0/24"] },
    { node1: ["10.0.0.0/24"] },
    ["10.0.0.0/24 node2 node1"],
  ],
  [
    "a range inside an earlier node's",
    { 1: ["10.0.0.0/16"], 2: ["10.0.5.0/24"] },
    { node1: ["10.0.0.0/16"] },
    ["10.0.5.0/24 node2 node1"],
  ],
  [
    "a range around an earlier node's",
    { 1: ["10.0.5.0/24"], 2: ["10.0.0.0/16"] },
    { node1: ["10.0.5.0/24"] },
    ["10.0.0.0/16 node2 node1"],
  ],
  [
    "one family overlaps, the other does not",
    { 1: ["10.0.0.0/24", "fd00::/64"], 2: ["10.0.0.0/24", "fd00:0:0:1::/64"] },
    { node1: ["10.0.0.0/24", "fd00::/64"], node2: ["fd00:0:0:1::/64"] },
    ["10.0.0.0/24 node2 node1"],
  ],
  [
    "three of the same",
    { 1: ["10.0.0.0/24"], 2: ["10.0.0.0/24"], 3: ["10.0.0.0/24"] },
    { node1: ["10.0.0.0/24"] },
    ["10.0.0.0/24 node2 node1", "10.0.0.0/24 node3 node1"],
  ],
  [
    "a range that overlaps only one that lost itself",
    { 1: ["10.0.255.0/24"], 2: ["10.0.0.0/16"], 3: ["10.0.0.0/24"] },
    { node1: ["10.0.255.0/24"], node3: ["10.0.0.0/24"] },
    ["10.0.0.0/16 node2 node1"],
  ],
  [
    "a range around two that stand",
    { 1: ["10.0.1.0/24"], 2: ["10.0.2.0/24"], 3: ["10.0.0.0/16"] },
    { node1: ["10.0.1.0/24"], node2: ["10.0.2.0/24"] },
    ["10.0.0.0/16 node3 node1"],
  ],
  ["two ranges of one node", { 1: ["10.0.0.0/16", "10.0.0.0/24"] }, { node1: ["10.0.0.0/16", "10.0.0.0/24"] }, []],
];

for (const [name, claims, granted, lost] of table) {
  test(`claimPodCidrs() grants: ${name}`, () => {
    assert.deepEqual(claim(claims), { granted, lost });
  });
}

test("claimPodCidrs() says what is wrong, on which node, and what to do", () => {
  const { problems } = claimPodCidrs([node(1, [], ["10.0.0.0/24"]), node(2, [], ["10.0.0.0/24"])]);
  assert.deepEqual(problems, [
    {
      code: "BW_POD_CIDR_OVERLAP",
      object: "Node node2",
      message: "Pod CIDR 10.0.0.0/24 of node node2 is also that of node node1: not routed",
      remedy: "Delete and re-join node node2, so that it is given a range of its own",
    },
  ]);
});

test("claimPodCidrs() never grants two nodes the same address, whatever they claim", () => {
  let state = 7;
  const random = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >> 8) % below;
  };
  for (let round = 0; round < 300; round++) {
    const nodes = Array.from({ length: 8 }, (_, i) => {
      const length = 22 + random(5);
      const start = random(1 << (length - 20)) << (32 - length);
      return node(i, [], [`10.0.${(start >> 8) & 255}.${start & 255}/${length}`]);
    });
    const { byNode, problems } = claimPodCidrs(nodes);
    const owners = new Map<number, string>();
    for (const [owner, prefixes] of byNode) {
      for (const prefix of prefixes) {
        const [, c = "", d = "", length = ""] = /10\.0\.(\d+)\.(\d+)\/(\d+)/.exec(prefix) ?? [];
        const first = Number(c) * 256 + Number(d);
        for (let address = first; address < first + 2 ** (32 - Number(length)); address += 64) {
          assert.equal(owners.get(address), undefined, `${prefix} of ${owner}`);
          owners.set(address, owner);
        }
      }
    }
    assert.equal(byNode.size + problems.length, nodes.length, "each claim is granted or reported");
  }
});

test("claimPodCidrs() lets the older node keep its range, whatever the newcomer is called", () => {
  const old = {
    name: "node1",
    createdAt: "2026-01-01T00:00:00Z",
    internalIps: [],
    podCidrs: ["10.244.1.0/24"],
    labels: {},
  };
  const newcomer = { ...old, name: "aaa", createdAt: "2026-02-01T00:00:00Z", podCidrs: ["10.244.0.0/16"] };
  for (const nodes of [
    [old, newcomer],
    [newcomer, old],
  ]) {
    const { byNode, problems } = claimPodCidrs(nodes);
    assert.deepEqual([...byNode], [["node1", ["10.244.1.0/24"]]]);
    assert.deepEqual(
      problems.map(({ object }) => object),
      ["Node aaa"],
    );
  }
});
