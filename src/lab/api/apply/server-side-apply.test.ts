import assert from "node:assert/strict";
import { test } from "node:test";
import { at, type Fields, type KubeObject, listOf } from "../object/object.ts";
import { StatusError } from "../object/status.ts";
import { builtInSchema } from "../schema/built-in.ts";
import { recordUpdate } from "./managed-fields.ts";
import { applyConfiguration } from "./server-side-apply.ts";

const schema = builtInSchema("Service");

function service(spec: Fields, metadata: Fields = {}): KubeObject {
  return { apiVersion: "v1", kind: "Service", metadata: { name: "web", ...metadata }, spec } as KubeObject;
}

function apply(live: KubeObject | undefined, manager: string, config: KubeObject, force = false): KubeObject {
  const writer = { manager, subresource: "", now: "2025-01-01T00:00:00Z" };
  return applyConfiguration({ live, config, schema, writer, force, hasStatus: true });
}

function owner(object: KubeObject, manager: string): unknown {
  return at(
    listOf(object.metadata.managedFields).find((entry) => at(entry, "manager") === manager),
    "fieldsV1",
  );
}

const web = service({ ports: [{ port: 80, name: "a" }], type: "ClusterIP" }, { labels: { app: "web" } });

test("applyConfiguration() creates the object and owns what the configuration names", () => {
  const object = apply(undefined, "one", web);
  assert.deepEqual(object["spec"], web["spec"]);
  assert.deepEqual(owner(object, "one"), {
    "f:metadata": { "f:labels": { "f:app": {} } },
    "f:spec": {
      "f:ports": { 'k:{"port":80,"protocol":"TCP"}': { ".": {}, "f:name": {}, "f:port": {} } },
      "f:type": {},
    },
  });
});

test("applyConfiguration() merges keyed lists of two managers", () => {
  const object = apply(apply(undefined, "one", web), "two", service({ ports: [{ port: 81, name: "b" }] }));
  assert.deepEqual(at(object, "spec", "ports"), [
    { port: 80, name: "a" },
    { port: 81, name: "b" },
  ]);
});

test("applyConfiguration() removes what its manager no longer names", () => {
  const both = apply(apply(undefined, "one", web), "two", service({ ports: [{ port: 81, name: "b" }] }));
  const object = apply(both, "one", service({ type: "ClusterIP" }));
  assert.deepEqual(at(object, "spec", "ports"), [{ port: 81, name: "b" }]);
  assert.equal(object.metadata.labels, undefined);
});

test("applyConfiguration() keeps what another manager owns too", () => {
  const both = apply(apply(undefined, "one", web), "two", service({ type: "ClusterIP" }));
  const object = apply(both, "one", service({ ports: [{ port: 80, name: "a" }] }));
  assert.equal(at(object, "spec", "type"), "ClusterIP");
});

test("applyConfiguration() keeps fields nobody owns beside those it drops", () => {
  const live = apply(undefined, "one", web);
  live["spec"] = { ...(live["spec"] as Fields), clusterIP: "10.96.0.9" };
  const object = apply(live, "one", service({}));
  assert.deepEqual(object["spec"], { clusterIP: "10.96.0.9" });
});

test("applyConfiguration() names each conflicting field and its manager", () => {
  const live = apply(undefined, "one", web);
  assert.throws(
    () => apply(live, "two", service({ type: "NodePort", ports: [{ port: 80, name: "x" }] })),
    (error) => {
      assert.ok(error instanceof StatusError);
      assert.equal(error.code, 409);
      assert.match(error.message, /^Apply failed with 2 conflicts: conflict with "one" using v1/);
      assert.deepEqual(error.details?.causes?.map((cause) => [cause.reason, cause.field]).sort(), [
        ["FieldManagerConflict", '.spec.ports[port=80,protocol="TCP"].name'],
        ["FieldManagerConflict", ".spec.type"],
      ]);
      return true;
    },
  );
});

test("applyConfiguration() takes conflicting fields over when forced", () => {
  const object = apply(apply(undefined, "one", web), "two", service({ type: "NodePort" }), true);
  assert.equal(at(object, "spec", "type"), "NodePort");
  assert.deepEqual(owner(object, "two"), { "f:spec": { "f:type": {} } });
  assert.equal(at(owner(object, "one"), "f:spec", "f:type"), undefined);
});

test("applyConfiguration() shares a field that both set to the same value", () => {
  const object = apply(apply(undefined, "one", web), "two", service({ type: "ClusterIP" }));
  assert.deepEqual(at(owner(object, "one"), "f:spec", "f:type"), {});
  assert.deepEqual(at(owner(object, "two"), "f:spec", "f:type"), {});
});

test("applyConfiguration() changes nothing when applied again", () => {
  const once = apply(undefined, "one", web);
  const writer = { manager: "one", subresource: "", now: "2026-06-06T00:00:00Z" };
  const again = applyConfiguration({ live: once, config: web, schema, writer, force: false, hasStatus: true });
  assert.deepEqual(again, once);
});

test("applyConfiguration() owns an atomic map as one", () => {
  const live = apply(undefined, "one", service({ selector: { a: "1" } }));
  assert.throws(() => apply(live, "two", service({ selector: { b: "2" } })), /\.spec\.selector/);
});

test("recordUpdate() gives changed fields to the writer and takes them from others", () => {
  const before = apply(undefined, "one", web);
  const after = structuredClone(before);
  after["spec"] = { ...(after["spec"] as Fields), type: "NodePort" };
  recordUpdate(before, after, schema, { manager: "editor", subresource: "", now: "2025-01-02T00:00:00Z" }, true);
  assert.deepEqual(owner(after, "editor"), { "f:spec": { "f:type": {} } });
  assert.equal(at(owner(after, "one"), "f:spec", "f:type"), undefined);
});

test("recordUpdate() leaves ownership alone when nothing changed", () => {
  const before = apply(undefined, "one", web);
  const after = structuredClone(before);
  delete after.metadata.managedFields;
  recordUpdate(before, after, schema, { manager: "editor", subresource: "", now: "2025-01-02T00:00:00Z" }, true);
  assert.deepEqual(after, before);
});

test("recordUpdate() of the status owns nothing but the status", () => {
  const before = apply(undefined, "one", web);
  const after = { ...structuredClone(before), status: { loadBalancer: { ingress: [{ ip: "1.2.3.4" }] } } };
  recordUpdate(before, after, schema, { manager: "lb", subresource: "status", now: "2025-01-02T00:00:00Z" }, true);
  assert.deepEqual(Object.keys(owner(after, "lb") as Fields), ["f:status"]);
});
