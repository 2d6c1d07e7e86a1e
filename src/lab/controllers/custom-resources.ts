/**
 * Deletes every object of a CustomResourceDefinition that is being deleted, then lets the definition go.
 */
import { CLEANUP_FINALIZER } from "../api/kinds/custom-resource-definition.ts";
import type { ControllerContext } from "./controller.ts";
import { removeFinalizer } from "./garbage-collector.ts";

const DEFINITIONS = "customresourcedefinitions";

export function startCustomResources({ store, queue }: ControllerContext): void {
  const work = queue(DEFINITIONS, (name) => {
    const definition = store.get(DEFINITIONS, undefined, name);
    if (definition?.metadata.deletionTimestamp === undefined) return;
    if (!definition.metadata.finalizers?.includes(CLEANUP_FINALIZER)) return;
    // A definition is named as its objects' collection: plural.group.
    for (const { metadata } of store.list(name)) {
      if (metadata.deletionTimestamp === undefined) store.delete(name, metadata.namespace, metadata.name);
    }
    if (store.list(name).length === 0) removeFinalizer(store, DEFINITIONS, definition, CLEANUP_FINALIZER);
  });
  store.subscribeAll((resource, { type, object }) => {
    if (resource === DEFINITIONS) work.add(object.metadata.name);
    else if (type === "DELETED" && resource.includes(".")) work.add(resource);
  });
}
