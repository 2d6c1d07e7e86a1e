import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeHost } from "../../kernel/fake/host.ts";
import { bestRoutes, GobgpRoutes } from "./gobgp-routes.ts";

test("bestRoutes() takes the best path's next hop of either family, and leaves out what GoBGP announces itself", () => {
  const through = (type: number, nexthop: string, best?: true) => ({ attrs: [{ type: 1 }, { type, nexthop }], best });
  const routes = bestRoutes({
    "10.244.1.0/24": [through(3, "192.168.1.12"), through(3, "192.168.1.11", true)],
    "fd00:10:244:1::/64": [through(14, "fd00:192:168:1::11", true)],
    "192.168.1.0/24": [through(3, "0.0.0.0", true)],
    "fd00:192:168:1::/64": [through(14, "::", true)],
    "10.244.9.0/24": [through(3, "192.168.1.19")],
  });
  assert.deepEqual(
    [...routes],
    [
      ["10.244.1.0/24", "192.168.1.11"],
      ["fd00:10:244:1::/64", "fd00:192:168:1::11"],
    ],
  );
});

test("GobgpRoutes looks again behind a start, also where it was stopped just before a look", {
  skip: process.geteuid?.() === 0 ? false : "needs root",
  timeout: 20_000,
}, async (t) => {
  const { routes } = new FakeHost().addNamespace("/run/netns/tor1");
  const { promise: looked, resolve } = Promise.withResolvers<void>();
  const follower = new GobgpRoutes({
    netns: "/proc/self/ns/net",
    routes,
    gobgp: async (...args) => {
      if (args.includes("-j")) resolve();
      return "{}";
    },
  });
  t.after(() => follower.stop());
  follower.start();
  follower.stop();
  follower.start();
  await looked;
});
