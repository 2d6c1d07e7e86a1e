/**
 * The store as code inside the lab uses it: the same rules as over HTTP, without HTTP.
 */
import { clone, type Fields, type KubeObject } from "./object/object.ts";
import { badRequest, StatusError } from "./object/status.ts";
import { bindPod } from "./registry/bind.ts";
import { create } from "./registry/create.ts";
import type { Registry } from "./registry/registry.ts";
import { type DeleteOptions, deleteObject, finalizeNamespace } from "./registry/remove.ts";
import { update } from "./registry/update.ts";
import type { Resource } from "./resources/resource.ts";
import { parseLabelSelector } from "./selector/label-selector.ts";
import type { Listener } from "./store/collection.ts";
import type { StoreEvent } from "./store/history.ts";

/** What a new object needs at least. */
export interface NewObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Fields;
  readonly [field: string]: unknown;
}

export interface StoreWriteOptions {
  /** Who writes, for managedFields. @default "breakwater-lab" */
  readonly fieldManager?: string;
  /** Write the status instead of the rest. */
  readonly subresource?: "status";
}

/** A resource is named as kubectl names it in full: "pods", "endpointslices", "widgets.example.com". */
export interface Store {
  /** The newest resource version. */
  readonly resourceVersion: string;
  /** Stored objects are frozen; undefined when there is none. */
  get(resource: string, namespace: string | undefined, name: string): KubeObject | undefined;
  /** Ordered by namespace and name. */
  list(
    resource: string,
    filter?: { readonly namespace?: string; readonly labelSelector?: string },
  ): readonly KubeObject[];
  /** @throws StatusError as the API would answer */
  create(object: NewObject, options?: StoreWriteOptions): KubeObject;
  /** @throws StatusError as the API would answer */
  update(object: KubeObject, options?: StoreWriteOptions): KubeObject;
  /** Reads, lets `change` edit a copy, writes. @throws StatusError, 404 when there is no such object */
  modify(
    resource: string,
    namespace: string | undefined,
    name: string,
    change: (draft: KubeObject) => void,
    options?: StoreWriteOptions,
  ): KubeObject;
  /** False when there was none. @throws StatusError when a precondition fails */
  delete(resource: string, namespace: string | undefined, name: string, options?: DeleteOptions): boolean;
  /** Binds a Pod to a node. @throws StatusError 409 when it is bound already */
  bind(namespace: string, pod: string, node: string): KubeObject;
  /** Sets spec.finalizers of a namespace; with none left, one that is being deleted goes. */
  finalize(namespace: string, finalizers: readonly string[]): void;
  /** Hears of every change at once, within the write. Returns the function that ends it. */
  subscribe(resource: string, listener: Listener): () => void;
  /** Hears of every change of every kind, of kinds to come too. */
  subscribeAll(listener: (resource: string, event: StoreEvent) => void): void;
  /** The resource that stores objects of a kind; undefined when none is served. */
  resourceOf(apiVersion: string, kind: string): string | undefined;
  /** Whether objects of this kind live in namespaces; undefined for a kind that is not served. */
  isNamespaced(of: { readonly apiVersion: string; readonly kind: string }): boolean | undefined;
  /** Names of all resources that are served now. */
  resources(): readonly string[];
}

export const LAB_MANAGER = "breakwater-lab";

export function createStore(registry: Registry): Store {
  const find = (storage: string): Resource => {
    const resource = registry.resources.findStorage(storage);
    if (resource === undefined) throw badRequest(`the store has no resource ${JSON.stringify(storage)}`);
    return resource;
  };
  const kindOf = (object: { readonly apiVersion: string; readonly kind: string }): Resource => {
    const resource = registry.resources.findKind(object.apiVersion, object.kind);
    if (resource === undefined) throw badRequest(`there is no kind ${object.kind} in ${object.apiVersion}`);
    return resource;
  };
  const write = (object: KubeObject, options: StoreWriteOptions = {}) => {
    const { namespace, name } = object.metadata;
    const { fieldManager = LAB_MANAGER, subresource = "" } = options;
    return update(registry, kindOf(object), { namespace, name }, object, {
      fieldManager,
      subresource,
      fieldValidation: "Strict",
    });
  };
  return {
    get resourceVersion() {
      return String(registry.database.version);
    },
    get: (resource, namespace, name) => registry.database.collection(resource).get(namespace, name),
    list: (resource, filter = {}) => listObjects(registry, resource, filter),
    create: (object, { fieldManager = LAB_MANAGER } = {}) =>
      create(registry, kindOf(object), undefined, object, { fieldManager, fieldValidation: "Strict" }),
    update: write,
    modify: (resource, namespace, name, change, options) => {
      const draft = clone(registry.get(find(resource), namespace, name));
      change(draft);
      return write(draft, options);
    },
    delete: (resource, namespace, name, options = {}) => remove(registry, find(resource), namespace, name, options),
    bind: (namespace, pod, node) => bindPod(registry, registry.get(find("pods"), namespace, pod), node),
    finalize: (namespace, finalizers) => void finalizeNamespace(registry, find("namespaces"), namespace, finalizers),
    subscribe: (resource, listener) => registry.database.collection(resource).subscribe(listener),
    subscribeAll: (listener) => registry.database.subscribeAll((resource) => (event) => listener(resource, event)),
    resourceOf: (apiVersion, kind) => registry.resources.findKind(apiVersion, kind)?.storage,
    isNamespaced: ({ apiVersion, kind }) => registry.resources.findKind(apiVersion, kind)?.namespaced,
    resources: () => [...new Set(registry.resources.all.map((resource) => resource.storage))],
  };
}

function listObjects(
  registry: Registry,
  resource: string,
  { namespace, labelSelector }: { readonly namespace?: string; readonly labelSelector?: string },
): readonly KubeObject[] {
  const all = registry.database.collection(resource).sorted();
  if (namespace === undefined && labelSelector === undefined) return all;
  const selects = parseLabelSelector(labelSelector ?? "");
  return all.filter(
    ({ metadata }) => (namespace === undefined || metadata.namespace === namespace) && selects(metadata.labels ?? {}),
  );
}

function remove(
  registry: Registry,
  resource: Resource,
  namespace: string | undefined,
  name: string,
  options: DeleteOptions,
): boolean {
  try {
    deleteObject(registry, resource, { namespace, name }, options);
    return true;
  } catch (error) {
    if (error instanceof StatusError && error.reason === "NotFound") return false;
    throw error;
  }
}
