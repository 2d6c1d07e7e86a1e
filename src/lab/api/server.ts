/**
 * The lab's API server: Kubernetes as far as kubectl, client-go and the agent can tell, in one process and in memory.
 */
import type { Ip } from "../../model/ip.ts";
import type { Prefix } from "../../model/prefix.ts";
import { startControllers } from "../controllers/start.ts";
import { Registry } from "./registry/registry.ts";
import { createHandler } from "./request/handler.ts";
import { Listeners, type ListenTarget } from "./request/listeners.ts";
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
  /** While on, the server is down: no connection stays, none comes about. */
  refuseConnections(on: boolean): void;
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
  const { token, podLog, tls } = options;
  const listeners = new Listeners(createHandler({ registry, hub, podLog, token, failure: () => failure }), tls);
  return {
    store,
    listen: async (target) => {
      const port = await listeners.listen(target);
      controllers.setApiEndpoints(options.apiEndpoints);
      return { port };
    },
    close: async () => {
      controllers.stop();
      hub.endAll();
      await listeners.close();
    },
    faults: {
      expireHistory: () => registry.database.expireHistory(),
      dropConnections: () => listeners.dropConnections(),
      refuseConnections: (on) => {
        listeners.refuse(on);
        if (on) listeners.dropConnections();
      },
      hangWatches: (on) => hub.hang(on),
      failRequests: (status) => {
        failure = status;
      },
    },
  };
}
