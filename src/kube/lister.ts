/**
 * Reads a whole collection at one version, page by page. Nothing is handed out before the last page is in, so a list
 * that breaks half-way changes nothing.
 */
import { isExpired } from "./api-error.ts";
import type { KubeClient, Selection } from "./client.ts";
import type { ObjectReader } from "./object-reader.ts";
import type { ResourceType } from "./resource.ts";
import type { Parsed } from "./store.ts";

/** What a reflector needs of a client. */
export type ListWatchClient = Pick<KubeClient, "listPage" | "watch">;

/** A collection, and how to read it. */
export interface Collection<T> {
  readonly client: ListWatchClient;
  readonly resource: ResourceType;
  readonly selection: Selection;
  readonly reader: ObjectReader<T>;
  readonly pageSize: number;
}

export interface CompleteList<T> {
  readonly objects: ReadonlyMap<string, Parsed<T>>;
  readonly resourceVersion: string;
}

/**
 * Lists everything.
 * @param resourceVersion "0": whatever the server has in its cache, cheap for it and good for a first sight.
 *   Undefined: the newest, which is asked for when history was lost and a cache could lie before it
 */
export async function listCollection<T>(
  collection: Collection<T>,
  resourceVersion: "0" | undefined,
  signal: AbortSignal,
): Promise<CompleteList<T>> {
  try {
    return await listPages(collection, { resourceVersion, limit: collection.pageSize, signal });
  } catch (error) {
    // A continue token lives about five minutes, the compaction interval of etcd. One unbroken answer needs none.
    if (!isExpired(error)) throw error;
    return await listPages(collection, { signal });
  }
}

async function listPages<T>(
  collection: Collection<T>,
  options: { readonly resourceVersion?: string; readonly limit?: number; readonly signal: AbortSignal },
): Promise<CompleteList<T>> {
  const { client, resource, selection, reader } = collection;
  const objects = new Map<string, Parsed<T>>();
  let firstVersion: string | undefined;
  let continueToken: string | undefined;
  do {
    const page = await client.listPage(resource, { ...selection, ...options, continueToken }, (item) => {
      const object = reader.read(item);
      if (object !== undefined) objects.set(object.key, object);
    });
    // All pages show one version; were it not so, watching from the first would lose nothing.
    firstVersion ??= page.resourceVersion;
    continueToken = page.continueToken;
  } while (continueToken !== undefined);
  return { objects, resourceVersion: firstVersion };
}

/** No object has this name, so the answer is only the version of the collection. */
const NO_SUCH_NAME = "breakwater-version-probe";

/**
 * The newest version of the API server, for the price of one key looked up in etcd and an empty list of 300 bytes:
 * with a name and, for namespaced resources, a namespace, no server of any age scans the collection.
 */
export async function probeVersion(
  collection: Pick<Collection<unknown>, "client" | "resource" | "selection">,
  signal: AbortSignal,
): Promise<string> {
  const { client, resource, selection } = collection;
  const namespace = resource.namespaced ? (selection.namespace ?? "default") : undefined;
  const fieldSelector = `metadata.name=${NO_SUCH_NAME}`;
  const page = await client.listPage(resource, { namespace, fieldSelector, limit: 1, signal }, () => {});
  return page.resourceVersion;
}
