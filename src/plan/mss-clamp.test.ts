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

/** Paths, the pods' MTU -> devices whose connections are clamped, and in which hook. */
const table: [string, PlannedPath[], number, string[], "nat" | "forward" | "nowhere"][] = [
  ["no peers", [], 1500, [], "nowhere"],
  ["direct, as wide as the wire", [path("direct", 1500)], 1500, [], "nowhere"],
  ["no way to the peer", [path("none", 1400)], 1400, [], "nowhere"],
  ["a tunnel, pods that fit", [path("vxlan", 1450)], 1450, ["bwvxlan"], "nat"],
  ["a tunnel, pods that are larger", [path("vxlan", 1450), path("direct", 1500)], 1500, ["bwvxlan"], "forward"],
  ["a direct path that carries less", [path("direct", 1500), path("direct", 1400)], 1400, ["eth0"], "nat"],
  ["a direct path that carries less than pods", [path("direct", 1400)], 1500, ["eth0"], "forward"],
  ["both", [path("vxlan", 1250), path("direct", 1400)], 1250, ["bwvxlan", "eth0"], "nat"],
  ["a pod with IPv6 over a path that is too small for it", [path("vxlan", 1250)], 1280, ["bwvxlan"], "forward"],
];

for (const [name, paths, podMtuBytes, devices, where] of table) {
  test(`planMssClamp(): ${name}`, () => {
    const expected = devices.flatMap((device) =>
      [
        ["oifname", "to"],
        ["iifname", "from"],
      ].map(
        ([field, direction]) =>
          `meta ${field} ${device} meta l4proto 6 tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu comment "TCP ${direction} narrower paths opens with an MSS that fits"`,
      ),
    );
    const { opening, chains } = planMssClamp(paths, podMtuBytes, true);
    assert.deepEqual(opening.map(formatNftRule), where === "nat" ? expected : []);
    assert.deepEqual(
      chains.flatMap(({ rules }) => rules.map(formatNftRule)),
      where === "forward" ? expected : [],
    );
    // Without masquerade there is no chain that only first packets pass, and none is made for this.
    const alone = planMssClamp(paths, podMtuBytes, false);
    assert.deepEqual(alone.opening, []);
    assert.deepEqual(
      alone.chains.flatMap(({ rules }) => rules.map(formatNftRule)),
      expected,
    );
  });
}
