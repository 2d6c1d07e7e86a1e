/**
 * Random histories of objects under random faults. Whatever happened, in the end the reflector has what the server
 * has; and at every moment the changes it told, applied one by one, give exactly what it has.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { KubeClient } from "./client.ts";
import { systemClock } from "./clock.ts";
import { Reflector } from "./reflector.ts";
import { nodes } from "./resource.ts";
import { generator } from "./testing/generator.ts";
import { type Fault, type RequestKind, ScriptedApi } from "./testing/scripted-api.ts";
import { until } from "./testing/until.ts";

type Step = (api: ScriptedApi, random: () => number) => void | Promise<void>;

const FAULTS: readonly Fault[] = ["reset", "cut", "garbage", { status: 500 }, { status: 503 }, { status: 410 }];
const KINDS: readonly RequestKind[] = ["list", "watch", "probe"];
const pick = <T>(from: readonly T[], random: () => number): T => from[Math.floor(random() * from.length)] as T;

const putNode: Step = (api, random) => {
  api.put("nodes", { metadata: { name: `n${Math.floor(random() * 12)}` }, color: Math.floor(random() * 3) });
};
const removeNode: Step = (api, random) => api.remove("nodes", `n${Math.floor(random() * 12)}`);

/** The likely ones several times. */
const BACK = 300;
const STEPS: readonly Step[] = [
  ...[putNode, putNode, putNode, putNode, removeNode, removeNode],
  (api) => api.bookmark(),
  (api) => api.endWatches(),
  (api) => api.dropConnections(),
  (api) => api.compact(),
  (api) => {
    // The last line of this connection, cut; what it would have said comes by the next watch.
    api.sendRaw('{"type":"ADDED","object":{"metadata":{"name":"ghost","resou');
    api.dropConnections();
  },
  (api) => {
    api.mute = !api.mute;
  },
  (api, random) => {
    api.goneAs = random() < 0.5 ? "http" : "event";
  },
  (api, random) => api.fail(pick(KINDS, random), pick(FAULTS, random), 1 + Math.floor(random() * 3)),
  // Back by more than a history has steps: no client can tell one that has come to the same version again.
  (api, random) => api.restart(random() < 0.5 || api.version <= BACK ? api.version + 500 : api.version - BACK),
];

async function live(seed: number, steps: number): Promise<void> {
  const random = generator(seed);
  const api = await ScriptedApi.start();
  const client = new KubeClient(api.connection());
  const reflector = new Reflector<unknown>({
    client,
    resource: nodes,
    parse: (object) => object["color"],
    unparsable: "absent",
    pageSize: 1 + Math.floor(random() * 8),
    clock: { ...systemClock, random },
    timing: { backoffBaseMs: 1, backoffCapMs: 4, idleMs: 15, idleJitterMs: 5, probeTimeoutMs: 500, healthyMs: 5 },
  });
  const told = new Map<string, unknown>();
  reflector.onChange((changes) => {
    for (const change of changes) {
      assert.equal(told.has(change.key), change.type !== "add", `seed ${seed}: ${change.type} ${change.key}`);
      if (change.type !== "add")
        assert.deepEqual(change.old, told.get(change.key), `seed ${seed}: old of ${change.key}`);
      if (change.type === "delete") told.delete(change.key);
      else told.set(change.key, change.value);
    }
    assert.deepEqual(sorted(told), sorted(reflector.items()), `seed ${seed}: what was told is what is`);
  });
  try {
    reflector.start();
    for (let step = 0; step < steps; step++) {
      await pick(STEPS, random)(api, random);
      for (let turn = random() * 6; turn > 1; turn--) await setImmediate();
    }
    api.clearFaults();
    api.mute = false;
    api.put("nodes", { metadata: { name: "last" }, color: "end" });
    const same = () => JSON.stringify(sorted(reflector.items())) === JSON.stringify(serverState(api));
    await until(`seed ${seed}: the reflector has what the server has`, same);
  } finally {
    await reflector.stop();
    client.close();
    await api.close();
  }
}

function serverState(api: ScriptedApi): (readonly [string, unknown])[] {
  return sorted(new Map(api.objects("nodes").map((object) => [object.metadata.name, object["color"]])));
}

function sorted(map: ReadonlyMap<string, unknown>): (readonly [string, unknown])[] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}

for (let seed = 1; seed <= 40; seed++) {
  test(`Reflector ends with the server's state and consistent changes, seed ${seed}`, () => live(seed, 120));
}
