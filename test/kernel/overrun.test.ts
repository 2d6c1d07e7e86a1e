/** Sockets that overrun and tables that change while they are read: nothing is lost without a word. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { NETLINK_ROUTE } from "../../src/kernel/netlink/constants.ts";
import { NetlinkSocket } from "../../src/kernel/netlink/socket.ts";
import { decodeRoute, routesRequest } from "../../src/kernel/rtnetlink/route.ts";
import { watchRoutes } from "../../src/kernel/rtnetlink/route-events.ts";
import type { RouteChange, RouteEvent } from "../../src/kernel/rtnetlink/types.ts";
import { linkOf, type TestNamespace, testNamespace } from "./namespaces.ts";

/** RTNLGRP_IPV4_ROUTE. */
const IPV4_ROUTE_GROUP = 7;
const PROTOCOL = 98;

function manyRoutes(ns: TestNamespace, count: number): RouteChange[] {
  const oif = linkOf(ns, "lo").index;
  return Array.from({ length: count }, (_, i) => {
    const destination = `10.${(i >> 8) & 255}.${i & 255}.0/24`;
    return { do: "setRoute", route: { destination, oif, protocol: PROTOCOL } } as const;
  });
}

test("applyMany() carries out 5,000 changes and answers each", (t) => {
  const ns = testNamespace(t);
  const changes = manyRoutes(ns, 5000);
  const bad = { do: "deleteRoute", route: { destination: "10.99.0.0/16", protocol: PROTOCOL } } as const;
  const answers = ns.routes.applyMany([...changes, bad]);
  assert.equal(answers.length, 5001);
  assert.equal(
    answers.findIndex((answer) => answer !== undefined),
    5000,
  );
  assert.equal(ns.routes.routes({ protocol: PROTOCOL }).length, 5000);
});

test("watchRoutes() reports an overrun once, and nothing from before it", async (t) => {
  const ns = testNamespace(t);
  const bursts: RouteEvent[][] = [];
  const arrived = new EventTarget();
  const watch = ns.run(() =>
    watchRoutes((events) => {
      bursts.push(events);
      arrived.dispatchEvent(new Event("burst"));
    }, 4096),
  );
  t.after(() => watch[Symbol.dispose]());
  const lost = once(arrived, "burst");
  ns.routes.applyMany(manyRoutes(ns, 500));
  await lost;
  assert.deepEqual(bursts, [[{ type: "lost" }]]);
  const next = once(arrived, "burst");
  ns.routes.deleteRoute({ destination: "10.0.7.0/24", protocol: PROTOCOL });
  await next;
  assert.deepEqual(
    bursts[1]?.map((event) => event.type === "route" && [event.route.destination, event.deleted]),
    [["10.0.7.0/24", true]],
  );
});

test("dump() is begun anew when its socket overran meanwhile", (t) => {
  const ns = testNamespace(t);
  ns.routes.applyMany(manyRoutes(ns, 400));
  // A request socket that hears events overruns with them, and its next receive answers ENOBUFS.
  using socket = ns.run(
    () => new NetlinkSocket(NETLINK_ROUTE, { groups: [IPV4_ROUTE_GROUP], receiveBufferBytes: 4096 }),
  );
  ns.routes.applyMany(manyRoutes(ns, 800).slice(400));
  const routes = socket.dump(routesRequest(4, PROTOCOL), decodeRoute);
  assert.equal(routes.length, 800);
  assert.equal(new Set(routes.map((route) => route.destination)).size, 800);
});

/** Another process that adds and deletes links and routes as fast as it can, until killed. */
async function startTurmoil(ns: TestNamespace): Promise<ChildProcess> {
  const script = [
    "echo started",
    "while :; do",
    "  ip link add tv0 type bridge; ip route add 172.16.0.0/16 dev lo",
    "  ip link del tv0; ip route del 172.16.0.0/16 dev lo",
    "done",
  ].join("\n");
  const child = ns.run(() => spawn("sh", ["-c", script], { stdio: ["ignore", "pipe", "ignore"] }));
  if (child.stdout !== null) await once(child.stdout, "data");
  return child;
}

test("lists are whole while somebody else changes the tables", async (t) => {
  const ns = testNamespace(t);
  ns.routes.applyMany(manyRoutes(ns, 2000));
  for (let i = 0; i < 60; i++) ns.routes.createLink({ name: `keep${i}`, kind: { type: "bridge" } });
  const child = await startTurmoil(ns);
  const ended = once(child, "exit");
  try {
    let disturbed = 0;
    for (let round = 0; round < 60; round++) {
      const links = ns.routes.links().map((link) => link.name);
      assert.equal(links.filter((name) => name.startsWith("keep")).length, 60);
      assert.equal(new Set(links).size, links.length);
      assert.equal(ns.routes.routes({ protocol: PROTOCOL }).length, 2000);
      if (links.includes("tv0")) disturbed++;
    }
    t.diagnostic(`the other process's link was there in ${disturbed} of 60 lists`);
  } finally {
    child.stdout?.destroy();
    child.kill("SIGKILL");
    await ended;
  }
});
