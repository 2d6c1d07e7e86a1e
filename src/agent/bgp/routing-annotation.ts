/**
 * Tells the other nodes how this one makes its routes: an annotation on its own Node. Between a node that routes by BGP and
 * one that does not there is neither a tunnel nor a session, and each has to know that of the other (src/plan/peers.ts).
 */
import type { KubeClient } from "../../kube/client.ts";
import type { Clock } from "../../kube/clock.ts";
import { nodes } from "../../kube/resource.ts";
import { type ClusterNode, ROUTING_ANNOTATION } from "../../model/cluster.ts";
import { messageOf } from "../../model/errors.ts";
import type { RoutingMode } from "../../model/node-config.ts";
import type { Log } from "../log.ts";

export interface RoutingAnnotationOptions {
  readonly nodeName: string;
  readonly routing: RoutingMode;
  readonly client: Pick<KubeClient, "patch">;
  readonly clock: Clock;
  readonly log: Pick<Log, "warn">;
}

/** After a write that failed; a right that is missing is granted seldom. */
const RETRY_MS = 60_000;

export class RoutingAnnotation {
  readonly #options: RoutingAnnotationOptions;
  #notBefore = Number.NEGATIVE_INFINITY;
  #failure = "";

  constructor(options: RoutingAnnotationOptions) {
    this.#options = options;
  }

  /** @param own the Node as the API has it now; undefined while it is not known */
  follow(own: ClusterNode | undefined): void {
    const { routing, clock } = this.#options;
    if (own === undefined || own.routing === routing || clock.now() < this.#notBefore) return;
    // The watch tells of it a moment later: until then it is not written again.
    this.#notBefore = clock.now() + RETRY_MS;
    void this.#write();
  }

  async #write(): Promise<void> {
    const { client, nodeName, routing, log } = this.#options;
    try {
      const metadata = { annotations: { [ROUTING_ANNOTATION]: routing } };
      await client.patch({ resource: nodes, name: nodeName }, { metadata }, { type: "merge" });
      this.#failure = "";
    } catch (error) {
      const failure = messageOf(error);
      if (failure === this.#failure) return;
      this.#failure = failure;
      const message = "cannot tell other nodes how this one routes: they take it for one that routes as they do";
      log.warn({ annotation: ROUTING_ANNOTATION, routing, error: failure }, message);
    }
  }
}
