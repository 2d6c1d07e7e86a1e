import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { ManualClock } from "../../kube/testing/manual-clock.ts";
import { node } from "../../plan/testing/scenarios.ts";
import { RoutingAnnotation } from "./routing-annotation.ts";

function rig() {
  const clock = new ManualClock();
  const writes: unknown[] = [];
  const said: string[] = [];
  const api = { failure: undefined as string | undefined };
  const annotation = new RoutingAnnotation({
    nodeName: "node1",
    routing: "bgp",
    client: {
      patch: async (address, body, options) => {
        writes.push([address.name, body, options.type]);
        if (api.failure !== undefined) throw new Error(api.failure);
        return {};
      },
    },
    clock,
    log: { warn: (_fields: object, message: string) => void said.push(message) },
  });
  return { clock, writes, said, api, annotation };
}

const own = node(1, ["192.168.1.1"]);
const WRITE = ["node1", { metadata: { annotations: { "breakwater.dev/routing": "bgp" } } }, "merge"];

test("RoutingAnnotation writes how the node routes where its Node does not say so, once", async () => {
  const it = rig();
  it.annotation.follow(undefined);
  it.annotation.follow({ ...own, routing: "bgp" });
  assert.deepEqual(it.writes, []);
  it.annotation.follow({ ...own, routing: "auto" });
  it.annotation.follow({ ...own, routing: "auto" });
  await setImmediate();
  assert.deepEqual([it.writes, it.said], [[WRITE], []]);
});

test("RoutingAnnotation tries again each minute what is refused, and says so once", async () => {
  const it = rig();
  it.api.failure = "403 Forbidden";
  for (let minute = 0; minute < 3; minute++) {
    it.annotation.follow(own);
    await setImmediate();
    it.clock.advance(60_000);
  }
  assert.deepEqual([it.writes.length, it.said.length], [3, 1]);
  it.api.failure = undefined;
  it.annotation.follow(own);
  await setImmediate();
  assert.equal(it.writes.length, 4);
});
