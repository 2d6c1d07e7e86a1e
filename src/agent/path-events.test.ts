import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../kube/testing/manual-clock.ts";
import type { PathReport } from "../model/mtu-report.ts";
import { PathEvents } from "./path-events.ts";

function path(
  to: string,
  verdict: PathReport["verdict"],
  provenBytes = 1450,
  raisingToBytes: number | null = null,
): PathReport {
  const target = {
    ...({
      layer: "underlay",
      family: 4,
      address: "192.168.2.12",
      plannedBytes: 1500,
      provenBytes: 1500,
      verdict,
    } as const),
    ...{ tooBig: null, reason: null, since: "", checked: null, raisingToBytes },
  };
  const sizes = { underlayBytes: 1500, overheadBytes: 50, plannedBytes: 1450, provenBytes, mtuBytes: provenBytes };
  const bad = verdict !== "passes";
  return {
    ...{ from: "node1", to, mode: "vxlan", ...sizes, verdict, since: "", targets: [target] },
    ...{ why: bad ? `${verdict} to ${to}` : "", remedy: bad ? "do this" : "" },
  };
}

function rig() {
  const clock = new ManualClock();
  const paths = new Map<string, PathReport>();
  const told: string[] = [];
  const events = new PathEvents({
    clock,
    nodeName: "node1",
    report: (peer) => paths.get(peer),
    events: {
      record: ({ kind, name }, type, reason, message) =>
        void told.push(`${kind}/${name} ${type} ${reason}: ${message}`),
    },
  });
  /** Paths change together; what was told of them. */
  const change = (...changed: PathReport[]) => {
    for (const each of changed) {
      paths.set(each.to, each);
      events.touch(each.to);
    }
    clock.advance(2000);
    return told.splice(0);
  };
  return { change, events, clock, told };
}

test("a path that becomes narrow, narrower, broken and whole again is told each time, and once", () => {
  const { change } = rig();
  assert.deepEqual(change(path("node2", "passes")), []);
  assert.deepEqual(change(path("node2", "too-big", 1250)), [
    "Node/node1 Warning PathMtuTooSmall: Path to node node2: too-big to node2. do this",
  ]);
  assert.deepEqual(change(path("node2", "too-big", 1250)), []);
  assert.equal(change(path("node2", "too-big", 1200)).length, 1);
  assert.deepEqual(change(path("node2", "unreachable")), [
    "Node/node1 Warning PathUnreachable: Path to node node2: unreachable to node2. do this",
  ]);
  assert.deepEqual(change(path("node2", "passes")), [
    "Node/node1 Normal PathMtuRestored: Path to node node2: carries the planned 1450 bytes again",
  ]);
  assert.deepEqual(change(path("node2", "passes")), []);
});

test("a peer that does not answer, and a path on its way up, are no news", () => {
  const { change } = rig();
  change(path("node2", "black-hole", 1400));
  assert.deepEqual(change(path("node2", "unknown")), []);
  assert.deepEqual(change(path("node2", "passes", 1400, 1450)), []);
  assert.deepEqual(change(path("node2", "black-hole", 1400)), [], "it was told before");
  assert.equal(change(path("node2", "passes")).length, 1);
});

test("many paths that change together are one Event", () => {
  const { change } = rig();
  const many = Array.from({ length: 200 }, (_, i) => path(`node${i}`, "too-big", 1250));
  assert.deepEqual(change(...many), [
    "Node/node1 Warning PathMtuTooSmall: Paths to 200 nodes (node0, node1, node2, node3, node4 and 195 more). To node0: too-big to node0. do this",
  ]);
  assert.equal(change(...many.map(({ to }) => path(to, "passes"))).length, 1);
  assert.equal(change(...many.slice(0, 3)).length, 3);
});

test("a peer that is gone is forgotten, and nothing is told behind the end", () => {
  const { change, events, clock, told } = rig();
  change(path("node2", "too-big", 1250));
  events.touch("node9");
  clock.advance(2000);
  events.touch("node2");
  events[Symbol.dispose]();
  clock.advance(10_000);
  assert.deepEqual(told, []);
});
