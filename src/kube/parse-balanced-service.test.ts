/** What the allocator reads of a Service. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { BalancedService } from "../model/load-balancer.ts";
import type { JsonObject } from "./json.ts";
import { parseBalancedService } from "./parse-balanced-service.ts";
import { parseRun } from "./testing/parse-run.ts";

interface Fields {
  readonly spec?: JsonObject;
  readonly annotations?: JsonObject;
  readonly ingress?: unknown;
}

function run({ spec = {}, annotations = {}, ingress }: Fields) {
  return parseRun(parseBalancedService, {
    metadata: { namespace: "x", name: "s", uid: "u", resourceVersion: "7", labels: { a: "b" }, annotations },
    spec: { type: "LoadBalancer", ports: [{ port: 80 }, { port: 53, protocol: "UDP" }], ...spec },
    status: { loadBalancer: { ingress } },
  });
}

const ips = (text: string) => ({ "breakwater.dev/load-balancer-ips": text });

test("parseBalancedService() reads every field", () => {
  const { value, reports } = run({
    spec: {
      loadBalancerClass: "breakwater.dev/bgp",
      ipFamilies: ["IPv6", "IPv4"],
      ipFamilyPolicy: "RequireDualStack",
      externalTrafficPolicy: "Local",
      selector: { z: "1", app: "web" },
    },
    annotations: {
      ...ips("192.0.2.7 , 2001:DB8::7"),
      "breakwater.dev/load-balancer-pool": " p ",
      "breakwater.dev/allow-shared-ip": "k",
    },
    ingress: [{ ip: "192.0.2.1", ipMode: "VIP" }, { ip: "2001:DB8::1" }, { ip: "192.0.2.1" }],
  });
  assert.deepEqual(reports, []);
  assert.deepEqual(value, {
    namespace: "x",
    name: "s",
    uid: "u",
    resourceVersion: "7",
    labels: { a: "b" },
    isOurs: true,
    families: [6, 4],
    needsAllFamilies: true,
    ports: [
      { protocol: "TCP", port: 80 },
      { protocol: "UDP", port: 53 },
    ],
    selector: "app=web,z=1",
    externalPolicy: "Local",
    wantedIps: ["192.0.2.7", "2001:db8::7"],
    wantedPool: "p",
    sharingKey: "k",
    held: ["192.0.2.1", "2001:db8::1"],
    problems: [],
  });
});

test("parseBalancedService() leaves out a Service that has no balancer", () => {
  assert.equal(run({ spec: { type: "ClusterIP" } }).value, undefined);
});

const WHOSE: readonly (readonly [string, Fields, boolean])[] = [
  ["no class", {}, true],
  ["an empty class", { spec: { loadBalancerClass: "" } }, true],
  ["our class", { spec: { loadBalancerClass: "breakwater.dev/bgp" } }, true],
  ["another class", { spec: { loadBalancerClass: "example.com/x" }, ingress: [{ ip: "192.0.2.1" }] }, false],
  ["a balancer with a name", { ingress: [{ hostname: "lb.example.com" }] }, false],
  ["another type, and an address of old", { spec: { type: "NodePort" }, ingress: [{ ip: "192.0.2.1" }] }, false],
];
for (const [what, fields, isOurs] of WHOSE) {
  test(`parseBalancedService() takes a Service with ${what} for ${isOurs ? "ours" : "somebody else's"}`, () => {
    assert.equal(run(fields).value?.isOurs, isOurs);
  });
}

const FAMILIES: readonly (readonly [JsonObject, BalancedService["families"]])[] = [
  [{ ipFamilies: ["IPv6"] }, [6]],
  [{ clusterIPs: ["10.96.0.1", "fd00::1"] }, [4, 6]],
  [{ clusterIP: "fd00::1" }, [6]],
  [{}, [4]],
];
for (const [spec, families] of FAMILIES) {
  test(`parseBalancedService() finds families ${families} in ${JSON.stringify(spec)}`, () => {
    assert.deepEqual(run({ spec }).value?.families, families);
  });
}

const PATH = 'metadata.annotations["breakwater.dev/load-balancer-ips"]';
const WISHES: readonly (readonly [string, Fields, readonly string[], readonly string[]])[] = [
  ["the field", { spec: { loadBalancerIP: "192.0.2.7" } }, ["192.0.2.7"], []],
  [
    "both, alike",
    { spec: { loadBalancerIP: "192.0.2.7" }, annotations: ips("2001:db8::1,192.0.2.7") },
    ["2001:db8::1", "192.0.2.7"],
    [],
  ],
  [
    "both, unlike",
    { spec: { loadBalancerIP: "192.0.2.7" }, annotations: ips("192.0.2.8") },
    [],
    [`spec.loadBalancerIP: 192.0.2.7 is not what ${PATH} says: give one of them`],
  ],
  [
    "two of a family",
    { annotations: ips("192.0.2.7,192.0.2.8") },
    [],
    [`${PATH}: it has two IPv4 addresses: a Service has one of each family at most`],
  ],
  ["no address", { annotations: ips("192.0.2.7,web") }, ["192.0.2.7"], [`${PATH}: "web" is no IP address`]],
  ["an empty item", { annotations: ips("192.0.2.7,") }, ["192.0.2.7"], [`${PATH}: "" is no IP address`]],
  [
    "loopback",
    { spec: { loadBalancerIP: "127.0.0.1" } },
    [],
    ['spec.loadBalancerIP: "127.0.0.1" is no address that one other machine can have'],
  ],
  [
    "leading zeros",
    { spec: { loadBalancerIP: "192.0.2.07" } },
    [],
    ['spec.loadBalancerIP: "192.0.2.07" is no IP address'],
  ],
];
for (const [what, fields, wanted, problems] of WISHES) {
  test(`parseBalancedService() reads a wish with ${what}`, () => {
    const { value, reports } = run(fields);
    assert.deepEqual([value?.wantedIps, value?.problems, reports], [wanted, problems, problems]);
  });
}

test("parseBalancedService() survives a status and annotations of any shape", () => {
  for (const ingress of [null, "x", [null], [7], [{ ip: 7 }], [{ ip: "web" }]]) {
    assert.deepEqual(run({ ingress }).value?.held, [], JSON.stringify(ingress));
  }
  const { value, reports } = run({ annotations: { "breakwater.dev/allow-shared-ip": 7 } });
  assert.deepEqual([value?.sharingKey, reports.length], ["", 1]);
});
