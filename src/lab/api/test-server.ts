/**
 * What tests of the server share: a server on a free port, requests to it, and watches read frame by frame.
 */
import { once } from "node:events";
import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import type { TestContext } from "node:test";
import type { Fields } from "./object/object.ts";
import { type ApiServer, type ApiServerOptions, createApiServer } from "./server.ts";

export interface Answer {
  readonly code: number;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
  /** The parsed body; an empty object where it is no JSON object. */
  readonly body: Fields;
}

export interface RequestOptions {
  readonly body?: unknown;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface TestServer extends ApiServer {
  readonly port: number;
  request(method: string, path: string, options?: RequestOptions): Promise<Answer>;
  watch(path: string, headers?: Readonly<Record<string, string>>): Promise<TestWatch>;
}

export interface WatchEvent {
  readonly type: string;
  readonly object: Fields;
}

export interface TestWatch {
  readonly code: number;
  /** The next event; undefined when the watch has ended. */
  next(): Promise<WatchEvent | undefined>;
  /** Events until one that `last` accepts, that one included. */
  until(last: (event: WatchEvent) => boolean): Promise<WatchEvent[]>;
  /** Bytes received so far. */
  readonly received: number;
  close(): void;
}

/** Starts a server that ends with the test. */
export async function startServer(context: TestContext, options: Partial<ApiServerOptions> = {}): Promise<TestServer> {
  const server = createApiServer({ clusterCidrs: ["10.244.0.0/16"], serviceCidrs: ["10.96.0.0/16"], ...options });
  const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
  const agent = new Agent({ keepAlive: true });
  context.after(async () => {
    agent.destroy();
    await server.close();
  });
  return {
    ...server,
    port,
    request: (method, path, request) => send(agent, port, method, path, request),
    watch: (path, headers) => openWatch(port, path, headers),
  };
}

async function send(
  agent: Agent,
  port: number,
  method: string,
  path: string,
  options: RequestOptions = {},
): Promise<Answer> {
  const { body, type = "application/json", headers = {} } = options;
  const text = body === undefined ? "" : typeof body === "string" ? body : JSON.stringify(body);
  const content = Buffer.from(text);
  // Node's client gives DELETE no length of its own.
  const described = body === undefined ? {} : { "content-type": type, "content-length": String(content.length) };
  const outgoing = httpRequest({ agent, port, method, path, headers: { ...described, ...headers } });
  outgoing.end(content);
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  const received = (await response.toArray()).join("");
  return { code: response.statusCode ?? 0, headers: response.headers, text: received, body: parse(received) };
}

function parse(text: string): Fields {
  try {
    return JSON.parse(text) as Fields;
  } catch {
    return {};
  }
}

async function openWatch(
  port: number,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<TestWatch> {
  const outgoing = httpRequest({ port, path, headers }).end();
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  const frames = new FrameQueue(response);
  const next = () => frames.next();
  return {
    code: response.statusCode ?? 0,
    next,
    until: async (last) => {
      const events: WatchEvent[] = [];
      for (let event = await next(); event !== undefined; event = await next()) {
        events.push(event);
        if (last(event)) break;
      }
      return events;
    },
    get received() {
      return frames.received;
    },
    close: () => outgoing.destroy(),
  };
}

/** Frames as they come in, whether somebody waits for them or not. */
class FrameQueue {
  received = 0;
  readonly #events: WatchEvent[] = [];
  readonly #waiting: ((event: WatchEvent | undefined) => void)[] = [];
  #rest = "";
  #ended = false;

  constructor(response: IncomingMessage) {
    response.setEncoding("utf8");
    response.on("data", (chunk: string) => this.#add(chunk));
    // A connection that is cut ends the watch like one that is closed.
    response.on("error", () => undefined);
    response.on("close", () => {
      this.#ended = true;
      for (const resolve of this.#waiting.splice(0)) resolve(undefined);
    });
  }

  next(): Promise<WatchEvent | undefined> {
    const event = this.#events.shift();
    if (event !== undefined || this.#ended) return Promise.resolve(event);
    const { promise, resolve } = Promise.withResolvers<WatchEvent | undefined>();
    this.#waiting.push(resolve);
    return promise;
  }

  #add(chunk: string): void {
    this.received += chunk.length;
    const lines = (this.#rest + chunk).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      const event = JSON.parse(line) as WatchEvent;
      const resolve = this.#waiting.shift();
      if (resolve === undefined) this.#events.push(event);
      else resolve(event);
    }
  }
}

export const pod = (name: string, more: Fields = {}): Fields => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, ...(more["metadata"] as Fields | undefined) },
  spec: { containers: [{ name: "c", image: "x:1" }], ...(more["spec"] as Fields | undefined) },
});

export const configMap = (name: string, data: Fields = {}, metadata: Fields = {}): Fields => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, ...metadata },
  data,
});

export const readyNode = (name: string, more: Fields = {}) => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: { name, ...(more["metadata"] as Fields | undefined) },
  spec: more["spec"] ?? {},
  status: { conditions: [{ type: "Ready", status: "True" }] },
});
