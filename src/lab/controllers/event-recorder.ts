/**
 * Events about objects, as `kubectl describe` shows them. The same thing said again counts up the Event that is there.
 */
import { createHash } from "node:crypto";
import { messageOf } from "../../model/errors.ts";
import type { KubeObject } from "../api/object/object.ts";
import { timestamp } from "../api/registry/registry.ts";
import type { Store } from "../api/store.ts";
import { WorkQueue } from "./work-queue.ts";

export class EventRecorder {
  readonly #store: Store;
  readonly #now: () => Date;

  constructor(store: Store, now: () => Date) {
    this.#store = store;
    this.#now = now;
  }

  record(object: KubeObject, component: string, type: "Normal" | "Warning", reason: string, message: string): void {
    const namespace = object.metadata.namespace ?? "default";
    const home = this.#store.get("namespaces", undefined, namespace);
    if (home === undefined || home.metadata.deletionTimestamp !== undefined) return;
    const now = timestamp(this.#now());
    const name = `${object.metadata.name.slice(0, 200).replace(/[-.]+$/, "")}.${fingerprint(object, component, reason, message)}`;
    const known = this.#store.get("events", namespace, name);
    if (known !== undefined) {
      this.#store.modify("events", namespace, name, (event) => {
        event["count"] = Number(event["count"] ?? 1) + 1;
        event["lastTimestamp"] = now;
      });
      return;
    }
    this.#store.create({
      apiVersion: "v1",
      kind: "Event",
      metadata: { name, namespace },
      involvedObject: involved(object),
      reason,
      message,
      type,
      source: { component },
      reportingComponent: component,
      firstTimestamp: now,
      lastTimestamp: now,
      count: 1,
    });
  }
}

function involved({ apiVersion, kind, metadata }: KubeObject) {
  const { namespace, name, uid, resourceVersion } = metadata;
  return { apiVersion, kind, ...(namespace !== undefined && { namespace }), name, uid, resourceVersion };
}

function fingerprint(object: KubeObject, ...parts: readonly string[]): string {
  return createHash("sha256")
    .update([object.metadata.uid, ...parts].join("\n"))
    .digest("hex")
    .slice(0, 16);
}

/** A queue whose failures become Events about the object of the key. */
export function recordingQueue(
  store: Store,
  events: EventRecorder,
  resource: string,
  reconcile: (key: string) => void,
): WorkQueue {
  return new WorkQueue(reconcile, (key, error) => {
    const [first = "", second] = key.split("/");
    const object = second === undefined ? store.get(resource, undefined, first) : store.get(resource, first, second);
    // An object that is gone meanwhile needs nothing, and has nobody to tell.
    if (object !== undefined)
      events.record(object, `${resource}-controller`, "Warning", "FailedSync", messageOf(error));
  });
}
