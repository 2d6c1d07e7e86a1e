import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "../object/object.ts";
import { Database } from "./database.ts";

const object = (name: string, value = 0): KubeObject => ({
  apiVersion: "v1",
  kind: "X",
  metadata: { name, namespace: "n" },
  value,
});

test("Database.commit() gives every write its own, growing version and freezes the object", () => {
  const database = new Database(100);
  const stored = database.commit("x", "ADDED", object("a"));
  assert.equal(stored.metadata.resourceVersion, "101");
  assert.equal(database.commit("y", "ADDED", object("b")).metadata.resourceVersion, "102");
  assert.throws(() => Object.assign(stored.metadata, { name: "c" }), TypeError);
});

test("Collection.sortedAt() shows the state of any version that is remembered", () => {
  const database = new Database(0);
  const states: [number, string[]][] = [];
  const names = () =>
    database
      .collection("x")
      .sorted()
      .map(({ metadata, value }) => `${metadata.name}${value}`);
  const steps: [Parameters<Database["commit"]>[1], KubeObject][] = [
    ["ADDED", object("b", 1)],
    ["ADDED", object("a", 1)],
    ["MODIFIED", object("b", 2)],
    ["DELETED", object("a", 1)],
    ["ADDED", object("a", 3)],
  ];
  for (const [type, change] of steps) {
    database.commit("x", type, change);
    states.push([database.version, names()]);
  }
  for (const [version, wanted] of states) {
    const found = database
      .collection("x")
      .sortedAt(version)
      ?.map(({ metadata, value }) => `${metadata.name}${value}`);
    assert.deepEqual(found, wanted, String(version));
  }
});

test("History is bounded: what falls off the old end is expired, not forgotten in silence", () => {
  const database = new Database(0);
  database.commit("x", "ADDED", object("a"));
  for (let i = 0; i < 20_000; i++) database.commit("x", "MODIFIED", object("a", i));
  const { history } = database.collection("x");
  assert.equal(history.after(1), undefined);
  const kept = history.after(history.floor);
  assert.equal(kept?.[0]?.version, history.floor + 1);
  assert.equal(kept?.at(-1)?.version, database.version);
  assert.ok((kept?.length ?? 0) >= 8192);
});

test("Database.expireHistory() expires every older version and no newer one", () => {
  const database = new Database(0);
  database.commit("x", "ADDED", object("a"));
  const old = database.version;
  database.expireHistory();
  assert.equal(database.collection("x").history.after(old), undefined);
  assert.deepEqual(database.collection("x").history.after(database.version), []);
});

test("Database.subscribeAll() hears of collections that come later", () => {
  const database = new Database(0);
  const heard: string[] = [];
  database.subscribeAll(
    (storage) =>
      ({ type }) =>
        heard.push(`${storage} ${type}`),
  );
  database.commit("x", "ADDED", object("a"));
  database.commit("y", "ADDED", object("a"));
  assert.deepEqual(heard, ["x ADDED", "y ADDED"]);
});
