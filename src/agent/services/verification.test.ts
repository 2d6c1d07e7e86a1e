/** Whatever somebody changes in our tables is found, named and repaired. Row svc-14. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SERVICE_TABLES } from "../../model/marks.ts";
import type { NftSet } from "../../model/nft.ts";
import type { NftChange } from "../../model/nft-changes.ts";
import { planServiceSets } from "../../plan/services/table.ts";
import { anEndpoint, aService, aSlice, tcp80 } from "../../plan/services/testing/objects.ts";
import { ProxyRig, type ServiceState } from "./testing/proxy-rig.ts";

const TABLE = SERVICE_TABLES[4];
const everything: ServiceState = {
  services: [
    aService({
      type: "LoadBalancer",
      clusterIps: ["10.96.0.10", "fd00:10:96::a"],
      ports: [
        { ...tcp80, nodePort: 30080 },
        { name: "dns", protocol: "UDP", port: 53 },
      ],
      loadBalancerIps: ["203.0.113.9"],
      externalIps: ["198.51.100.7"],
      sourceRanges: ["10.0.0.0/8"],
      externalPolicy: "Local",
      affinitySeconds: 10,
    }),
    aService({ name: "empty", type: "NodePort", clusterIps: ["10.96.0.11"], ports: [{ ...tcp80, nodePort: 30081 }] }),
  ],
  slices: [
    aSlice([anEndpoint("10.244.1.5", { nodeName: "node1" }), anEndpoint("10.244.2.6", { nodeName: "node2" })]),
    aSlice([anEndpoint("fd00:10:244:1::5", { nodeName: "node1" })], { name: "web-6" }),
  ],
};

async function serving(state: ServiceState = everything): Promise<ProxyRig> {
  const rig = new ProxyRig();
  rig.start(state);
  await rig.settle();
  rig.operations();
  return rig;
}

/** Sets of the kernel's table that somebody may spoil; packets fill `affinity`. */
async function filledSets(): Promise<NftSet[]> {
  using rig = await serving();
  const table = rig.other.nftables.table(TABLE);
  return (table?.sets ?? []).filter(({ elements }) => elements.length > 0) as NftSet[];
}
const sets = await filledSets();

/** The same key with other data, or undefined where an element has none. */
function altered(set: NftSet, element: string): string | undefined {
  if (set.data === undefined) return undefined;
  if (set.data === "verdict") return element.replace(/ : .*$/, " : drop");
  return element.replace(/ : .*$/, element.includes("fd00") ? " : fd00::1 . 1" : " : 192.0.2.1 . 1");
}

/** An element that nobody asked for. */
function extra({ data, key, interval }: NftSet): string {
  const parts = (typeof key === "string" ? [key] : key).map((part): string => {
    if (part === "ipv4_addr") return "192.0.2.77";
    if (part === "inet_proto") return "tcp";
    return part === "index" ? "0" : "77";
  });
  const text = `${parts.join(" . ")}${interval ? "/32" : ""}`;
  if (data === undefined) return text;
  return `${text} : ${data === "verdict" ? "drop" : "192.0.2.1 . 1"}`;
}

type Damage = readonly [string, readonly NftChange[]];

function damages(): Damage[] {
  return sets.flatMap((set): Damage[] => [
    ...set.elements.flatMap((element): Damage[] => {
      const other = altered(set, element);
      const missing: Damage = [`${set.name} lacks ${element}`, [{ do: "deleteElements", set, elements: [element] }]];
      if (other === undefined || other === element) return [missing];
      const steps = [...missing[1], { do: "addElements", set, elements: [other] } as const];
      return [missing, [`${set.name} has ${other}`, steps]];
    }),
    [`${set.name} has ${extra(set)} too`, [{ do: "addElements", set, elements: [extra(set)] }]],
  ]);
}

test("there is something in each set that can be spoilt", () => {
  const plain = planServiceSets(4, false).filter(({ dynamic }) => dynamic === undefined);
  assert.deepEqual(sets.map(({ name }) => name).sort(), plain.map(({ name }) => name).sort());
});

for (const [name, steps] of damages()) {
  test(`verify() finds and repairs: ${name}`, async () => {
    using rig = await serving();
    const whole = rig.tables();
    rig.other.nftables.commit(TABLE, steps);
    assert.notDeepEqual(rig.tables(), whole);
    const { differences, elements } = await rig.proxy.verify();
    assert.ok(differences.length > 0 && elements > 0);
    for (const { set } of differences) assert.match(set, /^ip breakwater /);
    assert.equal(rig.proxy.failure, undefined);
    await rig.elapse(3000);
    assert.deepEqual(rig.tables(), whole);
    assert.deepEqual((await rig.proxy.verify()).differences, []);
  });
}

const rule = { statements: [{ verdict: "drop" }] } as const;
const hook = { type: "filter", hook: "forward", priority: -1, policy: "accept" } as const;
const structural: Damage[] = [
  ["the table is gone", [{ do: "deleteTable" }]],
  ["a chain is emptied", [{ do: "flushChain", chain: "prerouting" }]],
  ["a rule is added to our chain", [{ do: "addRule", chain: "filter", rule }]],
  [
    "a chain is replaced",
    [
      { do: "flushChain", chain: "lb-2" },
      { do: "addRule", chain: "lb-2", rule },
    ],
  ],
  ["a chain is added", [{ do: "addChain", chain: { name: "stranger" } }]],
  [
    "a chain is added that drops",
    [
      { do: "addChain", chain: { name: "stranger", base: hook } },
      { do: "addRule", chain: "stranger", rule },
    ],
  ],
  ["a set is added", [{ do: "addSet", set: { name: "strange", key: "ipv4_addr", interval: false, elements: [] } }]],
];
for (const [name, steps] of structural) {
  test(`verify() finds and repairs: ${name}`, async () => {
    using rig = await serving();
    const whole = rig.tables();
    rig.other.nftables.commit(TABLE, steps);
    const { differences } = await rig.proxy.verify();
    assert.ok(differences.length > 0);
    await rig.elapse(3000);
    assert.deepEqual(rig.tables(), whole);
    assert.deepEqual((await rig.proxy.verify()).differences, []);
  });
}

test("verify() names the Service, what the API asks for and what the kernel has", async () => {
  using rig = await serving();
  const set = sets.find(({ name }) => name === "endpoints") as NftSet;
  const [before, after] = [
    "203.0.113.9 . tcp . 80 . 0 : 10.244.1.5 . 8080",
    "203.0.113.9 . tcp . 80 . 0 : 10.244.9.9 . 1",
  ];
  rig.other.nftables.commit(TABLE, [
    { do: "deleteElements", set, elements: [before] },
    { do: "addElements", set, elements: [after] },
  ]);
  assert.deepEqual((await rig.proxy.verify()).differences, [
    {
      set: "ip breakwater endpoints",
      service: "default/web:http",
      api: "203.0.113.9 . tcp . 80 : 10.244.1.5 . 8080",
      kernel: "203.0.113.9 . tcp . 80 : 10.244.9.9 . 1",
    },
  ]);
});

test("svc-14 what somebody deletes is back within a tenth of a second: an event says so", async () => {
  using rig = await serving();
  const whole = rig.tables();
  for (const [, steps] of [...structural.slice(0, 3), ...damages().slice(0, 3)]) {
    rig.other.nftables.commit(TABLE, steps);
    await rig.elapse(100);
    assert.deepEqual(rig.tables(), whole);
  }
});

test("svc-14 what no event told of is back within three minutes and a half", async () => {
  using rig = await serving();
  const whole = rig.tables();
  rig.other.nftables.commit(TABLE, [{ do: "flushChain", chain: "services" }]);
  // The comparison that the event asks for cannot read.
  rig.host.failures.fail({ operation: "table", errno: "ENOBUFS" });
  await rig.elapse(1000);
  assert.notDeepEqual(rig.tables(), whole);
  await rig.elapse(210_000);
  assert.deepEqual(rig.tables(), whole);
});

test("what is changed while a comparison is under way is found by the next one", async () => {
  using rig = await serving();
  const whole = rig.tables();
  const under = rig.proxy.verify();
  rig.other.nftables.commit(TABLE, [{ do: "flushChain", chain: "services" }]);
  await under;
  await rig.elapse(200);
  assert.deepEqual(rig.tables(), whole);
});

test("what waits for its deletion is no difference", async () => {
  using rig = await serving();
  rig.set({ ...everything, slices: [] });
  assert.deepEqual((await rig.proxy.verify()).differences, []);
  await rig.settle();
  assert.deepEqual((await rig.proxy.verify()).differences, []);
});

test("verify() asks the kernel for nothing where nothing differs, and counts", async () => {
  using rig = await serving();
  const { services, frontends, elements, differences } = await rig.proxy.verify();
  assert.deepEqual([services, differences], [2, []]);
  assert.equal(frontends, [...rig.proxy.ledger.frontends()].length);
  assert.ok(elements > frontends);
  assert.deepEqual(rig.operations(), []);
  assert.match(await rig.registry.metrics(), /breakwater_service_verifications_total\{result="equal"\} 1/);
});

test("verify() gives all who ask meanwhile one answer", async () => {
  using rig = await serving();
  const [one, other] = [rig.proxy.verify(), rig.proxy.verify()];
  assert.equal(one, other);
  assert.equal(await one, await other);
});

test("verify() is refused while the tables are not up to date", async () => {
  using rig = await serving();
  rig.host.failures.fail({ operation: "commit", errno: "ENOMEM", times: 50 });
  rig.set({ ...everything, slices: [] });
  await assert.rejects(rig.proxy.verify(), /ENOMEM/);
  rig.host.failures.clear();
});

test("verify() says when the kernel cannot be read", async () => {
  using rig = await serving();
  rig.host.failures.fail({ operation: "table", errno: "EPERM" });
  await assert.rejects(rig.proxy.verify(), /EPERM/);
  rig.host.failures.fail({ operation: "table", errno: "EPERM", times: 100 });
  await rig.elapse(210_000);
  rig.host.failures.clear();
  assert.match(await rig.registry.metrics(), /breakwater_service_verifications_total\{result="failed"\} 1/);
  assert.deepEqual((await rig.proxy.verify()).differences, []);
});
