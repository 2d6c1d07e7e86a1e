import assert from "node:assert/strict";
import { test } from "node:test";
import { formatNftRule } from "../model/nft.ts";
import type { PlannedPath } from "../model/state.ts";
import { planMssClamp } from "./mss-clamp.ts";

function path(mode: PlannedPath["mode"], mtuBytes: number): PlannedPath {
  const overheadBytes = mode === "vxlan" ? 50 : 0;
  const device = mode === "vxlan" ? "bwvxlan" : "eth0";
  return {
    node: "peer",
    mode,
    podCidrs: [],
    peer: "192.168.1.2",
    device,
    underlayMtuBytes: 1500,
    overheadBytes,
    mtuBytes,
  };
}

/** Paths -> devices whose connections are clamped. */
const table: [string, PlannedPath[], string[]][] = [
  ["no peers", [], []],
  ["direct, as wide as the wire", [path("direct", 1500)], []],
  ["no way to the peer", [path("none", 1400)], []],
  ["a tunnel, always", [path("vxlan", 1450)], ["bwvxlan"]],
  ["a direct path that carries less", [path("direct", 1500), path("direct", 1400)], ["eth0"]],
  ["both", [path("vxlan", 1250), path("direct", 1400)], ["bwvxlan", "eth0"]],
];

for (const [name, paths, devices] of table) {
  test(`planMssClamp(): ${name}`, () => {
    const lines = planMssClamp(paths).flatMap(({ rules }) => rules.map(formatNftRule));
    const expected = devices.flatMap((device) =>
      [
        ["oifname", "to"],
        ["iifname", "from"],
      ].map(
        ([field, direction]) =>
          `meta ${field} ${device} meta l4proto 6 tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu comment "TCP ${direction} narrower paths opens with an MSS that fits"`,
      ),
    );
    assert.deepEqual(lines, expected);
  });
}
