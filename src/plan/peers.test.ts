import assert from "node:assert/strict";
import { test } from "node:test";
import { VXLAN_DEVICE } from "../model/marks.ts";
import type { RoutingMode } from "../model/node-config.ts";
import { planPeer, vtepMac } from "./peers.ts";
import { config, eth0, node } from "./testing/scenarios.ts";

const underlay = { device: eth0(), address: "192.168.1.1" };
const near = node(2, ["192.168.1.2"]);
const far = node(3, ["192.168.2.3"]);

function plan(routing: RoutingMode, peer: typeof near, provenBytes?: number) {
  return planPeer({ ...config, routing }, underlay, peer, peer.podCidrs, provenBytes);
}

test("planPeer() chooses the way by routing mode and subnet", () => {
  const table = [
    ["auto", near, "direct"],
    ["auto", far, "vxlan"],
    ["direct", near, "direct"],
    ["direct", far, "none"],
    ["vxlan", near, "vxlan"],
    ["vxlan", far, "vxlan"],
  ] as const;
  for (const [routing, peer, mode] of table)
    assert.equal(plan(routing, peer).path?.mode, mode, `${routing} ${peer.name}`);
});

/** What each was told, and the way between them on one subnet and over a router. */
const PAIRS: readonly (readonly [RoutingMode, RoutingMode, near: string, far: string])[] = [
  ["auto", "auto", "direct", "vxlan"],
  ["auto", "direct", "direct", "none"],
  ["auto", "vxlan", "vxlan", "vxlan"],
  ["auto", "bgp", "direct", "bgp"],
  ["direct", "direct", "direct", "none"],
  ["direct", "vxlan", "direct", "none"],
  ["direct", "bgp", "direct", "bgp"],
  ["vxlan", "vxlan", "vxlan", "vxlan"],
  ["vxlan", "bgp", "direct", "bgp"],
  ["bgp", "bgp", "bgp", "bgp"],
];
for (const [one, other, onSubnet, overRouter] of PAIRS) {
  test(`planPeer() comes to the same way on both ends: ${one} and ${other}`, () => {
    for (const [ours, theirs] of [
      [one, other],
      [other, one],
    ] as const) {
      const mode = (peer: typeof near) => plan(ours, { ...peer, routing: theirs }).path?.mode;
      assert.deepEqual([mode(near), mode(far)], [onSubnet, overRouter], `${ours} towards ${theirs}`);
    }
  });
}

test("planPeer() makes a route of its own to a neighbour that routes by BGP, and none where a router is between", () => {
  const by = (peer: typeof near) => plan("vxlan", { ...peer, routing: "bgp" });
  assert.deepEqual(
    by(near).routes.map(({ destination, gateway, device }) => [destination, gateway, device]),
    [["10.244.2.0/24", "192.168.1.2", "eth0"]],
  );
  assert.deepEqual([by(far).routes, by(far).fdb, by(far).problems], [[], [], []]);
});

test("planPeer() says whose mode it is that knows no way over a router", () => {
  const message = (ours: RoutingMode, theirs: RoutingMode) =>
    plan(ours, { ...far, routing: theirs }).problems[0]?.message;
  assert.match(message("direct", "auto") ?? "", /behind a router and routing is "direct"/);
  assert.match(message("auto", "direct") ?? "", /behind a router and its routing is "direct"/);
});

test("planPeer() plans nothing but a problem for a peer that it may not reach", () => {
  const { routes, neighbours, fdb, problems } = plan("direct", far);
  assert.deepEqual([routes, neighbours, fdb], [[], [], []]);
  assert.deepEqual(
    problems.map(({ code }) => code),
    ["BW_PEER_BEHIND_ROUTER"],
  );
});

test("planPeer() makes one forwarding entry a peer, whatever the number of its ranges", () => {
  const podCidrs = ["10.244.3.0/24", "10.245.3.0/24", "fd00:3::/64", "fd00:4::/64"];
  const { routes, neighbours, fdb } = planPeer(config, underlay, far, podCidrs, undefined);
  assert.deepEqual(
    fdb.map(({ mac, destination }) => [mac, destination]),
    [[vtepMac("node3"), "192.168.2.3"]],
  );
  assert.equal(routes.length, 4);
  assert.ok(routes.every((route) => route.onlink && route.device === VXLAN_DEVICE));
  // One next hop serves every IPv6 range; each gateway has its neighbour entry.
  assert.equal(neighbours.length, 3);
  const known = new Set(neighbours.map(({ ip }) => ip));
  assert.ok(routes.every(({ gateway }) => gateway !== undefined && known.has(gateway)));
});

test("planPeer() names an MTU on the route only where the device would let more through", () => {
  const mtu = (routing: RoutingMode, peer: typeof near, proven?: number) =>
    plan(routing, peer, proven).routes[0]?.mtuBytes;
  assert.deepEqual([mtu("auto", far), mtu("auto", far, 1450), mtu("auto", far, 1400)], [undefined, undefined, 1400]);
  assert.deepEqual([mtu("auto", near), mtu("auto", near, 1400)], [undefined, 1400]);
});

test("planPeer() reports a peer without an address of the underlay's family", () => {
  const { problems, routes } = plan("auto", node(4, ["fd00::4"]));
  assert.deepEqual(
    [problems.map(({ code, object }) => `${code} ${object}`), routes],
    [["BW_PEER_ADDRESS Node node4"], []],
  );
  assert.deepEqual(plan("auto", node(4, ["192.168.1.4"], [])).problems, [], "no range yet: nothing to say");
});

test("vtepMac() is the same on every node, unicast, locally administered and unlike others", () => {
  const macs = new Set(Array.from({ length: 5000 }, (_, i) => vtepMac(`node${i}`)));
  assert.equal(macs.size, 5000);
  for (const mac of macs) assert.equal(Number.parseInt(mac.slice(0, 2), 16) & 3, 2, mac);
  assert.equal(vtepMac("node1"), "16:48:e0:d7:53:2f");
});
