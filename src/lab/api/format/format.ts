/**
 * How objects, lists and watch events leave the server. Text is made once per object and shared by every client.
 */
import type { Fields, KubeObject } from "../object/object.ts";
import { apiVersionOf, type Resource } from "../resources/resource.ts";
import type { Accepted } from "./media-type.ts";
import { partialFormat } from "./partial-format.ts";
import { tableFormat } from "./table-format.ts";

export interface ListMeta {
  readonly resourceVersion: string;
  readonly continue?: string;
  readonly remainingItemCount?: number;
}

export interface Format {
  /** Formats with the same key produce the same text. */
  readonly key: string;
  readonly object: (object: KubeObject) => string;
  readonly list: (objects: readonly KubeObject[], meta: ListMeta) => string;
  readonly bookmark: (metadata: Fields) => string;
}

const texts = new WeakMap<Resource, WeakMap<KubeObject, string>>();

/** The object in the spelling of this resource's version. Stored objects are frozen, so the text can be kept. */
export function objectText(resource: Resource, object: KubeObject): string {
  let cache = texts.get(resource);
  if (cache === undefined) {
    cache = new WeakMap();
    texts.set(resource, cache);
  }
  let text = cache.get(object);
  if (text === undefined) {
    text = JSON.stringify(resource.fromStored(object));
    if (Object.isFrozen(object)) cache.set(object, text);
  }
  return text;
}

function jsonFormat(resource: Resource): Format {
  return {
    key: "json",
    object: (object) => objectText(resource, object),
    list: (objects, meta) => {
      const items = objects.map((object) => objectText(resource, object)).join(",");
      const head = JSON.stringify({ kind: resource.listKind, apiVersion: apiVersionOf(resource), metadata: meta });
      return `${head.slice(0, -1)},"items":[${items}]}`;
    },
    bookmark: (metadata) => JSON.stringify({ kind: resource.kind, apiVersion: apiVersionOf(resource), metadata }),
  };
}

export interface FormatRequest {
  readonly accepted: Accepted;
  /** Query parameter of tables: what of each object a row carries. */
  readonly includeObject: string;
  readonly now: () => Date;
}

export function formatOf(resource: Resource, { accepted, includeObject, now }: FormatRequest): Format {
  if (accepted.as === "table") return tableFormat(resource, accepted.metaVersion, includeObject, now);
  if (accepted.as === "partial") return partialFormat(accepted.metaVersion);
  return jsonFormat(resource);
}
