/**
 * Patch: JSON patch, merge patch, strategic merge patch and server-side apply, each over the newest object.
 */
import { applyConfiguration } from "../apply/server-side-apply.ts";
import { FieldErrors } from "../object/field-errors.ts";
import { clone, type Fields, isFields, type KubeObject } from "../object/object.ts";
import { badRequest, invalid, notFound, StatusError, unsupportedMediaType } from "../object/status.ts";
import { applyJsonPatch, JsonPatchConflictError, JsonPatchSyntaxError } from "../patch/json-patch.ts";
import { applyMergePatch } from "../patch/merge-patch.ts";
import { applyStrategicMergePatch } from "../patch/strategic-merge.ts";
import { hasStatus, type Resource } from "../resources/resource.ts";
import { createDecoded } from "./create.ts";
import { decodeObject } from "./decode-object.ts";
import type { Registry } from "./registry.ts";
import { badName } from "./remove.ts";
import { type ObjectAddress, replaceDecoded } from "./update.ts";
import type { WriteOptions } from "./write-options.ts";

export type PatchType = "json" | "merge" | "strategic" | "apply";

export interface PatchOptions extends WriteOptions {
  /** Server-side apply takes conflicting fields over. */
  readonly force?: boolean;
}

export interface PatchResult {
  readonly object: KubeObject;
  readonly created: boolean;
}

export function patch(
  registry: Registry,
  resource: Resource,
  address: ObjectAddress,
  type: PatchType,
  body: unknown,
  options: PatchOptions,
): PatchResult {
  if (type === "apply") return apply(registry, resource, address, body, options);
  const old = registry.get(resource, address.namespace, address.name);
  const patched = applyPatch(resource, resource.fromStored(old), type, body);
  const object = decodeObject(resource, patched, options);
  return { object: replaceDecoded(registry, resource, old, object, options), created: false };
}

function applyPatch(resource: Resource, current: KubeObject, type: PatchType, body: unknown): unknown {
  if (type === "json") return jsonPatch(resource, current, body);
  if (!isFields(body)) throw badRequest("json: cannot unmarshal the patch into a map: the patch must be a JSON object");
  if (type === "merge") return applyMergePatch(current, body);
  if (resource.custom) {
    throw unsupportedMediaType(
      "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
    );
  }
  return applyStrategicMergePatch(current as Fields, body, resource.schema);
}

function jsonPatch(resource: Resource, current: KubeObject, body: unknown): unknown {
  try {
    return applyJsonPatch(current, body);
  } catch (error) {
    if (error instanceof JsonPatchSyntaxError) throw badRequest(error.message);
    if (error instanceof JsonPatchConflictError) {
      throw new StatusError(422, "Invalid", error.message, { name: current.metadata.name, kind: resource.kind });
    }
    throw error;
  }
}

function apply(
  registry: Registry,
  resource: Resource,
  address: ObjectAddress,
  body: unknown,
  options: PatchOptions,
): PatchResult {
  if (!options.fieldManager) throw missingManager();
  const config = decodeObject(resource, body, options);
  const { managedFields, name, namespace } = config.metadata;
  if (managedFields !== undefined && managedFields.length > 0) throw badRequest("metadata.managedFields must be nil");
  if (name && name !== address.name) throw badName(name, address.name);
  if (namespace && address.namespace && namespace !== address.namespace) {
    throw badRequest("the namespace of the provided object does not match the namespace sent on the request");
  }
  config.metadata.name = address.name;
  const old = registry.collection(resource).get(address.namespace, address.name);
  const subresource = options.subresource ?? "";
  if (old === undefined && subresource !== "") throw notFound(resource, address.name);
  if (old === undefined && config.metadata.uid) throw notFound(resource, address.name);
  const object = applyConfiguration({
    live: old && clone(resource.fromStored(old)),
    config,
    schema: resource.schema,
    writer: { manager: options.fieldManager, subresource, now: registry.context().now },
    force: options.force === true,
    hasStatus: hasStatus(resource),
  });
  const owned = { ...options, owned: true };
  if (old === undefined)
    return { object: createDecoded(registry, resource, address.namespace, object, owned), created: true };
  return { object: replaceDecoded(registry, resource, old, object, owned), created: false };
}

function missingManager(): StatusError {
  const errors = new FieldErrors();
  errors.required("fieldManager", "is required for apply patch");
  return invalid({ group: "meta.k8s.io", plural: "patchoptions", kind: "PatchOptions" }, "", errors.causes);
}
