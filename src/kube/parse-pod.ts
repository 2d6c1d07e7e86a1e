/** core/v1 Pod -> {@link ClusterPod}: what the network of a node must know of a pod. */
import type { ClusterPod } from "../model/cluster.ts";
import type { Ip } from "../model/ip.ts";
import { asObject, type JsonObject } from "./json.ts";
import type { ReportField } from "./object-reader.ts";
import { ipField, listItems, metadataName, stringField, stringMap } from "./parse-fields.ts";

export function parsePod(object: JsonObject, report: ReportField): ClusterPod {
  const metadata = asObject(object["metadata"]);
  const spec = asObject(object["spec"]);
  const status = asObject(object["status"]);
  return {
    namespace: stringField(metadata?.["namespace"], "metadata.namespace", report),
    name: metadataName(object),
    uid: stringField(metadata?.["uid"], "metadata.uid", report),
    nodeName: stringField(spec?.["nodeName"], "spec.nodeName", report),
    hostNetwork: spec?.["hostNetwork"] === true,
    phase: stringField(status?.["phase"], "status.phase", report),
    podIps: podIps(status, report),
    labels: stringMap(metadata?.["labels"], "metadata.labels", report),
    annotations: stringMap(metadata?.["annotations"], "metadata.annotations", report),
  };
}

/** podIP is the first of podIPs; alone it speaks only where podIPs is absent (servers before 1.16). */
function podIps(status: JsonObject | undefined, report: ReportField): Ip[] {
  const listed = listItems(status?.["podIPs"], "status.podIPs", report);
  const single = status?.["podIP"];
  const fields =
    listed?.map(({ item, path }) => ({ item: asObject(item)?.["ip"], path: `${path}.ip` })) ??
    (single === undefined || single === "" ? [] : [{ item: single, path: "status.podIP" }]);
  return fields.flatMap(({ item, path }) => ipField(item, path, report) ?? []);
}
