/**
 * One HTTP request and its answer.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { type Accepted, negotiate } from "../format/media-type.ts";
import type { StatusError } from "../object/status.ts";

export class Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly #warnings = new Set<string>();

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.request = request;
    this.response = response;
    this.method = request.method ?? "GET";
    const [path = "/", query = ""] = splitOnce(request.url ?? "/", "?");
    this.path = path;
    this.query = new URLSearchParams(query);
  }

  /** True for parameters such as `watch=1` and `force=true`. */
  flag(name: string): boolean {
    const value = this.query.get(name);
    return value !== null && value !== "false" && value !== "0";
  }

  parameter(name: string): string {
    return this.query.get(name) ?? "";
  }

  get accepted(): Accepted {
    return negotiate(this.request.headers.accept);
  }

  warn(message: string): void {
    this.#warnings.add(message);
  }

  /** RFC 7234, section 5.5: 299 is a miscellaneous persistent warning; the API's convention for all of them. */
  writeHead(code: number, headers: Readonly<Record<string, string | number>>): void {
    const warnings = [...this.#warnings].map(
      (text) => `299 - ${JSON.stringify(text.replaceAll(/[^\x20-\x7e]/g, "?"))}`,
    );
    this.response.writeHead(code, { ...headers, ...(warnings.length > 0 && { Warning: warnings }) });
  }

  sendText(code: number, text: string, type: string): void {
    const body = Buffer.from(text);
    this.writeHead(code, { "Content-Type": type, "Content-Length": body.length, "Cache-Control": "no-cache, private" });
    this.response.end(body);
  }

  /** Sends JSON text, or the same as YAML where that is what the client accepts. */
  async sendJsonText(code: number, text: string, accepted?: Accepted): Promise<void> {
    if (accepted?.media !== "yaml") return this.sendText(code, text, "application/json");
    // Loaded when first needed: YAML is rare and its parser is half of the server's start.
    const { stringify } = await import("yaml");
    this.sendText(code, stringify(JSON.parse(text)), "application/yaml");
  }

  sendJson(code: number, value: unknown): void {
    this.sendText(code, JSON.stringify(value), "application/json");
  }

  sendError(error: StatusError): void {
    if (this.response.headersSent) {
      this.response.destroy();
      return;
    }
    // What is left of a body nobody read would be taken for the next request.
    if (!this.request.complete) this.response.setHeader("Connection", "close");
    this.sendJson(error.code, error.toStatus());
  }
}

function splitOnce(text: string, separator: string): [string, string] {
  const index = text.indexOf(separator);
  return index < 0 ? [text, ""] : [text.slice(0, index), text.slice(index + 1)];
}
