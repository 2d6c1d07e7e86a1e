/**
 * Update: a whole object over a stored one. Patches end here too, once they have made the whole object.
 */
import { recordUpdate } from "../apply/managed-fields.ts";
import { FieldErrors } from "../object/field-errors.ts";
import { clone, equal, fieldsOf, type KubeObject, setAt } from "../object/object.ts";
import { conflict, forbidden, invalid, STALE_OBJECT } from "../object/status.ts";
import { hasStatus, type Resource } from "../resources/resource.ts";
import { adoptNamespace, validateObject } from "./admission.ts";
import { decodeObject } from "./decode-object.ts";
import type { Registry } from "./registry.ts";
import { badName, holdsContent, removeObject } from "./remove.ts";
import type { WriteOptions } from "./write-options.ts";

export interface ObjectAddress {
  readonly namespace: string | undefined;
  readonly name: string;
}

export function update(
  registry: Registry,
  resource: Resource,
  address: ObjectAddress,
  input: unknown,
  options: WriteOptions,
): KubeObject {
  const object = decodeObject(resource, input, options);
  const old = registry.get(resource, address.namespace, address.name);
  if (resource.custom && !object.metadata.resourceVersion) {
    const errors = new FieldErrors();
    errors.invalid("metadata.resourceVersion", 0, "must be specified for an update");
    throw invalid(resource, address.name, errors.causes);
  }
  return replaceDecoded(registry, resource, old, object, options);
}

/** Stores `object` over `old`; `owned` says that its managedFields are set (server-side apply). */
export function replaceDecoded(
  registry: Registry,
  resource: Resource,
  old: KubeObject,
  object: KubeObject,
  options: WriteOptions & { readonly owned?: boolean },
): KubeObject {
  const context = registry.context();
  const subresource = options.subresource ?? "";
  checkIdentity(resource, object, old);
  adoptNamespace(resource, object, old.metadata.namespace);
  const next = mergeSections(resource, resource.toStored(object), old, subresource);
  keepServerFields(next, old);
  checkFinalizers(resource, next, old);
  resource.structural?.defaults(next);
  resource.strategy.defaults?.(next);
  if (!options.owned) {
    const manager = options.fieldManager ?? "unknown";
    recordUpdate(old, next, resource.schema, { manager, subresource, now: context.now }, hasStatus(resource));
  }
  if (subresource === "") resource.strategy.prepareUpdate?.(next, old, context);
  if (specChanged(next, old) && resource.strategy.countsGeneration) {
    next.metadata.generation = (old.metadata.generation ?? 0) + 1;
  }
  validateObject(resource, next, old, context);
  next.metadata.resourceVersion = old.metadata.resourceVersion;
  if (equal(next, old)) return old;
  if (options.dryRun) return next;
  if (isFinished(next)) return removeObject(registry, resource, next);
  return registry.database.commit(resource.storage, "MODIFIED", clone(next));
}

/** @throws StatusError for another name, a stale resource version or another object of the same name */
function checkIdentity(resource: Resource, object: KubeObject, old: KubeObject): void {
  const { name, resourceVersion, uid } = object.metadata;
  if (name !== undefined && name !== "" && name !== old.metadata.name) throw badName(name, old.metadata.name);
  object.metadata.name = old.metadata.name;
  if (uid && uid !== old.metadata.uid) {
    const why = `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${old.metadata.uid}`;
    throw conflict(resource, old.metadata.name, why);
  }
  if (resourceVersion && resourceVersion !== old.metadata.resourceVersion) {
    throw conflict(resource, old.metadata.name, STALE_OBJECT);
  }
}

/** The object itself keeps its status; the status subresource changes nothing else. */
function mergeSections(resource: Resource, object: KubeObject, old: KubeObject, subresource: string): KubeObject {
  const next = clone(object);
  if (!hasStatus(resource)) return next;
  if (subresource !== "status") {
    if (old["status"] === undefined) delete next["status"];
    else next["status"] = clone(old["status"]);
    return next;
  }
  const { managedFields, labels, annotations } = next.metadata;
  const kept = clone(old);
  if (next["status"] === undefined) delete kept["status"];
  else kept["status"] = next["status"];
  if (managedFields !== undefined) kept.metadata.managedFields = managedFields;
  // Built-in kinds let a status update change labels and annotations; custom resources do not.
  if (!resource.custom) {
    setOrDelete(kept.metadata, "labels", labels);
    setOrDelete(kept.metadata, "annotations", annotations);
  }
  return kept;
}

function setOrDelete(
  metadata: KubeObject["metadata"],
  name: "labels" | "annotations",
  value: Record<string, string> | undefined,
): void {
  if (value === undefined) delete metadata[name];
  else metadata[name] = value;
}

const SERVER_FIELDS = [
  "uid",
  "creationTimestamp",
  "generation",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
] as const;

function keepServerFields(next: KubeObject, old: KubeObject): void {
  for (const name of SERVER_FIELDS) {
    if (old.metadata[name] === undefined) delete next.metadata[name];
    else setAt(fieldsOf(next.metadata), [name], old.metadata[name]);
  }
}

function checkFinalizers(resource: Resource, next: KubeObject, old: KubeObject): void {
  if (old.metadata.deletionTimestamp === undefined) return;
  const added = (next.metadata.finalizers ?? []).filter((name) => !(old.metadata.finalizers ?? []).includes(name));
  if (added.length === 0) return;
  const why = `no new finalizers can be added if the object is being deleted, found new finalizers ${JSON.stringify(added)}`;
  throw forbidden(resource, next.metadata.name, why);
}

function specChanged(next: KubeObject, old: KubeObject): boolean {
  const { metadata: _a, status: _b, ...content } = next;
  const { metadata: _c, status: _d, ...before } = old;
  return !equal({ ...content, apiVersion: "" }, { ...before, apiVersion: "" });
}

/** Deletion was asked for, nothing holds it up any more. */
function isFinished(object: KubeObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = object.metadata;
  return (
    deletionTimestamp !== undefined &&
    (finalizers ?? []).length === 0 &&
    (deletionGracePeriodSeconds ?? 0) === 0 &&
    !holdsContent(object)
  );
}
