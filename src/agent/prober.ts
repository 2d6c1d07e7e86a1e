/**
 * Proves what the paths to all peers carry, and keeps proving it: each peer in turn at an even pace, at once what an
 * event made doubtful. Searches and settling are pure (plan/proof); here are the clock, the queue and the sockets.
 */
import type { OpenProbePort } from "../kernel/probe-port.ts";
import type { Clock } from "../kube/clock.ts";
import type { Ip } from "../model/ip.ts";
import type { Finding, ProbeTarget, ProofState } from "../model/proof.ts";
import { provingIntervalMs, URGENT_PEERS_A_SECOND } from "../plan/proof/pace.ts";
import { endRound, nextRound, type Search, startSearch } from "../plan/proof/search.ts";
import { settle, unproven } from "../plan/proof/settle.ts";
import { provenPathMtu, targetKey } from "../plan/proof/targets.ts";
import { type ExchangeCounters, ProbeExchange } from "./probe-exchange.ts";

export interface ProberOptions {
  readonly open: OpenProbePort;
  readonly port: number;
  readonly clock: Clock;
  /** The node that has an address, if one has. */
  readonly peerAt: (address: Ip) => string | undefined;
  /** A state changed; `before` is what held until now. */
  readonly onSettled: (target: ProbeTarget, state: ProofState, before: ProofState) => void;
  /** What paths carry changed: a new plan is due. */
  readonly onProven: () => void;
  /** A look that failed in a way that nobody foresaw; the peer is looked at again in its turn. */
  readonly onError: (peer: string, error: unknown) => void;
  /** What an earlier agent had proven of the path to a peer, bytes for its pods, where that was less than planned. */
  readonly adopted?: (peer: string) => number | undefined;
}

export interface ProvenTarget {
  readonly target: ProbeTarget;
  readonly state: ProofState;
}

interface Peer {
  readonly name: string;
  targets: readonly ProbeTarget[];
  readonly states: Map<string, ProofState>;
  /** Looks in a row that nobody answered. */
  silent: number;
  /** Why it is to be looked at out of turn. */
  urgent: Urgency | undefined;
  running: boolean;
  lookedMs: number;
  /** The look that is due again; one at a time, or those that ask for it would breed more and more of them. */
  again: { readonly atMs: number; readonly cancel: () => void } | undefined;
}

/** "own": something happened here, so the peer is asked to look too; "peer": it asked; "raise": a larger size is waiting. */
type Urgency = "own" | "peer" | "raise";

/** A larger size that waits to be used is looked at this often. */
const RAISE_INTERVAL_MS = 1000;
/** A peer may ask for a look this often. */
const SUSPICION_INTERVAL_MS = 1000;
/** A peer that does not answer is looked at again after this, then after twice as long, until it is its turn anyway. */
const SILENT_RETRY_MS = 5000;
const URGENT_GAP_MS = 1000 / URGENT_PEERS_A_SECOND;
const ALL_SUSPECT_INTERVAL_MS = 5000;

export class Prober implements Disposable {
  readonly #options: ProberOptions;
  readonly #clock: Clock;
  readonly #exchange: ProbeExchange;
  readonly #peers = new Map<string, Peer>();
  #targets: ReadonlyMap<string, readonly ProbeTarget[]> = new Map();
  /** Names of peers that are urgent, in the order in which they became so. */
  readonly #urgent = new Set<string>();
  readonly #proven = new Map<string, number>();
  #cancelTimer: (() => void) | undefined;
  #nextRoutineMs: number;
  #nextUrgentMs: number;
  #allSuspectMs = Number.NEGATIVE_INFINITY;
  #allSuspectLater: (() => void) | undefined;
  #stopped = false;

  /** @throws BreakwaterError BW_SYSCALL when the port is taken */
  constructor(options: ProberOptions) {
    this.#options = options;
    this.#clock = options.clock;
    const { open, port, clock, peerAt } = options;
    this.#exchange = new ProbeExchange({ open, port, clock, peerAt, onSuspicion: (peer) => this.#suspicion(peer) });
    this.#nextRoutineMs = this.#nextUrgentMs = clock.now();
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
    this.#cancelTimer?.();
    this.#allSuspectLater?.();
    for (const { again } of this.#peers.values()) again?.cancel();
    this.#exchange[Symbol.dispose]();
  }

  get counters(): Readonly<ExchangeCounters> {
    return this.#exchange.counters;
  }

  /** What each path to a peer carries for its pods, bytes, by node name; peers of which nothing is known are left out. */
  proven(): ReadonlyMap<string, number> {
    return this.#proven;
  }

  /** All targets with their states, in the order of peers. */
  states(): ProvenTarget[] {
    return [...this.#peers.keys()].flatMap((name) => this.statesOf(name));
  }

  /** The targets of one peer with their states. */
  statesOf(name: string): ProvenTarget[] {
    const peer = this.#peers.get(name);
    if (peer === undefined) return [];
    return peer.targets.map((target) => ({ target, state: peer.states.get(targetKey(target)) as ProofState }));
  }

  /** Follows the plan: new and changed targets are proved at once, those that are gone are forgotten. */
  setTargets(targets: ReadonlyMap<string, readonly ProbeTarget[]>): void {
    if (targets === this.#targets) return;
    this.#targets = targets;
    for (const name of this.#peers.keys()) if (!targets.has(name)) this.#forget(name);
    for (const [name, wanted] of targets) this.#setPeer(name, wanted);
    this.#arm();
  }

  /** Something happened that may concern every path. */
  suspectAll(): void {
    const now = this.#clock.now();
    // What happens within the interval is seen at its end: a link that went down and came up again, say.
    const waitMs = this.#allSuspectMs + this.#allSuspectIntervalMs() - now;
    if (waitMs > 0) {
      this.#allSuspectLater ??= this.#clock.schedule(waitMs, () => {
        this.#allSuspectLater = undefined;
        this.suspectAll();
      });
      return;
    }
    this.#allSuspectMs = now;
    for (const peer of this.#peers.values()) this.#makeUrgent(peer, "own");
    this.#arm();
  }

  /** Long enough to look at all of them, twice. */
  #allSuspectIntervalMs(): number {
    return Math.max(ALL_SUSPECT_INTERVAL_MS, 2 * URGENT_GAP_MS * this.#peers.size);
  }

  #setPeer(name: string, targets: readonly ProbeTarget[]): void {
    const known = this.#peers.get(name);
    const peer: Peer = known ?? {
      name,
      targets: [],
      states: new Map(),
      silent: 0,
      urgent: undefined,
      running: false,
      lookedMs: Number.NEGATIVE_INFINITY,
      again: undefined,
    };
    this.#peers.set(name, peer);
    if (sameTargets(peer.targets, targets)) return;
    const addresses = new Map(peer.targets.map((target) => [targetKey(target), target.address]));
    peer.targets = targets;
    const keys = new Set(targets.map(targetKey));
    for (const key of peer.states.keys()) if (!keys.has(key)) peer.states.delete(key);
    for (const target of targets) {
      const key = targetKey(target);
      // Another address is another path: what was proven of the old one says nothing.
      if (!peer.states.has(key) || addresses.get(key) !== target.address)
        peer.states.set(key, this.#firstState(target, known?.states.get(key)));
    }
    if (this.#updateProven(peer) && known !== undefined) this.#options.onProven();
    this.#makeUrgent(peer, "own");
  }

  /** A path of which nothing is known has no size, but that of a predecessor of this agent holds until it is disproved. */
  #firstState(target: ProbeTarget, before: ProofState | undefined): ProofState {
    const state = unproven(this.#clock.now());
    // The same peer at another address: what it had holds until the new path has been proven.
    if (before !== undefined) return { ...state, inForceBytes: before.inForceBytes };
    const bytes = target.layer === "underlay" ? this.#options.adopted?.(target.peer) : undefined;
    return bytes === undefined ? state : { ...state, inForceBytes: bytes + target.overheadBytes };
  }

  #forget(name: string): void {
    this.#peers.get(name)?.again?.cancel();
    this.#peers.delete(name);
    this.#proven.delete(name);
    this.#urgent.delete(name);
    this.#exchange.forget(name);
  }

  #makeUrgent(peer: Peer, why: Urgency): void {
    if (peer.urgent !== "own") peer.urgent = why;
    this.#urgent.add(peer.name);
  }

  #suspicion(name: string): void {
    const peer = this.#peers.get(name);
    if (peer === undefined || peer.urgent !== undefined) return;
    const waitMs = peer.lookedMs + SUSPICION_INTERVAL_MS - this.#clock.now();
    this.#lookAgain(peer, "peer", Math.max(0, waitMs));
  }

  #intervalMs(): number {
    return provingIntervalMs(Array.from(this.#peers.values(), ({ targets }) => targets.length));
  }

  /** One timer: to the next urgent look if there is one, else to the next routine one. */
  #arm(): void {
    this.#cancelTimer?.();
    if (this.#stopped || this.#peers.size === 0) return;
    const at = this.#urgent.size > 0 ? Math.min(this.#nextUrgentMs, this.#nextRoutineMs) : this.#nextRoutineMs;
    this.#cancelTimer = this.#clock.schedule(Math.max(0, at - this.#clock.now()), () => this.#tick());
  }

  #tick(): void {
    const now = this.#clock.now();
    if (this.#urgent.size > 0 && now >= this.#nextUrgentMs) {
      this.#nextUrgentMs = now + URGENT_GAP_MS;
      const name = firstIdle(this.#urgent, this.#peers);
      if (name !== undefined) this.#startLook(this.#peers.get(name) as Peer);
    }
    if (now >= this.#nextRoutineMs) {
      this.#nextRoutineMs = now + this.#intervalMs() / Math.max(1, this.#peers.size);
      const peer = this.#longestUnseen();
      if (peer !== undefined) this.#startLook(peer);
    }
    this.#arm();
  }

  #longestUnseen(): Peer | undefined {
    let oldest: Peer | undefined;
    for (const peer of this.#peers.values()) {
      if (!peer.running && (oldest === undefined || peer.lookedMs < oldest.lookedMs)) oldest = peer;
    }
    return oldest;
  }

  #startLook(peer: Peer): void {
    const urgency = peer.urgent;
    peer.urgent = undefined;
    peer.again?.cancel();
    peer.again = undefined;
    this.#urgent.delete(peer.name);
    peer.running = true;
    peer.lookedMs = this.#clock.now();
    const failed = (error: unknown) => this.#options.onError(peer.name, error);
    const ended = () => {
      peer.running = false;
      if (!this.#stopped) this.#arm();
    };
    this.#look(peer, urgency === "own")
      .catch(failed)
      .finally(ended);
  }

  async #look(peer: Peer, suspect: boolean): Promise<void> {
    const { targets } = peer;
    const searches = new Map<ProbeTarget, Search>();
    for (const target of targets) {
      const bytes = Math.min(target.bytes, underlayLimit(target, peer));
      const { verdict, inForceBytes } = peer.states.get(targetKey(target)) ?? unproven(0);
      const wasSilent = verdict === "unknown" || verdict === "unreachable";
      searches.set(target, startSearch(bytes, inForceBytes, wasSilent));
    }
    let told = suspect;
    for (let first = true; searches.size > 0; first = false) {
      const requests = Array.from(searches, ([target, search]) => ({ target, round: nextRound(search) }));
      const results = await this.#exchange.round(requests, { together: first, suspect: told });
      if (this.#stopped) return;
      for (const [i, { target }] of requests.entries()) {
        const outcome = endRound(searches.get(target) as Search, results[i] as (typeof results)[number]);
        if ("search" in outcome) searches.set(target, outcome.search);
        else {
          const { target: searched } = searches.get(target) as Search;
          searches.delete(target);
          // The plan may have changed meanwhile: what was found is about a target that nobody has any more.
          if (peer.targets !== targets || this.#peers.get(peer.name) !== peer) return;
          this.#found(peer, target, asFarAsTried(target, searched, peer, outcome.found));
        }
      }
      told = told || searches.size > 0;
    }
    this.#retrySilent(peer);
  }

  #found(peer: Peer, target: ProbeTarget, finding: Finding): void {
    const key = targetKey(target);
    const before = peer.states.get(key) ?? unproven(this.#clock.now());
    const state = settle(before, finding, this.#clock.now());
    peer.states.set(key, state);
    if (state.raise !== undefined) this.#lookAgain(peer, "raise", RAISE_INTERVAL_MS);
    const isRising = state.raise !== undefined && before.raise === undefined;
    if (isRising || isLower(state, before, target)) this.#suspectAlike(target);
    this.#options.onSettled(target, state, before);
    if (state.inForceBytes === before.inForceBytes) return;
    // The underlay carries more: now the overlay can be tried with more.
    if (state.inForceBytes === target.bytes && target.overheadBytes > 0) this.#makeUrgent(peer, "raise");
    if (this.#updateProven(peer)) this.#options.onProven();
  }

  /** The soonest of all who ask counts: a look serves them all. */
  #lookAgain(peer: Peer, why: Urgency, afterMs: number): void {
    const atMs = this.#clock.now() + afterMs;
    if (peer.again !== undefined && peer.again.atMs <= atMs) return;
    peer.again?.cancel();
    const cancel = this.#clock.schedule(afterMs, () => {
      peer.again = undefined;
      this.#makeUrgent(peer, why);
      this.#arm();
    });
    peer.again = { atMs, cancel };
  }

  /** Who does not answer may just be starting: asked again soon, then ever later, until that is no sooner than its turn. */
  #retrySilent(peer: Peer): void {
    const isSilent = [...peer.states.values()].some(
      ({ verdict }) => verdict === "unknown" || verdict === "unreachable",
    );
    peer.silent = isSilent ? peer.silent + 1 : 0;
    const afterMs = SILENT_RETRY_MS * 2 ** (peer.silent - 1);
    if (isSilent && afterMs < this.#intervalMs()) this.#lookAgain(peer, "raise", afterMs);
  }

  /** A switch or a router serves many paths: where one carries less, or more again, those that look like it may too. */
  #suspectAlike(target: ProbeTarget): void {
    for (const peer of this.#peers.values()) {
      const alike = peer.targets.some(({ layer, overheadBytes }) => {
        return layer === target.layer && overheadBytes === target.overheadBytes;
      });
      if (alike && peer.name !== target.peer) this.#makeUrgent(peer, "own");
    }
  }

  /** @returns true when the path to the peer carries something else than before */
  #updateProven({ name, targets, states }: Peer): boolean {
    const before = this.#proven.get(name);
    const bytes = provenPathMtu(targets, (target) => states.get(targetKey(target)));
    if (bytes === undefined) this.#proven.delete(name);
    else this.#proven.set(name, bytes);
    return bytes !== before;
  }
}

/**
 * What the underlay was proven to leave to the overlay. Larger packets inside would only be cut up outside, where DF is
 * not set: they prove nothing.
 */
function underlayLimit({ layer }: ProbeTarget, { targets, states }: Peer): number {
  if (layer === "underlay") return Number.POSITIVE_INFINITY;
  const limits = targets
    .filter((target) => target.layer === "underlay")
    .map((target) => (states.get(targetKey(target))?.inForceBytes ?? target.bytes) - target.overheadBytes);
  return Math.min(...limits);
}

/**
 * The overlay is tried with what the underlay carries now. When that passes it is no news about the larger sizes that
 * passed before: they count again as soon as the underlay carries them, and are tried at once then.
 */
function asFarAsTried(target: ProbeTarget, searched: number, { states }: Peer, finding: Finding): Finding {
  const known = states.get(targetKey(target))?.inForceBytes ?? 0;
  const isAll = target.layer === "underlay" || (searched >= target.bytes && searched >= known);
  return finding.verdict === "passes" && !isAll ? { ...finding, provenBytes: undefined } : finding;
}

function firstIdle(names: Iterable<string>, peers: ReadonlyMap<string, Peer>): string | undefined {
  for (const name of names) if (peers.get(name)?.running === false) return name;
  return undefined;
}

function isLower(state: ProofState, before: ProofState, target: ProbeTarget): boolean {
  return (state.inForceBytes ?? target.bytes) < (before.inForceBytes ?? target.bytes);
}

function sameTargets(a: readonly ProbeTarget[], b: readonly ProbeTarget[]): boolean {
  if (a === b) return true;
  return (
    a.length === b.length &&
    a.every((target, i) => {
      const other = b[i] as ProbeTarget;
      return targetKey(target) === targetKey(other) && target.address === other.address && target.bytes === other.bytes;
    })
  );
}
