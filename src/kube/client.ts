/**
 * A small Kubernetes API client: the verbs the project uses, on any resource, as parsed JSON. It exists because
 * @kubernetes/client-node costs a node agent 25 MB of memory and 0.2 s of start (docs/adr/0003-kubernetes-client.md).
 */
import { responseError } from "./api-error.ts";
import type { ApiConnection } from "./connection.ts";
import { ItemSplitter } from "./item-splitter.ts";
import { asObject, asString, type JsonObject, typeName } from "./json.ts";
import { collectionPath, type ObjectAddress, objectPath, type ResourceType, resourceName } from "./resource.ts";
import { Transport, type TransportRequest } from "./transport.ts";
import { WatchDecoder, type WatchEvent } from "./watch-decoder.ts";

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** Longest wait for an answer to begin, and between its parts. @default 30000 */
  readonly timeoutMs?: number;
}

/** Which objects of a resource are meant. */
export interface Selection {
  /** One namespace; absent: all. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export interface ListOptions extends CallOptions, Selection {
  /** "0": any version, from the server's cache. Absent: the newest there is. */
  readonly resourceVersion?: string;
  /** Most items of one page. */
  readonly limit?: number;
  /** Token of the next page, from the page before. */
  readonly continueToken?: string;
}

/** What a list says beside its items. */
export interface ListPage {
  readonly resourceVersion: string;
  /** Token of the next page; undefined at the last. */
  readonly continueToken: string | undefined;
}

export interface WatchOptions extends Selection {
  readonly signal?: AbortSignal;
  readonly resourceVersion: string;
  /** After which the server ends the watch by itself. */
  readonly timeoutSeconds: number;
  /** Longest wait for the watch to begin. @default 30000 */
  readonly openTimeoutMs?: number;
  /** The server took the watch. */
  readonly onOpen?: () => void;
  /** Any bytes arrived. */
  readonly onActivity?: () => void;
  readonly onEvent: (event: WatchEvent) => void;
}

export interface WriteOptions extends CallOptions {
  readonly fieldManager?: string;
}

/** Kinds of patch and their media types (RFC 6902, RFC 7386, Kubernetes' own two). */
const PATCH_TYPES = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
  // JSON is YAML, and the server takes no other media type for it before 1.35.
  apply: "application/apply-patch+yaml",
} as const;

export interface PatchOptions extends WriteOptions {
  readonly type: keyof typeof PATCH_TYPES;
  /** With "apply": take fields over from other managers. */
  readonly force?: boolean;
}

export interface DeleteOptions extends CallOptions {
  readonly gracePeriodSeconds?: number;
  /** Refuse when the object is another one of the same name. */
  readonly uid?: string;
  readonly propagationPolicy?: "Orphan" | "Background" | "Foreground";
}

const DEFAULT_TIMEOUT_MS = 30_000;

/** All errors are BreakwaterErrors BW_KUBE_*; an aborted call rejects with its signal's reason. */
export class KubeClient {
  readonly connection: ApiConnection;
  readonly #transport: Transport;

  constructor(connection: ApiConnection) {
    this.connection = connection;
    this.#transport = new Transport(connection);
  }

  get(address: ObjectAddress, options: CallOptions = {}): Promise<JsonObject> {
    return this.#call("get", "GET", objectPath(address), objectName(address), options);
  }

  /**
   * Lists one page and hands over its items one by one, as they arrive.
   * @param onItem called while the page is on its way: throw away what it collected when the call rejects
   */
  async listPage(resource: ResourceType, options: ListOptions, onItem: (item: JsonObject) => void): Promise<ListPage> {
    const object = collectionName(resource, options.namespace);
    const splitter = new ItemSplitter((item) => onItem(asObject(item) ?? {}));
    const path = `${collectionPath(resource, options.namespace)}${listQuery(options)}`;
    await this.#send("list", "GET", path, object, options, { onChunk: (chunk) => splitter.push(chunk) });
    return readListMeta(splitter, object);
  }

  /** Lists all pages and returns their items. For small collections; a {@link Reflector} keeps large ones. */
  async list(resource: ResourceType, options: ListOptions = {}): Promise<readonly JsonObject[]> {
    const items: JsonObject[] = [];
    let continueToken = options.continueToken;
    do {
      const page = await this.listPage(resource, { ...options, continueToken }, (item) => items.push(item));
      continueToken = page.continueToken;
    } while (continueToken !== undefined);
    return items;
  }

  create(
    resource: ResourceType,
    namespace: string | undefined,
    object: JsonObject,
    options: WriteOptions = {},
  ): Promise<JsonObject> {
    const path = `${collectionPath(resource, namespace)}${writeQuery(options)}`;
    const name = asString(asObject(object["metadata"])?.["name"]);
    const label = name === undefined ? collectionName(resource, namespace) : objectName({ resource, namespace, name });
    return this.#call("create", "POST", path, label, options, { body: JSON.stringify(object) });
  }

  /** Replaces an object; its metadata.resourceVersion, where given, must be the current one. */
  update(address: ObjectAddress, object: JsonObject, options: WriteOptions = {}): Promise<JsonObject> {
    const path = `${objectPath(address)}${writeQuery(options)}`;
    return this.#call("update", "PUT", path, objectName(address), options, { body: JSON.stringify(object) });
  }

  patch(address: ObjectAddress, patch: unknown, options: PatchOptions): Promise<JsonObject> {
    const path = `${objectPath(address)}${writeQuery(options)}`;
    return this.#call("patch", "PATCH", path, objectName(address), options, {
      body: JSON.stringify(patch),
      contentType: PATCH_TYPES[options.type],
    });
  }

  /** Deletes an object; the answer is a Status, or the object where finalizers hold it. */
  delete(address: ObjectAddress, options: DeleteOptions = {}): Promise<JsonObject> {
    const body = JSON.stringify({
      apiVersion: "v1",
      kind: "DeleteOptions",
      gracePeriodSeconds: options.gracePeriodSeconds,
      propagationPolicy: options.propagationPolicy,
      ...(options.uid === undefined ? {} : { preconditions: { uid: options.uid } }),
    });
    return this.#call("delete", "DELETE", objectPath(address), objectName(address), options, { body });
  }

  /** Resolves when the server ended the watch in good order; rejects when it broke. */
  async watch(resource: ResourceType, options: WatchOptions): Promise<void> {
    const object = collectionName(resource, options.namespace);
    const decoder = new WatchDecoder(object, options.onEvent);
    const path = `${collectionPath(resource, options.namespace)}${watchQuery(options)}`;
    const call = { signal: options.signal, timeoutMs: options.openTimeoutMs };
    await this.#send("watch", "GET", path, object, call, {
      streaming: true,
      onOpen: options.onOpen,
      onChunk: (chunk) => {
        options.onActivity?.();
        decoder.push(chunk);
      },
    });
    decoder.end();
  }

  /** Closes every connection, also those in use. */
  close(): void {
    this.#transport.close();
  }

  async #call(
    operation: string,
    method: TransportRequest["method"],
    path: string,
    object: string,
    options: CallOptions,
    extra: Partial<TransportRequest> = {},
  ): Promise<JsonObject> {
    const chunks: Buffer[] = [];
    await this.#send(operation, method, path, object, options, { ...extra, onChunk: (chunk) => chunks.push(chunk) });
    return parseObject(Buffer.concat(chunks).toString("utf8"), operation, object);
  }

  #send(
    operation: string,
    method: TransportRequest["method"],
    path: string,
    object: string,
    options: CallOptions,
    extra: Pick<TransportRequest, "onChunk"> & Partial<TransportRequest>,
  ): Promise<void> {
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    return this.#transport.send({ operation, method, path, object, timeoutMs, signal: options.signal, ...extra });
  }
}

function parseObject(text: string, operation: string, object: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw responseError(operation, object, "the answer is not JSON");
  }
  const parsed = asObject(value);
  if (parsed === undefined) throw responseError(operation, object, `the answer is ${typeName(value)}, not an object`);
  return parsed;
}

function readListMeta(splitter: ItemSplitter, object: string): ListPage {
  let metadata: JsonObject | undefined;
  try {
    metadata = asObject(asObject(splitter.end())?.["metadata"]);
  } catch {
    throw responseError("list", object, "the answer is not JSON, or was cut short");
  }
  const resourceVersion = asString(metadata?.["resourceVersion"]);
  // Without a version there is no place to watch from, and "" would mean "anything".
  if (!resourceVersion) throw responseError("list", object, "the list has no resourceVersion");
  return { resourceVersion, continueToken: asString(metadata?.["continue"]) || undefined };
}

function listQuery(options: ListOptions): string {
  const { continueToken } = options;
  return query({
    labelSelector: options.labelSelector,
    fieldSelector: options.fieldSelector,
    limit: options.limit,
    continue: continueToken,
    // The token already says which version; the server refuses both at once.
    resourceVersion: continueToken === undefined ? options.resourceVersion : undefined,
  });
}

function watchQuery(options: WatchOptions): string {
  return query({
    watch: "true",
    allowWatchBookmarks: "true",
    resourceVersion: options.resourceVersion,
    timeoutSeconds: options.timeoutSeconds,
    labelSelector: options.labelSelector,
    fieldSelector: options.fieldSelector,
  });
}

function writeQuery(options: WriteOptions & { readonly force?: boolean }): string {
  return query({ fieldManager: options.fieldManager, force: options.force ? "true" : undefined });
}

function query(fields: Readonly<Record<string, string | number | undefined>>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) search.set(name, String(value));
  const text = search.toString();
  return text === "" ? "" : `?${text}`;
}

function collectionName(resource: ResourceType, namespace: string | undefined): string {
  return namespace === undefined ? resourceName(resource) : `${resourceName(resource)} of namespace ${namespace}`;
}

function objectName({ resource, namespace, name, subresource }: ObjectAddress): string {
  const what = subresource === undefined ? resourceName(resource) : `${resourceName(resource)}/${subresource}`;
  return `${what} ${namespace === undefined ? "" : `${namespace}/`}${name}`;
}
