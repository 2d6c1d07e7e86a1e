/** Tables of pools and Services, and who gets what. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { AddressPool, BalancedService } from "../../model/load-balancer.ts";
import { planAllocations } from "./allocate.ts";
import { aBalanced, aPool, labelled, namespaces } from "./testing/objects.ts";

const NAMESPACES = namespaces(["default", { team: "red" }], ["other", { team: "blue" }]);
const V4 = aPool("v4", ["192.0.2.1-192.0.2.3"]);
const V6 = aPool("v6", ["2001:db8::1-2001:db8::2"]);
const both = { families: [4, 6] } as const;
const shares = { sharingKey: "k" };
const port = (number: number, protocol: "TCP" | "UDP" = "TCP") => ({ ports: [{ protocol, port: number }] });
/** Younger by the number. */
const at = (day: number) => ({ createdAt: `2026-01-0${day}T00:00:00Z` });

function plan(pools: readonly AddressPool[], services: readonly BalancedService[]) {
  const { services: planned } = planAllocations({ services, pools, namespaces: NAMESPACES });
  return Object.fromEntries(
    Array.from(planned.values(), ({ service, ips, problems }) => [service.name, [ips, problems]]),
  );
}

const SECRET_PORT = "Service default/a has TCP port 80 of it";
const LED_ELSEWHERE =
  "Service default/a has it, and where traffic is led differs: both must have externalTrafficPolicy Cluster, or Local with the same selector";

type Expected = Record<string, readonly [ips: readonly string[], problems: readonly string[]]>;
const TABLE: readonly [string, readonly AddressPool[], readonly BalancedService[], Expected][] = [
  [
    "gives free addresses in order, to the oldest first",
    [V4],
    [aBalanced("b", at(2)), aBalanced("a", at(3))],
    {
      b: [["192.0.2.1"], []],
      a: [["192.0.2.2"], []],
    },
  ],
  [
    "of one age goes by name",
    [V4],
    [aBalanced("b"), aBalanced("a")],
    { a: [["192.0.2.1"], []], b: [["192.0.2.2"], []] },
  ],
  [
    "leaves an address where it is, whoever is older",
    [V4],
    [aBalanced("new", { ...at(9), held: ["192.0.2.1"] }), aBalanced("old", at(1))],
    {
      old: [["192.0.2.2"], []],
      new: [["192.0.2.1"], []],
    },
  ],
  [
    "gives one of each family, in the Service's order",
    [V4, V6],
    [aBalanced("a", { families: [6, 4] })],
    {
      a: [["2001:db8::1", "192.0.2.1"], []],
    },
  ],
  ["is content with one family where the Service is", [V4], [aBalanced("a", both)], { a: [["192.0.2.1"], []] }],
  [
    "gives nothing where the Service needs both families and one has none",
    [V4],
    [aBalanced("a", { ...both, needsAllFamilies: true })],
    {
      a: [
        [],
        [
          "no IPv6 address: no LoadBalancerPool gives IPv6 addresses to this Service, and ipFamilyPolicy is RequireDualStack",
        ],
      ],
    },
  ],
  [
    "takes back the family that a Service does not have any more",
    [V4, V6],
    [aBalanced("a", { held: ["192.0.2.1", "2001:db8::2"] })],
    {
      a: [["192.0.2.1"], []],
    },
  ],
  [
    "adds the family that came",
    [V4, V6],
    [aBalanced("a", { ...both, held: ["192.0.2.3"] })],
    { a: [["192.0.2.3", "2001:db8::1"], []] },
  ],
  [
    "says that a pool is used up",
    [aPool("p", ["192.0.2.1"])],
    [aBalanced("a"), aBalanced("b")],
    {
      a: [["192.0.2.1"], []],
      b: [[], ["no IPv4 address: LoadBalancerPool p has no free one"]],
    },
  ],
  [
    "says that there is no pool",
    [],
    [aBalanced("a")],
    { a: [[], ["no IPv4 address: no LoadBalancerPool gives IPv4 addresses to this Service"]] },
  ],
  [
    "goes on in the next pool",
    [aPool("a", ["192.0.2.1"]), aPool("b", ["192.0.2.9"])],
    [aBalanced("a"), aBalanced("b")],
    {
      a: [["192.0.2.1"], []],
      b: [["192.0.2.9"], []],
    },
  ],
  [
    "keeps what a pool that shrank gave, and says so",
    [V4],
    [aBalanced("a", { held: ["198.51.100.1"] })],
    {
      a: [["198.51.100.1"], ["it keeps 198.51.100.1, which no LoadBalancerPool gives out any more"]],
    },
  ],
  [
    "keeps what a pool gave that is only for others now",
    [{ ...V4, services: labelled("x", "y") }],
    [aBalanced("a", { held: ["192.0.2.2"] })],
    {
      a: [["192.0.2.2"], []],
    },
  ],
  [
    "gives no address that somebody else gave another Service",
    [V4],
    [aBalanced("cloud", { isOurs: false, held: ["192.0.2.1"], ...at(9) }), aBalanced("a")],
    {
      a: [["192.0.2.2"], []],
    },
  ],
  [
    "takes an address from the younger of two that have it",
    [V4],
    [aBalanced("a", { held: ["192.0.2.1"], ...at(1) }), aBalanced("b", { held: ["192.0.2.1"], ...at(2) })],
    {
      a: [["192.0.2.1"], []],
      b: [["192.0.2.2"], ["it lost 192.0.2.1: Service default/a has it"]],
    },
  ],

  [
    "leaves out .0 and .255 where it is told to",
    [aPool("p", ["192.0.1.254-192.0.2.1"], { avoidBuggyIps: true })],
    [aBalanced("a"), aBalanced("b"), aBalanced("c")],
    {
      a: [["192.0.1.254"], []],
      b: [["192.0.2.1"], []],
      c: [[], ["no IPv4 address: LoadBalancerPool p has no free one"]],
    },
  ],
  [
    "gives out .255 and .0 otherwise",
    [aPool("p", ["192.0.1.255-192.0.2.0"])],
    [aBalanced("a"), aBalanced("b")],
    {
      a: [["192.0.1.255"], []],
      b: [["192.0.2.0"], []],
    },
  ],

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

  [
    "puts those that share together, whatever is free",
    [V4],
    [
      aBalanced("a", { ...shares, ...at(1) }),
      aBalanced("b", { ...shares, ...port(81), ...at(2) }),
      aBalanced("c", { ...shares, ...port(80, "UDP"), ...at(3) }),
    ],
    {
      a: [["192.0.2.1"], []],
      b: [["192.0.2.1"], []],
      c: [["192.0.2.1"], []],
    },
  ],
  [
    "gives another address where ports are the same",
    [V4],
    [aBalanced("a", shares), aBalanced("b", shares)],
    { a: [["192.0.2.1"], []], b: [["192.0.2.2"], []] },
  ],
  [
    "refuses a pinned address for a port that is taken",
    [V4],
    [aBalanced("a", { ...shares, held: ["192.0.2.1"] }), aBalanced("b", { ...shares, wantedIps: ["192.0.2.1"] })],
    {
      a: [["192.0.2.1"], []],
      b: [[], [`it cannot have 192.0.2.1: ${SECRET_PORT}`]],
    },
  ],
  [
    "refuses to share with another key",
    [V4],
    [
      aBalanced("a", { ...shares, held: ["192.0.2.1"] }),
      aBalanced("b", { ...port(81), sharingKey: "l", wantedIps: ["192.0.2.1"] }),
    ],
    {
      a: [["192.0.2.1"], []],
      b: [[], ['it cannot have 192.0.2.1: Service default/a has it and shares it under "k"']],
    },
  ],
  [
    "refuses to share where the holder does not",
    [V4],
    [aBalanced("a", { held: ["192.0.2.1"] }), aBalanced("b", { ...shares, ...port(81), wantedIps: ["192.0.2.1"] })],
    {
      a: [["192.0.2.1"], []],
      b: [[], ["it cannot have 192.0.2.1: Service default/a has it and does not share it"]],
    },
  ],
  [
    "refuses to share where the newcomer does not",
    [V4],
    [aBalanced("a", { ...shares, held: ["192.0.2.1"] }), aBalanced("b", { ...port(81), wantedIps: ["192.0.2.1"] })],
    {
      a: [["192.0.2.1"], []],
      b: [[], ["it cannot have 192.0.2.1: Service default/a has it"]],
    },
  ],
  [
    "refuses to share between Cluster and Local",
    [V4],
    [
      aBalanced("a", { ...shares, held: ["192.0.2.1"] }),
      aBalanced("b", { ...shares, ...port(81), externalPolicy: "Local", wantedIps: ["192.0.2.1"] }),
    ],
    {
      a: [["192.0.2.1"], []],
      b: [[], [`it cannot have 192.0.2.1: ${LED_ELSEWHERE}`]],
    },
  ],
  [
    "shares between Local ones that select the same pods",
    [V4],
    [
      aBalanced("a", { ...shares, externalPolicy: "Local", selector: "x=y" }),
      aBalanced("b", { ...shares, ...port(81), externalPolicy: "Local", selector: "x=y" }),
      aBalanced("c", { ...shares, ...port(82), externalPolicy: "Local", selector: "x=z" }),
    ],
    {
      a: [["192.0.2.1"], []],
      b: [["192.0.2.1"], []],
      c: [["192.0.2.2"], []],
    },
  ],
  [
    "parts those that share no more",
    [V4],
    [aBalanced("a", { ...shares, held: ["192.0.2.1"] }), aBalanced("b", { ...shares, held: ["192.0.2.1"] })],
    {
      a: [["192.0.2.1"], []],
      b: [["192.0.2.2"], [`it lost 192.0.2.1: ${SECRET_PORT}`]],
    },
  ],
  [
    "shares no address of a pool that is for others",
    [aPool("p", ["192.0.2.1"], { services: labelled("x", "y") }), aPool("q", ["192.0.2.2"])],
    [aBalanced("a", { ...shares, labels: { x: "y" } }), aBalanced("b", { ...shares, ...port(81) })],
    {
      a: [["192.0.2.1"], []],
      b: [["192.0.2.2"], []],
    },
  ],
];

for (const [name, pools, services, expected] of TABLE) {
  test(`planAllocations() ${name}`, () => assert.deepEqual(plan(pools, services), expected));
}

test("planAllocations() counts what pools have, and tells which overlap", () => {
  const pools = [
    aPool("a", ["192.0.2.0-192.0.2.255", "192.0.2.10-192.0.2.20", "2001:db8::-2001:db8::ffff:ffff:ffff:ffff"], {
      avoidBuggyIps: true,
    }),
    aPool("b", ["192.0.2.255-192.0.3.0"], { problems: ["spec.x: y"] }),
  ];
  const held = { held: ["192.0.2.7"], ...shares };
  const services = [
    aBalanced("a", held),
    aBalanced("b", { ...held, ...port(81) }),
    aBalanced("c", { ...both, held: ["2001:db8::5"] }),
  ];
  const planned = planAllocations({ services, pools, namespaces: NAMESPACES });
  assert.deepEqual(planned.services.get("default/c")?.ips, ["192.0.2.1", "2001:db8::5"]);
  const [a, b] = [planned.pools.get("a"), planned.pools.get("b")];
  assert.deepEqual(a?.assigned, { ipv4: 2, ipv6: 1 });
  assert.deepEqual(a?.available, { ipv4: 252, ipv6: Number.MAX_SAFE_INTEGER });
  assert.deepEqual(b?.available, { ipv4: 2, ipv6: 0 });
  assert.deepEqual(a?.problems, ["192.0.2.0-192.0.2.255 overlaps LoadBalancerPool b: no address is given out twice"]);
  assert.deepEqual(b?.problems, [
    "spec.x: y",
    "192.0.2.255-192.0.3.0 overlaps LoadBalancerPool a: no address is given out twice",
  ]);
});

test("planAllocations() gives 10,000 Services their addresses in well under a second", () => {
  const services = Array.from({ length: 10_000 }, (_, i) => aBalanced(`s${i}`, both));
  const pools = [aPool("p", ["10.0.0.0-10.0.255.255", "2001:db8::-2001:db8::ffff:ffff:ffff:ffff"])];
  const start = performance.now();
  const planned = planAllocations({ services, pools, namespaces: NAMESPACES });
  const tookMs = performance.now() - start;
  assert.equal(new Set(Array.from(planned.services.values(), ({ ips }) => ips).flat()).size, 20_000);
  assert.ok(tookMs < 3000, `it took ${tookMs} ms`);
});
