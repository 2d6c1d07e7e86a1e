/**
 * From findings to the size in force. A smaller size holds at once; a larger one when it has been proven for a while,
 * and the longer the more often the path came down again. No answer is no news: what was proven stands.
 */
import type { Finding, ProofState } from "../../model/proof.ts";

/** A larger size must pass for so long before it is used. */
export const HOLD_MS = 3000;
const LONGEST_HOLD_MS = 600_000;
/** A path that came down more often than this within the span flaps: each time more doubles the wait. */
const PATIENCE = 10;
const MEMORY_MS = 600_000;
const REMEMBERED = 20;

export function unproven(nowMs: number): ProofState {
  return { verdict: "unproven", inForceBytes: undefined, sinceMs: nowMs, checkedMs: undefined, loweredMs: [] };
}

/** How long a larger size must pass before it is used, milliseconds. */
export function holdMs(state: ProofState, nowMs: number): number {
  const recent = state.loweredMs.filter((at) => nowMs - at < MEMORY_MS).length;
  return Math.min(LONGEST_HOLD_MS, HOLD_MS * 2 ** Math.max(0, recent - PATIENCE));
}

/** Routers answer so seldom as they like: a few looks without ICMP make no silent hop of one. */
const LOOKS_WITHOUT_ICMP = 5;

/** A router that named itself for this size still stands there, though it said nothing this time. */
function recall(state: ProofState, finding: Finding): Finding & Pick<ProofState, "withoutIcmp"> {
  const missed = (state.withoutIcmp ?? 0) + 1;
  const isSame = finding.verdict === "black-hole" && state.verdict === "too-big" && state.tooBig !== undefined;
  if (!isSame || finding.provenBytes !== state.inForceBytes || missed > LOOKS_WITHOUT_ICMP) return finding;
  return { ...finding, verdict: "too-big", tooBig: state.tooBig, withoutIcmp: missed };
}

export function settle(state: ProofState, found: Finding, nowMs: number): ProofState {
  const finding = recall(state, found);
  const { provenBytes: proven } = finding;
  const base: ProofState = {
    verdict: finding.verdict,
    inForceBytes: state.inForceBytes,
    ...(finding.tooBig === undefined ? {} : { tooBig: finding.tooBig }),
    ...(finding.withoutIcmp === undefined ? {} : { withoutIcmp: finding.withoutIcmp }),
    ...(finding.reason === undefined ? {} : { reason: finding.reason }),
    sinceMs: finding.verdict === state.verdict ? state.sinceMs : nowMs,
    checkedMs: nowMs,
    loweredMs: state.loweredMs,
  };
  if (proven === undefined || proven === state.inForceBytes) return base;
  if (state.inForceBytes === undefined) return { ...base, inForceBytes: proven, sinceMs: nowMs };
  if (proven < state.inForceBytes) {
    const loweredMs = [...state.loweredMs, nowMs].slice(-REMEMBERED);
    return { ...base, inForceBytes: proven, sinceMs: nowMs, loweredMs };
  }
  return raise(state, base, proven, nowMs);
}

function raise(state: ProofState, base: ProofState, proven: number, nowMs: number): ProofState {
  // The least that passed since it began to: a size that was not there all the while has to wait its own time.
  const pending = state.raise === undefined || proven < state.raise.bytes ? undefined : state.raise;
  const candidate = pending ?? { bytes: proven, sinceMs: nowMs };
  if (nowMs - candidate.sinceMs < holdMs(state, nowMs)) return { ...base, raise: candidate };
  return { ...base, inForceBytes: candidate.bytes, sinceMs: nowMs };
}
