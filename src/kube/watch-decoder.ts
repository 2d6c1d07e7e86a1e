/**
 * Turns the bytes of a watch into events. A line that is no event ends the watch: after it nobody knows which change
 * was lost, so the caller must list again.
 */
import { messageOf } from "../model/errors.ts";
import { connectionError, KubeApiError, responseError, statusAnswer } from "./api-error.ts";
import { asObject, asString, type JsonObject } from "./json.ts";
import { LineSplitter } from "./line-splitter.ts";

export interface WatchEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK";
  readonly object: JsonObject;
}

export class WatchDecoder {
  readonly #collection: string;
  readonly #onEvent: (event: WatchEvent) => void;
  readonly #lines: LineSplitter;

  constructor(collection: string, onEvent: (event: WatchEvent) => void) {
    this.#collection = collection;
    this.#onEvent = onEvent;
    this.#lines = new LineSplitter((line) => this.#decode(line));
  }

  /** @throws KubeApiError for an ERROR event, BreakwaterError BW_KUBE_RESPONSE for what is no event */
  push(chunk: Buffer): void {
    this.#lines.push(chunk);
  }

  /** @throws BreakwaterError BW_KUBE_CONNECTION when the stream ended inside a line */
  end(): void {
    const { pendingBytes } = this.#lines;
    if (pendingBytes === 0) return;
    throw connectionError(new Error(`it ended inside a line, ${pendingBytes} bytes long`), "watch", this.#collection);
  }

  #decode(line: string): void {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (cause) {
      throw responseError("watch", this.#collection, `a line is not JSON: ${messageOf(cause)}`);
    }
    const type = asString(asObject(value)?.["type"]);
    const object = asObject(asObject(value)?.["object"]);
    if (type === undefined || object === undefined)
      throw responseError("watch", this.#collection, "a line has no type or no object");
    if (type === "ERROR") throw this.#serverError(object);
    if (type !== "ADDED" && type !== "MODIFIED" && type !== "DELETED" && type !== "BOOKMARK")
      throw responseError("watch", this.#collection, `an event has the unknown type "${type.slice(0, 40)}"`);
    this.#onEvent({ type, object });
  }

  #serverError(status: JsonObject): KubeApiError {
    return new KubeApiError(statusAnswer(status, 500), { operation: "watch", object: this.#collection });
  }
}
