/** Entries of nodes that are gone: who takes them back, in whose name, and when not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { ManualClock } from "../../kube/testing/manual-clock.ts";
import type { BgpPeerObject } from "../../model/bgp-objects.ts";
import { StaleSessions } from "./stale-sessions.ts";

function rig() {
  const clock = new ManualClock(0.5);
  const peers = new Map<string, BgpPeerObject>();
  const writes: unknown[] = [];
  const nodes = { known: undefined as ReadonlyMap<string, unknown> | undefined };
  const stale = new StaleSessions({
    client: {
      patch: async (address, body, options) => {
        writes.push([address.name, address.subresource, body, options]);
        return {};
      },
    },
    clock,
    log: { info: () => undefined, warn: () => undefined },
    peers: () => peers,
    nodes: () => nodes.known,
  });
  const reported = (...reporters: string[]) => peers.set("tor", { name: "tor", uid: "u", generation: 1, reporters });
  return { clock, writes, nodes, stale, reported };
}

const LATEST_MS = 60_000;

test("StaleSessions takes back the entry of a node that is gone, as that node's own manager, and no other", async () => {
  const it = rig();
  it.reported("node1", "gone");
  it.nodes.known = new Map([["node1", {}]]);
  it.stale.follow();
  assert.deepEqual(it.writes, [], "not at once");
  it.clock.advance(LATEST_MS);
  await setImmediate();
  assert.deepEqual(it.writes, [
    [
      "tor",
      "status",
      { apiVersion: "breakwater.dev/v1alpha1", kind: "BGPPeer", metadata: { name: "tor" }, status: {} },
      { type: "apply", fieldManager: "breakwater-agent-gone", force: true },
    ],
  ]);
});

test("StaleSessions does nothing where another agent was first, or the node came back meanwhile", async () => {
  for (const happens of ["written", "back"] as const) {
    const it = rig();
    it.reported("node1", "gone");
    it.nodes.known = new Map([["node1", {}]]);
    it.stale.follow();
    if (happens === "written") it.reported("node1");
    else it.nodes.known = new Map([...it.nodes.known, ["gone", {}]]);
    it.clock.advance(LATEST_MS);
    await setImmediate();
    assert.deepEqual(it.writes, [], happens);
  }
});

test("StaleSessions waits until nodes are known: before that all would be gone", async () => {
  const it = rig();
  it.reported("node1", "node2");
  it.stale.follow();
  it.clock.advance(LATEST_MS);
  await setImmediate();
  assert.deepEqual([it.writes, it.clock.delays()], [[], []]);
});

test("StaleSessions has one wait at a time, and none after its end", () => {
  const it = rig();
  it.reported("gone");
  it.nodes.known = new Map();
  it.stale.follow();
  it.stale.follow();
  assert.equal(it.clock.delays().length, 1);
  it.stale[Symbol.dispose]();
  assert.equal(it.clock.delays().length, 0);
});
