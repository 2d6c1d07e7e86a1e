/**
 * Proof of the paths' MTU as a part of the agent: gives the prober its targets, the plan what was proven, and tells
 * people: log, Events on the Node, metrics, the report behind `breakwater mtu`.
 */
import type { OpenProbePort } from "../kernel/probe-port.ts";
import type { RouteEvent } from "../kernel/rtnetlink/types.ts";
import { type Clock, systemClock } from "../kube/clock.ts";
import type { EventRecorder } from "../kube/events.ts";
import type { ClusterNode } from "../model/cluster.ts";
import { describeError } from "../model/errors.ts";
import type { Ip } from "../model/ip.ts";
import { MAIN_TABLE } from "../model/kernel-objects.ts";
import { ROUTE_PROTOCOL } from "../model/marks.ts";
import type { MtuReport, PathReport } from "../model/mtu-report.ts";
import type { NodeConfig } from "../model/node-config.ts";
import type { Prefix } from "../model/prefix.ts";
import type { ProbeTarget, ProofState, Verdict } from "../model/proof.ts";
import type { DesiredState, PlannedPath } from "../model/state.ts";
import { Each, Remembered } from "../plan/memo.ts";
import { vtepAddress } from "../plan/peers.ts";
import { explain, reportPath, type TargetState, verdictOf } from "../plan/proof/report.ts";
import { planTargets, TargetsMemo } from "../plan/proof/targets.ts";
import type { LearnedMtus } from "./learned-mtus.ts";
import type { Log } from "./log.ts";
import type { AgentMetrics } from "./metrics.ts";
import type { Mirror } from "./mirror.ts";
import { PathEvents } from "./path-events.ts";
import { Prober } from "./prober.ts";

export interface MtuProofOptions {
  readonly openProbePort: OpenProbePort;
  readonly learned: Pick<LearnedMtus, "forgetOnNode" | "forgetSoon">;
  readonly config: NodeConfig;
  readonly nodes: () => ReadonlyMap<string, ClusterNode> | undefined;
  readonly events: Pick<EventRecorder, "record">;
  readonly log: Log;
  readonly metrics: AgentMetrics;
  /** Paths carry something else than before: a new plan is due. */
  readonly onProven: () => void;
  /** MTU that our route to a destination carries; undefined when there is no such route, or it carries none. */
  readonly routeMtu: (destination: Prefix) => number | undefined;
  /** Something in the report changed. */
  readonly onReport: () => void;
  readonly clock?: Clock;
  /** Milliseconds since 1970. @default Date.now */
  readonly wallClock?: () => number;
}

/** A port that is taken is tried again. */
const OPEN_RETRY_MS = 30_000;
/** While paths come up again the kernel's memory of them is wiped this often at most. */
const FLUSH_INTERVAL_MS = 500;

export class MtuProof implements Disposable {
  readonly #options: MtuProofOptions;
  readonly #clock: Clock;
  readonly #wallClock: () => number;
  readonly #pathEvents: PathEvents;
  #prober: Prober | undefined;
  #notProbing: string | undefined;
  #triedMs = Number.NEGATIVE_INFINITY;
  #flushedMs = Number.NEGATIVE_INFINITY;
  #adopted: Map<string, number> | undefined;
  #state: DesiredState | undefined;
  #peerByAddress: ReadonlyMap<Ip, string> = new Map();
  readonly #addressBook = new AddressBook();
  readonly #targets = new TargetsMemo();

  constructor(options: MtuProofOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#wallClock = options.wallClock ?? Date.now;
    this.#pathEvents = new PathEvents({
      events: options.events,
      clock: this.#clock,
      nodeName: options.config.nodeName,
      report: (peer) => {
        const path = this.#state?.paths.find(({ node }) => node === peer);
        return path === undefined ? undefined : this.#reportPath(path, this.#prober?.statesOf(peer) ?? []);
      },
    });
    if (!options.config.probePort) this.#notProbing = "probing is switched off (--probe-port 0)";
  }

  [Symbol.dispose](): void {
    this.#prober?.[Symbol.dispose]();
    this.#pathEvents[Symbol.dispose]();
  }

  /** See PlanInput.provenMtuBytes. Until paths are probed, what an earlier agent left in the routes stands. */
  proven(): ReadonlyMap<string, number> | undefined {
    const nodes = this.#options.nodes();
    if (!this.#options.config.probePort) return undefined;
    if (nodes !== undefined) this.#adopted ??= this.#adopt(nodes);
    return this.#prober?.proven() ?? this.#adopted;
  }

  /** Once: who comes back later is somebody new. */
  #takeAdopted(peer: string): number | undefined {
    const bytes = this.#adopted?.get(peer);
    this.#adopted?.delete(peer);
    return bytes;
  }

  /** Routes of ours carry an MTU where a path was proven to carry less than planned. */
  #adopt(nodes: ReadonlyMap<string, ClusterNode>): Map<string, number> {
    const adopted = new Map<string, number>();
    for (const { name, podCidrs } of nodes.values()) {
      const sizes = podCidrs.flatMap((podCidr) => this.#options.routeMtu(podCidr) ?? []);
      if (sizes.length > 0) adopted.set(name, Math.min(...sizes));
    }
    return adopted;
  }

  /** Behind every round: follows the plan that is in force now. */
  follow(state: DesiredState | undefined): void {
    const nodes = this.#options.nodes();
    if (state === undefined || nodes === undefined) return;
    const before = this.#state;
    this.#state = state;
    this.#peerByAddress = this.#addressBook.of(nodes);
    this.#open();
    this.#prober?.setTargets(planTargets(state.paths, nodes, this.#options.config.mtuBytes, this.#targets));
    // Most rounds change nothing about paths, and the plan then has the very same ones.
    if (before?.paths === state.paths && before.podMtuBytes === state.podMtuBytes) return;
    if (before !== undefined && isWider(state, before)) this.#options.learned.forgetSoon();
    if (before === undefined || !isSameForReports(state, before)) this.#options.onReport();
  }

  /** The underlay's device changed, or somebody's routes over it: that may concern every path. */
  notice(events: readonly RouteEvent[], mirror: Pick<Mirror, "link">): void {
    const device = underlayOf(this.#state)?.device;
    const underlay = device === undefined ? undefined : mirror.link(device)?.index;
    if (underlay === undefined) return;
    const concerns = events.some((event) => {
      if (event.type === "link") return event.link.index === underlay;
      // An address that comes or goes takes its connected route along.
      if (event.type !== "route") return false;
      const { oif, table, protocol } = event.route;
      // A route with several next hops names no device.
      return table === MAIN_TABLE && protocol !== ROUTE_PROTOCOL && (oif === underlay || oif === undefined);
    });
    if (concerns) this.#prober?.suspectAll();
  }

  report(): MtuReport {
    const { config } = this.#options;
    const states = Map.groupBy(this.#prober?.states() ?? [], ({ target }) => target.peer);
    const paths = this.#state?.paths ?? [];
    return {
      node: config.nodeName,
      at: new Date(this.#wallClock()).toISOString(),
      notProbing: this.#notProbing ?? null,
      underlay: underlayOf(this.#state),
      podMtuBytes: this.#state?.podMtuBytes ?? null,
      paths: paths.map((path) => this.#reportPath(path, states.get(path.node) ?? [])),
    };
  }

  #reportPath(path: PlannedPath, states: readonly TargetState[]): PathReport {
    const { config } = this.#options;
    return reportPath(config.nodeName, path, states, (ms) => this.#timestamp(ms), config);
  }

  /** Before the metrics are read. */
  collect(): void {
    const { metrics, config } = this.#options;
    if (config.probePort && this.#prober === undefined) metrics.problems.set({ code: "BW_PROBE_PORT" }, 1);
    metrics.pathProvenBytes.reset();
    metrics.pathVerdict.reset();
    for (const { to, mode, provenBytes, verdict } of this.report().paths) {
      if (provenBytes !== null) metrics.pathProvenBytes.set({ peer: to, mode }, provenBytes);
      metrics.pathVerdict.set({ peer: to, verdict }, 1);
    }
    const counters = this.#prober?.counters;
    if (counters === undefined) return;
    for (const [kind, value] of Object.entries(counters)) metrics.probePackets.set({ kind }, value);
  }

  #open(): void {
    const { openProbePort, config, log } = this.#options;
    const now = this.#clock.now();
    const port = config.probePort ?? 0;
    if (this.#prober !== undefined || port === 0 || now - this.#triedMs < OPEN_RETRY_MS) return;
    this.#triedMs = now;
    try {
      this.#prober = new Prober({
        open: openProbePort,
        port,
        clock: this.#clock,
        peerAt: (address) => this.#peerByAddress.get(address),
        onSettled: (target, state, before) => this.#settled(target, state, before),
        onProven: this.#options.onProven,
        onError: (peer, error) => log.error({ peer, error: describeError(error) }, "a path could not be probed"),
        adopted: (peer) => this.#takeAdopted(peer),
      });
      this.#notProbing = undefined;
    } catch (error) {
      if (this.#notProbing !== undefined) return;
      this.#notProbing = describeError(error);
      const remedy =
        "Free the port, or give all agents another --probe-port; until then the MTU is planned, not proven";
      log.error({ code: "BW_PROBE_PORT", remedy }, `Paths are not probed: ${this.#notProbing}`);
    }
  }

  #settled(target: ProbeTarget, state: ProofState, before: ProofState): void {
    if (isLarger(state, before)) this.#forgetLearned();
    const changed = state.verdict !== before.verdict || state.inForceBytes !== before.inForceBytes;
    if (!changed) return;
    this.#options.onReport();
    const { peer, layer, family, bytes } = target;
    this.#pathEvents.touch(peer);
    const verdict = verdictOf({ target, state }, this.#prober?.statesOf(peer) ?? []);
    const fields = { peer, layer, family, planned: bytes, proven: state.inForceBytes, verdict };
    const why = explain({ target, state }, verdict);
    if (isBad(verdict)) this.#options.log.warn(fields, `path to ${peer}: ${why}`);
    else this.#options.log.info(fields, `path to ${peer}: ${why === "" ? carries(state, bytes) : why}`);
  }

  /** ICMP that was true holds for ten minutes in the kernel: what a probe disproved is forgotten now. */
  #forgetLearned(): void {
    const now = this.#clock.now();
    if (now - this.#flushedMs < FLUSH_INTERVAL_MS) return;
    this.#flushedMs = now;
    this.#options.learned.forgetOnNode();
  }

  #timestamp(ms: number): string {
    return new Date(this.#wallClock() - (this.#clock.now() - ms)).toISOString();
  }
}

function underlayOf(state: DesiredState | undefined): MtuReport["underlay"] {
  const path = state?.paths[0];
  if (state === undefined || path === undefined) return null;
  return { device: state.vxlan?.underlay ?? path.device, mtuBytes: path.underlayMtuBytes };
}

/** A path, or the pods' own MTU, carries more than before. */
function isWider(state: DesiredState, before: DesiredState): boolean {
  if (state.podMtuBytes > before.podMtuBytes) return true;
  const sizes = new Map(before.paths.map(({ node, mtuBytes }) => [node, mtuBytes]));
  return state.paths.some(({ node, mtuBytes }) => mtuBytes > (sizes.get(node) ?? mtuBytes));
}

/** Most rounds change nothing about paths: no report is made for them. */
function isSameForReports(state: DesiredState, before: DesiredState): boolean {
  return (
    state.podMtuBytes === before.podMtuBytes &&
    state.paths.length === before.paths.length &&
    state.paths.every((path, i) => {
      const { node, mode, mtuBytes, underlayMtuBytes } = before.paths[i] as PlannedPath;
      const isSamePlan = path.mode === mode && path.underlayMtuBytes === underlayMtuBytes;
      return path.node === node && path.mtuBytes === mtuBytes && isSamePlan;
    })
  );
}

function carries({ inForceBytes = 0 }: ProofState, bytes: number): string {
  return inForceBytes < bytes
    ? `what was tried passes, ${inForceBytes} of ${bytes} bytes are in use`
    : `carries the planned ${bytes} bytes`;
}

/** A larger size passes than what is in force, or was until now. */
function isLarger(state: ProofState, before: ProofState): boolean {
  return state.raise !== undefined || (before.inForceBytes ?? 0) < (state.inForceBytes ?? 0);
}

function isBad(verdict: Verdict): boolean {
  return verdict === "local" || verdict === "too-big" || verdict === "black-hole" || verdict === "unreachable";
}

/** All addresses that agents probe from, with the names of their nodes. */
class AddressBook {
  readonly #ofNode = new Each<ClusterNode, readonly Ip[]>(({ internalIps, podCidrs }) => [
    ...internalIps,
    ...podCidrs.map(vtepAddress),
  ]);
  readonly #book = new Remembered<ReadonlyMap<Ip, string>>();

  of(nodes: ReadonlyMap<string, ClusterNode>): ReadonlyMap<Ip, string> {
    const list = [...nodes.values()];
    const addresses = this.#ofNode.of(list);
    return this.#book.get([addresses], () => {
      const book = new Map<Ip, string>();
      for (const [i, { name }] of list.entries()) for (const address of addresses[i] ?? []) book.set(address, name);
      return book;
    });
  }
}
