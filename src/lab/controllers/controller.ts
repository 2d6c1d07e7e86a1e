/**
 * What the controllers share: the store they read and write, the clock, and how they tell users of trouble.
 */
import type { Prefix } from "../../model/prefix.ts";
import type { KubeObject } from "../api/object/object.ts";
import type { Store } from "../api/store.ts";
import type { EventRecorder } from "./event-recorder.ts";
import type { WorkQueue } from "./work-queue.ts";

export interface ControllerContext {
  readonly store: Store;
  readonly now: () => Date;
  readonly clusterCidrs: readonly Prefix[];
  readonly events: EventRecorder;
  /** A queue that stops with the controllers; what fails becomes an Event about the object of the key. */
  readonly queue: (resource: string, reconcile: (key: string) => void) => WorkQueue;
}

/** "namespace/name" or "name" in parts. */
export function splitKey(key: string): { namespace: string | undefined; name: string } {
  const slash = key.indexOf("/");
  return slash < 0
    ? { namespace: undefined, name: key }
    : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** A reference to an object, as Events and endpoints carry it. */
export function referenceTo(object: KubeObject) {
  const { namespace, name, uid } = object.metadata;
  return { kind: object.kind, ...(namespace !== undefined && { namespace }), name, uid };
}
