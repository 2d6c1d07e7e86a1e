/**
 * Objects as meta.k8s.io Tables: what `kubectl get` prints.
 */
import { FieldErrors } from "../object/field-errors.ts";
import type { KubeObject } from "../object/object.ts";
import { invalid } from "../object/status.ts";
import type { Resource } from "../resources/resource.ts";
import type { Format } from "./format.ts";
import { partialObject } from "./partial-format.ts";

const INCLUDE = ["None", "Metadata", "Object"];

/** @throws StatusError 422 for an unknown `includeObject` */
export function tableFormat(resource: Resource, metaVersion: string, includeObject: string, now: () => Date): Format {
  const include = includeObject || "Metadata";
  if (!INCLUDE.includes(include)) {
    const errors = new FieldErrors();
    errors.invalid("includeObject", include, "must be 'Metadata', 'Object', 'None', or empty");
    throw invalid({ group: "meta.k8s.io", plural: "tableoptions", kind: "TableOptions" }, "", errors.causes);
  }
  const apiVersion = `meta.k8s.io/${metaVersion}`;
  const table = (metadata: object, objects: readonly KubeObject[]) => {
    const time = now();
    const rows = objects.map((object) => ({
      cells: resource.printer.cells(object, time),
      object: rowObject(resource, object, include, apiVersion),
    }));
    return JSON.stringify({ kind: "Table", apiVersion, metadata, columnDefinitions: resource.printer.columns, rows });
  };
  return {
    key: `table/${metaVersion}/${include}`,
    object: (object) => table({ resourceVersion: object.metadata.resourceVersion }, [object]),
    list: (objects, metadata) => table(metadata, objects),
    bookmark: (metadata) => table(metadata, []),
  };
}

function rowObject(resource: Resource, object: KubeObject, include: string, apiVersion: string): unknown {
  if (include === "None") return undefined;
  return include === "Object" ? resource.fromStored(object) : partialObject(object, apiVersion);
}
