import assert from "node:assert/strict";
import { test } from "node:test";
import { formatBirdConfig } from "../plan/bgp/config-text.ts";
import { planBgp } from "../plan/bgp/plan.ts";
import { bgpInput, peer, scenarios } from "../plan/bgp/testing/scenarios.ts";
import { node } from "../plan/testing/scenarios.ts";
import { diffBirdConfig } from "./bird-config.ts";

const files = { log: "/run/bird.log" };
const nodes = [1, 2, 3].map((number) => node(number, [`192.168.1.${number}`]));
const secret = { name: "bgp", key: "tor" };
const withPassword = (password: string) =>
  formatBirdConfig(
    planBgp(bgpInput({ nodes, peers: [peer("tor", { passwordSecret: secret })], passwords: [["tor", password]] })),
    files,
  );

test("diffBirdConfig() finds nothing where nothing differs, of every scenario", () => {
  for (const [name, given] of Object.entries(scenarios)) {
    const text = formatBirdConfig(planBgp(given), files);
    assert.deepEqual(diffBirdConfig(text, text), [], name);
  }
});

test("diffBirdConfig() shows of a node that comes its session, its prefix in the set, and nothing else", () => {
  const [two, three] = [nodes.slice(0, 2), nodes].map((some) =>
    formatBirdConfig(planBgp(bgpInput({ nodes: some })), files),
  );
  const lines = diffBirdConfig(two ?? "", three ?? "");
  assert.deepEqual(lines.slice(0, 2), ["  define OTHER_PODS4", "+   10.244.3.0/24"]);
  assert.equal(lines[2], "+ protocol bgp 'mesh-node3' {");
  assert.ok(lines.slice(2).every((line) => line.startsWith("+ ")));
  const back = diffBirdConfig(three ?? "", two ?? "");
  assert.deepEqual(back.slice(0, 3), ["  define OTHER_PODS4", "-   10.244.3.0/24", "- protocol bgp 'mesh-node3' {"]);
});

test("diffBirdConfig() names the block of a line that changes", () => {
  const [one, other] = [4, 5].map((multihop) =>
    formatBirdConfig(planBgp(bgpInput({ nodes, peers: [peer("tor", { address: "10.0.0.1", multihop })] })), files),
  );
  assert.deepEqual(diffBirdConfig(one ?? "", other ?? ""), [
    "  protocol bgp 'peer-tor' {",
    "-   multihop 4;",
    "+   multihop 5;",
  ]);
});

test("diffBirdConfig() says that a password changes, and shows neither", () => {
  const lines = diffBirdConfig(withPassword("correct horse"), withPassword("battery staple"));
  assert.deepEqual(lines, [
    "  protocol bgp 'peer-tor' {",
    '-   password "(not shown)";',
    '+   password "(not shown)";',
  ]);
  assert.doesNotMatch(diffBirdConfig("", withPassword("correct horse")).join(), /horse/);
});
