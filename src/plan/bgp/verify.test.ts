import assert from "node:assert/strict";
import { test } from "node:test";
import type { PlannedPath } from "../../model/state.ts";
import { type Accounts, compareAccounts } from "./verify.ts";

const path = (number: number) =>
  ({ node: `node${number}`, mode: "bgp", podCidrs: [`10.244.${number}.0/24`] }) as unknown as PlannedPath;
const agreed: Accounts = {
  paths: [path(2), path(3)],
  bird: new Map([
    ["10.98.0.0/16", []],
    ["10.244.2.0/24", ["192.168.1.2"]],
    ["10.244.3.0/24", ["192.168.1.3", "192.168.1.4"]],
    ["172.16.0.0/12", ["192.168.1.254"]],
  ]),
  kernel: new Map<string, readonly string[]>([
    ["10.98.0.0/16", []],
    ["10.244.2.0/24", ["192.168.1.2"]],
    ["10.244.3.0/24", ["192.168.1.3", "192.168.1.4"]],
    ["172.16.0.0/12", ["192.168.1.254"]],
  ]),
};

test("compareAccounts() finds nothing where API, BIRD and kernel agree, also of what the operator allowed beside", () => {
  assert.deepEqual(compareAccounts(agreed), []);
});

test("compareAccounts() names each prefix on which they differ, and what each of them says", () => {
  const bird = new Map(agreed.bird);
  const kernel = new Map(agreed.kernel);
  bird.delete("10.244.2.0/24");
  kernel.delete("172.16.0.0/12");
  kernel.set("10.98.0.0/16", ["192.168.1.9"]);
  kernel.set("10.99.0.0/16", ["192.168.1.9"]);
  bird.set("10.244.3.0/24", ["192.168.1.3"]);
  assert.deepEqual(
    compareAccounts({ ...agreed, bird, kernel, paths: [...agreed.paths, path(4)] }).map(({ prefix, ...says }) => [
      prefix,
      says.api,
      says.bird,
      says.kernel,
    ]),
    [
      ["10.98.0.0/16", null, "unreachable", "via 192.168.1.9"],
      ["10.99.0.0/16", null, null, "via 192.168.1.9"],
      ["10.244.2.0/24", "Node node2", null, "via 192.168.1.2"],
      ["10.244.3.0/24", "Node node3", "via 192.168.1.3", "via 192.168.1.3, 192.168.1.4"],
      ["10.244.4.0/24", "Node node4", null, null],
      ["172.16.0.0/12", null, "via 192.168.1.254", null],
    ],
  );
});

test("compareAccounts() asks nothing of BIRD for nodes that this one has routes of its own to", () => {
  const own = { ...path(4), mode: "vxlan" } as PlannedPath;
  assert.deepEqual(compareAccounts({ ...agreed, paths: [...agreed.paths, own] }), []);
});
