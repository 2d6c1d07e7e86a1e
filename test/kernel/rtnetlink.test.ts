import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { openNamespace } from "../../src/kernel/netns.ts";
import { openLinkReaper } from "../../src/kernel/rtnetlink/link-reaper.ts";
import { watchRoutes } from "../../src/kernel/rtnetlink/route-events.ts";
import type { RouteEvent } from "../../src/kernel/rtnetlink/types.ts";

import { isBreakwaterError } from "../../src/model/errors.ts";
import { GIVEN_UP_MAC } from "../../src/model/marks.ts";
import { linkOf, testNamespace } from "./namespaces.ts";

const HOST_MAC = "02:62:77:00:00:01";
const POD_MAC = "02:62:77:00:00:02";

test("createLink() makes a veth pair whose peer is born in the pod's namespace", (t) => {
  const host = testNamespace(t, "host");
  const pod = testNamespace(t, "pod");
  using namespace = openNamespace(pod.path);
  host.routes.createLink({
    name: "bwtest",
    mac: HOST_MAC,
    mtuBytes: 1450,
    up: true,
    kind: {
      type: "veth",
      peer: { name: "eth0", mac: POD_MAC, mtuBytes: 1450, namespaceFd: namespace.fd },
    },
  });
  const hostEnd = linkOf(host, "bwtest");
  const podEnd = linkOf(pod, "eth0");
  assert.deepEqual(
    [hostEnd.kind, hostEnd.mac, hostEnd.mtuBytes, hostEnd.up, hostEnd.peerIndex],
    ["veth", HOST_MAC, 1450, true, podEnd.index],
  );
  assert.deepEqual([podEnd.mac, podEnd.mtuBytes, podEnd.up], [POD_MAC, 1450, false]);
});

test("a host end with another MAC takes nothing more from its pod, in either family", (t) => {
  const node = testNamespace(t, "node");
  const pod = testNamespace(t, "pod");
  const namespace = openNamespace(pod.path);
  t.after(() => namespace.close());
  const peer = { name: "eth0", mac: POD_MAC, mtuBytes: 1450, namespaceFd: namespace.fd };
  node.routes.createLink({ name: "bwtest", mac: HOST_MAC, mtuBytes: 1450, up: true, kind: { type: "veth", peer } });
  const [outer, inner] = [linkOf(node, "bwtest").index, linkOf(pod, "eth0").index];
  pod.routes.changeLink(inner, { up: true });
  const pings = (["10.9.0.", "fd09::"] as const).map((prefix) => {
    const length = prefix.includes(":") ? 64 : 24;
    node.routes.addAddress({ index: outer, address: `${prefix}1`, length, noDad: true });
    pod.routes.addAddress({ index: inner, address: `${prefix}2`, length, noDad: true });
    // As pods have it: nobody asks who has the address.
    pod.routes.setNeighbour({ index: inner, ip: `${prefix}1`, mac: HOST_MAC });
    return () => pod.run(() => spawnSync("ping", ["-n", "-c", "1", "-W", "1", `${prefix}1`]).status);
  });
  assert.deepEqual(
    pings.map((ping) => ping()),
    [0, 0],
  );
  node.routes.changeLink(outer, { group: 7, mac: GIVEN_UP_MAC });
  assert.deepEqual(
    pings.map((ping) => ping()),
    [1, 1],
  );
});

test("setNeighbour() marks next hops of IPv6 as routers: what was learned through others does not outlive 30 s", (t) => {
  const ns = testNamespace(t);
  ns.routes.createLink({ name: "u0", up: true, kind: { type: "bridge" } });
  const { index } = linkOf(ns, "u0");
  for (const ip of ["fe80::1", "fd09::2"]) ns.routes.setNeighbour({ index, ip, mac: POD_MAC });
  const { stdout } = ns.run(() => spawnSync("ip", ["-6", "neigh", "show", "dev", "u0"], { encoding: "utf8" }));
  assert.deepEqual(stdout.trim().split(/ *\n/).sort(), [
    `fd09::2 lladdr ${POD_MAC} PERMANENT`,
    `fe80::1 lladdr ${POD_MAC} router PERMANENT`,
  ]);
});

test("vxlan devices, addresses, routes, neighbours and forwarding entries read back as they were set", (t) => {
  const ns = testNamespace(t);
  ns.routes.createLink({ name: "u0", up: true, kind: { type: "bridge" } });
  const underlay = linkOf(ns, "u0");
  ns.routes.addAddress({ index: underlay.index, address: "192.168.7.1", length: 24 });
  const vxlan = {
    vni: 4098,
    local: "192.168.7.1",
    port: 4789,
    underlayIndex: underlay.index,
    learning: false,
    udpChecksum: false,
    sourcePorts: { first: 49_152, last: 49_407 },
  };
  ns.routes.createLink({ name: "bwvxlan", mac: HOST_MAC, mtuBytes: 1450, up: true, kind: { type: "vxlan", vxlan } });
  const device = linkOf(ns, "bwvxlan");
  assert.deepEqual(device.vxlan, vxlan);
  for (const [address, length] of [
    ["10.244.1.0", 32],
    ["fd00:10:244:1::", 128],
  ] as const) {
    ns.routes.addAddress({ index: device.index, address, length, noDad: true });
  }
  const route4 = {
    destination: "10.244.2.0/24",
    gateway: "10.244.2.0",
    oif: device.index,
    onlink: true,
    protocol: 98,
    mtuBytes: 1400,
  };
  const route6 = {
    destination: "fd00:10:244:2::/64",
    gateway: "fd00:10:244:2::",
    oif: device.index,
    onlink: true,
    protocol: 98,
  };
  const neighbours = ["10.244.2.0", "fd00:10:244:2::"].map((ip) => ({ index: device.index, ip, mac: POD_MAC }));
  const entry = { index: device.index, mac: POD_MAC, destination: "192.168.7.2" };
  const results = ns.routes.applyMany([
    { do: "setRoute", route: route4 },
    { do: "setRoute", route: route6 },
    ...neighbours.map((neighbour) => ({ do: "setNeighbour", neighbour }) as const),
    { do: "setFdb", entry },
  ]);
  assert.deepEqual(results, [undefined, undefined, undefined, undefined, undefined]);
  const routes = ns.routes.routes({ protocol: 98 });
  assert.deepEqual(
    routes.map((r) => [r.destination, r.gateway, r.oif, r.onlink, r.mtuBytes, r.protocol]),
    [
      ["10.244.2.0/24", "10.244.2.0", device.index, true, 1400, 98],
      ["fd00:10:244:2::/64", "fd00:10:244:2::", device.index, true, undefined, 98],
    ],
  );
  const permanent = ns.routes.neighbours().filter((n) => n.permanent && n.index === device.index);
  assert.deepEqual(
    new Set(permanent.map((n) => `${n.ip} ${n.mac}`)),
    new Set(neighbours.map((n) => `${n.ip} ${n.mac}`)),
  );
  assert.deepEqual(
    ns.routes.fdb().filter((f) => f.index === device.index),
    [entry],
  );
  ns.routes.deleteRoute(route4);
  ns.routes.deleteFdb(entry);
  for (const neighbour of neighbours) ns.routes.deleteNeighbour(neighbour);
  assert.deepEqual(
    ns.routes.routes({ protocol: 98 }).map((r) => r.destination),
    ["fd00:10:244:2::/64"],
  );
  assert.deepEqual(
    ns.routes.fdb().filter((f) => f.index === device.index),
    [],
  );
});

test("an error names errno, the kernel's sentence, the operation and the object", (t) => {
  const ns = testNamespace(t);
  const bad = { destination: "10.1.0.0/16", gateway: "10.9.9.9", protocol: 98 };
  assert.throws(
    () => ns.routes.setRoute(bad),
    (error: unknown) => {
      assert.ok(isBreakwaterError(error, "BW_NETLINK"));
      assert.equal(error.errno, "ENETUNREACH");
      assert.match(error.message, /set route 10\.1\.0\.0\/16 via 10\.9\.9\.9.*Nexthop has invalid gateway/);
      return true;
    },
  );
});

test("applyMany() tries every change and answers in their order", (t) => {
  const ns = testNamespace(t);
  const lo = linkOf(ns, "lo").index;
  const results = ns.routes.applyMany([
    { do: "setRoute", route: { destination: "10.1.0.0/16", oif: lo, protocol: 98 } },
    { do: "deleteRoute", route: { destination: "10.2.0.0/16", protocol: 98 } },
    { do: "setRoute", route: { destination: "10.3.0.0/16", oif: lo, protocol: 98 } },
  ]);
  assert.deepEqual(
    results.map((r) => (isBreakwaterError(r) ? r.errno : r)),
    [undefined, "ESRCH", undefined],
  );
});

test("link() answers undefined for a name that nobody has", (t) => {
  assert.equal(testNamespace(t).routes.link("nosuch"), undefined);
});

test("deleteGroup() deletes the group's links and no other, and none is no error", async (t) => {
  const ns = testNamespace(t);
  for (const name of ["bwa", "bwb", "keep"]) ns.routes.createLink({ name, kind: { type: "bridge" } });
  for (const name of ["bwa", "bwb"]) ns.routes.changeLink(linkOf(ns, name).index, { group: 77 });
  using reaper = ns.run(() => openLinkReaper());
  await reaper.deleteGroup(77);
  await reaper.deleteGroup(77);
  assert.deepEqual(
    ns.routes
      .links()
      .map((l) => l.name)
      .filter((name) => name !== "lo"),
    ["keep"],
  );
});

test("watchRoutes() reports what somebody else changes", async (t) => {
  const ns = testNamespace(t);
  const seen: RouteEvent[] = [];
  const arrived = new EventTarget();
  const watch = ns.run(() =>
    watchRoutes((events) => {
      seen.push(...events);
      if (seen.some((e) => e.type === "route" && e.deleted)) arrived.dispatchEvent(new Event("done"));
    }),
  );
  t.after(() => watch[Symbol.dispose]());
  const lo = linkOf(ns, "lo").index;
  const done = once(arrived, "done");
  ns.routes.setRoute({ destination: "10.1.0.0/16", oif: lo, protocol: 98 });
  ns.routes.deleteRoute({ destination: "10.1.0.0/16", protocol: 98 });
  await done;
  const routes = seen.filter((e) => e.type === "route" && e.route.destination === "10.1.0.0/16");
  assert.deepEqual(
    routes.map((e) => e.type === "route" && e.deleted),
    [false, true],
  );
});

test("ignoreNeighboursOf() keeps back the neighbours of these links alone, until others are named", async (t) => {
  const ns = testNamespace(t);
  for (const name of ["u0", "u1"]) ns.routes.createLink({ name, up: true, kind: { type: "bridge" } });
  const [quiet, heard] = [linkOf(ns, "u0").index, linkOf(ns, "u1").index];
  const seen: string[] = [];
  const arrived = new EventTarget();
  using watch = ns.run(() =>
    watchRoutes((events) => {
      for (const event of events) {
        if (event.type === "neighbour") seen.push(`${event.neighbour.ip} of ${event.neighbour.index}`);
        if (event.type === "route" && event.deleted) arrived.dispatchEvent(new Event("done"));
      }
    }),
  );
  /** What is heard of a neighbour each on both links, until a route behind them comes and goes. */
  const heardOf = async (ignored: readonly number[], ip: string) => {
    watch.ignoreNeighboursOf(ignored);
    const done = once(arrived, "done");
    for (const index of [quiet, heard]) ns.routes.setNeighbour({ index, ip, mac: POD_MAC });
    ns.routes.setRoute({ destination: "10.1.0.0/16", oif: linkOf(ns, "lo").index, protocol: 98 });
    ns.routes.deleteRoute({ destination: "10.1.0.0/16", protocol: 98 });
    await done;
    return seen.splice(0).sort();
  };
  assert.deepEqual(await heardOf([quiet], "10.9.0.1"), [`10.9.0.1 of ${heard}`]);
  assert.deepEqual(await heardOf([quiet, heard], "fd09::1"), []);
  assert.deepEqual(await heardOf([heard], "10.9.0.2"), [`10.9.0.2 of ${quiet}`]);
  assert.deepEqual(await heardOf([], "10.9.0.3"), [`10.9.0.3 of ${quiet}`, `10.9.0.3 of ${heard}`].sort());
});

test("rules read back as they were added", (t) => {
  const ns = testNamespace(t);
  const rule = {
    family: 4,
    priority: 9800,
    table: 9800,
    source: "10.244.1.0/24",
    destination: undefined,
    mark: undefined,
    protocol: 98,
  } as const;
  ns.routes.addRule(rule);
  assert.deepEqual(
    ns.routes.rules().filter((r) => r.protocol === 98),
    [rule],
  );
  ns.routes.deleteRule(rule);
  assert.deepEqual(
    ns.routes.rules().filter((r) => r.protocol === 98),
    [],
  );
});
