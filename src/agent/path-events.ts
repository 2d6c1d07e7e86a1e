/**
 * Tells people about paths that are narrow, broken or whole again: Events on the Node, where `kubectl describe node` shows
 * them. A router serves many paths: what happens to them together is one Event, for a Node may have only so many.
 */
import type { Clock } from "../kube/clock.ts";
import type { EventRecorder } from "../kube/events.ts";
import type { PathReport } from "../model/mtu-report.ts";

export interface PathEventsOptions {
  readonly events: Pick<EventRecorder, "record">;
  readonly clock: Clock;
  readonly nodeName: string;
  /** The path to a peer as it is now; undefined when the peer is gone. */
  readonly report: (peer: string) => PathReport | undefined;
}

type Reason = "PathMtuTooSmall" | "PathUnreachable" | "PathMtuRestored";

/** Searches of one fault end within this. */
const GATHER_MS = 2000;
/** So many paths have an Event each; more share one. */
const SINGLE = 3;
/** So many are named in a shared one. */
const NAMED = 5;

export class PathEvents implements Disposable {
  readonly #options: PathEventsOptions;
  readonly #dirty = new Set<string>();
  /** What was told last of a peer; absent while there was nothing to tell. */
  readonly #told = new Map<string, string>();
  #cancel: (() => void) | undefined;

  constructor(options: PathEventsOptions) {
    this.#options = options;
  }

  [Symbol.dispose](): void {
    this.#cancel?.();
  }

  /** Something about the path to this peer changed. */
  touch(peer: string): void {
    this.#dirty.add(peer);
    this.#cancel ??= this.#options.clock.schedule(GATHER_MS, () => {
      this.#cancel = undefined;
      this.#tell();
    });
  }

  #tell(): void {
    const news = new Map<Reason, PathReport[]>();
    for (const peer of this.#dirty) {
      const path = this.#options.report(peer);
      const reason = path === undefined ? undefined : this.#newsOf(path);
      if (path === undefined) this.#told.delete(peer);
      else if (reason !== undefined) news.set(reason, [...(news.get(reason) ?? []), path]);
    }
    this.#dirty.clear();
    for (const [reason, paths] of news) this.#record(reason, paths);
  }

  /** What is worth telling of a path, if it was not told already. */
  #newsOf({ to, verdict, provenBytes, targets }: PathReport): Reason | undefined {
    const told = this.#told.get(to);
    // Not known, or on its way up: nothing is over yet.
    if (verdict === "unknown" || verdict === "unproven") return undefined;
    if (verdict === "passes" && targets.some(({ raisingToBytes }) => raisingToBytes !== null)) return undefined;
    const isBroken = verdict === "unreachable";
    const now = verdict === "passes" ? undefined : isBroken ? verdict : `${verdict} ${provenBytes}`;
    if (now === told) return undefined;
    if (now === undefined) this.#told.delete(to);
    else this.#told.set(to, now);
    if (now === undefined) return "PathMtuRestored";
    return isBroken ? "PathUnreachable" : "PathMtuTooSmall";
  }

  #record(reason: Reason, paths: readonly PathReport[]): void {
    const { events, nodeName } = this.#options;
    const subject = { apiVersion: "v1", kind: "Node", name: nodeName, uid: nodeName };
    const type = reason === "PathMtuRestored" ? "Normal" : "Warning";
    const [first] = paths;
    if (paths.length <= SINGLE || first === undefined) {
      for (const path of paths) events.record(subject, type, reason, `Path to node ${path.to}: ${sentence(path)}`);
      return;
    }
    const named = paths.slice(0, NAMED).map(({ to }) => to);
    const more = paths.length > named.length ? ` and ${paths.length - named.length} more` : "";
    const message = `Paths to ${paths.length} nodes (${named.join(", ")}${more}). To ${first.to}: ${sentence(first)}`;
    events.record(subject, type, reason, message);
  }
}

function sentence({ verdict, why, remedy, mtuBytes }: PathReport): string {
  return verdict === "passes" ? `carries the planned ${mtuBytes} bytes again` : `${why}. ${remedy}`;
}
