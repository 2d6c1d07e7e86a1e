/**
 * Paths of the OpenAPI documents: as much as kubectl reads. It looks for the query parameters of PATCH to learn
 * whether the server validates fields and knows dry runs.
 */
import type { Fields } from "../object/object.ts";
import { apiVersionOf, type Resource } from "../resources/resource.ts";

interface Operation {
  readonly method: "get" | "post" | "put" | "patch" | "delete";
  readonly action: string;
  readonly parameters: readonly string[];
}

const WRITE = ["dryRun", "fieldManager", "fieldValidation"];
const LIST = ["allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion"];

const ON_COLLECTION: readonly Operation[] = [
  {
    method: "get",
    action: "list",
    parameters: [...LIST, "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch"],
  },
  { method: "post", action: "post", parameters: WRITE },
  {
    method: "delete",
    action: "deletecollection",
    parameters: [...LIST, "dryRun", "gracePeriodSeconds", "propagationPolicy"],
  },
];
const ON_OBJECT: readonly Operation[] = [
  { method: "get", action: "get", parameters: [] },
  { method: "put", action: "put", parameters: WRITE },
  { method: "patch", action: "patch", parameters: [...WRITE, "force"] },
  { method: "delete", action: "delete", parameters: ["dryRun", "gracePeriodSeconds", "propagationPolicy"] },
];

/** Paths of a resource, each with its operations in the form of OpenAPI `version`. */
export function resourcePaths(resource: Resource, version: 2 | 3): Record<string, Fields> {
  const root = resource.group === "" ? "/api/v1" : `/apis/${apiVersionOf(resource)}`;
  const base = `${root}${resource.namespaced ? "/namespaces/{namespace}" : ""}/${resource.plural}`;
  const shared = resource.namespaced ? [pathParameter("namespace", version)] : [];
  const named = [...shared, pathParameter("name", version)];
  const paths: Record<string, Fields> = {
    [base]: pathItem(resource, ON_COLLECTION, shared, version, ""),
    [`${base}/{name}`]: pathItem(resource, ON_OBJECT, named, version, ""),
  };
  if (resource.subresources.includes("status")) {
    paths[`${base}/{name}/status`] = pathItem(resource, ON_OBJECT.slice(0, 3), named, version, "status");
  }
  if (resource.namespaced)
    paths[`${root}/${resource.plural}`] = pathItem(resource, ON_COLLECTION.slice(0, 1), [], version, "all");
  return paths;
}

function pathItem(
  resource: Resource,
  operations: readonly Operation[],
  parameters: readonly Fields[],
  version: 2 | 3,
  suffix: string,
): Fields {
  const entries = operations.map((operation) => [operation.method, operationOf(resource, operation, version, suffix)]);
  return { ...Object.fromEntries(entries), ...(parameters.length > 0 && { parameters }) };
}

function operationOf(resource: Resource, { action, parameters }: Operation, version: 2 | 3, suffix: string): Fields {
  const { group, version: apiVersion, kind } = resource;
  return {
    operationId: `${action}${group.replaceAll(".", "_")}_${apiVersion}_${kind}${suffix}`,
    responses: { "200": { description: "OK" } },
    parameters: parameters.map((name) => queryParameter(name, version)),
    "x-kubernetes-action": action,
    "x-kubernetes-group-version-kind": { group, kind, version: apiVersion },
  };
}

const NOT_STRINGS: Readonly<Record<string, string>> = {
  allowWatchBookmarks: "boolean",
  force: "boolean",
  gracePeriodSeconds: "integer",
  limit: "integer",
  sendInitialEvents: "boolean",
  timeoutSeconds: "integer",
  watch: "boolean",
};

function queryParameter(name: string, version: 2 | 3): Fields {
  const type = NOT_STRINGS[name] ?? "string";
  return version === 3 ? { name, in: "query", schema: { type } } : { name, in: "query", type };
}

function pathParameter(name: string, version: 2 | 3): Fields {
  const base = { name, in: "path", required: true };
  return version === 3 ? { ...base, schema: { type: "string" } } : { ...base, type: "string" };
}
