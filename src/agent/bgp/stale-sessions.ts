/**
 * Takes the entries of nodes that do not exist any more out of the status of BGPPeers. Each entry belongs to the manager of
 * its node (server-side apply), and is taken back in that manager's name: no other entry is touched, whoever writes at the
 * same time. All agents see the same, so each waits a while of its own and looks again: most find it done.
 */
import type { KubeClient } from "../../kube/client.ts";
import type { Clock } from "../../kube/clock.ts";
import { bgpPeers } from "../../kube/resource.ts";
import type { BgpPeerObject } from "../../model/bgp-objects.ts";
import { messageOf } from "../../model/errors.ts";
import type { Log } from "../log.ts";

export interface StaleSessionsOptions {
  readonly client: Pick<KubeClient, "patch">;
  readonly clock: Clock;
  readonly log: Pick<Log, "info" | "warn">;
  /** By name. */
  readonly peers: () => ReadonlyMap<string, BgpPeerObject>;
  /** Undefined before they were listed. */
  readonly nodes: () => ReadonlyMap<string, unknown> | undefined;
}

/** A Node that is made anew within this keeps its entry. A thousand agents are spread over the rest. */
const WAIT_MS = { least: 10_000, most: 60_000 } as const;

/** Whose entries of a status are a node's. */
export const sessionManager = (nodeName: string) => `breakwater-agent-${nodeName}`;

export class StaleSessions implements Disposable {
  readonly #options: StaleSessionsOptions;
  #cancel: (() => void) | undefined;

  constructor(options: StaleSessionsOptions) {
    this.#options = options;
  }

  [Symbol.dispose](): void {
    this.#cancel?.();
  }

  /** Peers or nodes may have changed. */
  follow(): void {
    if (this.#cancel !== undefined || this.#stale().length === 0) return;
    const { clock } = this.#options;
    const delayMs = WAIT_MS.least + clock.random() * (WAIT_MS.most - WAIT_MS.least);
    this.#cancel = clock.schedule(delayMs, () => {
      this.#cancel = undefined;
      for (const { peer, node } of this.#stale()) void this.#remove(peer, node);
    });
  }

  #stale(): { peer: string; node: string }[] {
    const nodes = this.#options.nodes();
    if (nodes === undefined) return [];
    return [...this.#options.peers().values()].flatMap(({ name, reporters = [] }) =>
      reporters.filter((node) => !nodes.has(node)).map((node) => ({ peer: name, node })),
    );
  }

  async #remove(peer: string, node: string): Promise<void> {
    const { client, log } = this.#options;
    const { group, version } = bgpPeers;
    const head = { apiVersion: `${group}/${version}`, kind: "BGPPeer", metadata: { name: peer } };
    try {
      await client.patch(
        { resource: bgpPeers, name: peer, subresource: "status" },
        { ...head, status: {} },
        { type: "apply", fieldManager: sessionManager(node), force: true },
      );
      log.info({ bgpPeer: peer, node }, "the entry of a node that is gone is out of the peer's status");
    } catch (error) {
      log.warn({ bgpPeer: peer, node, error: messageOf(error) }, "cannot take a deleted node's entry out of a status");
    }
  }
}
