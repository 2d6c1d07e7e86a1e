/**
 * The sockets the API listens on, and every connection that came in through them.
 */
import type { Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { BreakwaterError, messageOf } from "../../../model/errors.ts";
import type { Handler } from "./handler.ts";

export type ListenTarget = { readonly port: number; readonly host: string } | { readonly fd: number };

/** PEM. */
export interface TlsIdentity {
  readonly cert: string;
  readonly key: string;
}

export class Listeners {
  readonly #handler: Handler;
  readonly #tls: TlsIdentity | undefined;
  readonly #servers: Server[] = [];
  readonly #connections = new Set<Socket>();
  #refusing = false;

  constructor(handler: Handler, tls: TlsIdentity | undefined) {
    this.#handler = handler;
    this.#tls = tls;
  }

  /** Listens and tells the port. @throws BreakwaterError BW_API_LISTEN */
  async listen(target: ListenTarget): Promise<number> {
    const server =
      this.#tls === undefined ? createHttpServer(this.#handler) : createHttpsServer(this.#tls, this.#handler);
    server.on("connection", (socket: Socket) => {
      if (this.#refusing) {
        socket.resetAndDestroy();
        return;
      }
      this.#connections.add(socket.setNoDelay(true));
      socket.on("close", () => this.#connections.delete(socket));
    });
    // Watches last as long as the client wants; a request's head and body have to come in time.
    server.requestTimeout = 60_000;
    // Longer than Go's clients keep an idle connection (90 s): they close it first, and no request meets a closed one.
    server.keepAliveTimeout = 120_000;
    server.on("clientError", (_error, socket) => socket.destroy());
    const port = await listenOn(server, target);
    this.#servers.push(server);
    return port;
  }

  /** While on, every connection is reset, as by a machine on which nobody listens. Open ones are not touched. */
  refuse(on: boolean): void {
    this.#refusing = on;
  }

  dropConnections(): void {
    for (const socket of this.#connections) socket.destroy();
  }

  async close(): Promise<void> {
    const closed = this.#servers.splice(0).map((server) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      server.close(() => resolve());
      return promise;
    });
    this.dropConnections();
    await Promise.all(closed);
  }
}

// Not `import`: that reads every export of node:http, WebSocket too, and so loads undici: 45 ms of a 60 ms start.
function createHttpServer(handler: Handler): Server {
  return process.getBuiltinModule("node:http").createServer(handler);
}

function createHttpsServer(tls: TlsIdentity, handler: Handler): Server {
  return process.getBuiltinModule("node:https").createServer({ ...tls }, handler);
}

function listenOn(server: Server, target: ListenTarget): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const object = "fd" in target ? `file descriptor ${target.fd}` : `${target.host}:${target.port}`;
  server.once("error", (cause: NodeJS.ErrnoException) => {
    const details = { operation: "listen", object, cause, ...(cause.code !== undefined && { errno: cause.code }) };
    const remedy = "choose another port, or end the program that has it";
    const message = `cannot listen on ${object}: ${messageOf(cause)}`;
    reject(new BreakwaterError("BW_API_LISTEN", message, { ...details, remedy }));
  });
  server.listen(target, () => resolve((server.address() as AddressInfo).port));
  return promise;
}
