import assert from "node:assert/strict";
import { test } from "node:test";
import { eth0 } from "./testing/scenarios.ts";
import { addressOfFamily, findUnderlay, isOnLink } from "./underlay.ts";

const second = eth0({
  name: "eth1",
  index: 3,
  addresses: [
    { address: "10.0.0.1", length: 8 },
    { address: "fd00:1::1", length: 64 },
  ],
});
const facts = { nodeName: "node1", interfaces: [eth0(), second] };

test("findUnderlay() takes the first of the node's addresses that some interface has", () => {
  const table = [
    [["192.168.1.1"], "eth0", "192.168.1.1"],
    [["10.0.0.1", "192.168.1.1"], "eth1", "10.0.0.1"],
    [["172.16.0.1", "fd00:1::1"], "eth1", "fd00:1::1"],
    [["172.16.0.1"], undefined, undefined],
    [[], undefined, undefined],
  ] as const;
  for (const [addresses, device, address] of table) {
    const underlay = findUnderlay(facts, addresses);
    assert.deepEqual([underlay?.device.name, underlay?.address], [device, address]);
  }
});

test("isOnLink() knows the subnets of the device, by family", () => {
  const table = [
    ["10.255.255.254", true],
    ["11.0.0.1", false],
    ["fd00:1::ffff", true],
    ["fd00:1:0:1::1", false],
    ["::ffff:10.0.0.2", false],
  ] as const;
  for (const [peer, expected] of table) assert.equal(isOnLink(second, peer), expected, peer);
  const single = eth0({ addresses: [{ address: "192.168.1.1", length: 32 }] });
  assert.equal(isOnLink(single, "192.168.1.2"), false, "a /32 has no neighbours");
  assert.equal(isOnLink(eth0({ addresses: [] }), "192.168.1.2"), false);
});

test("addressOfFamily() answers the first address of the family", () => {
  const addresses = ["fd00::1", "10.0.0.1", "10.0.0.2"];
  assert.deepEqual([addressOfFamily(addresses, 4), addressOfFamily(addresses, 6)], ["10.0.0.1", "fd00::1"]);
  assert.equal(addressOfFamily(["10.0.0.1"], 6), undefined);
});
