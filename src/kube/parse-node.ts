/** core/v1 Node -> {@link ClusterNode}: where a node is and which pod addresses are its own. */
import { type ClusterNode, ROUTING_ANNOTATION } from "../model/cluster.ts";
import type { Ip } from "../model/ip.ts";
import { ROUTING_MODES } from "../model/node-config.ts";
import type { Prefix } from "../model/prefix.ts";
import { asObject, asString, type JsonObject } from "./json.ts";
import type { ReportField } from "./object-reader.ts";
import { ipField, listItems, metadataName, prefixField, stringMap } from "./parse-fields.ts";

export function parseNode(object: JsonObject, report: ReportField): ClusterNode {
  const createdAt = asString(asObject(object["metadata"])?.["creationTimestamp"]);
  return {
    name: metadataName(object),
    ...(createdAt === undefined ? {} : { createdAt }),
    ...nodeAddresses(asObject(object["status"])?.["addresses"], report),
    podCidrs: podCidrs(asObject(object["spec"]), report),
    labels: stringMap(asObject(object["metadata"])?.["labels"], "metadata.labels", report),
    ...routing(asObject(object["metadata"])),
  };
}

/** A mode that this version does not know is none that it could take into account. */
function routing(metadata: JsonObject | undefined): Pick<ClusterNode, "routing"> {
  const said = asString(asObject(metadata?.["annotations"])?.[ROUTING_ANNOTATION]);
  const mode = ROUTING_MODES.find((known) => known === said);
  return mode === undefined ? {} : { routing: mode };
}

function nodeAddresses(addresses: unknown, report: ReportField): Pick<ClusterNode, "internalIps" | "externalIps"> {
  const ips: Record<string, Ip[]> = { InternalIP: [], ExternalIP: [] };
  for (const { item, path } of listItems(addresses, "status.addresses", report) ?? []) {
    const address = asObject(item);
    const list = ips[asString(address?.["type"]) ?? ""];
    const ip = list && ipField(address?.["address"], `${path}.address`, report);
    if (ip !== undefined) list?.push(ip);
  }
  const { InternalIP: internalIps = [], ExternalIP: externalIps = [] } = ips;
  return { internalIps, ...(externalIps.length === 0 ? {} : { externalIps }) };
}

/** podCIDR is the first of podCIDRs to every server since 1.16; alone it speaks only where podCIDRs is absent. */
function podCidrs(spec: JsonObject | undefined, report: ReportField): Prefix[] {
  const listed = listItems(spec?.["podCIDRs"], "spec.podCIDRs", report);
  const single = spec?.["podCIDR"];
  const fields = listed ?? (single === undefined || single === "" ? [] : [{ item: single, path: "spec.podCIDR" }]);
  return fields.flatMap(({ item, path }) => prefixField(item, path, report) ?? []);
}
