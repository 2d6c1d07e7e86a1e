/**
 * CustomResourceDefinition: names, versions and schemas are checked, and an acceptable definition is established in
 * the same write, so that its resources are served as soon as the client has its answer.
 */

import { compilePattern } from "../custom/schema-validation.ts";
import type { FieldErrors } from "../object/field-errors.ts";
import { label1035Fault, labelFault, subdomainFault } from "../object/names.ts";
import { at, type Fields, fieldsOf, isFields, type KubeObject, listOf, textOf } from "../object/object.ts";
import type { Strategy } from "../resources/resource.ts";
import type { WriteContext } from "../resources/write-context.ts";
import { columns, type Printer } from "../table/printer.ts";
import { setDefault } from "./pod-defaults.ts";
import { oneOf } from "./pod-validation.ts";

/** Held until every object of the kind is gone. */
export const CLEANUP_FINALIZER = "customresourcecleanup.apiextensions.k8s.io";

export const CUSTOM_RESOURCE_DEFINITION_STRATEGY: Strategy = {
  nameRule: "subdomain",
  countsGeneration: true,
  defaults: (definition) => {
    const spec = fieldsOf(definition["spec"]);
    const names = fieldsOf(spec["names"]);
    if (textOf(names["kind"]) !== "") {
      setDefault(names, "singular", textOf(names["kind"]).toLowerCase());
      setDefault(names, "listKind", `${names["kind"]}List`);
    }
    spec["conversion"] ??= { strategy: "None" };
  },
  prepareCreate: (definition, context) => {
    definition.metadata.finalizers = [...new Set([...(definition.metadata.finalizers ?? []), CLEANUP_FINALIZER])];
    definition["status"] = statusOf(definition, undefined, context);
  },
  prepareUpdate: (definition, old, context) => {
    definition["status"] = statusOf(definition, old, context);
  },
  validate: validateDefinition,
  validateUpdate: (definition, old, errors) => {
    for (const path of [["group"], ["scope"], ["names", "plural"], ["names", "kind"]]) {
      const now = at(definition, "spec", ...path);
      if (now !== at(old, "spec", ...path)) errors.invalid(`spec.${path.join(".")}`, now, "field is immutable");
    }
  },
};

function statusOf(definition: KubeObject, old: KubeObject | undefined, context: WriteContext): Fields {
  const spec = fieldsOf(definition["spec"]);
  const conflict = context.customNameConflict(definition);
  const storage = listOf(spec["versions"]).find((version) => at(version, "storage") === true);
  const stored = new Set([...listOf(at(old, "status", "storedVersions")), textOf(at(storage, "name"))]);
  const condition = (type: string, fine: boolean, reason: string, message: string) => {
    const status = fine ? "True" : "False";
    const before = listOf(at(old, "status", "conditions")).find((item) => at(item, "type") === type);
    const lastTransitionTime = at(before, "status") === status ? at(before, "lastTransitionTime") : context.now;
    return { lastTransitionTime, message, reason, status, type };
  };
  return {
    acceptedNames: conflict === undefined ? spec["names"] : { plural: "", kind: "" },
    conditions: [
      condition(
        "NamesAccepted",
        conflict === undefined,
        conflict === undefined ? "NoConflicts" : "NameConflict",
        conflict ?? "no conflicts found",
      ),
      condition(
        "Established",
        conflict === undefined,
        conflict === undefined ? "InitialNamesAccepted" : "NotAccepted",
        conflict === undefined ? "the initial names have been accepted" : "not all names are accepted",
      ),
    ],
    storedVersions: [...stored].filter((name) => name !== ""),
  };
}

function validateDefinition(definition: KubeObject, errors: FieldErrors): void {
  const spec = fieldsOf(definition["spec"]);
  const names = fieldsOf(spec["names"]);
  const group = textOf(spec["group"]);
  const wanted = `${textOf(names["plural"])}.${group}`;
  if (definition.metadata.name !== wanted) {
    errors.invalid("metadata.name", definition.metadata.name, 'must be spec.names.plural+"."+spec.group');
  }
  if (group !== "" && (subdomainFault(group) !== undefined || !group.includes("."))) {
    errors.invalid("spec.group", group, "should be a domain with at least one dot");
  }
  oneOf(spec["scope"], ["Cluster", "Namespaced"], "spec.scope", errors);
  for (const name of ["plural", "singular"]) {
    const fault = names[name] ? label1035Fault(textOf(names[name])) : undefined;
    if (fault !== undefined) errors.invalid(`spec.names.${name}`, names[name], fault);
  }
  if (at(spec, "conversion", "strategy") !== "None") {
    errors.notSupported("spec.conversion.strategy", at(spec, "conversion", "strategy"), ["None"]);
  }
  validateVersions(listOf(spec["versions"]), errors);
}

function validateVersions(versions: readonly unknown[], errors: FieldErrors): void {
  const seen = new Set<string>();
  for (const [i, version] of versions.entries()) {
    const field = `spec.versions[${i}]`;
    const name = textOf(at(version, "name"));
    const fault = name === "" ? undefined : labelFault(name);
    if (fault !== undefined) errors.invalid(`${field}.name`, name, fault);
    if (seen.has(name)) errors.duplicate(`${field}.name`, name);
    seen.add(name);
    const schema = at(version, "schema", "openAPIV3Schema");
    const place = `${field}.schema.openAPIV3Schema`;
    if (!isFields(schema)) errors.required(place, "schemas are required");
    else if (schema["type"] !== "object")
      errors.invalid(`${place}.type`, schema["type"] ?? "", "must be object at the root");
    else validateStructure(schema, place, errors);
  }
  const stored = versions.filter((version) => at(version, "storage") === true).length;
  if (versions.length > 0 && stored !== 1) {
    errors.invalid(
      "spec.versions",
      versions.map((version) => at(version, "name")),
      "must have exactly one version marked as storage version",
    );
  }
}

/** A structural schema names the type of every field (KEP-1111). */
function validateStructure(schema: Fields, field: string, errors: FieldErrors): void {
  const open = schema["x-kubernetes-preserve-unknown-fields"] === true || schema["x-kubernetes-int-or-string"] === true;
  if (!schema["type"] && !open) errors.required(`${field}.type`, "must not be empty for specified object fields");
  for (const [name, property] of Object.entries(fieldsOf(schema["properties"]))) {
    validateStructure(fieldsOf(property), `${field}.properties[${name}]`, errors);
  }
  const { items, additionalProperties, pattern } = schema;
  if (typeof pattern === "string" && compilePattern(pattern) === undefined) {
    errors.invalid(`${field}.pattern`, pattern, "must be a valid regular expression");
  }
  if (schema["type"] === "array" && !isFields(items)) errors.required(`${field}.items`, "must be specified");
  if (isFields(items)) validateStructure(items, `${field}.items`, errors);
  if (isFields(additionalProperties)) validateStructure(additionalProperties, `${field}.additionalProperties`, errors);
  if (schema["x-kubernetes-list-type"] === "map" && listOf(schema["x-kubernetes-list-map-keys"]).length === 0) {
    errors.required(`${field}.x-kubernetes-list-map-keys`, "must not be empty if x-kubernetes-list-type is map");
  }
}

export const CUSTOM_RESOURCE_DEFINITION_PRINTER: Printer = {
  columns: columns("Name", "Created At"),
  cells: (definition) => [definition.metadata.name, definition.metadata.creationTimestamp ?? ""],
};
