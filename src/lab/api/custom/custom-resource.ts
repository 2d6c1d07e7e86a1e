/**
 * The resources a CustomResourceDefinition stands for: one a served version, all over one collection.
 */
import { at, type Fields, fieldsOf, isFields, type KubeObject, listOf, textOf } from "../object/object.ts";
import type { Resource } from "../resources/resource.ts";
import { builtInSchema } from "../schema/built-in.ts";
import { validateRequired } from "../schema/required.ts";
import { customPrinter } from "./custom-printer.ts";
import { validateBySchema } from "./schema-validation.ts";
import { applyDefaults, customResourceSchema } from "./structural-schema.ts";

/** Served versions of an established definition; none before it is established. */
export function customResources(definition: KubeObject): Resource[] {
  if (!isEstablished(definition)) return [];
  const versions = listOf(at(definition, "spec", "versions")).filter(isFields);
  return versions.filter((version) => version["served"] === true).map((version) => customResource(definition, version));
}

export function isEstablished(definition: KubeObject): boolean {
  return listOf(at(definition, "status", "conditions")).some(
    (condition) => at(condition, "type") === "Established" && at(condition, "status") === "True",
  );
}

export function storageName(definition: KubeObject): string {
  return `${textOf(at(definition, "spec", "names", "plural"))}.${textOf(at(definition, "spec", "group"))}`;
}

function customResource(definition: KubeObject, version: Fields): Resource {
  const spec = fieldsOf(definition["spec"]);
  const names = fieldsOf(spec["names"]);
  const group = textOf(spec["group"]);
  const versionName = textOf(version["name"]);
  const kind = textOf(names["kind"]);
  const json = fieldsOf(at(version, "schema", "openAPIV3Schema"));
  const storageVersion = listOf(spec["versions"]).find((item) => at(item, "storage") === true);
  const inVersion = (name: string) => (object: KubeObject) => ({ ...object, apiVersion: `${group}/${name}` });
  return {
    group,
    version: versionName,
    kind,
    plural: textOf(names["plural"]),
    singular: textOf(names["singular"]),
    listKind: textOf(names["listKind"]) || `${kind}List`,
    shortNames: listOf(names["shortNames"]).map(String),
    categories: listOf(names["categories"]).map(String),
    namespaced: spec["scope"] === "Namespaced",
    storage: storageName(definition),
    subresources: isFields(at(version, "subresources", "status")) ? ["status"] : [],
    schema: customResourceSchema(json, `${group.split(".").reverse().join(".")}.${versionName}.${kind}`),
    strategy: {
      nameRule: "subdomain",
      countsGeneration: true,
      selectableFields: listOf(version["selectableFields"]).map((field) =>
        textOf(at(field, "jsonPath")).replace(/^\./, ""),
      ),
    },
    printer: customPrinter(version),
    custom: true,
    toStored: inVersion(textOf(at(storageVersion, "name")) || versionName),
    fromStored: inVersion(versionName),
    structural: {
      defaults: (object) => applyDefaults(object, json),
      validate: (object, errors) => {
        validateRequired(object["metadata"], builtInSchema("ObjectMeta"), errors, "metadata");
        validateBySchema(object, json, errors);
      },
    },
  };
}
