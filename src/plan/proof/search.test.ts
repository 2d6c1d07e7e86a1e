import assert from "node:assert/strict";
import { test } from "node:test";
import type { Finding, RoundResult, TooBig } from "../../model/proof.ts";
import { endRound, FLOOR_BYTES, ladder, nextRound, type Search, startSearch } from "./search.ts";

/** What a network does with a packet of a size, at the n-th packet of a search. */
type Fate = "passes" | "vanishes" | "refused" | "nobody" | TooBig;
type Network = (bytes: number, n: number) => Fate;

const carries =
  (mtu: number): Network =>
  (bytes) =>
    bytes <= mtu ? "passes" : "vanishes";
const router =
  (mtu: number, says = mtu): Network =>
  (bytes) =>
    bytes <= mtu ? "passes" : { from: "10.0.0.1", mtuBytes: says };
const device =
  (mtu: number): Network =>
  (bytes) =>
    bytes <= mtu ? "passes" : "refused";

/** Drives a search to its end. */
function run(
  network: Network,
  target: number,
  before?: number,
  silentBefore = false,
): { found: Finding; rounds: number; packets: number } {
  let search: Search = startSearch(target, before, silentBefore);
  for (let rounds = 1, packets = 0; rounds < 100; rounds++) {
    const round = nextRound(search);
    assert.ok(round.sizes.length > 0, "a round asks something");
    assert.ok(round.sizes.every((size) => size <= target && Number.isInteger(size)));
    const fates = round.sizes.flatMap((bytes) =>
      Array.from({ length: round.copies }, () => ({ bytes, fate: network(bytes, packets++) })),
    );
    const outcome = endRound(search, resultOf(fates));
    if ("found" in outcome) return { found: outcome.found, rounds, packets };
    search = outcome.search;
  }
  return assert.fail("the search does not end");
}

function resultOf(fates: readonly { bytes: number; fate: Fate }[]): RoundResult {
  const sizes = (fate: Fate) => [...new Set(fates.filter((each) => each.fate === fate).map(({ bytes }) => bytes))];
  const tooBig = fates.map(({ fate }) => fate).find((fate) => typeof fate === "object");
  return {
    passed: sizes("passes"),
    refusedLocally: sizes("refused"),
    ...(tooBig === undefined ? {} : { tooBig }),
    nobodyListens: fates.some(({ fate }) => fate === "nobody"),
  };
}

test("a planned size that passes costs one packet", () => {
  assert.deepEqual(run(carries(1500), 1500), {
    found: { verdict: "passes", provenBytes: 1500 },
    rounds: 1,
    packets: 1,
  });
});

test("a path that is known to carry less is confirmed in one round of three packets", () => {
  const { found, rounds, packets } = run(carries(1400), 1500, 1400);
  assert.deepEqual(found, { verdict: "black-hole", provenBytes: 1400 });
  assert.deepEqual([rounds, packets], [1, 3]);
});

test("every size from the floor to the planned one is found exactly, in few rounds", () => {
  for (const target of [1500, 9000]) {
    for (let mtu = FLOOR_BYTES; mtu < target; mtu += target === 1500 ? 1 : 37) {
      const { found, rounds } = run(carries(mtu), target);
      assert.deepEqual(found, { verdict: "black-hole", provenBytes: mtu });
      assert.ok(rounds <= 11, `${rounds} rounds for ${mtu} of ${target}`);
    }
  }
});

test("a router's word leads to its size at once", () => {
  for (const mtu of [1300, 1399, 1499, 600]) {
    const { found, rounds } = run(router(mtu), 1500);
    assert.deepEqual(found, { verdict: "too-big", provenBytes: mtu, tooBig: { from: "10.0.0.1", mtuBytes: mtu } });
    assert.ok(rounds <= 4, `${rounds} rounds`);
  }
});

test("a router that lies decides nothing: what passes does", () => {
  for (const says of [0, 68, 576, 1200, 1499, 1500, 65535]) {
    assert.equal(run(router(1400, says), 1500).found.provenBytes, 1400, `says ${says}`);
  }
});

test("ICMP for a planned size that passes all the same shrinks nothing", () => {
  let first = true;
  const network: Network = () => {
    if (!first) return "passes";
    first = false;
    return { from: "10.0.0.66", mtuBytes: 68 };
  };
  assert.deepEqual(run(network, 1500).found, { verdict: "passes", provenBytes: 1500 });
});

test("this node's own interface is told from the network", () => {
  const { found } = run(device(1400), 1500);
  assert.deepEqual(found, { verdict: "local", provenBytes: 1400 });
});

test("a peer that answers nothing is unknown, whatever the reason, and never small", () => {
  assert.equal(run(() => "vanishes", 1500).found.verdict, "unknown");
  assert.equal(run(() => "vanishes", 1500).found.provenBytes, undefined);
  assert.deepEqual(run(() => "nobody", 1500).found, {
    verdict: "unknown",
    provenBytes: undefined,
    reason: "no agent listens there",
  });
});

test("a peer that was silent before costs two packets while it stays so, and is searched in full when it speaks", () => {
  assert.deepEqual(run(() => "vanishes", 1500, undefined, true).packets, 2);
  assert.deepEqual(run(carries(1500), 1500, undefined, true).found, { verdict: "passes", provenBytes: 1500 });
  assert.deepEqual(run(carries(1400), 1500, undefined, true).found, { verdict: "black-hole", provenBytes: 1400 });
  assert.deepEqual(run(carries(1300), 1500, 1400, true).found, { verdict: "black-hole", provenBytes: 1300 });
});

test("a network that says that there is no way is unreachable", () => {
  let search = startSearch(1500);
  for (;;) {
    const result = { passed: [], refusedLocally: [], nobodyListens: false, noWay: "EHOSTUNREACH" };
    const outcome = endRound(search, result);
    if ("found" in outcome) {
      assert.deepEqual(outcome.found, { verdict: "unreachable", provenBytes: undefined, reason: "EHOSTUNREACH" });
      return;
    }
    search = outcome.search;
  }
});

/** The same dice in every run (Park and Miller's generator). */
function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
}

const lossy = (network: Network, share: number, seed: number): Network => {
  const throwDice = dice(seed);
  return (bytes, n) => (throwDice() < share ? "vanishes" : network(bytes, n));
};

test("packets lost at random do not shrink a path that carries the planned size", () => {
  let wrong = 0;
  for (let seed = 1; seed <= 5000; seed++) {
    const { found } = run(lossy(carries(1500), 0.1, seed), 1500);
    if (found.provenBytes !== 1500) wrong++;
  }
  assert.equal(wrong, 0);
});

test("a narrow path is found among losses, never too large", () => {
  let exact = 0;
  for (let seed = 1; seed <= 1000; seed++) {
    const { provenBytes } = run(lossy(carries(1400), 0.05, seed), 1500).found;
    assert.ok(provenBytes === undefined || provenBytes <= 1400);
    if (provenBytes === 1400) exact++;
  }
  assert.ok(exact > 950, `${exact} of 1000`);
});

test("a path that changes while it is searched is searched again", () => {
  for (let change = 1; change < 40; change++) {
    const network: Network = (bytes, n) => carries(n < change ? 1400 : 1300)(bytes, n);
    const { provenBytes } = run(network, 1500).found;
    // Before the confirmation's last packets the new size is found; a change behind them is the next look's business.
    assert.ok(provenBytes === 1300 || provenBytes === 1400, `changed at packet ${change}: ${provenBytes}`);
    const up: Network = (bytes, n) => carries(n < change ? 1300 : 1500)(bytes, n);
    assert.ok([1300, 1500].includes(run(up, 1500).found.provenBytes ?? 0), `up at packet ${change}`);
  }
});

test("a path that never stays the same is unknown", () => {
  let search = startSearch(1500);
  for (let rounds = 0; rounds < 60; rounds++) {
    // Small packets pass only while they are asked for the first time.
    const { sizes } = nextRound(search);
    const passed = search.phase === "confirm" ? [] : sizes.filter((size) => size < 1000);
    const outcome = endRound(search, { passed, refusedLocally: [], nobodyListens: false });
    if ("found" in outcome) {
      assert.equal(outcome.found.verdict, "unknown");
      assert.match(outcome.found.reason ?? "", /changes while it is probed/);
      return;
    }
    search = outcome.search;
  }
  assert.fail("the search does not end");
});

test("a path that carries less than before is searched below, one that carries more above", () => {
  assert.equal(run(carries(1300), 1500, 1400).found.provenBytes, 1300);
  assert.equal(run(carries(1450), 1500, 1400).found.provenBytes, 1450);
  assert.deepEqual(run(carries(1500), 1500, 1400).found, { verdict: "passes", provenBytes: 1500 });
});

test("ladder() lies strictly between what passes and what does not", () => {
  for (const [low, high, hint] of [
    [0, 1500, undefined],
    [1400, 1402, undefined],
    [1400, 1500, 1450],
    [576, 9000, 68],
    [1499, 1500, undefined],
  ] as const) {
    const rungs = ladder(low, high, hint);
    assert.ok(rungs.every((size) => size > low && size < high));
    assert.equal(new Set(rungs).size, rungs.length);
    assert.ok(rungs.length <= 8);
    assert.equal(rungs.length > 0, high - low > 1);
  }
});
