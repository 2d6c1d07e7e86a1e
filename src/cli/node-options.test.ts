import assert from "node:assert/strict";
import { test } from "node:test";
import { chainOption, nodeConfig, nodeOptions } from "./node-options.ts";
import { type CommandSpec, parseOptions } from "./options.ts";

const spec = { usage: "breakwater agent [options]", summary: "", options: nodeOptions } as const satisfies CommandSpec;

function config(...args: string[]) {
  const parsed = parseOptions(spec, args);
  assert.ok(parsed);
  return nodeConfig(spec, parsed.values);
}

test("nodeConfig() has the defaults of the documents", () => {
  assert.deepEqual(config("--node-name", "n1"), {
    nodeName: "n1",
    routing: "auto",
    vni: 4098,
    vxlanPort: 4789,
    probePort: 8474,
    masquerade: true,
    masqueradeExceptions: [],
  });
});

test("nodeConfig() clears the host bits of exceptions", () => {
  const args = ["--masquerade-except", "10.1.2.3/8", "--masquerade-except", "fd00::1/64"];
  assert.deepEqual(config("--node-name", "n1", ...args).masqueradeExceptions, ["10.0.0.0/8", "fd00::/64"]);
});

for (const [args, message] of [
  [[], /--node-name is missing/],
  [["--node-name", "n", "--vni", "0"], /--vni "0"/],
  [["--node-name", "n", "--vni", "16777216"], /--vni/],
  [["--node-name", "n", "--vxlan-port", "65536"], /--vxlan-port/],
  [["--node-name", "n", "--mtu", "1279"], /--mtu "1279" is no whole number from 1280/],
  [["--node-name", "n", "--masquerade-except", "10.0.0.0"], /Cannot parse CIDR "10\.0\.0\.0"/],
  [["--node-name", "n", "--no-masquerade", "--masquerade-except", "10.0.0.0/8"], /contradict/],
] as const) {
  test(`nodeConfig() refuses ${args.join(" ") || "no name"}`, () => {
    assert.throws(() => config(...args), message);
  });
}

test("chainOption() takes both plugins in any order, none, and nothing else", () => {
  assert.deepEqual(chainOption(spec, "bandwidth,portmap"), ["bandwidth", "portmap"]);
  assert.deepEqual([chainOption(spec, "none"), chainOption(spec, "")], [[], []]);
  assert.throws(() => chainOption(spec, "portmap,firewall"), /"firewall" is none of portmap, bandwidth/);
});
