/** Puts what was proven into words: one verdict a path, where it is narrow, since when, and what to do. */
import type { PathReport, TargetReport } from "../../model/mtu-report.ts";
import type { ProbeTarget, ProofState, Verdict } from "../../model/proof.ts";
import type { PlannedPath } from "../../model/state.ts";

/** UDP ports that have to be open between nodes. */
export interface Ports {
  readonly vxlanPort: number;
  readonly probePort?: number;
}

export interface TargetState {
  readonly target: ProbeTarget;
  readonly state: ProofState;
}

/** Worst first: the verdict of a path is the worst of its targets. */
const SEVERITY: readonly Verdict[] = ["unreachable", "local", "too-big", "black-hole", "unknown", "unproven", "passes"];

/** @param timestamp from milliseconds of the prober's clock to RFC 3339 */
export function reportPath(
  from: string,
  path: PlannedPath,
  states: readonly TargetState[],
  timestamp: (ms: number) => string,
  ports: Ports,
): PathReport {
  const worst = worstOf(states);
  const verdict = worst === undefined ? "unproven" : verdictOf(worst, states);
  const sizes = states.flatMap(({ target, state }) =>
    state.inForceBytes === undefined ? [] : [state.inForceBytes - target.overheadBytes],
  );
  return {
    from,
    to: path.node,
    mode: path.mode,
    underlayBytes: path.underlayMtuBytes,
    overheadBytes: path.overheadBytes,
    plannedBytes: path.underlayMtuBytes - path.overheadBytes,
    provenBytes: sizes.length === 0 ? null : Math.min(...sizes),
    mtuBytes: path.mtuBytes,
    verdict,
    why: worst === undefined ? "" : explain(worst, verdict),
    remedy: worst === undefined ? "" : advise(worst, verdict, ports),
    since: worst === undefined ? "" : timestamp(worst.state.sinceMs),
    targets: states.map((each) => reportTarget(each, timestamp)),
  };
}

function worstOf(states: readonly TargetState[]): TargetState | undefined {
  let worst: TargetState | undefined;
  const rank = (each: TargetState) =>
    SEVERITY.indexOf(verdictOf(each, states)) + (each.target.layer === "underlay" ? 0 : 0.5);
  for (const each of states) if (worst === undefined || rank(each) < rank(worst)) worst = each;
  return worst;
}

/** A peer whose underlay answers has an agent: silence inside the overlay is no answer's absence but a broken tunnel. */
export function verdictOf({ target, state }: TargetState, states: readonly TargetState[]): Verdict {
  const underlayAnswers = states.some(({ target: other, state: its }) => {
    return other.layer === "underlay" && ["passes", "too-big", "black-hole"].includes(its.verdict);
  });
  return state.verdict === "unknown" && target.layer === "overlay" && underlayAnswers ? "unreachable" : state.verdict;
}

function reportTarget({ target, state }: TargetState, timestamp: (ms: number) => string): TargetReport {
  return {
    layer: target.layer,
    family: target.family,
    address: target.address,
    plannedBytes: target.bytes,
    provenBytes: state.inForceBytes ?? null,
    verdict: state.verdict,
    tooBig: state.tooBig ?? null,
    reason: state.reason ?? null,
    since: timestamp(state.sinceMs),
    checked: state.checkedMs === undefined ? null : timestamp(state.checkedMs),
    raisingToBytes: state.raise?.bytes ?? null,
  };
}

/** The verdict in a sentence. */
export function explain({ target, state }: TargetState, verdict: Verdict): string {
  const { inForceBytes: proven } = state;
  const where = `IPv${target.family} ${target.layer} to ${target.address}`;
  switch (verdict) {
    case "passes":
      return state.raise === undefined ? "" : `${where}: ${state.raise.bytes} bytes pass again and are used soon`;
    case "unproven":
      return `${where}: not probed yet`;
    case "local":
      return `${where}: this node's own interface refuses ${target.bytes} bytes, ${proven} pass`;
    case "too-big":
      return `${where}: ${state.tooBig?.from} answers ICMP "too big, ${state.tooBig?.mtuBytes}", ${proven} of ${target.bytes} bytes pass`;
    case "black-hole":
      return `${where}: packets above ${proven} of ${target.bytes} bytes vanish in silence`;
    case "unreachable":
      return state.verdict === "unknown"
        ? `${where}: no probe arrives, though the underlay carries them`
        : `${where}: ${state.reason ?? "no way"}`;
    case "unknown":
      return `${where}: ${state.reason ?? "no answer"}`;
  }
}

/** What to do about a verdict. */
export function advise({ target, state }: TargetState, verdict: Verdict, ports: Ports): string {
  const { peer } = target;
  switch (verdict) {
    case "passes":
    case "unproven":
      return "";
    case "local":
      return "Compare the MTU of this node's devices (ip link) with its underlay; somebody may have changed one";
    case "too-big":
      return `Raise the MTU of the interface of ${state.tooBig?.from} towards ${peer}, or leave it: pods use what passes`;
    case "black-hole":
      return `Look for the switch port, bond, VLAN or tunnel between here and ${peer} with a smaller MTU, or a firewall that drops ICMP; pods use what passes`;
    case "unreachable":
      return target.layer === "overlay"
        ? `Let UDP port ${ports.vxlanPort} (VXLAN) pass between the nodes, and see that ${peer} has its device bwvxlan`
        : `Check the route to ${target.address} (ip route get ${target.address}) and that ${peer} is up`;
    case "unknown":
      return `See that the agent on ${peer} runs and that firewalls let its probe port (UDP ${ports.probePort}) pass; until then the planned MTU stands`;
  }
}
