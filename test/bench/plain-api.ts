/**
 * The lab's API server without its controllers: what is written is all that happens. A controller that looks at every
 * Service again would be part of every figure.
 */
import { Registry } from "../../src/lab/api/registry/registry.ts";
import { createHandler } from "../../src/lab/api/request/handler.ts";
import { Listeners } from "../../src/lab/api/request/listeners.ts";
import { WatchHub } from "../../src/lab/api/request/watch-hub.ts";
import type { ApiServer, ApiServerOptions } from "../../src/lab/api/server.ts";
import { createStore } from "../../src/lab/api/store.ts";
import { createSystemObjects } from "../../src/lab/api/system-objects.ts";

export type PlainApi = Pick<ApiServer, "store" | "listen" | "close">;

export function createPlainApi({ serviceCidrs, tls, token }: ApiServerOptions): PlainApi {
  const registry = new Registry({ serviceCidrs, now: () => new Date() });
  const store = createStore(registry);
  const hub = new WatchHub(registry.database);
  createSystemObjects(registry, store);
  const failure = () => undefined;
  const listeners = new Listeners(createHandler({ registry, hub, podLog: undefined, token, failure }), tls);
  return {
    store,
    listen: async (target) => ({ port: await listeners.listen(target) }),
    close: async () => {
      hub.endAll();
      await listeners.close();
    },
  };
}
