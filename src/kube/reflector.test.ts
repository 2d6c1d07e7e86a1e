import assert from "node:assert/strict";
import { after, afterEach, test } from "node:test";
import { KubeClient } from "./client.ts";
import type { JsonObject } from "./json.ts";
import type { ObjectProblem } from "./object-reader.ts";
import { Reflector } from "./reflector.ts";
import type { ReflectorOptions } from "./reflector-options.ts";
import { nodes, pods } from "./resource.ts";
import type { Change } from "./store.ts";
import { ManualClock } from "./testing/manual-clock.ts";
import { ScriptedApi } from "./testing/scripted-api.ts";
import { until } from "./testing/until.ts";

/** What the tests keep of an object. */
interface Kept {
  readonly color: unknown;
}

const parseKept = (object: JsonObject): Kept => {
  if (object["color"] === "unparsable") throw new SyntaxError("no such color");
  return { color: object["color"] };
};

const node = (name: string, color = "red") => ({ metadata: { name }, color });

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});
after(() => assert.equal(cleanups.length, 0));

interface Rig {
  readonly api: ScriptedApi;
  readonly clock: ManualClock;
  readonly reflector: Reflector<Kept>;
  /** One line a change: "add n1 red". */
  readonly changes: string[];
  readonly errors: string[];
  readonly waits: number[];
  readonly problems: ObjectProblem[];
  colors(): Record<string, unknown>;
  /** Resolves when a watch is open and every event of the server has arrived. */
  caughtUp(): Promise<void>;
}

async function rig(options: Partial<ReflectorOptions<Kept>> = {}, prepare?: (api: ScriptedApi) => void): Promise<Rig> {
  const api = await ScriptedApi.start();
  cleanups.push(() => api.close());
  prepare?.(api);
  const client = new KubeClient(api.connection());
  cleanups.push(() => Promise.resolve(client.close()));
  const clock = new ManualClock(0.5);
  const [errors, waits, problems, changes]: [string[], number[], ObjectProblem[], string[]] = [[], [], [], []];
  const reflector = new Reflector<Kept>({
    client,
    resource: nodes,
    parse: parseKept,
    unparsable: "absent",
    clock,
    onProblem: (problem) => problems.push(problem),
    onError: (error, waitMs) => {
      errors.push((error as { code?: string }).code ?? error.message);
      waits.push(waitMs);
    },
    ...options,
  });
  reflector.onChange((list) => changes.push(...list.map(describeChange)));
  reflector.start();
  cleanups.push(() => reflector.stop());
  return {
    api,
    clock,
    reflector,
    changes,
    errors,
    waits,
    problems,
    colors: () => Object.fromEntries([...reflector.items()].map(([key, value]) => [key, value.color])),
    caughtUp: async () => {
      await until("a watch is open", () => reflector.state().connected && api.watching > 0);
      // A version of its own, so that what was sent before it has certainly arrived.
      api.version++;
      api.bookmark();
      const head = String(api.version);
      await until(`version ${head} is seen`, () => reflector.state().lastResourceVersion === head);
    },
  };
}

function describeChange(change: Change<Kept>): string {
  return `${change.type} ${change.key} ${change.type === "delete" ? change.old.color : change.value.color}`;
}

/** Lets the reflector's next pause end, once it has begun. */
async function endPause({ clock, errors }: Rig, failures: number): Promise<void> {
  await until(`failure ${failures} is reported`, () => errors.length >= failures);
  // The pause is armed in the same turn as the report; 30 s is the cap of all pauses.
  clock.advance(30_000);
}

test("Reflector lists from the cache first, then watches from the list's version with bookmarks", async () => {
  const it = await rig({}, (api) => api.put("nodes", node("n1")));
  await it.reflector.synced;
  await it.caughtUp();
  const [list, watch] = it.api.requests;
  assert.equal(list?.query.get("resourceVersion"), "0");
  assert.equal(list?.query.get("limit"), "500");
  assert.equal(watch?.query.get("resourceVersion"), "1001");
  assert.equal(watch?.query.get("allowWatchBookmarks"), "true");
  assert.equal(watch?.query.get("timeoutSeconds"), "450", "300 s and half of 300 s by the dice");
  assert.deepEqual(it.changes, ["add n1 red"]);
});

test("Reflector turns events into changes and keeps the version of each", async () => {
  const it = await rig();
  await it.reflector.synced;
  it.api.put("nodes", node("n1"));
  it.api.put("nodes", node("n1", "blue"));
  it.api.put("nodes", node("n2"));
  it.api.remove("nodes", "n1");
  await it.caughtUp();
  assert.deepEqual(it.changes, ["add n1 red", "update n1 blue", "add n2 red", "delete n1 blue"]);
  assert.deepEqual(it.colors(), { n2: "red" });
});

test("Reflector tells nobody of an update that changes nothing we read, and keeps the same value", async () => {
  const it = await rig({}, (api) => api.put("nodes", node("n1")));
  await it.reflector.synced;
  const before = it.reflector.items().get("n1");
  it.api.put("nodes", { ...node("n1"), heartbeat: 2 } as ReturnType<typeof node>);
  await it.caughtUp();
  assert.equal(it.reflector.items().get("n1"), before);
  assert.deepEqual(it.changes, ["add n1 red"]);
});

test("Reflector takes a bookmark as a version and nothing else", async () => {
  const it = await rig({}, (api) => api.put("nodes", node("n1")));
  await it.caughtUp();
  it.api.version = 4999;
  await it.caughtUp();
  it.api.dropConnections();
  await endPause(it, 1);
  await it.caughtUp();
  assert.equal(it.api.requests.filter(({ kind }) => kind === "watch")[1]?.query.get("resourceVersion"), "5000");
  assert.deepEqual(it.changes, ["add n1 red"]);
});

test("Reflector resumes after a dropped connection from its version and lists nothing anew", async () => {
  const it = await rig({}, (api) => api.put("nodes", node("n1")));
  await it.caughtUp();
  it.api.dropConnections();
  it.api.put("nodes", node("n2"));
  it.api.remove("nodes", "n1");
  await endPause(it, 1);
  await it.caughtUp();
  assert.deepEqual(it.changes, ["add n1 red", "add n2 red", "delete n1 red"]);
  assert.equal(it.api.count("list"), 1);
  assert.equal(it.reflector.state().relists, 0);
});

test("Reflector forgets half a line when the connection drops inside it", async () => {
  const it = await rig();
  await it.caughtUp();
  const event = JSON.stringify({ type: "ADDED", object: { metadata: { name: "ghost", resourceVersion: "9001" } } });
  it.api.sendRaw(event.slice(0, -10));
  await until("the bytes went out", () => it.reflector.state().connected);
  it.api.endWatches();
  await endPause(it, 1);
  it.api.put("nodes", node("n1"));
  await it.caughtUp();
  assert.deepEqual(it.changes, ["add n1 red"]);
  assert.deepEqual(it.errors, ["BW_KUBE_CONNECTION"]);
});

for (const goneAs of ["http", "event"] as const) {
  test(`Reflector lists consistently after 410 Gone by ${goneAs}, and loses no delete`, async () => {
    const it = await rig({}, (api) => {
      api.put("nodes", node("n1"));
      api.put("nodes", node("n2"));
      api.put("nodes", node("n3"));
    });
    await it.caughtUp();
    it.api.goneAs = goneAs;
    it.api.dropConnections();
    it.api.remove("nodes", "n1");
    it.api.put("nodes", node("n2", "blue"));
    it.api.put("nodes", node("n4"));
    it.api.compact();
    await endPause(it, 1);
    await endPause(it, 2);
    await it.caughtUp();
    assert.deepEqual(it.changes.slice(3), ["update n2 blue", "add n4 red", "delete n1 red"]);
    const relist = it.api.requests.filter((request) => request.kind === "list").at(-1);
    assert.equal(relist?.query.get("resourceVersion"), null, "a cache could lie before what we know");
    assert.equal(it.reflector.state().relists, 1);
  });
}

test("Reflector lists at once after a first 410 and backs off from a storm of them", async () => {
  const it = await rig();
  await it.caughtUp();
  it.api.goneAs = "event";
  const gone = { type: "ERROR", object: { kind: "Status", code: 410, reason: "Expired", message: "too old" } };
  it.api.sendRaw(`${JSON.stringify(gone)}\n`);
  await until("it listed again", () => it.api.count("list") === 2);
  it.api.fail("watch", { status: 410, reason: "Expired" }, 3);
  it.api.endWatches();
  for (let failure = 2; failure <= 4; failure++) await endPause(it, failure);
  await it.caughtUp();
  assert.equal(it.waits[0], 0);
  assert.deepEqual(it.waits.slice(1, 4), [500, 1000, 2000], "half of 1, 2 and 4 s by the dice");
});

test("Reflector backs off exponentially from a 5xx storm to the cap, and the last state stands", async () => {
  const it = await rig({}, (api) => api.put("nodes", node("n1")));
  await it.caughtUp();
  it.api.fail("probe", { status: 503 }, 8);
  it.api.dropConnections();
  for (let failure = 1; failure <= 9; failure++) {
    await endPause(it, failure);
    assert.deepEqual(it.colors(), { n1: "red" });
  }
  await it.caughtUp();
  assert.deepEqual(it.waits, [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
  assert.deepEqual(it.changes, ["add n1 red"]);
});

test("Reflector waits as long as the server asks, never beyond the cap", async () => {
  const it = await rig();
  await it.caughtUp();
  it.api.fail("watch", { status: 429, headers: { "retry-after": "7" } });
  it.api.fail("watch", { status: 429, headers: { "retry-after": "86400" } });
  it.api.endWatches();
  await endPause(it, 1);
  await endPause(it, 2);
  await it.caughtUp();
  assert.deepEqual(it.waits, [7000, 30_000]);
});

test("Reflector counts failures anew after a healthy watch", async () => {
  const it = await rig();
  for (let failure = 1; failure <= 3; failure++) {
    await it.caughtUp();
    it.clock.advance(10_000);
    it.api.dropConnections();
    await endPause(it, failure);
  }
  assert.deepEqual(it.waits, [250, 250, 250]);
});

test("Reflector does not race against a server that ends every watch at once", async () => {
  const it = await rig();
  await it.caughtUp();
  it.api.endWatches();
  await until("it watches again", () => it.reflector.state().watches === 2);
  assert.deepEqual(it.errors, [], "the first watch had something to say");
  it.api.endWatches();
  await until("the failure is reported", () => it.errors.length === 1);
  assert.deepEqual(it.errors, ["BW_KUBE_CONNECTION"]);
  assert.equal(it.api.count("watch"), 2);
});

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

test("Reflector takes duplicates and a delete of what it never saw", async () => {
  const it = await rig();
  await it.caughtUp();
  const added = `${JSON.stringify({ type: "ADDED", object: { metadata: { name: "n1", resourceVersion: "9001" }, color: "red" } })}\n`;
  const unknown = `${JSON.stringify({ type: "DELETED", object: { metadata: { name: "nx", resourceVersion: "9002" } } })}\n`;
  it.api.sendRaw(added + added + unknown);
  await until("all are read", () => it.reflector.state().lastResourceVersion === "9002");
  assert.deepEqual(it.changes, ["add n1 red"]);
});

test("Reflector reads events from bytes cut anywhere, inside a character too", async () => {
  const it = await rig();
  await it.caughtUp();
  const line = `${JSON.stringify({ type: "ADDED", object: { metadata: { name: "n1", resourceVersion: "9001" }, color: "日本🐳" } })}\n`;
  for (const byte of Buffer.from(line)) it.api.sendRaw(Buffer.of(byte));
  await until("it is read", () => it.reflector.items().size === 1);
  assert.deepEqual(it.colors(), { n1: "日本🐳" });
});

for (const line of [
  "{not json\n",
  "[]\n",
  '{"type":"ADDED"}\n',
  '{"type":"RENAMED","object":{}}\n',
  '{"type":"ADDED","object":{}}\n',
]) {
  test(`Reflector lists anew after the unreadable line ${JSON.stringify(line)}`, async () => {
    const it = await rig({}, (api) => api.put("nodes", node("n1")));
    await it.caughtUp();
    it.api.sendRaw(line);
    await endPause(it, 1);
    await until("it listed again", () => it.api.count("list") === 2);
    assert.deepEqual(it.errors, ["BW_KUBE_RESPONSE"]);
    assert.deepEqual(it.colors(), { n1: "red" });
  });
}

test("Reflector reads a list page by page at one version, and writes that land between pages reach it by watch", async () => {
  const it = await rig({ pageSize: 2 }, (api) => {
    for (const name of ["a", "b", "c", "d", "e"]) api.put("nodes", node(name));
  });
  await it.caughtUp();
  assert.equal(it.api.count("list"), 3);
  assert.deepEqual(Object.keys(it.colors()), ["a", "b", "c", "d", "e"]);
  const second = it.api.requests[1];
  assert.notEqual(second?.query.get("continue"), null);
  assert.equal(second?.query.get("resourceVersion"), null, "the token says the version; both are refused");
});

test("Reflector asks for the whole list when a continue token expires half-way", async () => {
  const api = await ScriptedApi.start();
  cleanups.push(() => api.close());
  for (const name of ["a", "b", "c"]) api.put("nodes", node(name));
  const client = new KubeClient(api.connection());
  cleanups.push(() => Promise.resolve(client.close()));
  let pages = 0;
  const compacting: Pick<KubeClient, "listPage" | "watch"> = {
    watch: (...args) => client.watch(...args),
    listPage: async (...args) => {
      const page = await client.listPage(...args);
      if (++pages === 1) api.compact();
      return page;
    },
  };
  const reflector = new Reflector<Kept>({
    client: compacting,
    resource: nodes,
    parse: parseKept,
    unparsable: "absent",
    pageSize: 2,
    clock: new ManualClock(),
  });
  const batches: number[] = [];
  reflector.onChange((changes) => batches.push(changes.length));
  reflector.start();
  cleanups.push(() => reflector.stop());
  await reflector.synced;
  assert.deepEqual(batches, [3], "one batch, nothing of the broken list");
  assert.deepEqual(
    api.requests.filter((request) => request.kind === "list").map((request) => request.query.get("limit")),
    ["2", "2", null],
  );
});

for (const fault of ["reset", "cut", "garbage", { status: 500 }, { status: 403 }] as const) {
  test(`Reflector syncs only by a complete list: ${JSON.stringify(fault)} first`, async () => {
    const it = await rig({}, (api) => {
      api.put("nodes", node("n1"));
      api.fail("list", fault);
    });
    await until("the failure is reported", () => it.errors.length === 1);
    assert.equal(it.reflector.state().synced, false);
    assert.deepEqual(it.changes, []);
    await endPause(it, 1);
    await it.reflector.synced;
    assert.deepEqual(it.changes, ["add n1 red"]);
  });
}

test("Reflector keeps everything when the list after a 410 fails half-way", async () => {
  const it = await rig({}, (api) => {
    api.put("nodes", node("n1"));
    api.put("nodes", node("n2"));
  });
  await it.caughtUp();
  it.api.fail("list", "cut");
  await it.api.restart(9000);
  for (let failure = 1; failure <= 3; failure++) {
    await endPause(it, failure);
    assert.deepEqual(it.colors(), { n1: "red", n2: "red" });
  }
  await it.caughtUp();
  assert.deepEqual(it.changes, ["add n1 red", "add n2 red"]);
});

for (const [unparsable, color] of [
  ["absent", undefined],
  ["last-good", "red"],
] as const) {
  test(`Reflector reports an object it cannot parse and counts it as ${unparsable}`, async () => {
    const it = await rig({ unparsable }, (api) => api.put("nodes", node("n1")));
    await it.reflector.synced;
    it.api.put("nodes", node("n1", "unparsable"));
    it.api.put("nodes", node("n2"));
    await it.caughtUp();
    assert.equal(it.colors()["n1"], color);
    assert.equal(it.colors()["n2"], "red", "the stream goes on");
    assert.deepEqual(it.problems, [{ resource: "nodes", key: "n1", field: "", why: "no such color" }]);
  });
}

test("Reflector selects by namespace, label and field, also when it watches", async () => {
  const selection = { namespace: "web", labelSelector: "app=x", fieldSelector: "spec.nodeName=node1" };
  const it = await rig({ resource: pods, selection });
  await it.caughtUp();
  for (const request of it.api.requests) {
    assert.equal(request.path, "/api/v1/namespaces/web/pods");
    assert.equal(request.query.get("labelSelector"), "app=x");
    assert.equal(request.query.get("fieldSelector"), "spec.nodeName=node1");
  }
});

test("Reflector.stop() ends the watch, rejects synced when nothing was listed, and keeps the state", async () => {
  const it = await rig({}, (api) => api.put("nodes", node("n1")));
  await it.caughtUp();
  await it.reflector.stop();
  await until("the server sees it", () => it.api.watching === 0);
  it.api.put("nodes", node("n2"));
  assert.deepEqual(it.colors(), { n1: "red" });

  const never = await rig({}, (api) => api.fail("list", "hang"));
  await until("it asked", () => never.api.count("list") === 1);
  await never.reflector.stop();
  await assert.rejects(never.reflector.synced, { code: "BW_KUBE_STOPPED" });
});

test("Reflector.state() says what metrics need", async () => {
  const it = await rig({}, (api) => api.put("nodes", node("n1")));
  await it.caughtUp();
  it.clock.advance(2000);
  assert.deepEqual(it.reflector.state(), {
    resource: "nodes",
    synced: true,
    connected: true,
    lastContact: 0,
    lastResourceVersion: "1002",
    objects: 1,
    relists: 0,
    watches: 1,
    errors: 0,
    failuresInRow: 0,
    lastError: undefined,
  });
  it.api.dropConnections();
  await until("the failure is reported", () => it.errors.length === 1);
  const { connected, lastError, failuresInRow } = it.reflector.state();
  assert.deepEqual({ connected, failuresInRow }, { connected: false, failuresInRow: 1 });
  assert.match(lastError ?? "", /^Cannot watch nodes: /);
});
