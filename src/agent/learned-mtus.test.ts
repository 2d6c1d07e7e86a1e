import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../kube/testing/manual-clock.ts";
import { LearnedMtus } from "./learned-mtus.ts";

/** Two pods, one of which is just going away. Counts flushes of the node ("") and of pods. */
function rig() {
  const clock = new ManualClock();
  const flushed: string[] = [];
  let inside = "";
  const warnings: string[] = [];
  const learned = new LearnedMtus({
    clock,
    log: { warn: (_fields, message) => void warnings.push(message) },
    pmtuCache: { list: () => [], flush: () => void flushed.push(inside) },
    pods: () => ["/pod1", "/gone"].map((netns) => ({ containerId: "c", ifname: "eth0", netns, ips: [], name: "p" })),
    kernel: {
      openPod: (netns) => {
        if (netns === "/gone") throw new Error("ENOENT");
        const enter = <T>(body: (namespace: never) => T): T => {
          inside = netns;
          try {
            return body(undefined as never);
          } finally {
            inside = "";
          }
        };
        return { fd: 3, enter, [Symbol.dispose]: () => undefined };
      },
    },
  });
  return { clock, flushed, learned, warnings };
}

test("node and pods forget at once, and again until the others have followed", () => {
  const { clock, flushed, learned } = rig();
  learned.forgetSoon();
  clock.advance(10);
  assert.deepEqual(flushed, ["", "/pod1"]);
  clock.advance(10_000);
  assert.equal(flushed.filter((place) => place === "/pod1").length, 5);
  clock.advance(60_000);
  assert.equal(flushed.filter((place) => place === "/pod1").length, 5);
});

test("paths that rise one behind the other make nobody forget more than once a second", () => {
  const { clock, flushed, learned } = rig();
  for (let i = 0; i < 100; i++) {
    learned.forgetSoon();
    clock.advance(20);
  }
  const pods = flushed.filter((place) => place === "/pod1").length;
  assert.ok(pods >= 2 && pods <= 3, `${pods} in two seconds`);
});

test("nothing happens behind the end", () => {
  const { clock, flushed, learned } = rig();
  learned.forgetSoon();
  learned[Symbol.dispose]();
  clock.advance(60_000);
  assert.deepEqual(flushed, []);
});
