import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterService } from "../model/service.ts";
import type { JsonObject } from "./json.ts";
import { parseService } from "./parse-service.ts";
import { parseRun } from "./testing/parse-run.ts";

const PORT = { port: 80 };

const serviceWith = (spec: JsonObject, metadata: JsonObject = {}, status?: JsonObject): JsonObject => ({
  metadata: { name: "web", namespace: "shop", uid: "u-1", ...metadata },
  spec: { clusterIPs: ["10.96.0.10"], ports: [PORT], ...spec },
  ...(status && { status }),
});

const ingress = (...ingress: unknown[]): JsonObject => ({ loadBalancer: { ingress } });

/** The value's fields that a case speaks of. */
function pick(value: ClusterService, wanted: Partial<ClusterService>): Partial<ClusterService> {
  return Object.fromEntries(Object.keys(wanted).map((key) => [key, value[key as keyof ClusterService]]));
}

test("parseService() reads every field, canonical and in order", () => {
  const { value, reports } = parseRun(parseService, {
    metadata: { name: "web", namespace: "shop", uid: "u-1", creationTimestamp: "2026-01-02T03:04:05Z" },
    spec: {
      type: "LoadBalancer",
      clusterIP: "10.96.0.10",
      clusterIPs: ["10.96.0.10", "FD00:96::000A"],
      ports: [
        { name: "http", protocol: "TCP", port: 80, targetPort: "http", nodePort: 30080 },
        { name: "dns", protocol: "UDP", port: 53, nodePort: 0 },
      ],
      externalIPs: ["203.0.113.7"],
      loadBalancerSourceRanges: ["10.0.0.5/8", " FD00::/64 "],
      sessionAffinity: "ClientIP",
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
      externalTrafficPolicy: "Local",
      internalTrafficPolicy: "Local",
      healthCheckNodePort: 32000,
    },
    status: ingress({ ip: "198.51.100.1", ipMode: "VIP" }, { ip: "198.51.100.2", ipMode: "Proxy" }, { hostname: "lb" }),
  });
  assert.deepEqual(reports, []);
  assert.deepEqual(value, {
    namespace: "shop",
    name: "web",
    uid: "u-1",
    type: "LoadBalancer",
    clusterIps: ["10.96.0.10", "fd00:96::a"],
    ports: [
      { name: "http", protocol: "TCP", port: 80, nodePort: 30080 },
      { name: "dns", protocol: "UDP", port: 53 },
    ],
    externalIps: ["203.0.113.7"],
    loadBalancerIps: ["198.51.100.1"],
    externalPolicy: "Local",
    internalPolicy: "Local",
    createdAt: "2026-01-02T03:04:05Z",
    sourceRanges: ["10.0.0.0/8", "fd00::/64"],
    affinitySeconds: 60,
    healthCheckNodePort: 32000,
  });
});

test("parseService() leaves absent what is absent", () => {
  const { value, reports } = parseRun(parseService, serviceWith({}));
  assert.deepEqual(reports, []);
  assert.deepEqual(value, {
    namespace: "shop",
    name: "web",
    uid: "u-1",
    type: "ClusterIP",
    clusterIps: ["10.96.0.10"],
    ports: [{ name: "", protocol: "TCP", port: 80 }],
    externalIps: [],
    loadBalancerIps: [],
    externalPolicy: "Cluster",
    internalPolicy: "Cluster",
  });
});

interface Case {
  readonly name: string;
  readonly object: JsonObject;
  readonly wanted: Partial<ClusterService>;
}

const LOCAL = { externalTrafficPolicy: "Local", healthCheckNodePort: 32000 };
const LOCAL_BALANCER = { ...LOCAL, type: "LoadBalancer" };
const RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges";

const CASES: readonly Case[] = [
  { name: "clusterIP None as no address", object: serviceWith({ clusterIPs: ["None"] }), wanted: { clusterIps: [] } },
  {
    name: "clusterIP where clusterIPs is absent",
    object: serviceWith({ clusterIPs: undefined, clusterIP: "10.96.0.11" }),
    wanted: { clusterIps: ["10.96.0.11"] },
  },
  {
    name: "an address not given yet as none",
    object: serviceWith({ clusterIPs: undefined, clusterIP: "" }),
    wanted: { clusterIps: [] },
  },
  {
    name: "addresses that are there twice once",
    object: serviceWith({ externalIPs: ["fd00::1", "FD00:0::1"] }),
    wanted: { externalIps: ["fd00::1"] },
  },
  {
    name: "externalTrafficPolicy of a NodePort Service, without a health check",
    object: serviceWith({ ...LOCAL, type: "NodePort" }),
    wanted: { externalPolicy: "Local", healthCheckNodePort: undefined },
  },
  {
    name: "externalTrafficPolicy of a LoadBalancer Service, with its health check",
    object: serviceWith(LOCAL_BALANCER),
    wanted: { externalPolicy: "Local", healthCheckNodePort: 32000 },
  },
  {
    name: "externalTrafficPolicy of a ClusterIP Service with external addresses",
    object: serviceWith({ ...LOCAL, externalIPs: ["203.0.113.7"] }),
    wanted: { externalPolicy: "Local", healthCheckNodePort: undefined },
  },
  {
    name: "externalTrafficPolicy of a Service that nobody outside reaches as Cluster",
    object: serviceWith(LOCAL),
    wanted: { externalPolicy: "Cluster", healthCheckNodePort: undefined },
  },
  {
    name: "a health check port of 0, and one under policy Cluster, as none",
    object: serviceWith({ type: "LoadBalancer", healthCheckNodePort: 32000 }),
    wanted: { externalPolicy: "Cluster", healthCheckNodePort: undefined },
  },
  {
    name: "an absent affinity timeout as three hours",
    object: serviceWith({ sessionAffinity: "ClientIP" }),
    wanted: { affinitySeconds: 10_800 },
  },
  {
    name: "an affinity timeout without ClientIP as no affinity",
    object: serviceWith({ sessionAffinity: "None", sessionAffinityConfig: { clientIP: { timeoutSeconds: 5 } } }),
    wanted: { affinitySeconds: undefined },
  },
  {
    name: "an empty list of source ranges as anybody",
    object: serviceWith({ loadBalancerSourceRanges: [] }),
    wanted: { sourceRanges: undefined },
  },
  {
    name: "source ranges of the annotation where the field is absent",
    object: serviceWith({}, { annotations: { [RANGES]: " 10.1.0.0/16, fd00::/8 " } }),
    wanted: { sourceRanges: ["10.1.0.0/16", "fd00::/8"] },
  },
  {
    name: "an empty annotation as anybody",
    object: serviceWith({}, { annotations: { [RANGES]: " " } }),
    wanted: { sourceRanges: undefined },
  },
  {
    name: "source ranges of the field before those of the annotation",
    object: serviceWith({ loadBalancerSourceRanges: ["10.2.0.0/16"] }, { annotations: { [RANGES]: "10.1.0.0/16" } }),
    wanted: { sourceRanges: ["10.2.0.0/16"] },
  },
  {
    name: "the headless label, whatever its value",
    object: serviceWith({}, { labels: { "service.kubernetes.io/headless": "" } }),
    wanted: { leftTo: "headless" },
  },
  {
    name: "another proxy's name",
    object: serviceWith({}, { labels: { "service.kubernetes.io/service-proxy-name": "mesh" } }),
    wanted: { leftTo: { proxy: "mesh" } },
  },
  {
    name: "another proxy's name that is empty: the label counts",
    object: serviceWith({}, { labels: { "service.kubernetes.io/service-proxy-name": "" } }),
    wanted: { leftTo: { proxy: "" } },
  },
  {
    name: "a Service of a name outside",
    object: { metadata: { name: "db", namespace: "shop" }, spec: { type: "ExternalName", externalName: "db.example" } },
    wanted: { type: "ExternalName", clusterIps: [], ports: [] },
  },
];

for (const { name, object, wanted } of CASES) {
  test(`parseService() takes ${name}`, () => {
    const { value, reports } = parseRun(parseService, object);
    assert.deepEqual(pick(value, wanted), wanted);
    assert.deepEqual(reports, []);
  });
}

test("parseService() leaves out ports that make no sense, and keeps the others", () => {
  const { value, reports } = parseRun(
    parseService,
    serviceWith({
      ports: [
        { name: "zero", port: 0 },
        { name: "none" },
        { name: "high", port: 65_536 },
        { name: "text", port: "80" },
        { name: "quic", port: 443, protocol: "QUIC" },
        "text",
        { name: "good", port: 80, nodePort: -1 },
        { name: "again", port: 80 },
        { name: "other", port: 80, protocol: "UDP" },
      ],
    }),
  );
  assert.deepEqual(value.ports, [
    { name: "good", protocol: "TCP", port: 80 },
    { name: "other", protocol: "UDP", port: 80 },
  ]);
  assert.deepEqual(reports, [
    "spec.ports[0].port: 0 is no port",
    "spec.ports[1].port: it is missing",
    "spec.ports[2].port: expected a whole number from 1 to 65535, found 65536",
    "spec.ports[3].port: expected a whole number from 1 to 65535, found a string",
    'spec.ports[4].protocol: "QUIC" is none of TCP, UDP, SCTP',
    "spec.ports[5].port: it is missing",
    "spec.ports[6].nodePort: expected a whole number from 1 to 65535, found -1",
    "spec.ports[7]: 80/TCP is there already",
  ]);
});

test("parseService() leaves out addresses that make no sense, also those that mean the node itself or many", () => {
  const { value, reports } = parseRun(
    parseService,
    serviceWith(
      { clusterIPs: ["10.96.0.10", "nonsense"], externalIPs: ["127.0.0.1", "0.0.0.0", "::1", "203.0.113.7"] },
      {},
      ingress({ ip: "224.0.0.1" }, { ip: "ff02::1" }, { ip: 5 }, { ip: "198.51.100.1" }, null),
    ),
  );
  assert.deepEqual(value.clusterIps, ["10.96.0.10"]);
  assert.deepEqual(value.externalIps, ["203.0.113.7"]);
  assert.deepEqual(value.loadBalancerIps, ["198.51.100.1"]);
  assert.deepEqual(reports, [
    'spec.externalIPs[0]: "127.0.0.1" is no address that one other machine can have',
    'spec.externalIPs[1]: "0.0.0.0" is no address that one other machine can have',
    'spec.externalIPs[2]: "::1" is no address that one other machine can have',
    'spec.clusterIPs[1]: "nonsense" is no IP address',
    'status.loadBalancer.ingress[0].ip: "224.0.0.1" is no address that one other machine can have',
    'status.loadBalancer.ingress[1].ip: "ff02::1" is no address that one other machine can have',
    "status.loadBalancer.ingress[2].ip: a number is no IP address",
  ]);
});

test("parseService() admits nobody where no source range can be read", () => {
  const { value, reports } = parseRun(parseService, serviceWith({ loadBalancerSourceRanges: ["10.0.0.0/33", 7] }));
  assert.deepEqual(value.sourceRanges, []);
  assert.deepEqual(reports, [
    'spec.loadBalancerSourceRanges[0]: "10.0.0.0/33" is no CIDR',
    "spec.loadBalancerSourceRanges[1]: a number is no CIDR",
  ]);
});

test("parseService() takes what an unknown word most likely means, and says so", () => {
  const { value, reports } = parseRun(
    parseService,
    serviceWith({
      type: "Odd",
      sessionAffinity: "Cookie",
      internalTrafficPolicy: "Zone",
      externalIPs: ["203.0.113.7"],
      externalTrafficPolicy: 1,
    }),
  );
  assert.deepEqual([value.type, value.internalPolicy, value.externalPolicy], ["ClusterIP", "Cluster", "Cluster"]);
  assert.equal(value.affinitySeconds, undefined);
  assert.deepEqual(reports, [
    'spec.type: "Odd" is none of ClusterIP, NodePort, LoadBalancer, ExternalName',
    "spec.externalTrafficPolicy: a number is none of Cluster, Local",
    'spec.sessionAffinity: "Cookie" is none of None, ClientIP',
    'spec.internalTrafficPolicy: "Zone" is none of Cluster, Local',
  ]);
});

test("parseService() takes three hours for an affinity timeout that makes no sense", () => {
  const spec = { sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP: { timeoutSeconds: 86_401 } } };
  const { value, reports } = parseRun(parseService, serviceWith(spec));
  assert.equal(value.affinitySeconds, 10_800);
  assert.deepEqual(reports, [
    "spec.sessionAffinityConfig.clientIP.timeoutSeconds: expected a whole number from 1 to 86400, found 86401",
  ]);
});

test("parseService() refuses an object without a name, and takes one with nothing else", () => {
  assert.throws(() => parseRun(parseService, { metadata: {} }), SyntaxError);
  const { value, reports } = parseRun(parseService, { metadata: { name: "web", namespace: "shop" } });
  assert.deepEqual([value.clusterIps, value.ports], [[], []]);
  assert.deepEqual(reports, []);
});
