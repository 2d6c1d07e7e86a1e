/** Topology hints (KEP-2433, KEP-3015, KEP-4444), as the EndpointSlice controller sets them. Rows "topology". */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { SliceEndpoint } from "../../model/service.ts";
import { aService, aSlice } from "./testing/objects.ts";
import { type NodeName, podOn, ServiceCluster } from "./testing/service-cluster.ts";

const CLIENTS = ["10.244.1.9", "10.244.2.9", "10.244.3.9"];

/** What clients of node 1, 2 and 3 reach. */
function reached(
  endpoints: readonly SliceEndpoint[],
  zones?: Partial<Record<NodeName, string | undefined>>,
): string[][] {
  const cluster = new ServiceCluster({ services: [aService()], slices: [aSlice(endpoints)], ...(zones && { zones }) });
  return CLIENTS.map((from) =>
    cluster.reached({ from, to: "10.96.0.10", port: 80 }).map((text) => text.replace(":8080", "")),
  );
}

const zone = (...names: string[]) => ({ zoneHints: names });
const near = (name: string, ...zones: string[]) => ({ nodeHints: [name], ...(zones.length > 0 && zone(...zones)) });
const BOTH = ["10.244.1.5", "10.244.2.6"];

test("svc-58 zones with an endpoint reach their own, the third zone all of them", () => {
  const endpoints = [podOn(1, 5, zone("zone1")), podOn(2, 6, zone("zone2"))];
  assert.deepEqual(reached(endpoints), [["10.244.1.5"], ["10.244.2.6"], BOTH]);
});

test("svc-58 hints may share an endpoint between zones", () => {
  const endpoints = [podOn(1, 5, zone("zone1", "zone3")), podOn(2, 6, zone("zone2"))];
  assert.deepEqual(reached(endpoints), [["10.244.1.5"], ["10.244.2.6"], ["10.244.1.5"]]);
});

test("svc-59 several nodes of a zone share its endpoints; a zone without one reaches all", () => {
  const endpoints = [podOn(1, 5, zone("zone1")), podOn(2, 6, zone("zone1")), podOn(2, 7, zone("zone1"))];
  const zones = { node1: "zone1", node2: "zone1", node3: "zone3" };
  const all = ["10.244.1.5", "10.244.2.6", "10.244.2.7"];
  assert.deepEqual(reached(endpoints, zones), [all, all, all]);
  const two = [podOn(1, 5, zone("zone1")), podOn(2, 6, zone("zone2"))];
  assert.deepEqual(reached(two, { node1: "zone1", node2: "zone2", node3: "zone2" }), [
    ["10.244.1.5"],
    ["10.244.2.6"],
    ["10.244.2.6"],
  ]);
});

test("svc-60 PreferSameNode: the node's own endpoint while it has a ready one, else its zone's, else all", () => {
  const [one, two] = [podOn(1, 5, near("node1", "zone1")), podOn(2, 6, near("node2", "zone2"))];
  assert.deepEqual(reached([one, two]), [["10.244.1.5"], ["10.244.2.6"], BOTH]);
  const zones = { node1: "zone1", node2: "zone1", node3: "zone1" };
  const shared = [podOn(1, 5, near("node1", "zone1")), podOn(2, 6, near("node2", "zone2"))];
  assert.deepEqual(reached(shared, zones), [["10.244.1.5"], ["10.244.2.6"], ["10.244.1.5"]]);
  const unready = podOn(1, 5, { ...near("node1", "zone1"), ready: false });
  assert.deepEqual(reached([unready, two]), [["10.244.2.6"], ["10.244.2.6"], ["10.244.2.6"]]);
});

test("svc-61 hints are ignored where any ready endpoint lacks them", () => {
  assert.deepEqual(reached([podOn(1, 5, zone("zone1")), podOn(2, 6)]), [BOTH, BOTH, BOTH]);
  assert.deepEqual(reached([podOn(1, 5, zone("zone1")), podOn(2, 6, zone())]), [BOTH, BOTH, BOTH]);
  assert.deepEqual(reached([podOn(1, 5, near("node1")), podOn(2, 6)]), [BOTH, BOTH, BOTH]);
});

test("svc-61 hints of endpoints that are not ready do not matter, nor does their absence", () => {
  const endpoints = [podOn(1, 5, zone("zone1")), podOn(2, 6, zone("zone2")), podOn(3, 7, { ready: false })];
  assert.deepEqual(reached(endpoints), [["10.244.1.5"], ["10.244.2.6"], BOTH]);
});

test("svc-61 hints of nodes without those of zones count for the nodes alone", () => {
  const endpoints = [podOn(1, 5, near("node1")), podOn(2, 6, near("node2"))];
  assert.deepEqual(reached(endpoints), [["10.244.1.5"], ["10.244.2.6"], BOTH]);
});

test("svc-61 a node without a zone reaches all endpoints", () => {
  const endpoints = [podOn(1, 5, zone("zone1")), podOn(2, 6, zone("zone2"))];
  assert.deepEqual(reached(endpoints, { node1: undefined }), [BOTH, ["10.244.2.6"], BOTH]);
});

test("terminating endpoints that are fallen back on are taken from all zones", () => {
  const going = { ready: false, serving: true, terminating: true };
  const endpoints = [podOn(1, 5, { ...zone("zone1"), ...going }), podOn(2, 6, { ...zone("zone2"), ...going })];
  assert.deepEqual(reached(endpoints), [BOTH, BOTH, BOTH]);
});

test("a zone's last ready endpoint that goes leaves its clients those of other zones, not its terminating one", () => {
  const going = { ready: false, serving: true, terminating: true };
  const endpoints = [podOn(1, 5, { ...zone("zone1"), ...going }), podOn(2, 6, zone("zone2"))];
  assert.deepEqual(reached(endpoints), [["10.244.2.6"], ["10.244.2.6"], ["10.244.2.6"]]);
});
