import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "../api/object/object.ts";
import type { Endpoint, EndpointGroup } from "./endpoints-of-service.ts";
import { planSlices } from "./slice-plan.ts";

const PORTS = [{ name: "", protocol: "TCP", port: 80 }];
const endpoint = (i: number): Endpoint => ({
  addresses: [`10.0.0.${i}`],
  conditions: { ready: true, serving: true, terminating: false },
  targetRef: { uid: String(i) },
});
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => endpoint(from + i));
const group = (endpoints: readonly Endpoint[]): EndpointGroup => ({ addressType: "IPv4", ports: PORTS, endpoints });
const slice = (name: string, endpoints: readonly Endpoint[]) =>
  ({ apiVersion: "", kind: "", metadata: { name }, addressType: "IPv4", ports: PORTS, endpoints }) as KubeObject;

test("planSlices() writes nothing when everything is in place", () => {
  const plan = planSlices([slice("a", range(0, 3))], [group(range(0, 3))], ["IPv4"]);
  assert.deepEqual(plan, { create: [], update: [], remove: [] });
});

test("planSlices() does not care for the order of endpoints", () => {
  const plan = planSlices([slice("a", range(0, 3))], [group(range(0, 3).reverse())], ["IPv4"]);
  assert.deepEqual(plan, { create: [], update: [], remove: [] });
});

test("planSlices() fills the fullest slice that has room", () => {
  const plan = planSlices([slice("a", range(0, 10)), slice("b", range(10, 100))], [group(range(0, 101))], ["IPv4"]);
  assert.deepEqual(
    plan.update.map((change) => change.slice.metadata.name),
    ["b"],
  );
  assert.equal(plan.create.length, 0);
});

test("planSlices() touches only the slice an endpoint left", () => {
  const wanted = range(0, 150).filter((item) => item.targetRef.uid !== "5");
  const plan = planSlices([slice("a", range(0, 100)), slice("b", range(100, 150))], [group(wanted)], ["IPv4"]);
  assert.deepEqual(
    plan.update.map((change) => change.slice.metadata.name),
    ["a"],
  );
  assert.deepEqual(plan.remove, []);
});

test("planSlices() removes a slice that is empty, and keeps one for a family without endpoints", () => {
  const left = planSlices([slice("a", range(0, 100)), slice("b", range(100, 101))], [group(range(0, 100))], ["IPv4"]);
  assert.deepEqual(
    left.remove.map((item) => item.metadata.name),
    ["b"],
  );
  const none = planSlices([slice("a", range(0, 1))], [], ["IPv4"]);
  assert.deepEqual(none.create, [{ addressType: "IPv4", ports: [], endpoints: [] }]);
  assert.deepEqual(
    none.remove.map((item) => item.metadata.name),
    ["a"],
  );
});

test("planSlices() removes slices of a family the Service has no more", () => {
  const six = { ...slice("six", []), addressType: "IPv6" } as KubeObject;
  const plan = planSlices([slice("a", range(0, 1)), six], [group(range(0, 1))], ["IPv4"]);
  assert.deepEqual(
    plan.remove.map((item) => item.metadata.name),
    ["six"],
  );
});
