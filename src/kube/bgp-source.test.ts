/** What operators ask of BGP, as the API tells it, bit by bit and with everything that can be missing. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { DEFAULT_BGP_CONFIG } from "../model/bgp.ts";
import { type BgpSource, startBgpSource } from "./bgp-source.ts";
import { KubeClient } from "./client.ts";
import { ManualClock } from "./testing/manual-clock.ts";
import { cleanUp, cleanups } from "./testing/reflector-rig.ts";
import { ScriptedApi, type StoredObject } from "./testing/scripted-api.ts";
import { until } from "./testing/until.ts";

afterEach(cleanUp);

interface Rig {
  readonly api: ScriptedApi;
  readonly source: BgpSource;
  readonly problems: string[];
  readonly clock: ManualClock;
  changes: number;
}

async function rig(prepare: (api: ScriptedApi) => void = () => undefined): Promise<Rig> {
  const api = await ScriptedApi.start();
  cleanups.push(() => api.close());
  prepare(api);
  const client = new KubeClient(api.connection());
  cleanups.push(() => Promise.resolve(client.close()));
  const problems: string[] = [];
  const clock = new ManualClock(0.5);
  const source = startBgpSource({
    client,
    namespace: "kube-system",
    // Peers with a selector are another node's.
    concerns: ({ nodes }) => nodes.length === 0,
    onChange: () => it.changes++,
    onProblem: ({ key, field, why }) => problems.push(`${key} ${field}: ${why}`),
    clock,
  });
  const it: Rig = { api, source, problems, clock, changes: 0 };
  cleanups.push(() => source.stop());
  return it;
}

const peer = (name: string, spec: object = {}): StoredObject => ({
  metadata: { name, uid: `uid-${name}` },
  spec: { address: "192.168.1.1", asNumber: 64513, ...spec },
});
const secret = (data: Record<string, string>, name = "bgp", namespace = "kube-system"): StoredObject => ({
  metadata: { name, namespace },
  data: Object.fromEntries(Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString("base64")])),
});
const guarded = (key = "a", name = "bgp") => peer("tor1", { passwordSecret: { name, key } });
const names = ({ source }: Rig) => source.wanted()?.peers.map(({ name }) => name);

test("startBgpSource() asks for nothing, and for no Secret, where the cluster does not know the kinds", async () => {
  const it = await rig((api) => api.fail("list", { status: 404, reason: "NotFound" }, 2));
  await it.source.synced;
  assert.deepEqual(it.source.wanted(), {
    settings: DEFAULT_BGP_CONFIG,
    peers: [],
    passwords: new Map(),
    withoutPassword: new Map(),
    unread: [],
  });
  assert.ok(it.api.requests.every(({ path }) => !path.includes("secrets")));
});

test("startBgpSource() says nothing before both kinds are known", async () => {
  const it = await rig((api) => {
    api.put("bgppeers", peer("tor1"));
    api.fail("list", "hang");
  });
  await until("one kind is listed", () => it.source.state().some(({ synced }) => synced));
  assert.equal(it.source.wanted(), undefined);
});

test("startBgpSource() follows peers and settings, and keeps what it said while nothing of it changes", async () => {
  const it = await rig((api) => {
    api.put("bgppeers", peer("tor2"));
    api.put("bgppeers", peer("tor1"));
    api.put("bgppeers", peer("other", { nodeSelector: { matchLabels: { rack: "2" } } }));
    api.put("bgpconfigurations", { metadata: { name: "default" }, spec: { asNumber: 65001 } });
    api.put("bgpconfigurations", { metadata: { name: "mine" }, spec: { asNumber: 65002 } });
  });
  await it.source.synced;
  await until("it watches", () => it.api.watching === 2);
  const wanted = it.source.wanted();
  assert.deepEqual([wanted?.settings.asNumber, names(it)], [65_001, ["tor1", "tor2"]]);
  assert.equal(it.source.wanted(), wanted);
  assert.match(it.problems.join(), /mine metadata\.name: only the BGPConfiguration "default" counts/);
  const before = it.changes;
  it.api.put("bgppeers", { ...peer("other"), spec: { address: "192.168.1.9", asNumber: 0 } });
  await until("it is heard", () => it.changes > before);
  assert.equal(it.source.wanted(), wanted, "nothing changed for this node");
  assert.match(
    it.source.peers().get("other")?.problems?.[0] ?? "",
    /^spec\.asNumber: .* found 0: there is no session$/,
  );
  it.api.remove("bgppeers", "tor2");
  await until("the peer is gone", () => names(it)?.length === 1);
  assert.notEqual(it.source.wanted(), wanted);
});

test("startBgpSource() says nothing while the configuration cannot be used", async () => {
  const it = await rig((api) => api.put("bgpconfigurations", { metadata: { name: "default" }, spec: { asNumber: 0 } }));
  await it.source.synced;
  assert.equal(it.source.wanted(), undefined);
  await until("it watches", () => it.api.watching === 2);
  it.api.remove("bgpconfigurations", "default");
  await until("the default counts", () => it.source.wanted() !== undefined);
});

test("startBgpSource() reads the Secrets of this node's peers by their names, and hears of their changes", async () => {
  const it = await rig((api) => {
    api.put("bgppeers", guarded());
    const elsewhere = { passwordSecret: { name: "theirs", key: "a" }, nodeSelector: { matchLabels: { rack: "2" } } };
    api.put("bgppeers", peer("other", elsewhere));
    api.put("secrets", secret({ a: "one", b: "two" }));
  });
  await until("the password is known", () => it.source.wanted() !== undefined);
  const first = it.source.wanted();
  assert.deepEqual([...(first?.passwords ?? [])], [["tor1", "one"]]);
  const reads = it.api.requests.filter(({ path }) => path.endsWith("/secrets"));
  assert.ok(reads.length > 0);
  for (const { path, query } of reads) {
    assert.deepEqual(
      [path, query.get("fieldSelector")],
      ["/api/v1/namespaces/kube-system/secrets", "metadata.name=bgp"],
    );
  }
  await until("it watches", () => it.api.watching === 3);
  it.api.put("secrets", secret({ a: "new" }));
  await until("the new one is known", () => it.source.wanted()?.passwords.get("tor1") === "new");
  assert.equal(first?.passwords.get("tor1"), "one");
  it.api.remove("secrets", "bgp", "kube-system");
  await until("it is gone", () => it.source.wanted()?.passwords.size === 0);
  assert.equal(it.source.wanted()?.withoutPassword.get("tor1"), "there is no Secret kube-system/bgp");
  it.api.put("bgppeers", peer("tor1"));
  await until("nobody names it", () => it.source.wanted()?.withoutPassword.size === 0);
  await until("it is watched no more", () => it.source.state().length === 2);
});

test("startBgpSource() says why a peer has no password, and goes on with the others", async () => {
  const it = await rig((api) => {
    api.put("bgppeers", peer("open"));
    api.put("bgppeers", guarded("missing"));
    api.put("bgppeers", peer("bytes", { passwordSecret: { name: "odd", key: "k", namespace: "net" } }));
    api.put("secrets", secret({ a: "one" }));
    api.put("secrets", { metadata: { name: "odd", namespace: "net" }, data: { k: "/w==" } });
  });
  await until("everything is known", () => it.source.wanted() !== undefined);
  assert.deepEqual(names(it), ["bytes", "open", "tor1"]);
  assert.deepEqual(Object.fromEntries(it.source.wanted()?.withoutPassword ?? []), {
    bytes: "Secret net/odd has no text under the key k",
    tor1: "Secret kube-system/bgp has no text under the key missing",
  });
  assert.ok(it.problems.includes('net/odd data["k"]: it is no base64 of UTF-8 text'), it.problems.join());
});

test("startBgpSource() says that a Secret may not be read, and shows none of it", async () => {
  const it = await rig((api) => {
    api.put("bgppeers", guarded());
    api.put("secrets", secret({ a: "s3cret" }));
  });
  await until("the password is known", () => it.source.wanted() !== undefined);
  it.api.fail("probe", { status: 403, reason: "Forbidden" }, 50);
  it.api.put("bgppeers", guarded("a", "forbidden"));
  await until("it is refused", () => (it.source.wanted()?.withoutPassword.size ?? 0) > 0, 5000);
  assert.match(
    it.source.wanted()?.withoutPassword.get("tor1") ?? "",
    /^Secret kube-system\/forbidden cannot be read: .*403 Forbidden/,
  );
  assert.doesNotMatch(JSON.stringify(it.problems), /s3cret/);
});

test("startBgpSource() goes on without kinds that may not be read, says so, and takes them in once they may", async () => {
  const it = await rig((api) => {
    api.put("bgppeers", peer("tor1"));
    api.put("bgpconfigurations", { metadata: { name: "default" }, spec: { asNumber: 65001 } });
    api.fail("list", { status: 403, reason: "Forbidden" }, 2);
  });
  await until("both are refused", () => it.source.wanted() !== undefined);
  const blind = it.source.wanted();
  assert.deepEqual([blind?.settings, blind?.peers, blind?.unread.length], [DEFAULT_BGP_CONFIG, [], 2]);
  assert.match(blind?.unread.join() ?? "", /Cannot list bgp(?:peers|configurations)\.breakwater\.dev: .*403 Forbidden/);
  assert.ok(it.changes > 0);
  await until("it waits", () => it.clock.delays().filter((ms) => ms === 30_000).length === 2);
  it.clock.advance(30_000);
  await until("they are read", () => names(it)?.length === 1);
  assert.deepEqual([it.source.wanted()?.settings.asNumber, it.source.wanted()?.unread], [65_001, []]);
});

test("startBgpSource() keeps what it knows when a right is taken away", async () => {
  const it = await rig((api) => api.put("bgppeers", peer("tor1")));
  await it.source.synced;
  await until("it watches", () => it.api.watching === 2);
  const before = it.source.wanted();
  for (const verb of ["list", "probe", "watch"] as const) it.api.fail(verb, { status: 403, reason: "Forbidden" }, 9);
  it.api.dropConnections();
  await until("it is refused", () => it.source.state().every(({ errors }) => errors > 0));
  assert.equal(it.source.wanted(), before);
});
