/**
 * Pods of a node that is gone have no kubelet to end them: they go with the node (pkg/controller/podgc).
 */
import { at } from "../api/object/object.ts";
import { keyOf } from "../api/store/collection.ts";
import { type ControllerContext, splitKey } from "./controller.ts";

export function startPodGarbage({ store, queue }: ControllerContext): void {
  const work = queue("pods", (key) => {
    const { namespace, name } = splitKey(key);
    const node = at(store.get("pods", namespace, name), "spec", "nodeName");
    if (typeof node !== "string" || store.get("nodes", undefined, node) !== undefined) return;
    store.delete("pods", namespace, name, { gracePeriodSeconds: 0 });
  });
  store.subscribe("nodes", ({ type, object }) => {
    if (type !== "DELETED") return;
    for (const pod of store.list("pods"))
      if (at(pod, "spec", "nodeName") === object.metadata.name) work.add(keyOf(pod));
  });
}
