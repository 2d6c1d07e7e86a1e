/** `breakwater bench mtu-trap`: the figures differ from machine to machine, what they say does not. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, test } from "node:test";
import { LabHome } from "./lab-fixture.ts";

const home = new LabHome();
after(() => home.close());

interface Case {
  readonly case: string;
  readonly streamHangs: boolean;
  readonly gigabitsPerSecond: number;
  readonly cpuSecondsPerGigabyte: number | null;
  readonly smallMessageUs: number | null;
  readonly largeMessageUs: number | null;
  readonly fragmentsPerSecond: number;
  readonly reassembliesPerSecond: number;
}

test("bench mtu-trap shows which mistakes cost and which hang, and leaves nothing behind", async () => {
  const options = ["--rounds", "1", "--timeout", "1000", "-o", "json"];
  const { code, stdout, stderr } = await home.program("bench", "mtu-trap", ...options);
  assert.equal(code, 0, stderr);
  const { cases } = JSON.parse(stdout) as { cases: Case[] };
  const [right, fragments, dontFragment, silent] = cases;
  assert.ok(right && fragments && dontFragment && silent && cases.length === 4, stdout);
  for (const { smallMessageUs } of cases) assert.ok(smallMessageUs !== null, "small messages pass everywhere");
  for (const { streamHangs, largeMessageUs } of [right, fragments]) {
    assert.equal(streamHangs, false);
    assert.ok(largeMessageUs !== null);
  }
  assert.equal(right.fragmentsPerSecond, 0);
  assert.ok(fragments.fragmentsPerSecond > 1000 && fragments.reassembliesPerSecond > 1000, stdout);
  assert.ok((fragments.cpuSecondsPerGigabyte ?? 0) > 2 * (right.cpuSecondsPerGigabyte ?? 0), stdout);
  for (const hang of [dontFragment, silent]) {
    assert.equal(hang.streamHangs, true, hang.case);
    assert.equal(hang.largeMessageUs, null, hang.case);
    assert.equal(hang.gigabitsPerSecond, 0, hang.case);
  }
  assert.equal(existsSync("/run/bench"), false, "its folder was on a tmpfs of its own");
});

test("bench routing shows what a tunnel costs beside direct routes, with and without offload", async () => {
  const { code, stdout, stderr } = await home.program("bench", "routing", "--rounds", "2", "-o", "json");
  assert.equal(code, 0, stderr);
  const { benchmark, cases } = JSON.parse(stdout) as { benchmark: string; cases: Case[] };
  assert.equal(benchmark, "routing");
  assert.deepEqual(
    cases.map((each) => each.case),
    ["direct", "VXLAN", "direct, no offload", "VXLAN, no offload"],
  );
  const [direct, vxlan, plainDirect, plainVxlan] = cases;
  assert.ok(direct && vxlan && plainDirect && plainVxlan, stdout);
  for (const each of cases) {
    assert.equal(each.streamHangs, false, each.case);
    assert.ok(each.gigabitsPerSecond > 0 && (each.smallMessageUs ?? 0) > 0 && (each.largeMessageUs ?? 0) > 0, stdout);
    assert.equal(each.fragmentsPerSecond, 0, "every packet fits");
  }
  // What a tunnel costs may drown in others' noise; 45 times as many packets do not.
  for (const [whole, frames] of [
    [direct, plainDirect],
    [vxlan, plainVxlan],
  ] as const) {
    assert.ok((frames.cpuSecondsPerGigabyte ?? 0) > 1.5 * (whole.cpuSecondsPerGigabyte ?? 0), stdout);
  }
});

test("bench refuses what it does not know, with what it does", async () => {
  for (const [args, message] of [
    [["nothing"], /no benchmark "nothing": mtu-trap and routing/],
    [["mtu-trap", "--seconds", "0"], /--seconds "0" is no whole number from 1 to 60/],
    [[], /Missing argument/],
  ] as const) {
    const { code, stderr } = await home.program("bench", ...args);
    assert.equal(code, 1);
    assert.match(stderr, message);
  }
});
