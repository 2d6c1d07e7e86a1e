/**
 * List: a consistent state of one collection, in pages where the client wants them. The pages of one list all show the
 * state of the first: the token carries its version, and history is rolled back to it.
 */
import { formatOf, type ListMeta } from "../format/format.ts";
import type { KubeObject } from "../object/object.ts";
import { badRequest, expired } from "../object/status.ts";
import type { Registry } from "../registry/registry.ts";
import type { Resource } from "../resources/resource.ts";
import { keyOf } from "../store/collection.ts";
import type { Exchange } from "./exchange.ts";
import { type ListOptions, listOptions } from "./list-options.ts";

interface Page {
  readonly version: number;
  /** The first key of the page is the next one after this. */
  readonly after: string;
}

export async function list(
  registry: Registry,
  resource: Resource,
  namespace: string | undefined,
  exchange: Exchange,
): Promise<void> {
  const { accepted } = exchange;
  const options = listOptions(exchange, resource, namespace, registry.database.version);
  const format = formatOf(resource, {
    accepted,
    includeObject: exchange.parameter("includeObject"),
    now: registry.now,
  });
  const { objects, meta } = selectPage(registry, resource, options);
  await exchange.sendJsonText(200, format.list(objects, meta), accepted);
}

function selectPage(
  registry: Registry,
  resource: Resource,
  options: ListOptions,
): { objects: KubeObject[]; meta: ListMeta } {
  const { version, after } = startOf(options, registry.database.version);
  const state = registry.collection(resource).sortedAt(version);
  if (state === undefined) throw expiredList(options);
  const matching = state.filter((object) => keyOf(object) > after && options.selects(object));
  const resourceVersion = String(version);
  if (options.limit === 0 || matching.length <= options.limit) return { objects: matching, meta: { resourceVersion } };
  const objects = matching.slice(0, options.limit);
  const last = objects.at(-1);
  const token = encodeToken({ version, after: last === undefined ? "" : keyOf(last) });
  const remainingItemCount = options.selective ? undefined : matching.length - objects.length;
  return { objects, meta: { resourceVersion, continue: token, remainingItemCount } };
}

function startOf(options: ListOptions, current: number): Page {
  if (options.continueToken !== "") {
    if (options.versionText !== "" && options.versionText !== "0") {
      throw badRequest("specifying resource version is not allowed when using continue");
    }
    return decodeToken(options.continueToken);
  }
  return { version: options.match === "Exact" ? (options.version ?? current) : current, after: "" };
}

function encodeToken({ version, after }: Page): string {
  return Buffer.from(JSON.stringify({ v: "meta.k8s.io/v1", rv: version, start: after })).toString("base64url");
}

function decodeToken(token: string): Page {
  try {
    const { v, rv, start } = JSON.parse(Buffer.from(token, "base64url").toString()) as Record<string, unknown>;
    if (v === "meta.k8s.io/v1" && typeof rv === "number" && typeof start === "string")
      return { version: rv, after: start };
  } catch {
    // Falls through to the same answer as a token of another shape.
  }
  throw badRequest("continue key is not valid: it was not made by this server");
}

function expiredList(options: ListOptions): Error {
  if (options.continueToken === "")
    return expired(`The resourceVersion for the provided list is too old: ${options.versionText}`);
  return expired(
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.",
  );
}
