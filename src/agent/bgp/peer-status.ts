/**
 * What others are told of this node's sessions: an entry of its own in the status of each BGPPeer, and Events when sessions
 * come and go. A change of state is written at once; counts are written now and then, for every agent of the cluster hears
 * of each write.
 */
import type { KubeClient } from "../../kube/client.ts";
import type { Clock } from "../../kube/clock.ts";
import type { EventRecorder, EventSubject } from "../../kube/events.ts";
import { bgpPeers } from "../../kube/resource.ts";
import type { BgpPeerObject } from "../../model/bgp-objects.ts";
import type { BgpSessionReport } from "../../model/bgp-report.ts";
import { messageOf } from "../../model/errors.ts";
import type { Problem } from "../../model/state.ts";
import type { Log } from "../log.ts";
import { sessionManager } from "./stale-sessions.ts";

export interface PeerStatusOptions {
  readonly nodeName: string;
  readonly client: Pick<KubeClient, "patch">;
  readonly events: Pick<EventRecorder, "record">;
  readonly clock: Clock;
  readonly log: Pick<Log, "warn">;
  /** By name. */
  readonly peers: () => ReadonlyMap<string, BgpPeerObject>;
}

/** An item of status.sessions. */
interface SessionEntry {
  readonly node: string;
  readonly state: string;
  readonly since?: string;
  readonly prefixesIn?: number;
  readonly prefixesOut?: number;
  readonly lastError: string;
}

interface Written {
  readonly entry: SessionEntry | undefined;
  readonly at: number;
}

/** How long counts may be behind. */
const COUNTS_MS = 60_000;
/** After a write that failed. */
const RETRY_MS = 5000;
const MESSAGE_LENGTH = 1000;
const ESTABLISHED = "Established";

export class PeerStatus {
  readonly #options: PeerStatusOptions;
  /** By the peer's uid. */
  readonly #written = new Map<string, Written>();
  readonly #busy = new Set<string>();
  /** State of each session when it was looked at last, by protocol. */
  readonly #states = new Map<string, string>();

  constructor(options: PeerStatusOptions) {
    this.#options = options;
  }

  /** BIRD was asked. */
  follow(sessions: readonly BgpSessionReport[], problems: readonly Problem[]): void {
    this.#tell(sessions);
    const objects = [...this.#options.peers().values()];
    const here = new Set(objects.map(({ uid }) => uid));
    for (const uid of this.#written.keys()) if (!here.has(uid)) this.#written.delete(uid);
    for (const object of objects) {
      const entry = this.#entryOf(object, sessions, problems);
      if (!this.#busy.has(object.uid) && this.#isDue(object, entry)) void this.#write(object, entry);
    }
  }

  #entryOf(
    { name }: BgpPeerObject,
    sessions: readonly BgpSessionReport[],
    problems: readonly Problem[],
  ): SessionEntry | undefined {
    const node = this.#options.nodeName;
    const session = sessions.find(({ kind, peer }) => kind === "peer" && peer === name);
    if (session === undefined) {
      const problem = problems.find(({ object }) => object === `BGPPeer ${name}`);
      return problem && { node, state: "Down", lastError: problem.message.slice(0, MESSAGE_LENGTH) };
    }
    const { state, since, channels, lastError } = session;
    const sum = (count: "imported" | "exported") => channels.reduce((total, channel) => total + channel[count], 0);
    return {
      node,
      state,
      ...(since === null ? {} : { since: timestamp(since) }),
      prefixesIn: sum("imported"),
      prefixesOut: sum("exported"),
      lastError: (lastError ?? "").slice(0, MESSAGE_LENGTH),
    };
  }

  #isDue({ uid, reporters = [] }: BgpPeerObject, entry: SessionEntry | undefined): boolean {
    const before = this.#written.get(uid);
    const isThere = reporters.includes(this.#options.nodeName);
    // An agent before this one may have left an entry.
    if (before === undefined) return entry !== undefined || isThere;
    // Somebody may have taken ours away.
    if (entry !== undefined && !isThere && this.#options.clock.now() >= before.at + COUNTS_MS) return true;
    if (JSON.stringify(before.entry) === JSON.stringify(entry)) return false;
    if (before.entry?.state !== entry?.state || before.entry?.lastError !== entry?.lastError) {
      return this.#options.clock.now() >= before.at;
    }
    return this.#options.clock.now() >= before.at + COUNTS_MS;
  }

  async #write({ name, uid }: BgpPeerObject, entry: SessionEntry | undefined): Promise<void> {
    const { client, clock, log, nodeName } = this.#options;
    this.#busy.add(uid);
    const { group, version } = bgpPeers;
    const head = { apiVersion: `${group}/${version}`, kind: "BGPPeer", metadata: { name } };
    const before = this.#written.get(uid)?.entry;
    this.#written.set(uid, { entry, at: clock.now() });
    try {
      // A manager of its own: what other nodes say stays, and what this one says no more goes.
      await client.patch(
        { resource: bgpPeers, name, subresource: "status" },
        { ...head, status: entry === undefined ? {} : { sessions: [entry] } },
        { type: "apply", fieldManager: sessionManager(nodeName), force: true },
      );
    } catch (error) {
      this.#written.set(uid, { entry: before, at: clock.now() + RETRY_MS });
      log.warn({ bgpPeer: name, error: messageOf(error) }, "cannot write the status of a BGPPeer");
    } finally {
      this.#busy.delete(uid);
    }
  }

  #tell(sessions: readonly BgpSessionReport[]): void {
    const gone = new Set(this.#states.keys());
    for (const session of sessions) {
      const { protocol, state } = session;
      gone.delete(protocol);
      const before = this.#states.get(protocol);
      this.#states.set(protocol, state);
      if ((before === ESTABLISHED) !== (state === ESTABLISHED)) this.#record(session);
    }
    for (const protocol of gone) this.#states.delete(protocol);
  }

  #record(session: BgpSessionReport): void {
    const { events, nodeName } = this.#options;
    const { kind, peer, address, state, lastError } = session;
    const what = `the session of node ${nodeName} with ${kind === "node" ? `node ${peer}` : peer} (${address})`;
    const subject = this.#subjectOf(session);
    if (state === ESTABLISHED) events.record(subject, "Normal", "BGPSessionEstablished", `${what} is established`);
    else events.record(subject, "Warning", "BGPSessionLost", `${what} was lost: ${lastError ?? `it is ${state}`}`);
  }

  /** Of sessions between nodes the Node tells, as of all that is of it. */
  #subjectOf({ kind, peer }: BgpSessionReport): EventSubject {
    const { nodeName, peers } = this.#options;
    if (kind === "node") return { apiVersion: "v1", kind: "Node", name: nodeName, uid: nodeName };
    const { group, version } = bgpPeers;
    const uid = peers().get(peer)?.uid;
    const subject = { apiVersion: `${group}/${version}`, kind: "BGPPeer", name: peer };
    return uid === undefined ? subject : { ...subject, uid };
  }
}

function timestamp(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace(/\.\d+Z$/, "Z");
}
