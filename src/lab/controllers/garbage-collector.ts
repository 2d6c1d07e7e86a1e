/**
 * Deletes what belongs to objects that are gone, by ownerReferences, and ends foreground and orphaning deletions
 * (pkg/controller/garbagecollector).
 */
import type { KubeObject, OwnerReference } from "../api/object/object.ts";
import { FOREGROUND_FINALIZER, ORPHAN_FINALIZER } from "../api/registry/remove.ts";
import { keyOf } from "../api/store/collection.ts";
import { type ControllerContext, splitKey } from "./controller.ts";

/** "resource namespace/name". */
type Place = string;

class OwnershipGraph {
  readonly alive = new Set<string>();
  readonly #dependents = new Map<string, Set<Place>>();

  dependentsOf(uid: string): Place[] {
    return [...(this.#dependents.get(uid) ?? [])];
  }

  add(place: Place, { metadata }: KubeObject): void {
    this.alive.add(metadata.uid ?? "");
    for (const { uid } of metadata.ownerReferences ?? []) {
      const places = this.#dependents.get(uid) ?? new Set<Place>();
      this.#dependents.set(uid, places.add(place));
    }
  }

  remove(place: Place, { metadata }: KubeObject): void {
    this.alive.delete(metadata.uid ?? "");
    for (const { uid } of metadata.ownerReferences ?? []) {
      const places = this.#dependents.get(uid);
      places?.delete(place);
      if (places?.size === 0) this.#dependents.delete(uid);
    }
  }
}

export function startGarbageCollector(context: ControllerContext): void {
  const graph = new OwnershipGraph();
  const work = context.queue("", (place) => collect(context, graph, place));
  context.store.subscribeAll((resource, { type, object, previous }) => {
    const place = `${resource} ${keyOf(object)}`;
    if (previous !== undefined) graph.remove(place, previous);
    if (type !== "DELETED") graph.add(place, object);
    const { uid = "", ownerReferences = [], finalizers = [] } = object.metadata;
    const held = finalizers.includes(FOREGROUND_FINALIZER) || finalizers.includes(ORPHAN_FINALIZER);
    if (type === "DELETED") for (const dependent of graph.dependentsOf(uid)) work.add(dependent);
    else if (ownerReferences.length > 0 || held) work.add(place);
    // The owner may wait for this one to go.
    for (const owner of ownerReferences) queueOwner(context, owner, object.metadata.namespace, (key) => work.add(key));
  });
}

function queueOwner(
  { store }: ControllerContext,
  owner: OwnerReference,
  namespace: string | undefined,
  add: (place: Place) => void,
): void {
  const found = ownerObject(store, owner, namespace);
  if (found?.object.metadata.finalizers?.includes(FOREGROUND_FINALIZER))
    add(`${found.resource} ${keyOf(found.object)}`);
}

/** The object a reference names, if it is still the same one. */
function ownerObject(
  store: ControllerContext["store"],
  { apiVersion, kind, name, uid }: OwnerReference,
  namespace: string | undefined,
): { resource: string; object: KubeObject } | undefined {
  const resource = store.resourceOf(apiVersion, kind);
  if (resource === undefined) return undefined;
  const object = store.get(resource, namespace, name) ?? store.get(resource, undefined, name);
  return object?.metadata.uid === uid ? { resource, object } : undefined;
}

function collect({ store }: ControllerContext, graph: OwnershipGraph, place: Place): void {
  const [resource = "", key = ""] = place.split(" ");
  const { namespace, name } = splitKey(key);
  const object = store.get(resource, namespace, name);
  if (object === undefined) return;
  const owners = object.metadata.ownerReferences ?? [];
  // A reference to a kind that is not served says nothing about whether the owner lives.
  const isGone = (owner: OwnerReference) =>
    !graph.alive.has(owner.uid) && store.resourceOf(owner.apiVersion, owner.kind) !== undefined;
  const gone = owners.filter(isGone);
  const { deletionTimestamp, finalizers = [] } = object.metadata;
  if (gone.length > 0 && gone.length === owners.length) {
    if (deletionTimestamp === undefined) store.delete(resource, namespace, name, { propagationPolicy: "Background" });
  } else if (gone.length > 0) dropOwners(store, resource, object, gone);
  if (deletionTimestamp === undefined) return;
  if (finalizers.includes(ORPHAN_FINALIZER)) orphanDependents(store, graph, resource, object);
  else if (finalizers.includes(FOREGROUND_FINALIZER)) deleteDependents(store, graph, resource, object);
}

function dropOwners(
  store: ControllerContext["store"],
  resource: string,
  object: KubeObject,
  gone: readonly OwnerReference[],
): void {
  const uids = new Set(gone.map((owner) => owner.uid));
  store.modify(resource, object.metadata.namespace, object.metadata.name, (draft) => {
    const left = (draft.metadata.ownerReferences ?? []).filter((owner) => !uids.has(owner.uid));
    if (left.length > 0) draft.metadata.ownerReferences = left;
    else delete draft.metadata.ownerReferences;
  });
}

function dependents(store: ControllerContext["store"], graph: OwnershipGraph, owner: KubeObject) {
  return graph.dependentsOf(owner.metadata.uid ?? "").flatMap((place) => {
    const [resource = "", key = ""] = place.split(" ");
    const { namespace, name } = splitKey(key);
    const object = store.get(resource, namespace, name);
    return object === undefined ? [] : [{ resource, object }];
  });
}

function orphanDependents(
  store: ControllerContext["store"],
  graph: OwnershipGraph,
  resource: string,
  owner: KubeObject,
): void {
  for (const dependent of dependents(store, graph, owner)) {
    const references = dependent.object.metadata.ownerReferences ?? [];
    dropOwners(
      store,
      dependent.resource,
      dependent.object,
      references.filter(({ uid }) => uid === owner.metadata.uid),
    );
  }
  removeFinalizer(store, resource, owner, ORPHAN_FINALIZER);
}

/** The owner goes once nothing is left that blocks it. */
function deleteDependents(
  store: ControllerContext["store"],
  graph: OwnershipGraph,
  resource: string,
  owner: KubeObject,
): void {
  for (const dependent of dependents(store, graph, owner)) {
    const { namespace, name, deletionTimestamp } = dependent.object.metadata;
    if (deletionTimestamp === undefined)
      store.delete(dependent.resource, namespace, name, { propagationPolicy: "Foreground" });
  }
  const blocking = dependents(store, graph, owner).some(({ object }) =>
    object.metadata.ownerReferences?.some(
      ({ uid, blockOwnerDeletion }) => uid === owner.metadata.uid && blockOwnerDeletion === true,
    ),
  );
  if (!blocking) removeFinalizer(store, resource, owner, FOREGROUND_FINALIZER);
}

export function removeFinalizer(
  store: ControllerContext["store"],
  resource: string,
  { metadata }: KubeObject,
  finalizer: string,
): void {
  store.modify(resource, metadata.namespace, metadata.name, (draft) => {
    const left = (draft.metadata.finalizers ?? []).filter((name) => name !== finalizer);
    if (left.length > 0) draft.metadata.finalizers = left;
    else delete draft.metadata.finalizers;
  });
}
