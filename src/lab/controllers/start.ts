/**
 * Starts every controller over one store. They listen to its changes in-process; nothing polls.
 */
import type { Prefix } from "../../model/prefix.ts";
import type { Store } from "../api/store.ts";
import { type ApiEndpoint, writeApiEndpoints } from "./api-endpoints.ts";
import type { ControllerContext } from "./controller.ts";
import { startCustomResources } from "./custom-resources.ts";
import { startEndpointSlices } from "./endpoint-slices.ts";
import { startEndpointsMirroring } from "./endpoints-mirroring.ts";
import { startEventExpiry } from "./event-expiry.ts";
import { EventRecorder, recordingQueue } from "./event-recorder.ts";
import { startGarbageCollector } from "./garbage-collector.ts";
import { startNamespaces } from "./namespaces.ts";
import { startNodeIpam } from "./node-ipam.ts";
import { startPodGarbage } from "./pod-garbage.ts";
import { startScheduler } from "./scheduler.ts";
import type { WorkQueue } from "./work-queue.ts";

export interface ControllerOptions {
  readonly clusterCidrs: readonly Prefix[];
  readonly now: () => Date;
}

export interface Controllers {
  /** Writes the endpoints of default/kubernetes, as they are now. */
  setApiEndpoints(endpoints: (() => readonly ApiEndpoint[]) | undefined): void;
  stop(): void;
}

export function startControllers(store: Store, { clusterCidrs, now }: ControllerOptions): Controllers {
  const events = new EventRecorder(store, now);
  const queues: WorkQueue[] = [];
  const context: ControllerContext = {
    store,
    now,
    clusterCidrs,
    events,
    queue: (resource, reconcile) => {
      const queue = recordingQueue(store, events, resource, reconcile);
      queues.push(queue);
      return queue;
    },
  };
  startNamespaces(context);
  startNodeIpam(context);
  startScheduler(context);
  startEndpointSlices(context);
  startEndpointsMirroring(context);
  startGarbageCollector(context);
  startCustomResources(context);
  startPodGarbage(context);
  startEventExpiry(context);
  return {
    setApiEndpoints: (endpoints) => writeApiEndpoints(store, endpoints?.() ?? []),
    stop: () => {
      for (const queue of queues) queue.stop();
    },
  };
}
