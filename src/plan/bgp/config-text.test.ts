import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { BgpPlan } from "../../model/bgp.ts";
import { formatBirdConfig, withKernelRunning, withKernelWaiting } from "./config-text.ts";
import { planBgp } from "./plan.ts";
import { scenarios } from "./testing/scenarios.ts";

/** Golden files: run with UPDATE_GOLDEN=1 to write them, and read the difference before it is committed. */
const folder = join(import.meta.dirname, "testdata");
const BIRD = "/usr/sbin/bird";

/** What BIRD itself says of a text. */
function readByBird(text: string) {
  const place = fs.mkdtempSync(join(tmpdir(), "breakwater-golden-"));
  try {
    fs.writeFileSync(join(place, "bird.conf"), text);
    return spawnSync(BIRD, ["-p", "-c", join(place, "bird.conf")], { encoding: "utf8" });
  } finally {
    fs.rmSync(place, { recursive: true });
  }
}

function goldenText(plan: BgpPlan): string {
  const problems = plan.problems.map(
    ({ code, object, message, remedy }) => `# ${code} ${object}: ${message} -> ${remedy}\n`,
  );
  return `${problems.join("")}${formatBirdConfig(plan, { log: "/run/breakwater/bird/bird.log" })}`;
}

for (const [name, given] of Object.entries(scenarios)) {
  test(`formatBirdConfig() writes ${name}`, () => {
    const file = join(folder, `${name}.conf`);
    const text = goldenText(planBgp(given));
    if (process.env["UPDATE_GOLDEN"] === "1") fs.writeFileSync(file, text);
    assert.equal(text, fs.readFileSync(file, "utf8"));
  });
}

test("every golden file has its scenario", () => {
  const files = fs.readdirSync(folder).map((file) => file.replace(/\.conf$/, ""));
  assert.deepEqual(files.sort(), Object.keys(scenarios).sort());
});

test("BIRD itself reads every golden file", () => {
  for (const name of Object.keys(scenarios)) {
    const { status, stderr, error } = spawnSync(BIRD, ["-p", "-c", join(folder, `${name}.conf`)], { encoding: "utf8" });
    assert.equal(error, undefined, `${BIRD} comes with the Debian package bird2`);
    assert.equal(status, 0, `${name}: ${stderr}`);
  }
});

test("withKernelWaiting() turns off kernel protocols alone, as BIRD reads it, and withKernelRunning() turns them on again", () => {
  const text = fs
    .readFileSync(join(folder, "mesh-dual-stack.conf"), "utf8")
    .replace("router id", "# disabled no;\nrouter id");
  const waiting = withKernelWaiting(text);
  const blocks = [...waiting.matchAll(/^(protocol|filter) (\S+)[^{]*\{\n(?: {2}.*\n)*\}$/gm)];
  assert.deepEqual(
    blocks.filter(([block]) => /^ {2}disabled yes;$/m.test(block)).map(([, , name]) => name),
    ["kernel", "kernel"],
  );
  assert.equal(withKernelRunning(waiting), text);
  const { status, stderr } = readByBird(waiting);
  assert.equal(status, 0, stderr);
});

test("BIRD itself refuses a golden file with one word too many: the test above can fail", () => {
  const text = `${fs.readFileSync(join(folder, "mesh-one-subnet.conf"), "utf8")}\nfoo bar;\n`;
  const { status, stderr } = readByBird(text);
  assert.equal(status, 1);
  assert.match(stderr, /bird\.conf:\d+:\d+ syntax error/);
});

test("planBgp() and formatBirdConfig() give the same bytes whatever the order of nodes, ways and peers", () => {
  for (const [name, given] of Object.entries(scenarios)) {
    const other = {
      ...given,
      nodes: new Map([...given.nodes].reverse()),
      peers: [...given.peers].reverse(),
      state: { ...given.state, paths: [...given.state.paths].reverse() },
    };
    const [a, b] = [planBgp(given), planBgp(other)];
    assert.equal(formatBirdConfig(b, { log: "x" }), formatBirdConfig(a, { log: "x" }), name);
  }
});

test("no filter lets a default route or the node's own pod CIDRs in, whatever the operator allows", () => {
  const text = formatBirdConfig(planBgp(scenarios["peer-with-everything"] as never), { log: "x" });
  const filters = [...text.matchAll(/import filter \{\n([^}]*(?:\{[^}]*\}[^}]*)*?)\n {4}\};/g)].map(
    (match) => match[1],
  );
  assert.equal(filters.length, 8, "two families of four sessions");
  for (const filter of filters) assert.match(filter ?? "", /^ +if net\.len = 0 then reject;\n(?:.*\n)* +reject;$/);
  assert.match(text, /if net ~ \[ 10\.244\.1\.0\/24\+ \] then reject;\n +if net ~ OTHER_PODS4/);
});

test("a password that would end its string is refused, not written", () => {
  const plan = planBgp(scenarios["peers-that-cannot-be"] as never);
  assert.doesNotMatch(formatBirdConfig(plan, { log: "x" }), /evil|password/);
  assert.deepEqual(plan.problems.map(({ code, object }) => `${code} ${object}`).sort(), [
    "BW_BGP_PASSWORD BGPPeer bad-secret",
    "BW_BGP_PASSWORD BGPPeer no-secret",
    "BW_BGP_PEER_ADDRESS BGPPeer far",
    "BW_BGP_PEER_ADDRESS BGPPeer myself",
    "BW_BGP_PEER_ADDRESS BGPPeer other-family",
    "BW_BGP_PEER_TAKEN BGPPeer b",
  ]);
});
