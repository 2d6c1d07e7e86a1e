import assert from "node:assert/strict";
import { test } from "node:test";
import { type Parsed, Store } from "./store.ts";

interface Value {
  readonly n: number;
}

const object = (key: string, version: number, n?: number): Parsed<Value> => ({
  key,
  resourceVersion: String(version),
  value: n === undefined ? undefined : { n },
});
const list = (...objects: Parsed<Value>[]) => new Map(objects.map((entry) => [entry.key, entry]));

test("Store.put() adds, then updates with the old value, then says nothing of the same", () => {
  const store = new Store<Value>({ unparsable: "absent" });
  assert.deepEqual(store.put(object("a", 1, 1)), [{ type: "add", key: "a", value: { n: 1 } }]);
  assert.deepEqual(store.put(object("a", 2, 2)), [{ type: "update", key: "a", value: { n: 2 }, old: { n: 1 } }]);
  const kept = store.values.get("a");
  assert.deepEqual(store.put(object("a", 3, 2)), []);
  assert.equal(store.values.get("a"), kept);
  assert.equal(store.versionOf("a"), "3");
});

test("Store.remove() gives the last value, and nothing for what is not there", () => {
  const store = new Store<Value>({ unparsable: "absent" });
  store.put(object("a", 1, 1));
  assert.deepEqual(store.remove("a"), [{ type: "delete", key: "a", old: { n: 1 } }]);
  assert.deepEqual(store.remove("a"), []);
  assert.equal(store.versionOf("a"), undefined);
});

test("Store.replace() computes adds, updates and deletes, and keeps what is the same", () => {
  const store = new Store<Value>({ unparsable: "absent" });
  store.replace(list(object("same", 1, 1), object("changed", 1, 1), object("gone", 1, 1)));
  const same = store.values.get("same");
  assert.deepEqual(store.replace(list(object("same", 9, 1), object("changed", 9, 2), object("new", 9, 3))), [
    { type: "update", key: "changed", value: { n: 2 }, old: { n: 1 } },
    { type: "add", key: "new", value: { n: 3 } },
    { type: "delete", key: "gone", old: { n: 1 } },
  ]);
  assert.equal(store.values.get("same"), same);
  assert.deepEqual([...store.values.keys()], ["same", "changed", "new"]);
});

test("Store drops an unparsable object where that counts as absent, once", () => {
  const store = new Store<Value>({ unparsable: "absent" });
  store.put(object("a", 1, 1));
  assert.deepEqual(store.put(object("a", 2)), [{ type: "delete", key: "a", old: { n: 1 } }]);
  assert.deepEqual(store.put(object("a", 3)), []);
  assert.equal(store.versionOf("a"), "3");
});

test("Store keeps the last good value where an unparsable object counts as that, by event and by list", () => {
  const store = new Store<Value>({ unparsable: "last-good" });
  store.put(object("a", 1, 1));
  assert.deepEqual(store.put(object("a", 2)), []);
  assert.deepEqual(store.replace(list(object("a", 3), object("never-good", 3))), []);
  assert.deepEqual([...store.values], [["a", { n: 1 }]]);
  assert.deepEqual(store.replace(list()), [{ type: "delete", key: "a", old: { n: 1 } }]);
});
