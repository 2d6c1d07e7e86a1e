/**
 * One watch: a cursor into a collection's history and the client it is written to. Nothing is queued here: a client
 * that reads slowly leaves its cursor behind, and 410 tells it when history has moved on without it.
 */
import type { ServerResponse } from "node:http";
import { messageOf } from "../../../model/errors.ts";
import type { Format } from "../format/format.ts";
import type { Fields, KubeObject } from "../object/object.ts";
import { expired, StatusError } from "../object/status.ts";
import type { Collection } from "../store/collection.ts";
import type { EventType, StoreEvent } from "../store/history.ts";

/** Bytes a client may leave unread before its cursor waits. */
const MAX_UNREAD_BYTES = 4 * 1024 * 1024;

/** Changes of one turn go out in one write, up to this size: a write costs more than a frame. */
const BURST_BYTES = 64 * 1024;

export interface WatchRequest {
  readonly collection: Collection;
  readonly format: Format;
  readonly selects: (object: KubeObject) => boolean;
  readonly bookmarks: boolean;
  /** Version of the last change the client knows. */
  readonly from: number;
  /** What comes before the first change: nothing, the present state, or that with a mark at its end. */
  readonly initial: "none" | "state" | "marked-state";
}

/** Marks the end of the initial state in a streaming list (KEP-3157). */
const INITIAL_EVENTS_END = { "k8s.io/initial-events-end": "true" };

/** Frames shared by all watchers of a collection that want the same form. */
const frames = new WeakMap<StoreEvent, Map<string, Buffer>>();

export class Watcher {
  readonly #response: ServerResponse;
  readonly #request: WatchRequest;
  #cursor: number;
  #ended = false;
  #started = false;

  constructor(response: ServerResponse, request: WatchRequest) {
    this.#response = response;
    this.#request = request;
    this.#cursor = request.from;
    response.on("drain", () => this.pump(Number.NaN));
  }

  get collection(): Collection {
    return this.#request.collection;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Sends what happened since the cursor. `current` is the newest version of all, once everything is sent.
   * A fault in making the text ends this watch with an ERROR event, and no other.
   */
  pump(current: number): void {
    if (this.#ended || this.#response.writableLength > MAX_UNREAD_BYTES) return;
    try {
      if (!this.#started) this.#start(current);
      this.#sendChanges(current);
    } catch (error) {
      this.#fail(new StatusError(500, "InternalError", `Internal error occurred: ${messageOf(error)}`));
    }
  }

  #sendChanges(current: number): void {
    const { history } = this.#request.collection;
    const events = history.after(this.#cursor);
    if (events === undefined) {
      this.#fail(expired(`too old resource version: ${this.#cursor} (${history.floor})`));
      return;
    }
    let burst: Buffer[] = [];
    let bytes = 0;
    for (const event of events) {
      this.#cursor = event.version;
      const type = this.#typeFor(event);
      if (type === undefined) continue;
      const frame = this.#frame(event, type);
      burst.push(frame);
      bytes += frame.length;
      if (bytes < BURST_BYTES) continue;
      this.#write(Buffer.concat(burst));
      if (this.#response.writableLength > MAX_UNREAD_BYTES) return;
      burst = [];
      bytes = 0;
    }
    if (bytes > 0) this.#write(Buffer.concat(burst));
    if (current > this.#cursor) this.#cursor = current;
  }

  /** A BOOKMARK with the version the client is at. */
  bookmark(current: number, annotations?: Readonly<Record<string, string>>): void {
    if (this.#ended || !this.#request.bookmarks) return;
    this.pump(current);
    if (this.#cursor < current) return;
    const metadata: Fields = { resourceVersion: String(this.#cursor), creationTimestamp: null };
    if (annotations !== undefined) metadata["annotations"] = annotations;
    this.#write(`{"type":"BOOKMARK","object":${this.#request.format.bookmark(metadata)}}\n`);
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#response.end();
  }

  #start(current: number): void {
    this.#started = true;
    const { initial, collection, format, selects } = this.#request;
    if (initial === "none") return;
    this.#cursor = current;
    for (const object of collection.sorted()) {
      if (selects(object)) this.#write(`{"type":"ADDED","object":${format.object(object)}}\n`);
    }
    if (initial === "marked-state") this.bookmark(current, INITIAL_EVENTS_END);
  }

  #fail(status: StatusError): void {
    this.#write(`{"type":"ERROR","object":${JSON.stringify(status.toStatus())}}\n`);
    this.end();
  }

  /** What the change looks like through the selector: objects enter and leave it. */
  #typeFor({ type, object, previous }: StoreEvent): EventType | undefined {
    const now = type !== "DELETED" && this.#request.selects(object);
    const before = previous !== undefined && this.#request.selects(previous);
    if (now) return before ? "MODIFIED" : "ADDED";
    return before ? "DELETED" : undefined;
  }

  #frame(event: StoreEvent, type: EventType): Buffer {
    let cache = frames.get(event);
    if (cache === undefined) {
      cache = new Map();
      frames.set(event, cache);
    }
    const key = `${type} ${this.#request.format.key}`;
    let frame = cache.get(key);
    if (frame === undefined) {
      frame = Buffer.from(`{"type":"${type}","object":${this.#request.format.object(event.object)}}\n`);
      cache.set(key, frame);
    }
    return frame;
  }

  #write(chunk: string | Buffer): void {
    this.#response.write(chunk);
  }
}
