/** What Services ask for: addresses, pools, and what of it they get. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type AllocationRow, allocated, at, both, V4, V6 } from "./testing/allocation-table.ts";
import { aBalanced, aPool, labelled } from "./testing/objects.ts";

const TABLE: readonly AllocationRow[] = [
  [
    "gives the address that is asked for",
    [V4],
    [aBalanced("a", { wantedIps: ["192.0.2.3"] })],
    { a: [["192.0.2.3"], []] },
  ],
  [
    "fills up the family that nothing is asked for of",
    [V4, V6],
    [aBalanced("a", { ...both, wantedIps: ["192.0.2.3"] })],
    { a: [["192.0.2.3", "2001:db8::1"], []] },
  ],
  [
    "gives it from a pool that gives nobody else anything",
    [{ ...V4, autoAssign: false }],
    [aBalanced("a", { wantedIps: ["192.0.2.3"] }), aBalanced("b")],
    {
      a: [["192.0.2.3"], []],
      b: [[], ["no IPv4 address: no LoadBalancerPool gives IPv4 addresses to this Service"]],
    },
  ],
  [
    "puts it in the place of what the Service had",
    [V4],
    [aBalanced("a", { held: ["192.0.2.1"], wantedIps: ["192.0.2.3"] }), aBalanced("b")],
    {
      a: [["192.0.2.3"], []],
      b: [["192.0.2.1"], []],
    },
  ],
  [
    "keeps the old one while that cannot be had",
    [V4],
    [
      aBalanced("a", { held: ["192.0.2.1"], wantedIps: ["192.0.2.3"] }),
      aBalanced("b", { held: ["192.0.2.3"], ...at(9) }),
    ],
    {
      a: [["192.0.2.1"], ["it cannot have 192.0.2.3: Service default/b has it; it keeps 192.0.2.1"]],
      b: [["192.0.2.3"], []],
    },
  ],
  [
    "gives what another leaves for what it asks for, in one step",
    [V4],
    [
      aBalanced("a", { held: ["192.0.2.1"], wantedIps: ["192.0.2.2"] }),
      aBalanced("b", { held: ["192.0.2.2"], wantedIps: ["192.0.2.3"] }),
    ],
    { a: [["192.0.2.2"], []], b: [["192.0.2.3"], []] },
  ],
  [
    "leaves two as they are that ask for what the other has",
    [V4],
    [
      aBalanced("a", { held: ["192.0.2.1"], wantedIps: ["192.0.2.2"] }),
      aBalanced("b", { held: ["192.0.2.2"], wantedIps: ["192.0.2.1"] }),
    ],
    {
      a: [["192.0.2.1"], ["it cannot have 192.0.2.2: Service default/b has it; it keeps 192.0.2.1"]],
      b: [["192.0.2.2"], ["it cannot have 192.0.2.1: Service default/a has it; it keeps 192.0.2.2"]],
    },
  ],
  [
    "gives the older of two what both ask for",
    [V4],
    [aBalanced("b", { wantedIps: ["192.0.2.2"], ...at(1) }), aBalanced("a", { wantedIps: ["192.0.2.2"], ...at(2) })],
    {
      b: [["192.0.2.2"], []],
      a: [[], ["it cannot have 192.0.2.2: Service default/b has it"]],
    },
  ],
  [
    "gives nothing that no pool has",
    [V4],
    [aBalanced("a", { wantedIps: ["192.0.2.9"] })],
    { a: [[], ["it cannot have 192.0.2.9: no LoadBalancerPool gives it out"]] },
  ],
  [
    "gives nothing that a pool avoids",
    [aPool("p", ["192.0.2.0-192.0.2.9"], { avoidBuggyIps: true })],
    [aBalanced("a", { wantedIps: ["192.0.2.0"] })],
    {
      a: [[], ["it cannot have 192.0.2.0: no LoadBalancerPool gives it out"]],
    },
  ],
  [
    "gives nothing of a pool that is for others",
    [{ ...V4, namespaces: labelled("team", "blue") }],
    [aBalanced("a", { wantedIps: ["192.0.2.2"] })],
    {
      a: [[], ["it cannot have 192.0.2.2: it is of LoadBalancerPool v4, which is not for this Service"]],
    },
  ],
  [
    "gives no family that the Service does not have",
    [V4, V6],
    [aBalanced("a", { wantedIps: ["2001:db8::1"] })],
    {
      a: [["192.0.2.1"], ["it cannot have 2001:db8::1: the Service has no IPv6 (spec.ipFamilies)"]],
    },
  ],
  [
    "gives nothing new to a Service whose wishes nobody understands",
    [V4],
    [
      aBalanced("a", { problems: ["spec.loadBalancerIP: x"] }),
      aBalanced("b", { problems: ["y"], held: ["192.0.2.2"] }),
    ],
    {
      a: [[], ["spec.loadBalancerIP: x"]],
      b: [["192.0.2.2"], ["y"]],
    },
  ],

  [
    "goes by the pool's name",
    [V4, aPool("w", ["192.0.2.9"], { autoAssign: false })],
    [aBalanced("a", { wantedPool: "w" })],
    { a: [["192.0.2.9"], []] },
  ],
  [
    "says that there is no such pool",
    [V4],
    [aBalanced("a", { wantedPool: "w" })],
    { a: [[], ["no IPv4 address: there is no LoadBalancerPool w"]] },
  ],
  [
    "says that the pool is for others",
    [{ ...V4, namespaces: labelled("team", "blue") }],
    [aBalanced("a", { wantedPool: "v4" })],
    {
      a: [[], ["no IPv4 address: LoadBalancerPool v4 is not for this Service"]],
    },
  ],
  [
    "says that the pool has no such family",
    [V6],
    [aBalanced("a", { wantedPool: "v6" })],
    { a: [[], ["no IPv4 address: LoadBalancerPool v6 has none of this family"]] },
  ],
  [
    "goes by labels of Services and namespaces, and takes such pools first",
    [
      aPool("a-all", ["192.0.2.1"]),
      aPool("blue", ["192.0.2.2"], { namespaces: labelled("team", "blue") }),
      aPool("web", ["192.0.2.3"], { namespaces: labelled("team", "red"), services: labelled("app", "web") }),
    ],
    [aBalanced("b", { namespace: "other" }), aBalanced("w", { labels: { app: "web" } }), aBalanced("z")],
    {
      b: [["192.0.2.2"], []],
      w: [["192.0.2.3"], []],
      z: [["192.0.2.1"], []],
    },
  ],
  [
    "gives a Service nothing of a pool for namespaces while its own is not known",
    [aPool("p", ["192.0.2.2"], { namespaces: [] })],
    [aBalanced("a", { namespace: "gone" })],
    {
      a: [[], ["no IPv4 address: no LoadBalancerPool gives IPv4 addresses to this Service"]],
    },
  ],
];
for (const [name, pools, services, expected] of TABLE) {
  test(`planAllocations() ${name}`, () => assert.deepEqual(allocated(pools, services), expected));
}
