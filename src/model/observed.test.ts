import assert from "node:assert/strict";
import { test } from "node:test";
import { addressKey, fdbKey, neighbourKey } from "./observed.ts";

test("fdbKey() knows a unicast MAC by itself, and what floods by its destination too", () => {
  const key = (mac: string, destination: string, index = 5) => fdbKey({ index, mac, destination });
  assert.equal(key("02:00:00:00:00:01", "1.1.1.1"), key("02:00:00:00:00:01", "2.2.2.2"));
  assert.notEqual(key("02:00:00:00:00:01", "1.1.1.1"), key("02:00:00:00:00:01", "1.1.1.1", 6));
  for (const mac of ["00:00:00:00:00:00", "33:33:00:00:00:01", "ff:ff:ff:ff:ff:ff"]) {
    assert.notEqual(key(mac, "1.1.1.1"), key(mac, "2.2.2.2"), mac);
  }
});

test("addressKey() and neighbourKey() tell devices, addresses and lengths apart", () => {
  const address = { index: 1, address: "10.0.0.1", length: 24 };
  const others = [
    { ...address, index: 11 },
    { ...address, address: "10.0.0.12" },
    { ...address, length: 32 },
  ];
  for (const other of others) assert.notEqual(addressKey(other), addressKey(address));
  assert.notEqual(neighbourKey({ index: 1, ip: "10.0.0.1" }), neighbourKey({ index: 11, ip: "0.0.0.1" }));
});
