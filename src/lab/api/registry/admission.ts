/**
 * What every write has to pass, whatever the kind: names, the namespace's existence, schema and rules of the kind.
 */
import { FieldErrors } from "../object/field-errors.ts";
import { validateMetadata } from "../object/metadata-validation.ts";
import type { KubeObject } from "../object/object.ts";
import { badRequest, forbidden, invalid, notFound } from "../object/status.ts";
import type { Resource } from "../resources/resource.ts";
import type { WriteContext } from "../resources/write-context.ts";
import { validateRequired } from "../schema/required.ts";
import type { Registry } from "./registry.ts";

/** Puts the request's namespace into the object. @throws StatusError 400 when the object names another one */
export function adoptNamespace(resource: Resource, object: KubeObject, namespace: string | undefined): void {
  if (!resource.namespaced) {
    delete object.metadata.namespace;
    return;
  }
  const given = object.metadata.namespace;
  if (given && namespace && given !== namespace) {
    const mismatch = "the namespace of the provided object does not match the namespace sent on the request";
    throw badRequest(mismatch);
  }
  const wanted = namespace || given;
  if (!wanted) throw badRequest("an empty namespace may not be set during creation");
  object.metadata.namespace = wanted;
}

/** New objects need a living namespace. @throws StatusError 404 or 403 */
export function admitNamespace(registry: Registry, resource: Resource, object: KubeObject): void {
  const name = object.metadata.namespace;
  if (!resource.namespaced || name === undefined) return;
  const namespace = registry.database.collection("namespaces").get(undefined, name);
  if (namespace === undefined) {
    throw notFound({ group: "", plural: "namespaces", kind: "Namespace" }, name);
  }
  if (namespace.metadata.deletionTimestamp === undefined) return;
  const why = `unable to create new content in namespace ${name} because it is being terminated`;
  const message = `namespace ${name} is being terminated`;
  throw forbidden(resource, object.metadata.name, why, [
    { reason: "NamespaceTerminating", message, field: "metadata.namespace" },
  ]);
}

/** @throws StatusError 422 with every fault */
export function validateObject(
  resource: Resource,
  object: KubeObject,
  old: KubeObject | undefined,
  context: WriteContext,
): void {
  const errors = new FieldErrors();
  validateMetadata(object, resource.strategy.nameRule, errors);
  if (resource.structural !== undefined) resource.structural.validate(object, errors, old);
  else validateRequired(object, resource.schema, errors);
  resource.strategy.validate?.(object, errors, context);
  if (old !== undefined) resource.strategy.validateUpdate?.(object, old, errors);
  if (errors.causes.length > 0) throw invalid(resource, object.metadata.name, uniqueCauses(errors));
}

/** Schema and rules of a kind may both find the same field missing. */
function uniqueCauses(errors: FieldErrors): FieldErrors["causes"] {
  const seen = new Set<string>();
  return errors.causes.filter(({ field, reason }) => {
    const key = `${field} ${reason}`;
    if (reason === "FieldValueRequired" && seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}
