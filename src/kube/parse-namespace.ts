/** core/v1 Namespace -> {@link ClusterNamespace}: the labels that policies select by. */
import type { ClusterNamespace } from "../model/cluster.ts";
import { asObject, type JsonObject } from "./json.ts";
import type { ReportField } from "./object-reader.ts";
import { metadataName, stringMap } from "./parse-fields.ts";

export function parseNamespace(object: JsonObject, report: ReportField): ClusterNamespace {
  return {
    name: metadataName(object),
    labels: stringMap(asObject(object["metadata"])?.["labels"], "metadata.labels", report),
  };
}
