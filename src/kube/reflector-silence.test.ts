import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { KubeClient } from "./client.ts";
import { cleanUp, cleanups, endPause, node, rig } from "./testing/reflector-rig.ts";
import { ScriptedApi } from "./testing/scripted-api.ts";
import { until } from "./testing/until.ts";

afterEach(cleanUp);

test("Reflector keeps a silent watch while the server has nothing to say", async () => {
  const it = await rig();
  await it.caughtUp();
  for (let round = 1; round <= 3; round++) {
    it.clock.advance(75_000);
    await until("the probe was answered", () => it.api.count("probe") === round && it.clock.delays().includes(72_500));
  }
  assert.equal(it.api.count("watch"), 1);
});

test("Reflector counts silence from the last byte", async () => {
  const it = await rig();
  await it.caughtUp();
  it.clock.advance(30_000);
  await it.caughtUp();
  it.clock.advance(72_499);
  assert.equal(it.clock.delays()[0], 1, "the check is still to come");
  it.clock.advance(1);
  await until("it asked", () => it.api.count("probe") === 1);
});

test("Reflector keeps a watch that speaks while the probe is on its way", async () => {
  const api = await ScriptedApi.start();
  cleanups.push(() => api.close());
  const client = new KubeClient(api.connection());
  cleanups.push(() => Promise.resolve(client.close()));
  const gate = Promise.withResolvers<void>();
  let probes = 0;
  const slowProbe: Pick<KubeClient, "listPage" | "watch"> = {
    watch: (...args) => client.watch(...args),
    listPage: async (...args) => {
      const page = await client.listPage(...args);
      if (args[1].limit !== 1) return page;
      probes++;
      await gate.promise;
      return { ...page, resourceVersion: "9999" };
    },
  };
  const it = await rig({ client: slowProbe }, () => api.put("nodes", node("n1")));
  await until("a watch is open", () => it.reflector.state().connected);
  it.clock.advance(72_500);
  await until("it asked", () => probes === 1);
  api.put("nodes", node("n2"));
  await until("the watch spoke", () => it.reflector.items().size === 2);
  gate.resolve();
  await until("the next check is armed", () => it.clock.delays().includes(72_500));
  assert.deepEqual([it.reflector.state().connected, api.count("watch")], [true, 1]);
});

test("Reflector begins a hung watch anew, and misses nothing that it kept back", async () => {
  const it = await rig({}, (api) => api.put("nodes", node("n1")));
  await it.caughtUp();
  it.api.mute = true;
  it.api.put("nodes", node("n2"));
  it.api.remove("nodes", "n1");
  it.api.mute = false;
  assert.deepEqual(it.changes, ["add n1 red"]);
  it.clock.advance(72_500);
  await until("a second watch is open", () => it.api.count("watch") === 2);
  await it.caughtUp();
  assert.deepEqual(it.changes, ["add n1 red", "add n2 red", "delete n1 red"]);
  assert.deepEqual(it.errors, [], "silence is a doubt, no failure");
});

test("Reflector lists when watch after watch is silent", async () => {
  const it = await rig();
  await it.caughtUp();
  it.api.mute = true;
  it.api.put("nodes", node("n1"));
  for (let watch = 2; watch <= 5; watch++) {
    it.clock.advance(72_500);
    await until(`watch ${watch} is open`, () => it.api.count("watch") === watch && it.reflector.state().connected);
  }
  assert.deepEqual(it.changes, ["add n1 red"]);
  assert.equal(it.api.count("list"), 2);
});

test("Reflector gives a server that hangs as a whole the probe's timeout, then backs off", async () => {
  const it = await rig({}, (api) => api.put("nodes", node("n1")));
  await it.caughtUp();
  it.api.fail("probe", "hang");
  it.clock.advance(72_500);
  await until("it asked", () => it.api.count("probe") === 1);
  assert.equal(it.reflector.state().connected, true);
  it.clock.advance(10_000);
  await until("the failure is reported", () => it.errors.length === 1);
  assert.deepEqual(it.errors, ["BW_KUBE_TIMEOUT"]);
  assert.equal(it.reflector.state().connected, false);
  assert.deepEqual(it.colors(), { n1: "red" });
});

test("Reflector ends a watch that the server keeps beyond its time", async () => {
  const it = await rig({ timing: { idleMs: 3_600_000 } });
  await it.caughtUp();
  it.clock.advance(450_000 + 30_000 - 1);
  assert.equal(it.reflector.state().connected, true);
  it.clock.advance(1);
  await until("the failure is reported", () => it.errors.length === 1);
  assert.deepEqual(it.errors, ["BW_KUBE_TIMEOUT"]);
});

for (const [what, version] of [
  ["a newer", 9000],
  ["an older", 10],
] as const) {
  test(`Reflector follows a server that comes back without its history at ${what} version`, async () => {
    const it = await rig({}, (api) => {
      api.put("nodes", node("n1"));
      api.put("nodes", node("n2"));
    });
    await it.caughtUp();
    await it.api.restart(version);
    it.api.remove("nodes", "n1");
    it.api.put("nodes", node("n2", "blue"));
    await endPause(it, 1);
    await endPause(it, 2);
    await it.caughtUp();
    assert.deepEqual(it.colors(), { n2: "blue" });
    assert.deepEqual(it.changes.slice(2), ["update n2 blue", "delete n1 red"]);
    assert.deepEqual(it.errors[1], what === "an older" ? "BW_KUBE_HISTORY" : "BW_KUBE_GONE");
  });
}

test("Reflector lists anew when an event comes from before its version", async () => {
  const it = await rig();
  it.api.version = 5000;
  await it.caughtUp();
  const old = { type: "ADDED", object: { metadata: { name: "ghost", resourceVersion: "20" } } };
  it.api.sendRaw(`${JSON.stringify(old)}\n`);
  await until("it listed again", () => it.api.count("list") === 2);
  assert.deepEqual(it.errors, ["BW_KUBE_HISTORY"]);
  assert.deepEqual(it.changes, []);
});

test("Reflector takes a DELETED that carries the object's last version", async () => {
  const it = await rig({}, (api) => api.put("nodes", node("n1")));
  it.api.version = 4999;
  await it.caughtUp();
  const event = { type: "DELETED", object: { metadata: { name: "n1", resourceVersion: "1001" } } };
  it.api.sendRaw(`${JSON.stringify(event)}\n`);
  await until("it is gone", () => it.reflector.items().size === 0);
  assert.equal(it.reflector.state().lastResourceVersion, "5000");
  assert.deepEqual(it.errors, []);
});
