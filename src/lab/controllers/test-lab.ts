/**
 * What the controllers' tests share: a store with running controllers, and a way to wait until they are done.
 */

import type { TestContext } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Fields, KubeObject } from "../api/object/object.ts";
import { type ApiServerOptions, createApiServer } from "../api/server.ts";
import type { Store } from "../api/store.ts";

export interface TestLab {
  readonly store: Store;
  /** Resolves when two turns of the event loop have passed without a write. */
  settle(): Promise<void>;
  node(name: string, more?: Fields): KubeObject;
  pod(name: string, more?: { labels?: Fields; spec?: Fields; metadata?: Fields }): KubeObject;
  /** What a kubelet reports of a running Pod. */
  run(name: string, ip: string, ready?: boolean): void;
  service(name: string, spec?: Fields, metadata?: Fields): KubeObject;
}

export function startLab(context: TestContext, options: Partial<ApiServerOptions> = {}): TestLab {
  const server = createApiServer({ clusterCidrs: ["10.244.0.0/16"], serviceCidrs: ["10.96.0.0/16"], ...options });
  context.after(() => server.close());
  const { store } = server;
  return {
    store,
    settle: async () => {
      let version = "";
      while (version !== store.resourceVersion) {
        version = store.resourceVersion;
        await nextTurn();
        await nextTurn();
      }
    },
    node: (name, { metadata, ...more } = {}) => {
      const status = { conditions: [{ type: "Ready", status: "True" }] };
      return store.create({
        apiVersion: "v1",
        kind: "Node",
        metadata: { name, ...(metadata as Fields) },
        spec: {},
        status,
        ...more,
      });
    },
    pod: (name, { labels = {}, spec = {}, metadata = {} } = {}) => {
      const containers = [{ name: "c", image: "x:1", ports: [{ name: "http", containerPort: 8080 }] }];
      return store.create({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name, namespace: "default", labels, ...metadata },
        spec: { containers, ...spec },
      });
    },
    run: (name, ip, ready = true) => {
      const conditions = [{ type: "Ready", status: ready ? "True" : "False" }];
      const podIPs = ip.split(",").map((address) => ({ ip: address }));
      const status = { phase: "Running", podIP: podIPs[0]?.ip, podIPs, conditions };
      store.modify("pods", "default", name, (draft) => Object.assign(draft, { status }), { subresource: "status" });
    },
    service: (name, spec = {}, metadata = {}) =>
      store.create({
        apiVersion: "v1",
        kind: "Service",
        metadata: { name, namespace: "default", ...metadata },
        spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: "http" }], ...spec },
      }),
  };
}
