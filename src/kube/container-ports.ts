/** core/v1 Pod spec -> the ports that its containers declare. */
import type { ServiceProtocol } from "../model/service.ts";
import { asObject, type JsonObject } from "./json.ts";
import type { ReportField } from "./object-reader.ts";
import { listItems } from "./parse-fields.ts";

const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const;

export interface ContainerPort {
  readonly name?: string;
  readonly protocol: ServiceProtocol;
  readonly port: number;
}

/** Ports of sidecars count as those of containers do (KEP-753). What makes no sense is left out. */
export function containerPorts(spec: JsonObject, report: ReportField): ContainerPort[] {
  const lists = ["containers", "initContainers"] as const;
  return lists.flatMap((list) =>
    (listItems(spec[list], `spec.${list}`, report) ?? []).flatMap(({ item, path }) => {
      const container = asObject(item) ?? {};
      if (list === "initContainers" && container["restartPolicy"] !== "Always") return [];
      return (listItems(container["ports"], `${path}.ports`, report) ?? []).flatMap(({ item: each }) => {
        const { name, containerPort, protocol = "TCP" } = asObject(each) ?? {};
        const known = PROTOCOLS.find((word) => word === protocol);
        if (typeof containerPort !== "number" || known === undefined) return [];
        return [{ ...(typeof name === "string" && { name }), protocol: known, port: containerPort }];
      });
    }),
  );
}
