import assert from "node:assert/strict";
import { test } from "node:test";
import { at } from "../api/object/object.ts";
import { chooseCidrs } from "./node-ipam.ts";
import { startLab } from "./test-lab.ts";

const V4 = ["10.244.0.0/16"];
const DUAL = ["10.244.0.0/16", "fd00:10:244::/48"];

const CASES: readonly { name: string; node: string; ranges: string[]; used: string[]; cidrs: string[] | undefined }[] =
  [
    { name: "node3 has number 3", node: "node3", ranges: V4, used: [], cidrs: ["10.244.3.0/24"] },
    { name: "both families", node: "node3", ranges: DUAL, used: [], cidrs: ["10.244.3.0/24", "fd00:10:244:3::/64"] },
    {
      name: "both families read the same",
      node: "node12",
      ranges: DUAL,
      used: [],
      cidrs: ["10.244.12.0/24", "fd00:10:244:12::/64"],
    },
    {
      name: "other names take the next free one",
      node: "worker",
      ranges: V4,
      used: ["10.244.1.0/24"],
      cidrs: ["10.244.2.0/24"],
    },
    {
      name: "a number that is taken gives way",
      node: "node1",
      ranges: V4,
      used: ["10.244.1.0/24"],
      cidrs: ["10.244.2.0/24"],
    },
    { name: "a number outside the range gives way", node: "node999", ranges: V4, used: [], cidrs: ["10.244.1.0/24"] },
    { name: "number 0 comes last", node: "b", ranges: ["10.0.0.0/23"], used: ["10.0.1.0/24"], cidrs: ["10.0.0.0/24"] },
    { name: "a full range", node: "c", ranges: ["10.0.0.0/24"], used: ["10.0.0.0/24"], cidrs: undefined },
    { name: "a range smaller than a node's", node: "a", ranges: ["10.0.0.0/28"], used: [], cidrs: ["10.0.0.0/28"] },
  ];

for (const { name, node, ranges, used, cidrs } of CASES) {
  test(`chooseCidrs() ${name}`, () => assert.deepEqual(chooseCidrs(node, ranges, used), cidrs));
}

test("node IPAM gives every node its CIDRs, leaves given ones, and reuses those of nodes that are gone", async (context) => {
  const lab = startLab(context, { clusterCidrs: ["10.0.0.0/23"] });
  lab.node("own", { spec: { podCIDR: "172.16.0.0/24" } });
  for (const name of ["node1", "other", "late"]) lab.node(name);
  await lab.settle();
  const cidrs = (name: string) => at(lab.store.get("nodes", undefined, name), "spec", "podCIDRs");
  assert.deepEqual(["own", "node1", "other", "late"].map(cidrs), [
    ["172.16.0.0/24"],
    ["10.0.1.0/24"],
    ["10.0.0.0/24"],
    undefined,
  ]);
  assert.ok(lab.store.list("events").some((event) => event["reason"] === "CIDRNotAvailable"));
  lab.store.delete("nodes", undefined, "node1");
  await lab.settle();
  assert.deepEqual(cidrs("late"), ["10.0.1.0/24"]);
});
