/** Every field of a LoadBalancerPool, and what becomes of bad ones. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonObject } from "./json.ts";
import { parseLoadBalancerPool } from "./parse-load-balancer-pool.ts";
import { parseRun } from "./testing/parse-run.ts";

const pool = (spec: unknown, more: JsonObject = {}): JsonObject => ({
  metadata: { name: "p", uid: "u", generation: 3 },
  spec,
  ...more,
});
const one = ["192.0.2.1-192.0.2.1"];
const run = (spec: unknown) => parseRun(parseLoadBalancerPool, pool(spec));

test("parseLoadBalancerPool() reads every field", () => {
  const spec = {
    addresses: ["192.0.2.0/30", " 198.51.100.7 - 198.51.100.9 ", "2001:DB8::/126", "192.0.2.77/30"],
    autoAssign: false,
    avoidBuggyIPs: true,
    namespaceSelector: { matchLabels: { team: "red" } },
    serviceSelector: {},
  };
  const condition = { type: "Usable", status: "True", message: "m", observedGeneration: 2, lastTransitionTime: "t" };
  const status = { assignedIPv4: 1, availableIPv4: 2, availableIPv6: 3, conditions: [{ type: "Other" }, condition] };
  const { value, reports } = parseRun(parseLoadBalancerPool, pool(spec, { status }));
  assert.deepEqual(reports, []);
  const { type: _, ...usable } = condition;
  assert.deepEqual(value, {
    name: "p",
    uid: "u",
    generation: 3,
    ranges: [
      { first: "192.0.2.0", last: "192.0.2.3" },
      { first: "198.51.100.7", last: "198.51.100.9" },
      { first: "2001:db8::", last: "2001:db8::3" },
      { first: "192.0.2.76", last: "192.0.2.79" },
    ],
    autoAssign: false,
    avoidBuggyIps: true,
    namespaces: [{ key: "team", operator: "In", values: ["red"] }],
    services: [],
    status: { assigned: { ipv4: 1, ipv6: 0 }, available: { ipv4: 2, ipv6: 3 }, usable },
  });
});

test("parseLoadBalancerPool() is for everybody, and gives addresses unasked, unless it says otherwise", () => {
  const { value } = run({ addresses: one });
  assert.deepEqual(
    [value.autoAssign, value.avoidBuggyIps, value.namespaces, value.services, value.status],
    [true, false, undefined, undefined, undefined],
  );
});

const BAD: readonly (readonly [unknown, string])[] = [
  ["192.0.2.1", 'spec.addresses[0]: "192.0.2.1" is no CIDR'],
  ["192.0.2.0/33", 'spec.addresses[0]: "192.0.2.0/33" is no CIDR'],
  ["", 'spec.addresses[0]: "" is no CIDR'],
  [7, "spec.addresses[0]: expected a string, found a number"],
  [null, "spec.addresses[0]: expected a string, found null"],
  ["192.0.2.9-192.0.2.1", 'spec.addresses[0]: "192.0.2.9-192.0.2.1" ends before it begins'],
  ["192.0.2.9-2001:db8::", 'spec.addresses[0]: "192.0.2.9-2001:db8::" begins with IPv4 and ends with IPv6'],
  ["192.0.2.1-2-3", 'spec.addresses[0]: "192.0.2.1-2-3" is no range: it has 3 ends'],
  ["192.0.2.1-", 'spec.addresses[0]: "" is no IP address'],
  [
    "0.0.0.0/0",
    'spec.addresses[0]: "0.0.0.0/0" has addresses of 0.0.0.0/8, which no Service can have: it gives out nothing',
  ],
  ["::/0", 'spec.addresses[0]: "::/0" has addresses of ::/127, which no Service can have: it gives out nothing'],
  [
    "126.0.0.1-128.0.0.1",
    'spec.addresses[0]: "126.0.0.1-128.0.0.1" has addresses of 127.0.0.0/8, which no Service can have: it gives out nothing',
  ],
  [
    "239.1.0.0/16",
    'spec.addresses[0]: "239.1.0.0/16" has addresses of 224.0.0.0/3, which no Service can have: it gives out nothing',
  ],
  [
    "fe80::/64",
    'spec.addresses[0]: "fe80::/64" has addresses of fe80::/10, which no Service can have: it gives out nothing',
  ],
];
for (const [address, report] of BAD) {
  test(`parseLoadBalancerPool() leaves out ${JSON.stringify(address)}, and keeps the rest`, () => {
    const { value, reports } = run({ addresses: [address, ...one] });
    assert.deepEqual([value.ranges, reports], [[{ first: "192.0.2.1", last: "192.0.2.1" }], [report]]);
  });
}

test("parseLoadBalancerPool() reports a pool without addresses", () => {
  for (const spec of [undefined, {}, { addresses: [] }]) {
    const { value, reports } = run(spec);
    assert.deepEqual([value.ranges, reports], [[], ["spec.addresses: there are none: the pool gives out nothing"]]);
  }
  assert.equal(run({ addresses: "10.0.0.0/8" }).reports[0], "spec.addresses: expected a list, found a string");
});

test("parseLoadBalancerPool() is for nobody when it cannot tell for whom it is", () => {
  const { value, reports } = run({
    addresses: one,
    namespaceSelector: "red",
    serviceSelector: { matchLabels: { a: 1 } },
  });
  const nobody = ["DoesNotExist", "Exists"];
  assert.deepEqual(
    value.namespaces?.map(({ operator }) => operator),
    nobody,
  );
  assert.deepEqual(
    value.services?.map(({ operator }) => operator),
    nobody,
  );
  assert.deepEqual(reports, [
    "spec.namespaceSelector: it is no selector: the pool is for nobody",
    'spec.serviceSelector.matchLabels["a"]: expected a string, found a number: the pool is for nobody',
  ]);
});

test("parseLoadBalancerPool() gives out less, not more, where a switch is neither yes nor no", () => {
  const { value, reports } = run({ addresses: one, autoAssign: "yes", avoidBuggyIPs: 1 });
  assert.deepEqual([value.autoAssign, value.avoidBuggyIps], [false, true]);
  assert.deepEqual(reports, [
    "spec.autoAssign: expected true or false, found a string",
    "spec.avoidBuggyIPs: expected true or false, found a number",
  ]);
});
