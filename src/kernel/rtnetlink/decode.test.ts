/** What the kernel sends is decoded as it was encoded, and whatever arrives instead is survived. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MessageWriter } from "../netlink/message-writer.ts";
import type { NetlinkMessage, NetlinkRequest } from "../netlink/socket.ts";
import * as address from "./address.ts";
import * as link from "./link.ts";
import * as neighbour from "./neighbour.ts";
import * as route from "./route.ts";
import { decodeEvent } from "./route-events.ts";

const MAC = "02:62:77:00:00:02";
/** ndm_state and ndm_flags of include/uapi/linux/neighbour.h stand behind family, pads and index. */
const NDM_STATE = 8;
const NUD_FAILED = 0x20;
const NUD_REACHABLE = 0x02;

function encode(request: NetlinkRequest): NetlinkMessage {
  const writer = new MessageWriter();
  request.body(writer);
  const payload = Buffer.from(writer.bytes());
  return { type: request.type, flags: 0, sequence: 1, port: 0, payload };
}

const vxlan = { vni: 4098, local: "192.168.7.1", port: 4789, underlayIndex: 3, learning: false, udpChecksum: false };

test("decodeLink() reads a VXLAN device as createLinkRequest() wrote it, over IPv4 and IPv6", () => {
  for (const local of ["192.168.7.1", "fd00::1"]) {
    const kind = { type: "vxlan", vxlan: { ...vxlan, local } } as const;
    const decoded = link.decodeLink(
      encode(link.createLinkRequest({ name: "bwvxlan", mac: MAC, mtuBytes: 1450, kind })),
    );
    assert.deepEqual(
      [decoded?.name, decoded?.kind, decoded?.mac, decoded?.mtuBytes, decoded?.vxlan],
      ["bwvxlan", "vxlan", MAC, 1450, { ...vxlan, local }],
    );
  }
});

test("decodeLink() takes a bridge port's message for no link", () => {
  const message = encode(link.createLinkRequest({ name: "br0", kind: { type: "bridge" } }));
  assert.equal(link.decodeLink(message)?.name, "br0");
  message.payload.writeUInt8(7, 0);
  assert.equal(link.decodeLink(message), undefined);
});

test("decodeRoute() reads routes as setRouteRequest() wrote them", () => {
  const routes = [
    { destination: "10.244.2.0/24", gateway: "192.168.7.2", oif: 3, protocol: 98 },
    { destination: "10.244.2.0/24", gateway: "10.244.2.0", oif: 9, protocol: 98, onlink: true, mtuBytes: 1400 },
    { destination: "0.0.0.0/0", gateway: "169.254.1.1", oif: 2, protocol: 3 },
    { destination: "::/0", gateway: "fe80::1", oif: 2, protocol: 3, onlink: true },
    { destination: "fd00:10:244:2::/64", gateway: "fe80::5", oif: 4, protocol: 98, metric: 1024, table: 98000 },
    { destination: "10.244.1.5/32", oif: 7, protocol: 98, scope: "link", source: "10.0.0.1" },
    { destination: "10.244.0.0/16", protocol: 98, type: "blackhole", scope: "universe" },
  ] as const;
  for (const value of routes) {
    const decoded = route.decodeRoute(encode(route.setRouteRequest(value)));
    for (const [name, expected] of Object.entries(value)) {
      assert.equal(decoded?.[name as keyof typeof decoded], expected, `${name} of ${value.destination}`);
    }
  }
});

/** RTA_MULTIPATH as the kernel writes it (fib_dump_info): struct rtnexthop, then RTA_GATEWAY. */
function multipath(...hops: readonly (readonly [gateway: readonly number[], oif: number])[]): Buffer {
  const parts = hops.map(([gateway, oif]) => {
    const hop = Buffer.alloc(8 + 4 + gateway.length);
    hop.writeUInt16LE(hop.length, 0);
    hop.writeInt32LE(oif, 4);
    hop.writeUInt16LE(4 + gateway.length, 8);
    hop.writeUInt16LE(5, 10);
    Buffer.from(gateway).copy(hop, 12);
    return hop;
  });
  const payload = Buffer.concat(parts);
  const attribute = Buffer.alloc(4);
  attribute.writeUInt16LE(4 + payload.length, 0);
  attribute.writeUInt16LE(9, 2);
  return Buffer.concat([attribute, payload]);
}

test("decodeRoute() reads each of several next hops, up to the first malformed one", () => {
  const message = encode(route.setRouteRequest({ destination: "10.244.2.0/24", protocol: 12, metric: 9800 }));
  const hops = multipath([[192, 168, 1, 254], 3], [[192, 168, 1, 253], 4]);
  const read = (bytes: Buffer) => route.decodeRoute({ ...message, payload: Buffer.concat([message.payload, bytes]) });
  assert.deepEqual(read(hops)?.nextHops, [
    { gateway: "192.168.1.254", oif: 3 },
    { gateway: "192.168.1.253", oif: 4 },
  ]);
  hops.writeUInt16LE(200, 4 + 16);
  assert.deepEqual(read(hops)?.nextHops, [{ gateway: "192.168.1.254", oif: 3 }]);
  hops.writeUInt16LE(3, 4);
  assert.deepEqual(read(hops)?.nextHops, []);
});

test("decodeAddress() reads the own address, not the other end's", () => {
  const request = address.addAddressRequest({ index: 5, address: "10.244.1.0", length: 32, noDad: true });
  const expected = { index: 5, address: "10.244.1.0", length: 32, scope: "global" };
  assert.deepEqual(address.decodeAddress(encode(request)), expected);
  assert.deepEqual(
    address.decodeAddress(encode(address.deleteAddressRequest({ index: 5, address: "fd00::", length: 128 }))),
    { ...expected, address: "fd00::", length: 128 },
  );
});

test("decodeEvent() tells neighbours from forwarding entries and failed ones from good ones", () => {
  const value = { index: 5, ip: "10.244.2.0", mac: MAC };
  const message = encode(neighbour.setNeighbourRequest(value));
  const event = { type: "neighbour", neighbour: { ...value, permanent: true }, deleted: false };
  assert.deepEqual(decodeEvent(message), event);
  message.payload.writeUInt16LE(NUD_REACHABLE, NDM_STATE);
  assert.deepEqual(decodeEvent(message), { ...event, neighbour: { ...value, permanent: false } });
  message.payload.writeUInt16LE(NUD_FAILED, NDM_STATE);
  const failed = { ...value, mac: undefined, permanent: false };
  assert.deepEqual(decodeEvent(message), { ...event, neighbour: failed, deleted: true });
  const entry = { index: 5, mac: MAC, destination: "192.168.7.2" };
  assert.deepEqual(decodeEvent(encode(neighbour.setFdbRequest(entry))), { type: "fdb", entry, deleted: false });
  assert.deepEqual(decodeEvent(encode(neighbour.deleteFdbRequest(entry))), { type: "fdb", entry, deleted: true });
});

test("decodeRule() reads a rule as ruleRequest() wrote it", () => {
  for (const family of [4, 6] as const) {
    const prefix = family === 4 ? "10.244.1.0/24" : "fd00:10:244:1::/64";
    const rule = { family, priority: 9800, table: 9800, source: prefix, destination: prefix, mark: 1, protocol: 98 };
    assert.deepEqual(route.decodeRule(encode(route.ruleRequest(rule, "add"))), rule);
  }
});

/** mulberry32: the same numbers at every run. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}

const samples: NetlinkMessage[] = [
  encode(link.createLinkRequest({ name: "bwvxlan", mac: MAC, mtuBytes: 1450, kind: { type: "vxlan", vxlan } })),
  encode(link.createLinkRequest({ name: "br0", kind: { type: "bridge" } })),
  encode(address.addAddressRequest({ index: 5, address: "fd00::1", length: 128, noDad: true })),
  encode(route.setRouteRequest({ destination: "fd00::/64", gateway: "fe80::1", oif: 5, protocol: 98, mtuBytes: 1400 })),
  encode(neighbour.setNeighbourRequest({ index: 5, ip: "10.244.2.0", mac: MAC })),
  encode(neighbour.setFdbRequest({ index: 5, mac: MAC, destination: "192.168.7.2" })),
];

test("decodeEvent() survives every message cut at every byte", () => {
  for (const message of samples) {
    for (let length = 0; length <= message.payload.length; length++) {
      decodeEvent({ ...message, payload: message.payload.subarray(0, length) });
    }
    assert.notEqual(decodeEvent(message), undefined);
  }
});

test("decodeEvent() survives 60,000 messages with damaged bytes", () => {
  const random = randomNumbers(98);
  let decoded = 0;
  for (let round = 0; round < 60_000; round++) {
    const message = samples[round % samples.length] as NetlinkMessage;
    const payload = Buffer.from(message.payload);
    for (let hits = 1 + random() * 6; hits > 0; hits--) {
      payload[Math.floor(random() * payload.length)] = Math.floor(random() * 256);
    }
    if (decodeEvent({ ...message, payload }) !== undefined) decoded++;
    route.decodeRule({ ...message, type: 32, payload });
  }
  // Both outcomes must occur, or this test tests nothing.
  assert.ok(decoded > 1000 && decoded < 60_000, `${decoded} decoded`);
});
