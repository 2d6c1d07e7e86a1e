/**
 * Create.
 */
import { randomBytes } from "node:crypto";
import { recordUpdate } from "../apply/managed-fields.ts";
import { clone, type KubeObject } from "../object/object.ts";
import { alreadyExists, badRequest } from "../object/status.ts";
import { hasStatus, type Resource } from "../resources/resource.ts";
import { admitNamespace, adoptNamespace, validateObject } from "./admission.ts";
import { decodeObject } from "./decode-object.ts";
import type { Registry } from "./registry.ts";
import type { WriteOptions } from "./write-options.ts";

/** Letters a generated suffix is made of: no vowels, so no words (k8s.io/apimachinery/pkg/util/rand). */
const SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789";

export function create(
  registry: Registry,
  resource: Resource,
  namespace: string | undefined,
  input: unknown,
  options: WriteOptions,
): KubeObject {
  const object = decodeObject(resource, input, options);
  if (object.metadata.resourceVersion) throw badRequest("resourceVersion should not be set on objects to be created");
  return createDecoded(registry, resource, namespace, object, options);
}

/** Creates an object that is decoded already; `owned` says that its managedFields are set (server-side apply). */
export function createDecoded(
  registry: Registry,
  resource: Resource,
  namespace: string | undefined,
  object: KubeObject,
  options: WriteOptions & { readonly owned?: boolean },
): KubeObject {
  const context = registry.context();
  adoptNamespace(resource, object, namespace);
  nameObject(registry, resource, object);
  admitNamespace(registry, resource, object);
  if (hasStatus(resource) && !resource.strategy.keepsStatus) delete object["status"];
  const applied = options.owned ? object.metadata.managedFields : undefined;
  const stored = resource.toStored(object);
  initializeMetadata(registry, resource, stored, context.now);
  resource.structural?.defaults(stored);
  resource.strategy.defaults?.(stored);
  // Owned is what the client wrote and what that defaults to, not what the server allocates.
  if (!options.owned) {
    const manager = options.fieldManager ?? "unknown";
    const writer = { manager, subresource: "", now: context.now };
    recordUpdate(undefined, stored, resource.schema, writer, hasStatus(resource));
  } else if (applied !== undefined) stored.metadata.managedFields = applied;
  resource.strategy.prepareCreate?.(stored, context);
  validateObject(resource, stored, undefined, context);
  if (registry.collection(resource).get(stored.metadata.namespace, stored.metadata.name) !== undefined) {
    throw alreadyExists(resource, stored.metadata.name);
  }
  if (options.dryRun) return stored;
  return registry.database.commit(resource.storage, "ADDED", clone(stored));
}

function nameObject(registry: Registry, resource: Resource, object: KubeObject): void {
  const { name, generateName } = object.metadata;
  if (name || !generateName) {
    object.metadata.name = name ?? "";
    return;
  }
  // A full name leaves no room for the suffix: the prefix is cut to 58 characters.
  const prefix = generateName.slice(0, 58);
  do object.metadata.name = prefix + suffix();
  while (registry.collection(resource).get(object.metadata.namespace, object.metadata.name) !== undefined);
}

function suffix(): string {
  return [...randomBytes(5)].map((byte) => SUFFIX_LETTERS[byte % SUFFIX_LETTERS.length]).join("");
}

function initializeMetadata(registry: Registry, resource: Resource, object: KubeObject, now: string): void {
  const { metadata } = object;
  for (const name of ["deletionTimestamp", "deletionGracePeriodSeconds", "managedFields", "resourceVersion"] as const) {
    delete metadata[name];
  }
  metadata.uid = registry.newUid();
  metadata.creationTimestamp = now;
  if (resource.strategy.countsGeneration) metadata.generation = 1;
  else delete metadata.generation;
}
