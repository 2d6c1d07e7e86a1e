/**
 * The search for the largest packet that reaches a peer, as rounds: a round names sizes to send, its result says which
 * arrived, and the search answers with the next round or with what it found. Pure: no clock, no socket.
 *
 * The planned size comes first, and alone while it passes. Only when it failed again and again, while small packets
 * arrived, is there a ladder: a lost packet, or a peer that is away, must not shrink a path.
 */
import type { Finding, RoundResult, TooBig } from "../../model/proof.ts";

/** The least that is tried: what every IPv4 host must take (RFC 791, 576 bytes). IPv6 carries it too. */
export const FLOOR_BYTES = 576;
/** The planned size must stay unanswered this often before smaller sizes count. */
const CHECK_ATTEMPTS = 4;
/** With so few answers to small packets among them the network loses packets of any size: ask on. */
const FLOOR_ANSWERS = 3;
const MOST_CHECK_ATTEMPTS = 8;
/** Sizes a round of the ladder. */
const RUNGS = 8;
/** A path that changes while it is searched is searched again this often. */
const MOST_RESTARTS = 3;

/** MTUs that links really have, and what tunnels leave of them: tried before evenly spaced sizes. */
const COMMON_BYTES = [
  576, 1006, 1200, 1230, 1280, 1300, 1330, 1350, 1380, 1400, 1420, 1430, 1440, 1442, 1450, 1460, 1472, 1476, 1480, 1492,
  1500, 1600, 2000, 4000, 4352, 4464, 7981, 8192, 8850, 8900, 8930, 8950, 8951, 8981, 9000, 9001, 9216,
];

export interface Search {
  readonly target: number;
  /** The size in force before: tried together with the planned one, so that an unchanged path costs one round. */
  readonly before: number | undefined;
  readonly phase: "check" | "ladder" | "confirm";
  readonly attempts: number;
  readonly floorAnswers: number;
  /** Largest size that arrived, 0 for none; smallest size known not to. */
  readonly low: number;
  readonly high: number;
  readonly refusedLocally: boolean;
  readonly tooBig: TooBig | undefined;
  readonly nobodyListens: boolean;
  readonly noWay: string | undefined;
  readonly restarts: number;
  /** Nothing was answered the last time: one question is enough to see that it is so still. */
  readonly silentBefore: boolean;
}

export interface Round {
  readonly sizes: readonly number[];
  /** How many packets of each size. */
  readonly copies: number;
}

/**
 * @param before the size in force, when it is smaller than the target
 * @param silentBefore the last search found nobody who answers
 */
export function startSearch(target: number, before?: number, silentBefore = false): Search {
  return {
    target,
    before: before !== undefined && before < target ? before : undefined,
    phase: "check",
    attempts: 0,
    floorAnswers: 0,
    low: 0,
    high: target,
    refusedLocally: false,
    tooBig: undefined,
    nobodyListens: false,
    noWay: undefined,
    restarts: 0,
    silentBefore,
  };
}

/** What to send next. */
export function nextRound(search: Search): Round {
  const { target, before, attempts, low, high, tooBig } = search;
  switch (search.phase) {
    case "check":
      if (attempts > 0 || search.silentBefore) return round([FLOOR_BYTES, before, target], 1);
      return before === undefined ? round([target], 1) : round([before, before + 1, target], 1);
    case "ladder":
      return round(ladder(low, high, tooBig?.mtuBytes), 2);
    case "confirm":
      return round([low, high, target], 3);
  }
}

function round(sizes: readonly (number | undefined)[], copies: number): Round {
  const distinct = new Set(sizes.filter((size) => size !== undefined));
  return { sizes: [...distinct].sort((a, b) => a - b), copies };
}

/** Up to {@link RUNGS} sizes strictly between what passes and what does not, the router's own word first. */
export function ladder(low: number, high: number, hint: number | undefined): number[] {
  const inside = (size: number) => size > low && size < high;
  const hinted = hint === undefined ? [] : [hint, hint + 1].filter(inside);
  const common = COMMON_BYTES.filter(inside);
  const wanted = RUNGS - hinted.length;
  if (common.length > 0) return [...hinted, ...spread(common, wanted)];
  const step = (high - low) / (wanted + 1);
  const even = Array.from({ length: wanted }, (_, i) => Math.round(low + step * (i + 1)));
  return [...hinted, ...new Set(even.filter(inside))];
}

/** At most `count` of the values, evenly taken, the last one included. */
function spread(values: readonly number[], count: number): number[] {
  if (values.length <= count) return [...values];
  return Array.from({ length: count }, (_, i) => values[Math.round(((i + 1) * (values.length - 1)) / count)] as number);
}

/** Takes in what became of {@link nextRound}: the search goes on, or has found something. */
export function endRound(
  search: Search,
  result: RoundResult,
): { readonly search: Search } | { readonly found: Finding } {
  const heard: Search = {
    ...search,
    attempts: search.attempts + 1,
    floorAnswers: search.floorAnswers + (result.passed.length > 0 ? 1 : 0),
    low: Math.max(search.low, ...result.passed),
    refusedLocally: search.refusedLocally || result.refusedLocally.includes(search.target),
    tooBig: result.tooBig ?? search.tooBig,
    nobodyListens: search.nobodyListens || result.nobodyListens,
    noWay: result.noWay ?? search.noWay,
  };
  if (result.passed.includes(search.target)) return { found: { verdict: "passes", provenBytes: search.target } };
  switch (search.phase) {
    case "check":
      return endCheck(heard, result);
    case "ladder":
      return endLadder(heard, nextRound(search).sizes);
    case "confirm":
      return endConfirm(heard, search, result);
  }
}

function endCheck(search: Search, { passed }: RoundResult): ReturnType<typeof endRound> {
  const { before, attempts, floorAnswers, low } = search;
  // The first round of a path that is known to carry less: as it was, or more than before.
  if (before !== undefined && attempts === 1 && passed.includes(before)) {
    return low > before ? { search: toLadder(search) } : { found: conclude(search) };
  }
  const certain = search.refusedLocally || search.tooBig !== undefined;
  if (certain && low > 0) return { search: toLadder(search) };
  if (search.silentBefore && low === 0) return { found: silence(search) };
  if (attempts < CHECK_ATTEMPTS) return { search };
  const lossy = floorAnswers > 0 && floorAnswers < FLOOR_ANSWERS;
  if (lossy && attempts < MOST_CHECK_ATTEMPTS) return { search };
  return low > 0 ? { search: toLadder(search) } : { found: silence(search) };
}

function toLadder(search: Search): Search {
  return { ...search, phase: search.high - search.low <= 1 ? "confirm" : "ladder" };
}

/** Sizes below the largest that arrived were lost on the way, not refused; those above it are too large. */
function endLadder(search: Search, sizes: readonly number[]): ReturnType<typeof endRound> {
  const high = Math.min(search.high, ...sizes.filter((size) => size > search.low));
  return { search: toLadder({ ...search, high }) };
}

/** The answer stands only when it can be repeated: what passed passes again, what did not still does not. */
function endConfirm(heard: Search, asked: Search, { passed }: RoundResult): ReturnType<typeof endRound> {
  if (passed.includes(asked.high)) return again(heard, { low: asked.high, high: asked.target, phase: "ladder" });
  if (passed.includes(asked.low)) return { found: conclude(heard) };
  return again(heard, { low: 0, high: asked.target, phase: "check", attempts: 0, floorAnswers: 0, before: undefined });
}

function again(search: Search, change: Partial<Search>): ReturnType<typeof endRound> {
  if (search.restarts >= MOST_RESTARTS) {
    return { found: { verdict: "unknown", provenBytes: undefined, reason: "the path changes while it is probed" } };
  }
  const next = { ...search, ...change, restarts: search.restarts + 1, tooBig: undefined, refusedLocally: false };
  return { search: next.phase === "ladder" ? toLadder(next) : next };
}

function conclude({ low, refusedLocally, tooBig }: Search): Finding {
  if (refusedLocally) return { verdict: "local", provenBytes: low };
  if (tooBig !== undefined) return { verdict: "too-big", provenBytes: low, tooBig };
  return { verdict: "black-hole", provenBytes: low };
}

function silence({ nobodyListens, noWay }: Search): Finding {
  if (nobodyListens) return { verdict: "unknown", provenBytes: undefined, reason: "no agent listens there" };
  if (noWay !== undefined) return { verdict: "unreachable", provenBytes: undefined, reason: noWay };
  return { verdict: "unknown", provenBytes: undefined, reason: "no probe of any size is answered" };
}
