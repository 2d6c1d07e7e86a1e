import assert from "node:assert/strict";
import { test } from "node:test";
import { formatOperation, type Operation } from "./operation.ts";

const cause = "Node node2";
const set = { name: "cluster4", key: "ipv4_addr", interval: true, elements: [] } as const;
const pod = {
  containerId: "c",
  ifname: "eth0",
  netns: "/run/netns/p",
  ips: ["10.0.0.2", "fd00::2"],
  name: "default/p",
  hostIfname: "bwh1",
  podMac: "02:00:00:00:00:01",
  mtuBytes: 1450,
};
const vxlan = {
  name: "bwvxlan",
  mac: "02:00:00:00:00:01",
  mtuBytes: 1450,
  vni: 7,
  port: 4789,
  local: "192.168.1.1",
  underlay: "eth0",
  underlayIndex: 2,
};

const operations: [Operation, string][] = [
  [
    { do: "setSysctl", name: "net/ipv4/ip_forward", value: "1", previous: "0", cause },
    "set sysctl net/ipv4/ip_forward to 1 (was 0)",
  ],
  [{ do: "setSysctl", name: "x", value: "1", previous: undefined, cause }, "set sysctl x to 1 (was absent)"],
  [
    { do: "createVxlan", vxlan, cause },
    "create link bwvxlan vxlan id 7 local 192.168.1.1 dev eth0 dstport 4789 mtu 1450",
  ],
  [
    { do: "changeLink", device: "bwvxlan", change: { up: true, mtuBytes: 1400 }, cause },
    "change link bwvxlan: up true, mtuBytes 1400",
  ],
  [{ do: "setFeature", device: "bwvxlan", name: "rx-gro", on: false, cause }, "set feature rx-gro off dev bwvxlan"],
  [{ do: "setFeature", device: "bwvxlan", name: "rx-gro", on: true, cause }, "set feature rx-gro on dev bwvxlan"],
  [{ do: "deleteLink", device: "bwh1", cause }, "delete link bwh1"],
  [{ do: "attachPod", pod, cause }, "attach 10.0.0.2, fd00::2 as bwh1 mtu 1450"],
  [{ do: "setPodMtu", pod, cause }, "set mtu 1450 on bwh1 and the pod's eth0"],
  [
    { do: "addAddress", address: { device: "bwvxlan", address: "10.0.0.0", length: 32 }, cause },
    "add address 10.0.0.0/32 dev bwvxlan",
  ],
  [
    { do: "deleteAddress", device: "bwvxlan", address: { index: 5, address: "10.0.0.0", length: 32 }, cause },
    "delete address 10.0.0.0/32 dev bwvxlan",
  ],
  [
    {
      do: "setRoute",
      route: { destination: "10.2.0.0/24", gateway: "10.2.0.0", device: "bwvxlan", onlink: true, mtuBytes: 1400 },
      cause,
    },
    "set route 10.2.0.0/24 via 10.2.0.0 dev bwvxlan onlink mtu 1400",
  ],
  [
    { do: "setRoute", route: { destination: "10.0.0.2/32", device: "bwh1", onlink: false }, cause },
    "set route 10.0.0.2/32 dev bwh1",
  ],
  [{ do: "deleteRoute", route: { destination: "10.2.0.0/24", onlink: false }, cause }, "delete route 10.2.0.0/24"],
  [
    { do: "setNeighbour", neighbour: { device: "bwh1", ip: "10.0.0.2", mac: "02:00:00:00:00:01" }, cause },
    "set neighbour 10.0.0.2 lladdr 02:00:00:00:00:01 dev bwh1",
  ],
  [{ do: "deleteNeighbour", device: "bwh1", ip: "10.0.0.2", cause }, "delete neighbour 10.0.0.2 dev bwh1"],
  [
    { do: "setFdb", entry: { device: "bwvxlan", mac: "02:00:00:00:00:01", destination: "1.1.1.1" }, cause },
    "set fdb 02:00:00:00:00:01 dst 1.1.1.1 dev bwvxlan",
  ],
  [
    { do: "deleteFdb", device: "bwvxlan", mac: "02:00:00:00:00:01", destination: "1.1.1.1", cause },
    "delete fdb 02:00:00:00:00:01 dst 1.1.1.1 dev bwvxlan",
  ],
  [
    {
      do: "changeNft",
      changes: [
        { do: "addTable" },
        { do: "addSet", set },
        { do: "addElements", set, elements: ["10.0.0.0/8", "10.2.0.0/16"] },
        { do: "deleteSet", set: "old" },
        { do: "addChain", chain: { name: "post" } },
        { do: "flushChain", chain: "post" },
      ],
      cause,
    },
    "change nftables table: addTable; addSet cluster4; addElements cluster4 { 10.0.0.0/8, 10.2.0.0/16 }; deleteSet old; addChain post; flushChain post",
  ],
];

test("formatOperation() says in one line what will be done, on which object", () => {
  for (const [operation, text] of operations) {
    assert.equal(formatOperation(operation), text);
    assert.doesNotMatch(text, /undefined|object Object|\n/);
  }
});

test("every kind of operation has its text", () => {
  assert.equal(new Set(operations.map(([operation]) => operation.do)).size, 16);
});
