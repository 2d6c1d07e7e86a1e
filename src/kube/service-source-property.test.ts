/**
 * Random histories of Services and slices under faults. Whatever happened, in the end the index is what a fresh build
 * of the server's slices gives; and at every call each Service whose state differs from before was told.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type { EndpointSlice } from "../model/service.ts";
import { KubeClient } from "./client.ts";
import { systemClock } from "./clock.ts";
import { parseEndpointSlice } from "./parse-endpoint-slice.ts";
import { type ServiceSource, startServiceSource } from "./service-source.ts";
import { SharedValues } from "./shared-values.ts";
import { generator } from "./testing/generator.ts";
import { ScriptedApi } from "./testing/scripted-api.ts";
import { service, slice } from "./testing/service-objects.ts";
import { until } from "./testing/until.ts";

const SERVICES = ["web", "db", "cache", "mail"] as const;
const SLICES = 10;
const STEPS_OF_A_HISTORY = 120;
const BACK = 300;

type Random = () => number;
const below = (limit: number, random: Random) => Math.floor(random() * limit);
const anyService = (random: Random) => SERVICES[below(SERVICES.length, random)] ?? "web";

const putSlice = (api: ScriptedApi, random: Random): void => {
  const object = slice(`s${below(SLICES, random)}`, anyService(random), [`10.0.0.${1 + below(3, random)}`]);
  if (random() < 0.15) object.metadata.labels["service.kubernetes.io/headless"] = "";
  if (random() < 0.1) delete object.metadata.labels["kubernetes.io/service-name"];
  api.put("endpointslices", object);
};
const putService = (api: ScriptedApi, random: Random): void => {
  api.put("services", service(anyService(random), `10.96.0.${1 + below(3, random)}`));
};

const STEPS: readonly ((api: ScriptedApi, random: Random) => void | Promise<void>)[] = [
  ...[putSlice, putSlice, putSlice, putSlice, putService],
  (api, random) => api.remove("endpointslices", `s${below(SLICES, random)}`, "shop"),
  (api, random) => api.remove("services", anyService(random), "shop"),
  (api) => api.endWatches(),
  (api) => api.dropConnections(),
  (api) => api.compact(),
  // Back by more than a history has steps: no client can tell one that has come to the same version again.
  (api, random) => api.restart(random() < 0.5 || api.version <= BACK ? api.version + 500 : api.version - BACK),
];

/** What there is of each Service, and nothing of those that nothing speaks of. */
type State = ReadonlyMap<string, { readonly service: unknown; readonly slices: readonly EndpointSlice[] }>;

function stateOf(source: ServiceSource): State {
  const state = new Map();
  for (const name of SERVICES) {
    const key = `shop/${name}`;
    const [found, slices] = [source.services().get(key), source.slicesOf(key)];
    if (found !== undefined || slices.length > 0) state.set(key, { service: found, slices });
  }
  return state;
}

/** The slices that the API has now, by Service, built from nothing. */
function freshIndex(api: ScriptedApi): Record<string, string[]> {
  const index: Record<string, string[]> = Object.fromEntries(SERVICES.map((name) => [name, []]));
  for (const object of api.objects("endpointslices")) {
    const parsed = parseEndpointSlice(object, () => {}, new SharedValues());
    const { labels } = object.metadata as { labels?: Record<string, string> };
    if (parsed === undefined || labels?.["service.kubernetes.io/headless"] !== undefined) continue;
    index[parsed.service]?.push(`${parsed.name} ${parsed.endpoints[0]?.address}`);
  }
  for (const slices of Object.values(index)) slices.sort();
  return index;
}

function shownIndex(source: ServiceSource): Record<string, string[]> {
  const shown = (name: string) =>
    source.slicesOf(`shop/${name}`).map((found) => `${found.name} ${found.endpoints[0]?.address}`);
  return Object.fromEntries(SERVICES.map((name) => [name, shown(name)]));
}

async function live(seed: number, steps: number): Promise<void> {
  const random = generator(seed);
  const api = await ScriptedApi.start();
  const client = new KubeClient(api.connection());
  let known: State = new Map();
  const check = () => {
    const now = stateOf(source);
    const keys = new Set([...known.keys(), ...now.keys()]);
    const differ = [...keys].filter((key) => !isDeepStrictEqual(known.get(key), now.get(key)));
    const told = source.takeChanged();
    assert.deepEqual(
      differ.filter((key) => !told.has(key)),
      [],
      `seed ${seed}: all that differs is told`,
    );
    known = now;
  };
  const source = startServiceSource({
    client,
    onChange: check,
    onProblem: ({ why }) => assert.fail(why),
    clock: { ...systemClock, random },
    timing: { backoffBaseMs: 1, backoffCapMs: 4, healthyMs: 5 },
  });
  try {
    for (let step = 0; step < steps; step++) {
      await STEPS[below(STEPS.length, random)]?.(api, random);
      for (let turn = random() * 6; turn > 1; turn--) await setImmediate();
    }
    const same = () => isDeepStrictEqual(shownIndex(source), freshIndex(api));
    await until(`seed ${seed}: the index is what a fresh build gives`, same);
  } finally {
    await source.stop();
    client.close();
    await api.close();
  }
}

for (let seed = 1; seed <= 20; seed++) {
  test(`startServiceSource() ends with the server's state and tells every change, seed ${seed}`, () =>
    live(seed, STEPS_OF_A_HISTORY));
}
