import assert from "node:assert/strict";
import { test } from "node:test";
import type { ProbeTarget, ProofState } from "../../model/proof.ts";
import type { PlannedPath } from "../../model/state.ts";
import { reportPath, type TargetState } from "./report.ts";
import { unproven } from "./settle.ts";

const path: PlannedPath = {
  node: "node2",
  mode: "vxlan",
  podCidrs: ["10.244.2.0/24"],
  peer: "192.168.2.12",
  device: "bwvxlan",
  underlayMtuBytes: 1500,
  overheadBytes: 50,
  mtuBytes: 1450,
};
const ports = { vxlanPort: 4790, probePort: 9999 };

function each(layer: "underlay" | "overlay", change: Partial<ProofState>): TargetState {
  const target: ProbeTarget = {
    peer: "node2",
    layer,
    family: 4,
    address: layer === "underlay" ? "192.168.2.12" : "10.244.2.0",
    bytes: layer === "underlay" ? 1500 : 1450,
    overheadBytes: layer === "underlay" ? 50 : 0,
  };
  return { target, state: { ...unproven(7), ...change } };
}

const whole = each("underlay", { verdict: "passes", inForceBytes: 1500 });

/** What is known of underlay and overlay -> verdict, proven, a part of the sentence, a part of the remedy. */
const table: [string, TargetState[], string, number | null, RegExp, RegExp][] = [
  ["nothing planned", [], "unproven", null, /^$/, /^$/],
  ["not probed yet", [each("underlay", {})], "unproven", null, /not probed yet/, /^$/],
  ["whole", [whole, each("overlay", { verdict: "passes", inForceBytes: 1450 })], "passes", 1450, /^$/, /^$/],
  [
    "a router",
    [
      each("underlay", { verdict: "too-big", inForceBytes: 1300, tooBig: { from: "192.168.1.1", mtuBytes: 1300 } }),
      each("overlay", { verdict: "passes" }),
    ],
    "too-big",
    1250,
    /192\.168\.1\.1 answers ICMP "too big, 1300", 1300 of 1500 bytes pass/,
    /interface of 192\.168\.1\.1 towards node2/,
  ],
  [
    "a silent hop",
    [each("underlay", { verdict: "black-hole", inForceBytes: 1450 })],
    "black-hole",
    1400,
    /above 1450 of 1500 bytes vanish in silence/,
    /switch port/,
  ],
  [
    "our own device",
    [each("underlay", { verdict: "local", inForceBytes: 1400 })],
    "local",
    1350,
    /this node's own interface/,
    /ip link/,
  ],
  [
    "an agent that is down",
    [
      each("underlay", { verdict: "unknown", reason: "no agent listens there" }),
      each("overlay", { verdict: "unknown" }),
    ],
    "unknown",
    null,
    /no agent listens there/,
    /UDP 9999.*until then the planned MTU stands/,
  ],
  [
    "a tunnel that is blocked, though the underlay answers",
    [whole, each("overlay", { verdict: "unknown" })],
    "unreachable",
    1450,
    /no probe arrives, though the underlay carries them/,
    /UDP port 4790/,
  ],
  [
    "a tunnel that is blocked behind a router that is narrow",
    [
      each("underlay", { verdict: "too-big", inForceBytes: 1300, tooBig: { from: "192.168.1.1", mtuBytes: 1300 } }),
      each("overlay", { verdict: "unknown" }),
    ],
    "unreachable",
    1250,
    /overlay to 10\.244\.2\.0: no probe arrives/,
    /UDP port 4790/,
  ],
  [
    "no way",
    [each("underlay", { verdict: "unreachable", reason: "EHOSTUNREACH" })],
    "unreachable",
    null,
    /EHOSTUNREACH/,
    /ip route get 192\.168\.2\.12/,
  ],
  [
    "the narrower of two says why",
    [
      each("underlay", { verdict: "passes", inForceBytes: 1500 }),
      each("overlay", { verdict: "black-hole", inForceBytes: 1200 }),
    ],
    "black-hole",
    1200,
    /overlay to 10\.244\.2\.0: packets above 1200/,
    /./,
  ],
  [
    "on its way up",
    [each("underlay", { verdict: "passes", inForceBytes: 1300, raise: { bytes: 1500, sinceMs: 9 } })],
    "passes",
    1250,
    /1500 bytes pass again and are used soon/,
    /^$/,
  ],
];

for (const [name, states, verdict, proven, why, remedy] of table) {
  test(`reportPath(): ${name}`, () => {
    const report = reportPath("node1", path, states, (ms) => `at ${ms}`, ports);
    assert.deepEqual([report.from, report.to, report.verdict, report.provenBytes], ["node1", "node2", verdict, proven]);
    assert.match(report.why, why);
    assert.match(report.remedy, remedy);
    assert.equal(report.plannedBytes, 1450);
    assert.equal(report.since, states.length === 0 ? "" : "at 7");
    assert.equal(report.targets.length, states.length);
  });
}
