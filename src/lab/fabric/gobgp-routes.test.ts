import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeHost } from "../../kernel/fake/host.ts";
import { bestRoutes, GobgpRoutes } from "./gobgp-routes.ts";

test("bestRoutes() are GoBGP's best paths to others, of both families", () => {
  const path = (type: number, nexthop: string, best?: boolean) => ({
    ...(best === undefined ? {} : { best }),
    attrs: [{ type: 1 }, { type, nexthop }],
  });
  const table = {
    "10.244.1.0/24": [path(3, "172.31.2.5", true), path(3, "172.31.2.9")],
    "192.168.2.0/24": [path(3, "0.0.0.0", true)],
    "fd00:10:244:1::/64": [path(14, "fd00::9"), path(14, "fd00::5", true)],
    "fd00:192:168:2::/64": [path(14, "::", true)],
    "10.9.0.0/16": [],
  };
  assert.deepEqual(
    [...bestRoutes(table)],
    [
      ["10.244.1.0/24", "172.31.2.5"],
      ["fd00:10:244:1::/64", "fd00::5"],
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
