/** The definitions of our own kinds: what the API takes by them, and that the parsers understand all of that. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { ParseObject } from "../../../kube/object-reader.ts";
import { OWN_CRDS } from "../../../kube/own-crds.ts";
import { parseBgpConfiguration } from "../../../kube/parse-bgp-configuration.ts";
import { parseBgpPeer } from "../../../kube/parse-bgp-peer.ts";
import { parseLoadBalancerPool } from "../../../kube/parse-load-balancer-pool.ts";
import { parseRun } from "../../../kube/testing/parse-run.ts";
import type { Fields } from "../object/object.ts";
import { startServer, type TestServer } from "../test-server.ts";

const GROUP = "/apis/breakwater.dev/v1alpha1";
const selector = { matchLabels: { a: "b" }, matchExpressions: [{ key: "c", operator: "In", values: ["d"] }] };
const many = (count: number, item: (i: number) => unknown) => Array.from({ length: count }, (_, i) => item(i));

interface Kind {
  readonly kind: string;
  readonly plural: string;
  readonly name: string;
  readonly parse: ParseObject<object>;
  /** The least that has to be there. */
  readonly least: Fields;
  /** Every field. */
  readonly full: Fields;
  /** Fields that the API refuses, with what it answers; the parser reports them, too. */
  readonly refused: readonly (readonly [string, Fields, RegExp])[];
}

const PEER: Kind = {
  kind: "BGPPeer",
  plural: "bgppeers",
  name: "tor1",
  parse: parseBgpPeer,
  least: { address: "192.168.1.1", asNumber: 64513 },
  full: {
    address: "fd00::1",
    asNumber: 4_200_000_000,
    port: 1790,
    localASNumber: 64512,
    nodeSelector: selector,
    passwordSecret: { namespace: "kube-system", name: "bgp", key: "tor1" },
    multihop: 2,
    bfd: true,
    gracefulRestartSeconds: 0,
    ttlSecurity: true,
    importAllow: ["10.0.0.0/8", "fd00::/8"],
    exportAllow: ["172.16.0.0/12"],
    maxPrefixes: 100,
    localPreference: 0,
    communities: ["64512:100", "4200000000:1:2"],
    allowOwnAS: 1,
  },
  refused: [
    ["no address", { address: undefined }, /spec\.address: Required/],
    ["an address that is a name", { address: "router.example.com" }, /spec\.address/],
    ["AS 0", { asNumber: 0 }, /greater than or equal to 1/],
    ["AS 4294967295", { asNumber: 4_294_967_295 }, /less than or equal to 4294967294/],
    ["an AS number as text", { asNumber: "64512" }, /must be of type integer/],
    ["no AS number", { asNumber: undefined }, /spec\.asNumber: Required/],
    ["port 0", { port: 0 }, /greater than or equal to 1/],
    ["port 65536", { port: 65_536 }, /less than or equal to 65535/],
    ["local AS 0", { localASNumber: 0 }, /greater than or equal to 1/],
    ["one hop", { multihop: 1 }, /greater than or equal to 2/],
    ["256 hops", { multihop: 256 }, /less than or equal to 255/],
    ["a negative restart time", { gracefulRestartSeconds: -1 }, /greater than or equal to 0/],
    ["4096 s of restart", { gracefulRestartSeconds: 4096 }, /less than or equal to 4095/],
    ["no prefix at most", { maxPrefixes: 0 }, /greater than or equal to 1/],
    ["a negative preference", { localPreference: -1 }, /greater than or equal to 0/],
    ["a preference of 33 bits", { localPreference: 4_294_967_296 }, /less than or equal to 4294967295/],
    ["a community of one number", { communities: ["64512"] }, /communities\[0\]/],
    ["a community of four", { communities: ["1:2:3:4"] }, /communities\[0\]/],
    ["a default route let in", { importAllow: ["0.0.0.0/0"] }, /importAllow\[0\]/],
    ["a default route passed on", { exportAllow: ["::/0"] }, /exportAllow\[0\]/],
    ["an address for a prefix", { importAllow: ["10.0.0.1"] }, /importAllow\[0\]/],
    ["a Secret without a key", { passwordSecret: { name: "bgp" } }, /passwordSecret\.key: Required/],
    ["a Secret without a name", { passwordSecret: { key: "a" } }, /passwordSecret\.name: Required/],
    ["an odd operator", { nodeSelector: { matchExpressions: [{ key: "a" }] } }, /operator: Required/],
    ["bfd maybe", { bfd: "maybe" }, /must be of type boolean/],
    ["own AS 11 times", { allowOwnAS: 11 }, /less than or equal to 10/],
  ],
};

const CONFIGURATION: Kind = {
  kind: "BGPConfiguration",
  plural: "bgpconfigurations",
  name: "default",
  parse: parseBgpConfiguration,
  least: {},
  full: {
    asNumber: 65_001,
    nodeMesh: false,
    nodeMeshBFD: true,
    routeReflectors: selector,
    communities: ["64512:1"],
    localPreference: 200,
    advertise: { clusterIPs: true, externalIPs: true, loadBalancerIPs: true, within: ["192.0.2.0/24"] },
    listenPort: 1790,
  },
  refused: [
    ["AS 0", { asNumber: 0 }, /greater than or equal to 1/],
    ["port 0", { listenPort: 0 }, /greater than or equal to 1/],
    ["a mesh by word", { nodeMesh: "full" }, /must be of type boolean/],
    ["BFD by word", { nodeMeshBFD: "on" }, /must be of type boolean/],
    ["an odd community", { communities: ["no-export"] }, /communities\[0\]/],
    ["a preference of half", { localPreference: 1.5 }, /must be of type integer/],
    ["all addresses announced", { advertise: { within: ["0.0.0.0/0"] } }, /within\[0\]/],
    ["reflectors by name", { routeReflectors: "node1" }, /must be of type object/],
  ],
};

const POOL: Kind = {
  kind: "LoadBalancerPool",
  plural: "loadbalancerpools",
  name: "p",
  parse: parseLoadBalancerPool,
  least: { addresses: ["192.0.2.0/24"] },
  full: {
    addresses: ["192.0.2.0/24", "198.51.100.1-198.51.100.9", "2001:db8::/64"],
    autoAssign: false,
    avoidBuggyIPs: true,
    namespaceSelector: selector,
    serviceSelector: selector,
  },
  refused: [
    ["no addresses", { addresses: [] }, /at least 1 items/],
    ["addresses by word", { addresses: "192.0.2.0/24" }, /must be of type array/],
    ["autoAssign maybe", { autoAssign: "maybe" }, /must be of type boolean/],
    ["an empty address", { addresses: [""] }, /addresses\[0\]/],
  ],
};

async function start(context: TestContext): Promise<TestServer> {
  const server = await startServer(context);
  for (const definition of OWN_CRDS) {
    const body = structuredClone(definition) as unknown as Fields;
    const answer = await server.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", { body });
    assert.equal(answer.code, 201, answer.text);
  }
  return server;
}

const objectOf = ({ kind, name, least }: Kind, spec: Fields): Fields => ({
  apiVersion: "breakwater.dev/v1alpha1",
  kind,
  metadata: { name },
  spec: Object.fromEntries(Object.entries({ ...least, ...spec }).filter(([, value]) => value !== undefined)),
});

for (const kind of [PEER, CONFIGURATION, POOL]) {
  test(`the API keeps every field of a ${kind.kind}, and the parser understands it`, async (context) => {
    const server = await start(context);
    const answer = await server.request("POST", `${GROUP}/${kind.plural}`, { body: objectOf(kind, kind.full) });
    assert.equal(answer.code, 201, answer.text);
    assert.deepEqual(answer.body["spec"], kind.full);
    assert.deepEqual(parseRun(kind.parse, answer.body).reports, []);
  });

  test(`the API takes a ${kind.kind} with the least, and the parser understands what it filled in`, async (context) => {
    const server = await start(context);
    const answer = await server.request("POST", `${GROUP}/${kind.plural}`, { body: objectOf(kind, {}) });
    assert.equal(answer.code, 201, answer.text);
    const filled = parseRun(kind.parse, answer.body);
    assert.deepEqual(filled.reports, []);
  });

  test(`the API refuses what is wrong with a ${kind.kind}, and the parser reports it`, async (context) => {
    const server = await start(context);
    for (const [what, spec, message] of kind.refused) {
      const body = objectOf(kind, spec);
      const answer = await server.request("POST", `${GROUP}/${kind.plural}`, { body });
      assert.deepEqual([answer.code, message.test(answer.text)], [422, true], `${what}: ${answer.text}`);
      assert.notDeepEqual(parseRun(kind.parse, body).reports, [], what);
    }
  });
}

test("the API refuses more than a pool can have", async (context) => {
  const server = await start(context);
  const addresses = many(101, (i) => `10.0.${i}.0/24`);
  const answer = await server.request("POST", `${GROUP}/loadbalancerpools`, { body: objectOf(POOL, { addresses }) });
  assert.equal(answer.code, 422, answer.text);
});
