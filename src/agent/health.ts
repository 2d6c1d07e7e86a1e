/**
 * /healthz: the loop turns. /readyz: this node can give pods their network. /metrics: Prometheus. On loopback unless told
 * otherwise.
 */
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Registry } from "prom-client";
import { openServerSocket } from "../kernel/inet-socket.ts";
import { BreakwaterError, isBreakwaterError, messageOf } from "../model/errors.ts";
import { tryParseIp } from "../model/ip.ts";

/** An import statement would load all of undici with it: 4.5 MB and 45 ms (docs/adr/0003-kubernetes-client.md). */
const { createServer } = process.getBuiltinModule("node:http");

export interface HealthSource {
  /** Why the agent is ill, or undefined. */
  unhealthy(): string | undefined;
  /** Why no pod can be attached, or undefined. */
  notReady(): string | undefined;
  /** Called before the metrics are read. */
  collect(): void;
  /** The document behind a path such as /mtu, or a promise of it; undefined when there is none of that name. */
  document?(url: URL): unknown;
}

export interface HealthServer {
  readonly address: string;
  close(): Promise<void>;
}

/** @param address "127.0.0.1:9098", "[::1]:9098", ":9098" (all) or "" (no server) */
export async function startHealthServer(
  address: string,
  registry: Registry,
  source: HealthSource,
): Promise<HealthServer | undefined> {
  if (address === "") return undefined;
  const { host, port } = parseAddress(address);
  const server = createServer((request, response) => {
    const send = (status: number, body: string, type = "text/plain; charset=utf-8") => {
      response.writeHead(status, { "content-type": type });
      response.end(body);
    };
    const report = (why: string | undefined) => (why === undefined ? send(200, "ok\n") : send(503, `${why}\n`));
    if (request.url === "/healthz") report(source.unhealthy());
    else if (request.url === "/readyz") report(source.unhealthy() ?? source.notReady());
    else if (request.url === "/metrics") {
      source.collect();
      registry.metrics().then(
        (text) => send(200, text, registry.contentType),
        (error: unknown) => send(500, `${error}\n`),
      );
    } else void sendDocument(request.url ?? "/", source, send);
  });
  await listen(server, host, port, address);
  const actual = server.address() as AddressInfo;
  return {
    address: `${host ?? ""}:${actual.port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function sendDocument(
  path: string,
  source: HealthSource,
  send: (status: number, body: string, type?: string) => void,
): Promise<void> {
  try {
    const document = await source.document?.(new URL(path, "http://agent"));
    if (document === undefined)
      send(404, "There is /healthz, /readyz, /metrics, /mtu, /services, /policies, /bgp and /host\n");
    else send(200, `${JSON.stringify(document)}\n`, "application/json");
  } catch (error) {
    send(500, `${messageOf(error)}\n`);
  }
}

function parseAddress(text: string): { host: string | undefined; port: number } {
  const match = /^(\[[^\]]+\]|[^:]*):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port > 65535) {
    throw new BreakwaterError("BW_USAGE", `--metrics-address "${text}" is no HOST:PORT`, {
      remedy: "Give 127.0.0.1:9098",
    });
  }
  const host = (match[1] ?? "").replace(/^\[|\]$/g, "");
  return { host: host === "" ? undefined : host, port };
}

async function listen(server: Server, host: string | undefined, port: number, address: string): Promise<void> {
  try {
    // Node's own way to an address compiles regular expressions and loads the module for clusters: 10 ms of a start.
    const isIp = host !== undefined && tryParseIp(host) !== undefined;
    const where = isIp ? { fd: openServerSocket(host, port, "TCP") } : { host, port };
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(where, resolve);
    });
  } catch (cause) {
    const errno = isBreakwaterError(cause) ? cause.errno : (cause as NodeJS.ErrnoException).code;
    throw new BreakwaterError("BW_HEALTH_LISTEN", `Cannot serve health and metrics on ${address}: ${errno}`, {
      operation: "listen",
      object: address,
      ...(errno === undefined ? {} : { errno }),
      cause,
      remedy: "Give another --metrics-address, or an empty one for none",
    });
  }
}
