import assert from "node:assert/strict";
import { test } from "node:test";
import type { Fields } from "../object/object.ts";
import { StatusError } from "../object/status.ts";
import { createApiServer } from "../server.ts";

const PORT = { name: "", port: 80 };

function create(fields: Fields) {
  const server = createApiServer({ clusterCidrs: [], serviceCidrs: ["10.96.0.0/16"] });
  try {
    const metadata = { name: "s", namespace: "default" };
    const base = { apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice", metadata, addressType: "IPv4", ports: [] };
    return server.store.create({ ...base, endpoints: [], ...fields });
  } finally {
    void server.close();
  }
}

const endpoint = (address: string, more: Fields = {}) => ({ endpoints: [{ addresses: [address], ...more }] });
const zones = (...names: string[]) => ({ hints: { forZones: names.map((name) => ({ name })) } });

test("EndpointSlice: takes any port number and all ports at once, as the real one does", () => {
  const slice = create({ ports: [{ name: "all" }, { name: "odd", port: 70_000 }] });
  assert.deepEqual(slice["ports"], [
    { name: "all", protocol: "TCP" },
    { name: "odd", port: 70_000, protocol: "TCP" },
  ]);
});

const INVALID: readonly (readonly [string, Fields, RegExp])[] = [
  ["an IPv6 address among IPv4 ones", endpoint("fd00::1"), /must be a valid IPv4 address/],
  ["a loopback address", endpoint("127.0.0.1"), /loopback range/],
  ["an unspecified address", endpoint("0.0.0.0"), /unspecified/],
  ["a link-local address", endpoint("169.254.1.1"), /link-local range/],
  ["a link-local IPv6 address", { addressType: "IPv6", ...endpoint("fe80::1") }, /link-local range/],
  ["a multicast address", endpoint("224.0.0.5"), /link-local multicast range/],
  ["no address", { endpoints: [{ addresses: [] }] }, /must contain at least 1 address/],
  ["an unknown protocol", { ports: [{ port: 1, protocol: "ICMP" }] }, /supported values: "TCP", "UDP", "SCTP"/],
  ["two ports of one name", { ports: [PORT, { ...PORT, port: 81 }] }, /ports\[1\]\.name: Duplicate value/],
  ["nine hints", endpoint("10.0.0.1", zones(..."abcdefghi")), /forZones: Too many: 9: must have at most 8 items/],
  ["a hint twice", endpoint("10.0.0.1", zones("a", "a")), /forZones\[1\]\.name: Duplicate value: "a"/],
];

for (const [name, fields, text] of INVALID) {
  test(`EndpointSlice: refuses ${name}`, () => {
    assert.throws(
      () => create(fields),
      (error) => error instanceof StatusError && error.code === 422 && text.test(error.message),
    );
  });
}
