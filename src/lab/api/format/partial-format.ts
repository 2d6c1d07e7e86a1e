/**
 * Objects reduced to their metadata: what garbage collectors and metadata informers ask for.
 */
import type { KubeObject } from "../object/object.ts";
import type { Format } from "./format.ts";

export function partialFormat(metaVersion: string): Format {
  const apiVersion = `meta.k8s.io/${metaVersion}`;
  return {
    key: `partial/${metaVersion}`,
    object: (object) => JSON.stringify(partialObject(object, apiVersion)),
    list: (objects, metadata) =>
      JSON.stringify({
        kind: "PartialObjectMetadataList",
        apiVersion,
        metadata,
        items: objects.map((object) => partialObject(object, apiVersion)),
      }),
    bookmark: (metadata) => JSON.stringify({ kind: "PartialObjectMetadata", apiVersion, metadata }),
  };
}

export function partialObject({ metadata }: KubeObject, apiVersion: string) {
  return { kind: "PartialObjectMetadata", apiVersion, metadata };
}
