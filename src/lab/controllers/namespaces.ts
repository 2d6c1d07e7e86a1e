/**
 * Empties namespaces that are being deleted, then lets them go; and gives every new one its default ServiceAccount.
 */
import type { ControllerContext } from "./controller.ts";

export function startNamespaces({ store, queue }: ControllerContext): void {
  const terminating = new Set<string>();
  const work = queue("namespaces", (name) => {
    const namespace = store.get("namespaces", undefined, name);
    if (namespace === undefined) return void terminating.delete(name);
    if (namespace.metadata.deletionTimestamp === undefined) return addServiceAccount(store, name);
    let left = 0;
    for (const resource of store.resources()) {
      for (const object of store.list(resource, { namespace: name })) {
        if (object.metadata.deletionTimestamp === undefined) store.delete(resource, name, object.metadata.name);
        if (store.get(resource, name, object.metadata.name) !== undefined) left++;
      }
    }
    if (left === 0) store.finalize(name, []);
  });
  store.subscribeAll((resource, { type, object }) => {
    const { namespace, name, deletionTimestamp } = object.metadata;
    if (resource === "namespaces") {
      if (deletionTimestamp !== undefined) terminating.add(name);
      if (type === "DELETED") terminating.delete(name);
      else if (type === "ADDED" || deletionTimestamp !== undefined) work.add(name);
    } else if (namespace !== undefined && terminating.has(namespace)) work.add(namespace);
  });
}

function addServiceAccount(store: ControllerContext["store"], namespace: string): void {
  if (store.get("serviceaccounts", namespace, "default") !== undefined) return;
  store.create({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default", namespace } });
}
