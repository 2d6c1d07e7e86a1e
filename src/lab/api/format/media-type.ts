/**
 * What a client accepts, read from its Accept header: JSON, YAML, and JSON as a Table or as metadata only.
 */
import { StatusError } from "../object/status.ts";

export interface Accepted {
  readonly media: "json" | "yaml";
  readonly as: "object" | "table" | "partial";
  /** Version of the meta.k8s.io group to answer with: "v1" or "v1beta1". */
  readonly metaVersion: string;
}

const KINDS: Readonly<Record<string, Accepted["as"]>> = {
  Table: "table",
  PartialObjectMetadata: "partial",
  PartialObjectMetadataList: "partial",
};

/**
 * The first form of the header that this server can produce.
 * @throws StatusError 406 when there is none
 */
export function negotiate(header: string | undefined): Accepted {
  if (!header) return { media: "json", as: "object", metaVersion: "v1" };
  for (const part of header.split(",")) {
    const [type = "", ...rest] = part.split(";").map((text) => text.trim());
    const parameters = new Map(rest.map((text) => text.split("=", 2) as [string, string]));
    const media = mediaOf(type.toLowerCase());
    if (media === undefined || parameters.get("q") === "0") continue;
    const as = parameters.get("as");
    if (as === undefined) return { media, as: "object", metaVersion: "v1" };
    const kind = KINDS[as];
    const metaVersion = parameters.get("v") ?? "v1";
    if (kind === undefined || parameters.get("g") !== "meta.k8s.io" || !/^v1(beta1)?$/.test(metaVersion)) continue;
    return { media, as: kind, metaVersion };
  }
  const media = "application/json, application/yaml";
  throw new StatusError(406, "NotAcceptable", `only the following media types are accepted: ${media}`);
}

function mediaOf(type: string): "json" | "yaml" | undefined {
  if (type === "application/json" || type === "*/*" || type === "application/*") return "json";
  return type === "application/yaml" ? "yaml" : undefined;
}
