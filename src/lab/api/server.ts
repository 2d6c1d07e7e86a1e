/**
 * The lab's API server: Kubernetes as far as kubectl, client-go and the agent can tell, in one process and in memory.
 */
import { createServer as createHttpServer, type Server as HttpServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { BreakwaterError, messageOf } from "../../model/errors.ts";
import type { Ip } from "../../model/ip.ts";
import type { Prefix } from "../../model/prefix.ts";
import { startControllers } from "../controllers/start.ts";
import { Registry } from "./registry/registry.ts";
import { createHandler, type Handler } from "./request/handler.ts";
import type { PodLog } from "./request/subresources.ts";
import { WatchHub } from "./request/watch-hub.ts";
import { createStore, type Store } from "./store.ts";
import { createSystemObjects } from "./system-objects.ts";

export interface ApiServerOptions {
  /** ["10.244.0.0/16"], or with ["fd00:10:244::/48"] behind it: "nodeI" gets the I-th /24 and /64. */
  readonly clusterCidrs: readonly Prefix[];
  /** ["10.96.0.0/16"], or with ["fd00:10:96::/112"] behind it. The first address is default/kubernetes. */
  readonly serviceCidrs: readonly Prefix[];
  /** PEM. @default plain HTTP */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** Bearer token that every client has to send. @default none */
  readonly token?: string;
  /** Where default/kubernetes leads to. */
  readonly apiEndpoints?: () => readonly { ip: Ip; port: number }[];
  readonly now?: () => Date;
  /** Output of a Pod, for `kubectl logs`. @default there is none */
  readonly podLog?: PodLog;
}

export type ListenTarget = { readonly port: number; readonly host: string } | { readonly fd: number };

export interface ApiServer {
  /** Serves connections of a listening socket; may be called for several. */
  listen(target: ListenTarget): Promise<{ port: number }>;
  readonly store: Store;
  /** Ends all watches and connections. */
  close(): Promise<void>;
  readonly faults: ApiServerFaults;
}

/** What watchers have to survive. */
export interface ApiServerFaults {
  /** Every resource version until now is too old. */
  expireHistory(): void;
  dropConnections(): void;
  /** While on, watches send no byte and do not end. */
  hangWatches(on: boolean): void;
  /** Answers every request with this status; undefined ends it. */
  failRequests(status: number | undefined): void;
}

export function createApiServer(options: ApiServerOptions): ApiServer {
  const registry = new Registry({ serviceCidrs: options.serviceCidrs, now: options.now ?? (() => new Date()) });
  const store = createStore(registry);
  const hub = new WatchHub(registry.database);
  const controllers = startControllers(store, { clusterCidrs: options.clusterCidrs, now: registry.now });
  createSystemObjects(registry, store);
  let failure: number | undefined;
  const handler = createHandler({
    registry,
    hub,
    podLog: options.podLog,
    token: options.token,
    failure: () => failure,
  });
  const sockets = new Set<Socket>();
  const servers: HttpServer[] = [];

  const makeServer = (): HttpServer => {
    const server = options.tls === undefined ? createHttpServer(handler) : createTlsServer(options.tls, handler);
    server.on("connection", (socket: Socket) => {
      sockets.add(socket.setNoDelay(true));
      socket.on("close", () => sockets.delete(socket));
    });
    // Watches last as long as the client wants; a request's head and body have to come in time.
    server.requestTimeout = 60_000;
    server.on("clientError", (_error, socket) => socket.destroy());
    servers.push(server);
    return server;
  };
  const dropConnections = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    store,
    listen: async (target) => {
      const port = await listenOn(makeServer(), target);
      controllers.setApiEndpoints(options.apiEndpoints);
      return { port };
    },
    close: async () => {
      controllers.stop();
      hub.endAll();
      await Promise.all(servers.map(closeServer(dropConnections)));
    },
    faults: {
      expireHistory: () => registry.database.expireHistory(),
      dropConnections,
      hangWatches: (on) => hub.hang(on),
      failRequests: (status) => {
        failure = status;
      },
    },
  };
}

/** TLS is loaded when it is wanted: it is a third of the server's start. */
function createTlsServer(tls: NonNullable<ApiServerOptions["tls"]>, handler: Handler): HttpServer {
  return process.getBuiltinModule("node:https").createServer({ ...tls }, handler);
}

function listenOn(server: HttpServer, target: ListenTarget): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const object = "fd" in target ? `file descriptor ${target.fd}` : `${target.host}:${target.port}`;
  server.once("error", (cause: NodeJS.ErrnoException) => {
    const details = { operation: "listen", object, cause, ...(cause.code !== undefined && { errno: cause.code }) };
    const remedy = "choose another port, or end the program that has it";
    reject(
      new BreakwaterError("BW_API_LISTEN", `cannot listen on ${object}: ${messageOf(cause)}`, { ...details, remedy }),
    );
  });
  server.listen(target, () => resolve((server.address() as AddressInfo).port));
  return promise;
}

function closeServer(dropConnections: () => void): (server: HttpServer) => Promise<void> {
  return (server) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    server.close(() => resolve());
    dropConnections();
    return promise;
  };
}
