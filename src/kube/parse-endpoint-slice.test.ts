import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonObject } from "./json.ts";
import { parseEndpointSlice } from "./parse-endpoint-slice.ts";
import { SharedValues } from "./shared-values.ts";
import { parseRun } from "./testing/parse-run.ts";

const run = (object: JsonObject, shared = new SharedValues()) =>
  parseRun((input, report) => parseEndpointSlice(input, report, shared), object);

const sliceWith = (fields: JsonObject, labels: JsonObject = { "kubernetes.io/service-name": "web" }): JsonObject => ({
  metadata: { name: "web-1", namespace: "shop", labels },
  addressType: "IPv4",
  ...fields,
});

test("parseEndpointSlice() reads every field, canonical and in order", () => {
  const { value, reports } = run({
    metadata: {
      name: "web-1",
      namespace: "shop",
      labels: { "kubernetes.io/service-name": "web" },
      annotations: { "endpoints.kubernetes.io/last-change-trigger-time": "2026-01-02T03:04:05Z" },
    },
    addressType: "IPv6",
    ports: [{ name: "http", protocol: "TCP", port: 8080 }, { name: null, protocol: "UDP", port: 53 }, { port: 9 }],
    endpoints: [
      {
        addresses: ["FD00::0A", "fd00::b"],
        conditions: { ready: false, serving: true, terminating: true },
        nodeName: "node1",
        hints: { forZones: [{ name: "zone1" }, { name: "zone2" }], forNodes: [{ name: "node1" }] },
      },
      { addresses: ["fd00::c"] },
    ],
  });
  assert.deepEqual(reports, []);
  assert.deepEqual(value, {
    namespace: "shop",
    name: "web-1",
    service: "web",
    family: 6,
    ports: [
      { name: "http", protocol: "TCP", port: 8080 },
      { name: "", protocol: "UDP", port: 53 },
      { name: "", protocol: "TCP", port: 9 },
    ],
    endpoints: [
      {
        address: "fd00::a",
        ready: false,
        serving: true,
        terminating: true,
        nodeName: "node1",
        zoneHints: ["zone1", "zone2"],
        nodeHints: ["node1"],
      },
      { address: "fd00::c", ready: true, serving: true, terminating: false },
    ],
    triggeredAt: "2026-01-02T03:04:05Z",
  });
});

const CONDITIONS: readonly { readonly given: unknown; readonly wanted: readonly boolean[] }[] = [
  { given: undefined, wanted: [true, true, false] },
  { given: { ready: null, serving: null, terminating: null }, wanted: [true, true, false] },
  { given: { ready: false }, wanted: [false, false, false] },
  { given: { ready: false, serving: true }, wanted: [false, true, false] },
  { given: { ready: true, serving: false }, wanted: [true, false, false] },
  { given: { terminating: true }, wanted: [true, true, true] },
];

for (const { given, wanted } of CONDITIONS) {
  test(`parseEndpointSlice() takes conditions ${JSON.stringify(given)} as ready, serving, terminating ${wanted}`, () => {
    const { value, reports } = run(sliceWith({ endpoints: [{ addresses: ["10.0.0.1"], conditions: given }] }));
    const [endpoint] = value?.endpoints ?? [];
    assert.deepEqual([endpoint?.ready, endpoint?.serving, endpoint?.terminating], wanted);
    assert.deepEqual(reports, []);
  });
}

test("parseEndpointSlice() keeps no slice of no Service and none of names", () => {
  for (const object of [
    sliceWith({}, {}),
    sliceWith({}, { "kubernetes.io/service-name": "" }),
    sliceWith({ addressType: "FQDN", endpoints: [{ addresses: ["db.example"] }] }),
  ]) {
    assert.deepEqual(run(object), { value: undefined, reports: [] });
  }
});

test("parseEndpointSlice() refuses an unknown type of addresses and a missing name", () => {
  assert.throws(() => run(sliceWith({ addressType: "MAC" })), /"MAC": no IPv4, IPv6 or FQDN/);
  assert.throws(() => run(sliceWith({ addressType: undefined })), SyntaxError);
  assert.throws(() => run({ ...sliceWith({}), metadata: { labels: { "kubernetes.io/service-name": "web" } } }), {
    message: "it has no metadata.name",
  });
});

test("parseEndpointSlice() takes a slice with no endpoints and no ports", () => {
  for (const fields of [{}, { endpoints: null, ports: null }, { endpoints: [], ports: [] }]) {
    const { value, reports } = run(sliceWith(fields));
    assert.deepEqual([value?.endpoints, value?.ports], [[], []]);
    assert.deepEqual(reports, []);
  }
});

test("parseEndpointSlice() leaves out ports that make no sense, all ports at once too", () => {
  const { value, reports } = run(
    sliceWith({ ports: [{ name: "all", port: null }, { port: 0 }, { port: 1.5 }, { port: 80, protocol: "IP" }, PORT] }),
  );
  assert.deepEqual(value?.ports, [{ name: "", protocol: "TCP", port: 80 }]);
  assert.deepEqual(reports, [
    "ports[0].port: it is missing, and all ports at once cannot be an endpoint",
    "ports[1].port: 0 is no port",
    "ports[2].port: expected a whole number from 1 to 65535, found 1.5",
    'ports[3].protocol: "IP" is none of TCP, UDP, SCTP',
  ]);
});

const PORT = { port: 80 };

test("parseEndpointSlice() leaves out endpoints that nothing can be sent to, and keeps the others", () => {
  const { value, reports } = run(
    sliceWith({
      endpoints: [
        { addresses: [] },
        {},
        "text",
        { addresses: ["10.0.0.256"] },
        { addresses: ["fd00::1"] },
        { addresses: ["127.0.0.1"] },
        { addresses: ["10.0.0.1"], conditions: { ready: "yes" }, nodeName: 5, hints: { forZones: [{}, 1] } },
      ],
    }),
  );
  assert.deepEqual(value?.endpoints, [{ address: "10.0.0.1", ready: true, serving: true, terminating: false }]);
  assert.deepEqual(reports, [
    "endpoints[0].addresses[0]: undefined is no IP address",
    "endpoints[1].addresses[0]: undefined is no IP address",
    "endpoints[2].addresses[0]: undefined is no IP address",
    'endpoints[3].addresses[0]: "10.0.0.256" is no IP address',
    'endpoints[4].addresses[0]: "fd00::1" is no IPv4 address, which the slice is of',
    'endpoints[5].addresses[0]: "127.0.0.1" is no address that one other machine can have',
    "endpoints[6].conditions.ready: expected true or false, found a string",
    "endpoints[6].nodeName: expected a string, found a number",
  ]);
});

test("parseEndpointSlice() shares lists of hints and empty lists between slices", () => {
  const shared = new SharedValues();
  const hints = { forZones: [{ name: "zone1" }] };
  const read = () => run(sliceWith({ endpoints: [{ addresses: ["10.0.0.1"], hints }] }), shared).value;
  assert.equal(read()?.endpoints[0]?.zoneHints, read()?.endpoints[0]?.zoneHints);
  assert.equal(run(sliceWith({})).value?.endpoints, run(sliceWith({})).value?.ports);
});
