import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { KubeApiError } from "../kube/api-error.ts";
import { ManualClock } from "../kube/testing/manual-clock.ts";
import { type MtuReport, type PathReport, PUBLISHED, publishedReport } from "../model/mtu-report.ts";
import { MtuPublisher } from "./mtu-publisher.ts";

function path(to: string, verdict: PathReport["verdict"] = "passes", since = "2026-01-01T00:00:00.000Z"): PathReport {
  const sizes = { underlayBytes: 1500, overheadBytes: 50, plannedBytes: 1450, provenBytes: 1450, mtuBytes: 1450 };
  return { from: "node1", to, mode: "vxlan", ...sizes, verdict, why: "", remedy: "", since, targets: [] };
}

function report(paths: readonly PathReport[], at = "2026-01-01T00:00:00.000Z"): MtuReport {
  return {
    node: "node1",
    at,
    notProbing: null,
    underlay: { device: "eth0", mtuBytes: 1500 },
    podMtuBytes: 1450,
    paths,
  };
}

/** A publisher over an API that has the ConfigMap or not, or refuses. */
function rig(start: { exists: boolean; refuses?: boolean }) {
  const clock = new ManualClock();
  const api = { ...start, writes: [] as string[], warnings: 0 };
  const state = { report: report([path("node2")]) };
  const failure = (status: number, reason: string) =>
    new KubeApiError(
      { status, reason, message: "", retryAfterSeconds: undefined },
      { operation: "patch", object: "it" },
    );
  const publisher = new MtuPublisher({
    clock,
    nodeName: "node1",
    report: () => state.report,
    log: { warn: () => void api.warnings++ },
    client: {
      get: async () => ({ metadata: { uid: "u1" } }),
      patch: async (address, patch) => {
        if (api.refuses === true) throw failure(403, "Forbidden");
        if (!api.exists) throw failure(404, "NotFound");
        api.writes.push(
          `patch ${address.namespace}/${address.name} ${JSON.stringify(Object.keys((patch as { data: object }).data))}`,
        );
        return {};
      },
      create: async (_resource, namespace, object) => {
        const { name, ownerReferences } = object["metadata"] as { name: string; ownerReferences: { uid: string }[] };
        api.exists = true;
        api.writes.push(`create ${namespace}/${name} owner ${ownerReferences[0]?.uid}`);
        return {};
      },
    },
  });
  const pass = async (ms: number) => {
    clock.advance(ms);
    for (let turn = 0; turn < 5; turn++) await nextTurn();
  };
  return { api, state, publisher, pass };
}

test("a burst of changes is one write; the first makes the ConfigMap, owned by the Node", async () => {
  const { api, state, publisher, pass } = rig({ exists: false });
  for (let i = 0; i < 50; i++) publisher.touch();
  await pass(1999);
  assert.deepEqual(api.writes, []);
  await pass(1);
  assert.deepEqual(api.writes, ["create kube-system/breakwater-mtu-node1 owner u1"]);
  state.report = report([path("node2", "black-hole")]);
  publisher.touch();
  await pass(2000);
  assert.deepEqual(api.writes.slice(1), [`patch kube-system/breakwater-mtu-node1 ["${PUBLISHED.key}"]`]);
});

test("what says the same at another time is not written again", async () => {
  const { api, state, publisher, pass } = rig({ exists: true });
  publisher.touch();
  await pass(2000);
  state.report = report([path("node2", "passes", "2026-01-01T00:00:00.001Z")], "2026-01-01T01:00:00.000Z");
  publisher.touch();
  await pass(2000);
  assert.equal(api.writes.length, 1);
});

test("every ten minutes it is written all the same, and made anew when somebody deleted it", async () => {
  const { api, publisher, pass } = rig({ exists: true });
  publisher.touch();
  await pass(2000);
  await pass(599_000);
  assert.equal(api.writes.length, 1);
  await pass(1000);
  assert.equal(api.writes.length, 2);
  api.exists = false;
  await pass(600_000);
  assert.match(api.writes[2] ?? "", /^create /);
});

test("a refusal is told once, tried again every minute, and over when it is over", async () => {
  const { api, publisher, pass } = rig({ exists: true, refuses: true });
  publisher.touch();
  await pass(2000);
  for (let minute = 0; minute < 5; minute++) await pass(60_000);
  assert.deepEqual([api.warnings, api.writes.length], [1, 0]);
  api.refuses = false;
  await pass(60_000);
  assert.equal(api.writes.length, 1);
});

test("a stopped publisher writes nothing", async () => {
  const { api, publisher, pass } = rig({ exists: true });
  publisher.touch();
  publisher[Symbol.dispose]();
  await pass(10_000);
  assert.deepEqual(api.writes, []);
});

test("publishedReport() keeps what a large cluster needs: the odd ones, and how many are as planned", () => {
  const many = Array.from({ length: 500 }, (_, i) => path(`node${i}`, i % 100 === 7 ? "too-big" : "passes"));
  const published = publishedReport(report(many));
  assert.deepEqual([published.paths.length, published.further], [5, 495]);
  assert.ok(published.paths.every(({ verdict }) => verdict === "too-big"));
  const few = publishedReport(report(many.slice(0, 100)));
  assert.deepEqual([few.paths.length, few.further], [100, 0]);
  assert.ok(!("targets" in (few.paths[0] ?? {})));
});
