/**
 * Endpoints of default/kubernetes: where the API server itself listens.
 */
import { type Ip, ipFamily } from "../../model/ip.ts";
import { equal } from "../api/object/object.ts";
import type { Store } from "../api/store.ts";

export interface ApiEndpoint {
  readonly ip: Ip;
  readonly port: number;
}

const METADATA = { name: "kubernetes", namespace: "default" };

/** Writes the Endpoints object and one slice; all endpoints listen on the port of the first. */
export function writeApiEndpoints(store: Store, endpoints: readonly ApiEndpoint[]): void {
  const [first] = endpoints;
  if (first === undefined) return;
  const same = endpoints.filter(({ ip, port }) => port === first.port && ipFamily(ip) === ipFamily(first.ip));
  const port = { name: "https", port: first.port, protocol: "TCP" };
  put(store, "endpoints", {
    apiVersion: "v1",
    kind: "Endpoints",
    metadata: METADATA,
    subsets: [{ addresses: same.map(({ ip }) => ({ ip })), ports: [port] }],
  });
  put(store, "endpointslices", {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { ...METADATA, labels: { "kubernetes.io/service-name": "kubernetes" } },
    addressType: `IPv${ipFamily(first.ip)}`,
    endpoints: same.map(({ ip }) => ({ addresses: [ip], conditions: { ready: true } })),
    ports: [port],
  });
}

function put(store: Store, resource: string, object: Parameters<Store["create"]>[0]): void {
  const { apiVersion: _apiVersion, kind: _kind, metadata: _metadata, ...content } = object;
  const current = store.get(resource, METADATA.namespace, METADATA.name);
  if (current === undefined) store.create(object);
  else if (Object.entries(content).some(([name, value]) => !equal(current[name], value))) {
    store.modify(resource, METADATA.namespace, METADATA.name, (draft) => Object.assign(draft, content));
  }
}
