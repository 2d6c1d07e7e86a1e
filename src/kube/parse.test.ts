import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonObject } from "./json.ts";
import { parseNamespace } from "./parse-namespace.ts";
import { parseNode } from "./parse-node.ts";
import { parsePod } from "./parse-pod.ts";
import { parseRun as run } from "./testing/parse-run.ts";

const nodeWith = (spec?: unknown, addresses?: unknown): JsonObject => ({
  metadata: { name: "node1" },
  ...(spec === undefined ? {} : { spec }),
  ...(addresses === undefined ? {} : { status: { addresses } }),
});

test("parseNode() reads name, addresses in order, pod CIDRs and labels, all canonical", () => {
  const { value, reports } = run(parseNode, {
    metadata: { name: "node1", labels: { zone: "a" } },
    spec: { podCIDR: "10.244.1.0/24", podCIDRs: ["10.244.1.0/24", "FD00:10:244:1:0:0:0:0/64"] },
    status: {
      addresses: [
        { type: "Hostname", address: "node1" },
        { type: "InternalIP", address: "FD00::0001" },
        { type: "ExternalIP", address: "203.0.113.1" },
        { type: "InternalIP", address: "192.168.1.1" },
      ],
    },
  });
  assert.deepEqual(reports, []);
  assert.deepEqual(value, {
    name: "node1",
    internalIps: ["fd00::1", "192.168.1.1"],
    externalIps: ["203.0.113.1"],
    podCidrs: ["10.244.1.0/24", "fd00:10:244:1::/64"],
    labels: { zone: "a" },
  });
});

const POD_CIDRS: readonly { readonly name: string; readonly spec: unknown; readonly podCidrs: string[] }[] = [
  { name: "podCIDR where podCIDRs is absent", spec: { podCIDR: "10.0.0.0/24" }, podCidrs: ["10.0.0.0/24"] },
  { name: "an empty podCIDRs as no pod CIDR", spec: { podCIDR: "10.0.0.0/24", podCIDRs: [] }, podCidrs: [] },
  {
    name: "a null podCIDRs as an absent one",
    spec: { podCIDR: "10.0.0.0/24", podCIDRs: null },
    podCidrs: ["10.0.0.0/24"],
  },
  { name: "an empty podCIDR as none", spec: { podCIDR: "" }, podCidrs: [] },
  { name: "no spec", spec: undefined, podCidrs: [] },
];

for (const { name, spec, podCidrs } of POD_CIDRS) {
  test(`parseNode() takes ${name}`, () => {
    const { value, reports } = run(parseNode, nodeWith(spec));
    assert.deepEqual(value.podCidrs, podCidrs);
    assert.deepEqual(reports, []);
  });
}

test("parseNode() leaves out what makes no sense, and names the field", () => {
  const { value, reports } = run(
    parseNode,
    nodeWith({ podCIDRs: ["10.244.1.0/33", 5, "10.244.2.0/24"] }, [
      { type: "InternalIP", address: "192.168.01.1" },
      { type: "InternalIP" },
      { type: "InternalIP", address: "192.168.1.2" },
      "text",
    ]),
  );
  assert.deepEqual(value.podCidrs, ["10.244.2.0/24"]);
  assert.deepEqual(value.internalIps, ["192.168.1.2"]);
  assert.deepEqual(reports, [
    'status.addresses[0].address: "192.168.01.1" is no IP address',
    "status.addresses[1].address: undefined is no IP address",
    'spec.podCIDRs[0]: "10.244.1.0/33" is no CIDR',
    "spec.podCIDRs[1]: a number is no CIDR",
  ]);
});

test("parseNode() reports lists and maps of another type", () => {
  const { value, reports } = run(parseNode, {
    metadata: { name: "node1", labels: ["a"] },
    spec: { podCIDRs: "10.0.0.0/24" },
    status: { addresses: {} },
  });
  assert.deepEqual(value, { name: "node1", internalIps: [], podCidrs: [], labels: {} });
  assert.deepEqual(reports, [
    "status.addresses: expected a list, found an object",
    "spec.podCIDRs: expected a list, found a string",
    "metadata.labels: expected an object, found an array",
  ]);
});

test("parseNode() refuses an object without a name", () => {
  assert.throws(() => run(parseNode, { metadata: {} }), SyntaxError);
  assert.throws(() => run(parseNode, {}), SyntaxError);
});

test("parsePod() reads all the network must know", () => {
  const { value, reports } = run(parsePod, {
    metadata: {
      name: "web",
      namespace: "shop",
      uid: "u-1",
      labels: { app: "web" },
      annotations: { "breakwater.dev/ip": "10.244.1.11" },
    },
    spec: { nodeName: "node1", hostNetwork: true },
    status: { phase: "Running", podIP: "10.244.1.11", podIPs: [{ ip: "10.244.1.11" }, { ip: "FD00::B" }] },
  });
  assert.deepEqual(reports, []);
  assert.deepEqual(value, {
    namespace: "shop",
    name: "web",
    uid: "u-1",
    nodeName: "node1",
    hostNetwork: true,
    phase: "Running",
    podIps: ["10.244.1.11", "fd00::b"],
    labels: { app: "web" },
    annotations: { "breakwater.dev/ip": "10.244.1.11" },
  });
});

test("parsePod() takes a pod that was only just created", () => {
  const { value, reports } = run(parsePod, { metadata: { name: "web", namespace: "shop", uid: "u-1" } });
  assert.deepEqual(reports, []);
  assert.deepEqual(
    { ...value },
    {
      namespace: "shop",
      name: "web",
      uid: "u-1",
      nodeName: "",
      hostNetwork: false,
      phase: "",
      podIps: [],
      labels: {},
      annotations: {},
    },
  );
});

test("parsePod() takes podIP only where podIPs is absent", () => {
  const pod = (status: unknown) => run(parsePod, { metadata: { name: "p", namespace: "n" }, status }).value.podIps;
  assert.deepEqual(pod({ podIP: "10.0.0.1" }), ["10.0.0.1"]);
  assert.deepEqual(pod({ podIP: "10.0.0.1", podIPs: [] }), []);
});

test("parsePod() reports wrong fields one by one and keeps the rest", () => {
  const { value, reports } = run(parsePod, {
    metadata: { name: "p", namespace: "n", labels: { good: "yes", bad: 1 } },
    spec: { nodeName: 7 },
    status: { podIPs: [{ ip: "nonsense" }, { ip: "10.0.0.2" }] },
  });
  assert.deepEqual(value.podIps, ["10.0.0.2"]);
  assert.deepEqual(value.labels, { good: "yes" });
  assert.equal(value.nodeName, "");
  assert.deepEqual(reports, [
    "spec.nodeName: expected a string, found a number",
    'status.podIPs[0].ip: "nonsense" is no IP address',
    'metadata.labels["bad"]: expected a string, found a number',
  ]);
});

test("parseNamespace() reads name and labels", () => {
  assert.deepEqual(run(parseNamespace, { metadata: { name: "shop", labels: { team: "a" } } }).value, {
    name: "shop",
    labels: { team: "a" },
  });
  assert.deepEqual(run(parseNamespace, { metadata: { name: "shop" } }).value.labels, {});
});
