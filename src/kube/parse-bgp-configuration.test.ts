/** Every field of a BGPConfiguration, and what becomes of bad ones. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type BgpClusterConfig, DEFAULT_BGP_CONFIG } from "../model/bgp.ts";
import type { JsonObject } from "./json.ts";
import { parseBgpConfiguration } from "./parse-bgp-configuration.ts";
import { parseRun } from "./testing/parse-run.ts";

const run = (spec: unknown, name = "default") =>
  parseRun(parseBgpConfiguration, { metadata: { name, uid: "u", generation: 1 }, spec });

test("parseBgpConfiguration() reads every field", () => {
  const { value, reports } = run({
    asNumber: 65001,
    nodeMesh: false,
    nodeMeshBFD: true,
    routeReflectors: { matchLabels: { reflector: "yes" } },
    communities: ["64512:1"],
    localPreference: 200,
    advertise: { clusterIPs: true, externalIPs: true, loadBalancerIPs: true, within: ["192.0.2.0/24"] },
    listenPort: 1790,
  });
  assert.deepEqual(reports, []);
  assert.deepEqual(value.config, {
    asNumber: 65001,
    nodeMesh: false,
    communities: [[64512, 1]],
    advertise: { clusterIPs: true, externalIPs: true, loadBalancerIPs: true, within: ["192.0.2.0/24"] },
    listenPort: 1790,
    nodeMeshBfd: true,
    routeReflectors: [{ key: "reflector", operator: "In", values: ["yes"] }],
    localPreference: 200,
  });
});

test("parseBgpConfiguration() is the default where nothing is said", () => {
  for (const spec of [undefined, {}, { advertise: {} }]) assert.deepEqual(run(spec).value.config, DEFAULT_BGP_CONFIG);
});

test("parseBgpConfiguration() says of any other name that it does nothing", () => {
  const { value, reports } = run({ asNumber: 65001 }, "mine");
  const why = 'metadata.name: only the BGPConfiguration "default" counts, this one does nothing';
  assert.deepEqual([value.config, reports], [undefined, [why]]);
});

const unused = ": the configuration is not used";
const UNUSED: readonly (readonly [JsonObject, string])[] = [
  [{ asNumber: 0 }, `spec.asNumber: expected a whole number from 1 to 4294967294, found 0${unused}`],
  [
    { asNumber: 4_294_967_295 },
    `spec.asNumber: expected a whole number from 1 to 4294967294, found 4294967295${unused}`,
  ],
  [{ nodeMesh: "no" }, `spec.nodeMesh: expected true or false, found a string${unused}`],
  [{ routeReflectors: [] }, `spec.routeReflectors: it is no selector${unused}`],
  [{ listenPort: 0 }, `spec.listenPort: expected a whole number from 1 to 65535, found 0${unused}`],
  [{ listenPort: 70_000 }, `spec.listenPort: expected a whole number from 1 to 65535, found 70000${unused}`],
  [
    { communities: [{}] },
    `spec.communities[0]: an object is neither two numbers up to 65535 (64512:100) nor three up to 4294967295 (64512:1:2)${unused}`,
  ],
];
for (const [spec, report] of UNUSED) {
  test(`parseBgpConfiguration() is not used with ${JSON.stringify(spec)}`, () => {
    const { value, reports } = run(spec);
    assert.deepEqual([value.config, reports], [undefined, [report]]);
  });
}

const none = DEFAULT_BGP_CONFIG.advertise;
const MISSING =
  "spec.advertise.within: it is missing, and externalIPs needs it: whoever may write a Service could draw the traffic of any address here: no external IP is announced";
const LESS: readonly (readonly [JsonObject, Partial<BgpClusterConfig>, string])[] = [
  [{ advertise: "all" }, {}, "spec.advertise: expected an object, found a string"],
  [{ advertise: { clusterIPs: "yes" } }, {}, "spec.advertise.clusterIPs: expected true or false, found a string"],
  [{ advertise: { externalIPs: true, clusterIPs: true } }, { advertise: { ...none, clusterIPs: true } }, MISSING],
  [
    { advertise: { loadBalancerIPs: true, within: ["0.0.0.0/0"] } },
    { advertise: { ...none, loadBalancerIPs: true, within: [] } },
    "spec.advertise.within[0]: 0.0.0.0/0 would let everything through, default routes too: give what is meant",
  ],
  [{ nodeMeshBFD: 1 }, {}, "spec.nodeMeshBFD: expected true or false, found a number"],
  [{ localPreference: -1 }, {}, "spec.localPreference: expected a whole number from 0 to 4294967295, found -1"],
];
for (const [spec, config, report] of LESS) {
  test(`parseBgpConfiguration() announces less, not more, with ${JSON.stringify(spec)}`, () => {
    const { value, reports } = run(spec);
    assert.deepEqual([value.config, reports], [{ ...DEFAULT_BGP_CONFIG, ...config }, [report]]);
  });
}
