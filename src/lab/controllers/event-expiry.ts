/**
 * Bounds the number of Events: the real server forgets them after an hour; here the oldest go when there are too many.
 */
import { at, type KubeObject, textOf } from "../api/object/object.ts";
import type { ControllerContext } from "./controller.ts";

const MAX_EVENTS = 5000;

export function startEventExpiry({ store, queue }: ControllerContext): void {
  let count = 0;
  const work = queue("events", () => {
    const oldestFirst = [...store.list("events")].sort((a, b) => (lastSeen(a) < lastSeen(b) ? -1 : 1));
    // A tenth at once, so that the sort is rare.
    for (const { metadata } of oldestFirst.slice(0, count - MAX_EVENTS * 0.9)) {
      store.delete("events", metadata.namespace, metadata.name);
    }
  });
  store.subscribe("events", ({ type }) => {
    count += type === "ADDED" ? 1 : type === "DELETED" ? -1 : 0;
    if (count > MAX_EVENTS) work.add("all");
  });
}

function lastSeen(event: KubeObject): string {
  return (
    textOf(at(event, "series", "lastObservedTime")) ||
    textOf(event["lastTimestamp"]) ||
    textOf(event.metadata.creationTimestamp)
  );
}
