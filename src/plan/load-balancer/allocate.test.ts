/** What Services have, what is free, and who shares. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { countedReads } from "../testing/counted-reads.ts";
import { planAllocations } from "./allocate.ts";
import { Claims } from "./claims.ts";
import {
  type AllocationRow,
  allocated,
  at,
  both,
  NAMESPACES,
  port,
  shares,
  V4,
  V6,
} from "./testing/allocation-table.ts";
import { aBalanced, aPool, labelled } from "./testing/objects.ts";

const SECRET_PORT = "Service default/a has TCP port 80 of it";
const LED_ELSEWHERE =
  "Service default/a has it, and where traffic is led differs: both must have externalTrafficPolicy Cluster, or Local with the same selector";

const TABLE: readonly AllocationRow[] = [
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
  test(`planAllocations() ${name}`, () => assert.deepEqual(allocated(pools, services), expected));
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

test("planAllocations() gives thousands of Services their addresses with as much work for each as for a few", (t) => {
  let looks = 0;
  const { isTaken } = Claims.prototype;
  t.after(() => {
    Claims.prototype.isTaken = isTaken;
  });
  Claims.prototype.isTaken = function (ip) {
    looks++;
    return isTaken.call(this, ip);
  };
  const effort = (count: number) => {
    const services = countedReads(Array.from({ length: count }, (_, i) => aBalanced(`s${i}`, both)));
    const pools = countedReads([aPool("p", ["10.0.0.0-10.0.255.255", "2001:db8::-2001:db8::ffff:ffff:ffff:ffff"])]);
    looks = 0;
    const planned = planAllocations({ services: services.value, pools: pools.value, namespaces: NAMESPACES });
    assert.equal(new Set(Array.from(planned.services.values(), ({ ips }) => ips).flat()).size, 2 * count);
    return { reads: (services.count() + pools.count()) / count, looks: looks / count };
  };
  const [few, many] = [effort(100), effort(5000)];
  // They are sorted: each is compared with twice as many others.
  assert.ok(many.reads < 3 * few.reads, `${few.reads} reads a Service, then ${many.reads}`);
  assert.ok(many.looks < 2 * few.looks, `${few.looks} looks at addresses a Service, then ${many.looks}`);
});
