/** What BGP on a node has to do with the API: what is asked for there, and what is told in statuses and Events. */
import { isForbidden } from "../../kube/api-error.ts";
import { type BgpSource, startBgpSource } from "../../kube/bgp-source.ts";
import type { KubeClient } from "../../kube/client.ts";
import { type Clock, systemClock } from "../../kube/clock.ts";
import { EventRecorder } from "../../kube/events.ts";
import { bgpConfigurations, bgpPeers } from "../../kube/resource.ts";
import { BGP_UNDERSTOOD } from "../../model/bgp-objects.ts";
import type { BgpSessionReport } from "../../model/bgp-report.ts";
import type { ClusterNode } from "../../model/cluster.ts";
import { messageOf } from "../../model/errors.ts";
import { matchesSelector } from "../../model/selector.ts";
import type { Problem } from "../../model/state.ts";
import type { Log } from "../log.ts";
import { UnderstoodStatus } from "../understood-status.ts";
import { PeerStatus } from "./peer-status.ts";
import { StaleSessions } from "./stale-sessions.ts";

export interface BgpApiOptions {
  readonly nodeName: string;
  readonly client: KubeClient;
  readonly nodes: () => ReadonlyMap<string, ClusterNode> | undefined;
  /** Something that is asked for changed. */
  readonly onChange: () => void;
  /** A list or watch failed. */
  readonly onApiError: (resource: string) => void;
  /** Kinds that the server does not know, or that may not be read, are looked for this often, milliseconds. */
  readonly absentMs?: number;
  readonly log: Log;
  /** @default systemClock */
  readonly clock?: Clock;
}

export class BgpApi {
  readonly #nodeName: string;
  readonly #source: BgpSource;
  readonly #events: EventRecorder;
  readonly #peerStatus: PeerStatus;
  readonly #understood: readonly UnderstoodStatus[];
  readonly #stale: StaleSessions;
  /** By resource: what was told of it last. */
  readonly #told = new Map<string, string>();

  constructor({ nodeName, client, nodes, onChange, onApiError, absentMs, log, clock = systemClock }: BgpApiOptions) {
    this.#nodeName = nodeName;
    this.#source = startBgpSource({
      client,
      namespace: client.connection.namespace,
      concerns: (peer) => matchesSelector(peer.nodes, nodes()?.get(nodeName)?.labels ?? {}),
      onChange: () => {
        for (const status of this.#understood) status.follow();
        onChange();
      },
      onProblem: ({ resource, key, field, why }) => log.warn({ resource, key, field }, why),
      ...(absentMs === undefined ? {} : { timing: { absentMs } }),
      onError: (resource, error, retryInMs) => {
        onApiError(resource);
        const message = "the API cannot be read; the last known state stands";
        // A right that nobody grants is told of once.
        const isNew = this.#told.get(resource) !== error.message || !isForbidden(error);
        this.#told.set(resource, error.message);
        if (isNew) log.warn({ resource, retryInMs, error: messageOf(error) }, message);
      },
    });
    this.#events = new EventRecorder({
      client,
      component: "breakwater-agent",
      host: nodeName,
      onDropped: (reason, { kind, name }, why) =>
        log.warn({ reason, object: `${kind} ${name}`, why }, "event not written"),
    });
    const common = { client, clock, log, type: BGP_UNDERSTOOD };
    this.#understood = [
      new UnderstoodStatus({
        ...common,
        resource: bgpPeers,
        kind: "BGPPeer",
        good: "all of the peer is understood",
        objects: () => this.#source.peers(),
      }),
      new UnderstoodStatus({
        ...common,
        resource: bgpConfigurations,
        kind: "BGPConfiguration",
        good: "all of the configuration is understood, and used",
        objects: () => this.#source.configurations(),
      }),
    ];
    const peers = () => this.#source.peers();
    this.#peerStatus = new PeerStatus({ nodeName, client, events: this.#events, clock, log, peers });
    this.#stale = new StaleSessions({ client, clock, log, peers, nodes });
  }

  get source(): BgpSource {
    return this.#source;
  }

  /** BIRD was asked how its sessions are. */
  tell(sessions: readonly BgpSessionReport[], problems: readonly Problem[]): void {
    this.#peerStatus.follow(sessions, problems);
    this.#stale.follow();
  }

  /** Something of this node's routes that people are to see on the Node. */
  record(type: "Normal" | "Warning", reason: string, message: string): void {
    const nodeName = this.#nodeName;
    // As the kubelet does: a Node's name stands for its uid.
    this.#events.record({ apiVersion: "v1", kind: "Node", name: nodeName, uid: nodeName }, type, reason, message);
  }

  async stop(): Promise<void> {
    for (const status of this.#understood) status[Symbol.dispose]();
    this.#stale[Symbol.dispose]();
    await this.#source.stop();
    await this.#events.stop();
  }
}
