/**
 * A tiny Kubernetes API on a loopback socket whose every fault is scripted: what an API server, a proxy or a network
 * does to a watcher, on command. One history for all collections, as etcd has; objects are found by their path.
 */
import http, { type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { ApiConnection } from "../connection.ts";
import { anonymous } from "../connection.ts";
import type { JsonObject } from "../json.ts";
import { statusObject } from "./status-object.ts";

export interface StoredObject {
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly [field: string]: unknown };
  readonly [field: string]: unknown;
}

interface HistoryEvent {
  readonly type: string;
  readonly version: number;
  readonly plural: string;
  readonly object: StoredObject;
  /** What the object was before: a selector may have had it then. */
  readonly before?: StoredObject;
}

/** What is left of a list at the version it began. */
interface Snapshot {
  readonly version: number;
  readonly rest: readonly StoredObject[];
}

interface Watcher {
  readonly plural: string;
  readonly query: URLSearchParams;
  readonly response: ServerResponse;
}

/** What a request wants; a probe is the list for a name that nobody has. */
export type RequestKind = "list" | "watch" | "probe" | "get" | "write";

/** How a request is answered instead of well. */
export type Fault =
  | { readonly status: number; readonly reason?: string; readonly headers?: Record<string, string> }
  | "reset"
  | "hang"
  | "garbage"
  | "cut";

export interface SeenRequest {
  readonly kind: RequestKind;
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

export class ScriptedApi {
  version = 1000;
  /** Requests in the order they came. */
  readonly requests: SeenRequest[] = [];
  /** Watches that take requests and never say anything, not even what happened. */
  mute = false;
  /** How a version that is too old is refused: as the HTTP answer, or as an ERROR event. */
  goneAs: "http" | "event" = "http";
  readonly #objects = new Map<string, StoredObject>();
  readonly #watchers = new Set<Watcher>();
  readonly #sockets = new Set<Socket>();
  readonly #faults: { readonly kind: RequestKind; readonly fault: Fault }[] = [];
  #history: HistoryEvent[] = [];
  #oldest = 1000;
  /** Lists under way, by continue token. */
  readonly #snapshots = new Map<string, Snapshot>();
  #server = http.createServer();
  #port = 0;

  static async start(): Promise<ScriptedApi> {
    const api = new ScriptedApi();
    await api.#listen();
    return api;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  connection(): ApiConnection {
    return {
      origin: "a test",
      server: new URL(this.url),
      insecureSkipTlsVerify: false,
      namespace: "default",
      credentialSource: anonymous,
    };
  }

  /** Open watches. */
  get watching(): number {
    return this.#watchers.size;
  }

  count(kind: RequestKind): number {
    return this.requests.filter((request) => request.kind === kind).length;
  }

  /** Creates or updates an object and tells the watchers. */
  put(plural: string, object: StoredObject): StoredObject {
    const key = objectPath(plural, object);
    const before = this.#objects.get(key);
    const type = before === undefined ? "ADDED" : "MODIFIED";
    const stored = this.#stamp(object);
    this.#objects.set(key, stored);
    this.#record({ type, version: this.version, plural, object: stored, before });
    return stored;
  }

  remove(plural: string, name: string, namespace?: string): void {
    const key = objectPath(plural, { metadata: { name, ...(namespace === undefined ? {} : { namespace }) } });
    const object = this.#objects.get(key);
    if (object === undefined) return;
    this.#objects.delete(key);
    this.#record({ type: "DELETED", version: ++this.version, plural, object: withVersion(object, this.version) });
  }

  objects(plural: string): StoredObject[] {
    return [...this.#objects].filter(([key]) => key.startsWith(`${plural}/`)).map(([, object]) => object);
  }

  /** The next request of this kind meets this fault; several queue up. */
  fail(kind: RequestKind, fault: Fault, times = 1): void {
    for (let i = 0; i < times; i++) this.#faults.push({ kind, fault });
  }

  clearFaults(): void {
    this.#faults.length = 0;
  }

  /** Sends bytes to every watcher, as they are. */
  sendRaw(text: string | Buffer): void {
    for (const { response } of this.#watchers) response.write(text);
  }

  bookmark(): void {
    for (const watcher of this.#watchers) {
      const object = { kind: "Bookmark", metadata: { resourceVersion: String(this.version) } };
      if (!this.mute) watcher.response.write(`${JSON.stringify({ type: "BOOKMARK", object })}\n`);
    }
  }

  /** Ends every watch in good order. */
  endWatches(): void {
    for (const { response } of this.#watchers) response.end();
    this.#watchers.clear();
  }

  /** Resets every connection. */
  dropConnections(): void {
    this.#watchers.clear();
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Forgets history: a watch from before now is told 410, and continue tokens are no longer known. */
  compact(): void {
    this.#oldest = this.version;
    this.#history = [];
    this.#snapshots.clear();
  }

  /** The server comes back on the same port without its history; at another version where given. */
  async restart(version = this.version): Promise<void> {
    await this.close();
    this.version = version;
    this.compact();
    await this.#listen();
  }

  async close(): Promise<void> {
    this.#watchers.clear();
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #stamp(object: StoredObject): StoredObject {
    return withVersion(object, ++this.version);
  }

  async #listen(): Promise<void> {
    this.#server = http.createServer((request, response) => void this.#serve(request, response));
    this.#server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    await new Promise<void>((resolve) => this.#server.listen(this.#port, "127.0.0.1", resolve));
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.url);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const kind = kindOf(request.method ?? "GET", url);
    const seen = { kind, method: request.method ?? "GET", path: url.pathname, query: url.searchParams };
    this.requests.push({ ...seen, headers: request.headers, body: Buffer.concat(chunks).toString("utf8") });
    const at = this.#faults.findIndex((fault) => fault.kind === kind);
    const plural = pluralOf(url);
    if (at >= 0) this.#misbehave(this.#faults.splice(at, 1)[0]?.fault ?? "reset", request, response);
    else if (kind === "watch") this.#watch(plural, url.searchParams, request, response);
    else if (kind === "get") this.#get(plural, url, response);
    else if (kind === "write") answer(response, 201, JSON.parse(this.requests.at(-1)?.body || "{}"));
    else this.#list(plural, url, response);
  }

  #misbehave(fault: Fault, request: IncomingMessage, response: ServerResponse): void {
    if (fault === "hang") return;
    if (fault === "reset") {
      request.socket.resetAndDestroy();
    } else if (fault === "garbage") {
      response.writeHead(200).end("<html>welcome to the proxy</html>\n");
    } else if (fault === "cut") {
      response.writeHead(200, { "content-length": 1000 }).write('{"kind":"List","items":[{"metadata":{"na');
      setImmediate(() => request.socket.destroy());
    } else {
      answer(response, fault.status, statusObject(fault.status, fault.reason ?? ""), fault.headers);
    }
  }

  #list(plural: string, url: URL, response: ServerResponse): void {
    const token = url.searchParams.get("continue");
    const page = token === null ? this.#snapshot(plural, url) : this.#snapshots.get(token);
    if (page === undefined) answer(response, 410, statusObject(410, "Expired"));
    else this.#answerPage(page, url, response);
  }

  #answerPage(page: Snapshot, url: URL, response: ServerResponse): void {
    const limit = Number(url.searchParams.get("limit") ?? 0) || Number.POSITIVE_INFINITY;
    const items = page.rest.slice(0, limit);
    const metadata: Record<string, string> = { resourceVersion: String(page.version) };
    if (page.rest.length > items.length) {
      const next = `token-${this.#snapshots.size}-${page.version}`;
      this.#snapshots.set(next, { version: page.version, rest: page.rest.slice(limit) });
      metadata["continue"] = next;
    }
    answer(response, 200, { kind: "List", apiVersion: "v1", metadata, items });
  }

  #snapshot(plural: string, url: URL): Snapshot {
    const namespace = /\/namespaces\/([^/]+)\/[^/]+$/.exec(url.pathname)?.[1];
    const rest = this.objects(plural).filter(
      (object) =>
        (namespace === undefined || object.metadata.namespace === namespace) && matches(object, url.searchParams),
    );
    return { version: this.version, rest };
  }

  #get(plural: string, url: URL, response: ServerResponse): void {
    const [, namespace] = /\/namespaces\/([^/]+)\/[^/]+\/[^/]+$/.exec(url.pathname) ?? [];
    const name = decodeURIComponent(url.pathname.split("/").at(-1) ?? "");
    const object = this.#objects.get(objectPath(plural, { metadata: { name, ...(namespace ? { namespace } : {}) } }));
    if (object === undefined) answer(response, 404, statusObject(404, "NotFound"));
    else answer(response, 200, object);
  }

  #watch(plural: string, query: URLSearchParams, request: IncomingMessage, response: ServerResponse): void {
    const from = Number(query.get("resourceVersion"));
    if (from < this.#oldest) {
      this.#gone(response);
      return;
    }
    response.writeHead(200, { "content-type": "application/json" });
    response.flushHeaders();
    const watcher: Watcher = { plural, query, response };
    this.#watchers.add(watcher);
    request.socket.on("close", () => this.#watchers.delete(watcher));
    for (const event of this.#history) if (event.version > from) this.#tell(watcher, event);
  }

  #gone(response: ServerResponse): void {
    const status = statusObject(410, "Expired");
    if (this.goneAs === "http") answer(response, 410, status);
    else response.writeHead(200).end(`${JSON.stringify({ type: "ERROR", object: status })}\n`);
  }

  #record(event: HistoryEvent): void {
    this.#history.push(event);
    for (const watcher of this.#watchers) this.#tell(watcher, event);
  }

  #tell(watcher: Watcher, event: HistoryEvent): void {
    const type = watcher.plural === event.plural ? typeFor(watcher.query, event) : undefined;
    if (this.mute || type === undefined) return;
    watcher.response.write(`${JSON.stringify({ type, object: event.object })}\n`);
  }
}

function kindOf(method: string, url: URL): RequestKind {
  if (method !== "GET") return "write";
  if (url.searchParams.get("watch") === "true") return "watch";
  if (url.searchParams.get("fieldSelector")?.includes("metadata.name=")) return "probe";
  return isObjectPath(url) ? "get" : "list";
}

/** /api/v1/nodes/n, /api/v1/namespaces/ns/pods/p; but /api/v1/namespaces/ns/pods is a collection. */
function isObjectPath(url: URL): boolean {
  const parts = url.pathname.split("/").length;
  return (url.pathname.startsWith("/apis/") ? parts - 1 : parts) % 2 === 1;
}

function pluralOf(url: URL): string {
  return url.pathname.split("/").at(isObjectPath(url) ? -2 : -1) ?? "";
}

function objectPath(plural: string, { metadata }: StoredObject): string {
  return `${plural}/${metadata.namespace ?? ""}/${metadata.name}`;
}

function withVersion(object: StoredObject, version: number): StoredObject {
  return { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
}

/** What a watch with this selection sees: an object that comes into it is added, one that leaves it is deleted. */
function typeFor(query: URLSearchParams, { type, object, before }: HistoryEvent): string | undefined {
  const [was, is] = [before !== undefined && matches(before, query), matches(object, query)];
  if (type === "DELETED") return is ? type : undefined;
  if (is) return was ? "MODIFIED" : "ADDED";
  return was ? "DELETED" : undefined;
}

function matches(object: StoredObject, query: URLSearchParams): boolean {
  return matchesFields(object, query.get("fieldSelector")) && matchesLabels(object, query.get("labelSelector"));
}

function matchesFields(object: StoredObject, selector: string | null): boolean {
  return (selector?.split(",") ?? []).every((term) => {
    const [path = "", wanted] = term.split("=");
    const found = path.split(".").reduce<unknown>((value, field) => (value as JsonObject | undefined)?.[field], object);
    return (found ?? "") === wanted;
  });
}

/** "key=value", "key" and "!key". */
function matchesLabels({ metadata }: StoredObject, selector: string | null): boolean {
  const labels = (metadata["labels"] ?? {}) as JsonObject;
  return (selector?.split(",") ?? []).every((term) => {
    const [key = "", wanted] = term.split("=");
    if (key.startsWith("!")) return labels[key.slice(1)] === undefined;
    return wanted === undefined ? labels[key] !== undefined : labels[key] === wanted;
  });
}

function answer(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}
