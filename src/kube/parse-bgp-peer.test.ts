/** Every field of a BGPPeer, and what becomes of bad ones. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { BgpPeerSpec } from "../model/bgp.ts";
import type { JsonObject } from "./json.ts";
import { parseBgpPeer } from "./parse-bgp-peer.ts";
import { parseRun } from "./testing/parse-run.ts";

const LEAST = { address: "192.168.1.1", asNumber: 64513 };
const PARSED: BgpPeerSpec = { name: "tor1", ...LEAST, nodes: [], importAllow: [], exportAllow: [] };
const run = (spec: unknown, status?: JsonObject) =>
  parseRun(parseBgpPeer, { metadata: { name: "tor1", uid: "u", generation: 4 }, spec, status });

test("parseBgpPeer() reads every field", () => {
  const spec = {
    ...LEAST,
    address: "FD00::1",
    port: 1790,
    localASNumber: 64512,
    nodeSelector: { matchLabels: { rack: "1" } },
    passwordSecret: { name: "bgp", key: "tor1" },
    multihop: 3,
    bfd: true,
    gracefulRestartSeconds: 0,
    ttlSecurity: true,
    importAllow: ["fd00::/8", "10.1.2.3/8", "10.0.0.0/8"],
    exportAllow: ["172.16.0.0/12"],
    maxPrefixes: 5,
    localPreference: 0,
    communities: ["64512:100", "1:2:3", "64512:100"],
    allowOwnAS: 1,
  };
  const condition = {
    type: "Understood",
    status: "True",
    message: "m",
    observedGeneration: 3,
    lastTransitionTime: "t",
  };
  const { value, reports } = run(spec, { conditions: [condition] });
  assert.deepEqual(reports, []);
  const { type: _, ...understood } = condition;
  assert.deepEqual(value, {
    name: "tor1",
    uid: "u",
    generation: 4,
    understood,
    spec: {
      name: "tor1",
      address: "fd00::1",
      asNumber: 64513,
      nodes: [{ key: "rack", operator: "In", values: ["1"] }],
      port: 1790,
      localAsNumber: 64512,
      multihop: 3,
      ttlSecurity: true,
      passwordSecret: { name: "bgp", key: "tor1" },
      bfd: true,
      gracefulRestart: 0,
      importAllow: ["10.0.0.0/8", "fd00::/8"],
      exportAllow: ["172.16.0.0/12"],
      maxPrefixes: 5,
      localPreference: 0,
      allowOwnAs: 1,
      communities: [
        [64512, 100],
        [1, 2, 3],
      ],
    },
  });
});

test("parseBgpPeer() needs an address and an AS number, no more", () => {
  assert.deepEqual(run(LEAST), { value: { name: "tor1", uid: "u", generation: 4, spec: PARSED }, reports: [] });
  assert.deepEqual(run({ ...LEAST, ttlSecurity: false, bfd: false }).value.spec, PARSED);
});

const ends = ": there is no session";
/** What ends the session. */
const UNSAFE: readonly (readonly [JsonObject, readonly string[]])[] = [
  [{ address: undefined }, [`spec.address: it is missing${ends}`]],
  [{ address: "tor1.example.com" }, [`spec.address: "tor1.example.com" is no IP address${ends}`]],
  [{ address: "127.0.0.1" }, [`spec.address: "127.0.0.1" is no address that one other machine can have${ends}`]],
  [{ address: "224.0.0.5" }, [`spec.address: "224.0.0.5" is no address that one other machine can have${ends}`]],
  [{ asNumber: undefined }, [`spec.asNumber: it is missing${ends}`]],
  [{ asNumber: 0 }, [`spec.asNumber: expected a whole number from 1 to 4294967294, found 0${ends}`]],
  [{ asNumber: -1 }, [`spec.asNumber: expected a whole number from 1 to 4294967294, found -1${ends}`]],
  [
    { asNumber: 4_294_967_295 },
    [`spec.asNumber: expected a whole number from 1 to 4294967294, found 4294967295${ends}`],
  ],
  [{ asNumber: 1.5 }, [`spec.asNumber: expected a whole number from 1 to 4294967294, found 1.5${ends}`]],
  [{ asNumber: "64513" }, [`spec.asNumber: expected a whole number from 1 to 4294967294, found a string${ends}`]],
  [
    { asNumber: 23_456 },
    [`spec.asNumber: 23456 is nobody's: it stands for numbers of 32 bits where only 16 fit (RFC 6793)${ends}`],
  ],
  [{ localASNumber: 0 }, [`spec.localASNumber: expected a whole number from 1 to 4294967294, found 0${ends}`]],
  [{ port: 0 }, [`spec.port: expected a whole number from 1 to 65535, found 0${ends}`]],
  [{ port: 65_536 }, [`spec.port: expected a whole number from 1 to 65535, found 65536${ends}`]],
  [{ nodeSelector: "rack1" }, [`spec.nodeSelector: it is no selector${ends}`]],
  [{ multihop: 1 }, [`spec.multihop: expected a whole number from 2 to 255, found 1${ends}`]],
  [{ multihop: 256 }, [`spec.multihop: expected a whole number from 2 to 255, found 256${ends}`]],
  [{ ttlSecurity: "yes" }, [`spec.ttlSecurity: expected true or false, found a string${ends}`]],
  [
    { ttlSecurity: true, multihop: 255 },
    [`spec.multihop: ttlSecurity with 255 hops drops nothing: give the hops that there are${ends}`],
  ],
  [
    { passwordSecret: "bgp" },
    [`spec.passwordSecret.name: it is missing${ends}`, `spec.passwordSecret.key: it is missing${ends}`],
  ],
  [{ passwordSecret: { name: "bgp", key: 7 } }, [`spec.passwordSecret.key: it is missing${ends}`]],
  [
    { passwordSecret: { name: "bgp", key: "k", namespace: 7 } },
    [`spec.passwordSecret.namespace: it is no name${ends}`],
  ],
  [{ communities: "64512:1" }, [`spec.communities: expected a list, found a string${ends}`]],
  [
    { communities: ["65536:1"] },
    [
      `spec.communities[0]: "65536:1" is neither two numbers up to 65535 (64512:100) nor three up to 4294967295 (64512:1:2)${ends}`,
    ],
  ],
  [
    { communities: ["1:2:4294967296"] },
    [
      `spec.communities[0]: "1:2:4294967296" is neither two numbers up to 65535 (64512:100) nor three up to 4294967295 (64512:1:2)${ends}`,
    ],
  ],
  [
    { communities: ["64512:1", 7] },
    [
      `spec.communities[1]: a number is neither two numbers up to 65535 (64512:100) nor three up to 4294967295 (64512:1:2)${ends}`,
    ],
  ],
];
for (const [fields, expected] of UNSAFE) {
  test(`parseBgpPeer() has no session with ${JSON.stringify(fields)}`, () => {
    const { value, reports } = run({ ...LEAST, ...fields });
    assert.deepEqual([value.spec, reports], [undefined, expected]);
  });
}

/** What is left out alone. */
const LEFT_OUT: readonly (readonly [JsonObject, Partial<BgpPeerSpec>, string])[] = [
  [{ importAllow: ["10.0.0.0/8", "x"] }, { importAllow: ["10.0.0.0/8"] }, 'spec.importAllow[1]: "x" is no CIDR'],
  [
    { importAllow: ["0.0.0.0/0"] },
    {},
    "spec.importAllow[0]: 0.0.0.0/0 would let everything through, default routes too: give what is meant",
  ],
  [
    { exportAllow: ["::/0"] },
    {},
    "spec.exportAllow[0]: ::/0 would let everything through, default routes too: give what is meant",
  ],
  [{ importAllow: "10.0.0.0/8" }, {}, "spec.importAllow: expected a list, found a string"],
  [{ maxPrefixes: 0 }, {}, "spec.maxPrefixes: expected a whole number from 1 to 10000000, found 0"],
  [{ localPreference: -1 }, {}, "spec.localPreference: expected a whole number from 0 to 4294967295, found -1"],
  [
    { gracefulRestartSeconds: 4096 },
    {},
    "spec.gracefulRestartSeconds: expected a whole number from 0 to 4095, found 4096",
  ],
  [{ allowOwnAS: 11 }, {}, "spec.allowOwnAS: expected a whole number from 0 to 10, found 11"],
  [{ bfd: 1 }, {}, "spec.bfd: expected true or false, found a number"],
];
for (const [fields, parsed, report] of LEFT_OUT) {
  test(`parseBgpPeer() leaves out what is wrong in ${JSON.stringify(fields)}`, () => {
    const { value, reports } = run({ ...LEAST, ...fields });
    assert.deepEqual([value.spec, reports], [{ ...PARSED, ...parsed }, [report]]);
  });
}

test("parseBgpPeer() survives a peer of any shape", () => {
  for (const spec of [undefined, null, 7, "x", [], {}]) {
    const { value, reports } = run(spec);
    assert.deepEqual([value.spec, reports.length], [undefined, 2], JSON.stringify(spec));
  }
});
