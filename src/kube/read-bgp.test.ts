/** What the dry run reads of BGP, where something is missing, refused or wrong. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_BGP_CONFIG } from "../model/bgp.ts";
import { KubeApiError } from "./api-error.ts";
import type { JsonObject } from "./json.ts";
import { readBgp } from "./read-bgp.ts";
import { bgpConfigurations, bgpPeers, type ResourceType } from "./resource.ts";

const refusal = (status: number) => {
  const reason = { 403: "Forbidden", 404: "NotFound", 500: "InternalError" }[status] ?? "";
  return new KubeApiError({ status, reason, message: "" }, { operation: "list", object: "it" });
};

interface Given {
  readonly peers?: readonly JsonObject[] | number;
  readonly configurations?: readonly JsonObject[] | number;
  /** By "namespace/name". */
  readonly secrets?: Readonly<Record<string, JsonObject | number>>;
}

function read({ peers = [], configurations = [], secrets = {} }: Given) {
  const answer = <T>(given: T | number): Promise<T> =>
    typeof given === "number" ? Promise.reject(refusal(given)) : Promise.resolve(given);
  const kinds = new Map<ResourceType, readonly JsonObject[] | number>([
    [bgpPeers, peers],
    [bgpConfigurations, configurations],
  ]);
  return readBgp({
    client: {
      list: (resource) => answer(kinds.get(resource) ?? 404),
      get: ({ namespace, name }) => answer(secrets[`${namespace}/${name}`] ?? 404),
    },
    namespace: "kube-system",
    concerns: ({ nodes }) => nodes.length === 0,
  });
}

const peer = (name: string, spec: JsonObject = {}): JsonObject => ({
  metadata: { name, uid: name },
  spec: { address: "192.168.1.1", asNumber: 64513, ...spec },
});
const guarded = (name: string, passwordSecret: JsonObject) => peer(name, { passwordSecret });
const NOTHING = { peers: [], passwords: new Map(), withoutPassword: new Map(), unread: [] };

test("readBgp() finds nothing in a cluster without the definitions", async () => {
  assert.deepEqual(await read({ peers: 404, configurations: 404 }), { settings: DEFAULT_BGP_CONFIG, ...NOTHING });
});

test("readBgp() says which kinds may not be read, and goes on with the other", async () => {
  const wanted = await read({
    peers: 403,
    configurations: [{ metadata: { name: "default", uid: "u" }, spec: { asNumber: 65001 } }],
  });
  assert.deepEqual([wanted?.settings.asNumber, wanted?.unread.length], [65_001, 1]);
  assert.match(wanted?.unread[0] ?? "", /403 Forbidden/);
});

test("readBgp() fails where the API does", async () => {
  await assert.rejects(read({ peers: 500 }), { code: "BW_KUBE_SERVER" });
});

test("readBgp() knows of no wishes while the BGPConfiguration cannot be used", async () => {
  const broken = { metadata: { name: "default", uid: "u" }, spec: { asNumber: 0 } };
  assert.equal(await read({ configurations: [broken] }), undefined);
});

test("readBgp() reads this node's peers and their passwords, and why one has none", async () => {
  const wanted = await read({
    peers: [
      guarded("b", { name: "bgp", key: "b" }),
      guarded("gone", { name: "gone", key: "k" }),
      guarded("closed", { name: "closed", key: "k", namespace: "net" }),
      guarded("empty", { name: "bgp", key: "other" }),
      peer("open"),
      peer("elsewhere", { nodeSelector: { matchLabels: { rack: "9" } } }),
      peer("nobody", { asNumber: 0 }),
    ],
    secrets: { "kube-system/bgp": { data: { b: Buffer.from("correct horse").toString("base64") } }, "net/closed": 403 },
  });
  assert.deepEqual(
    wanted?.peers.map(({ name }) => name),
    ["b", "closed", "empty", "gone", "open"],
  );
  assert.deepEqual([...(wanted?.passwords ?? [])], [["b", "correct horse"]]);
  const why = wanted?.withoutPassword;
  assert.equal(why?.get("gone"), "there is no Secret kube-system/gone");
  assert.match(why?.get("closed") ?? "", /^Secret net\/closed cannot be read: .*403 Forbidden/);
  assert.equal(why?.get("empty"), "Secret kube-system/bgp has no text under the key other");
});
