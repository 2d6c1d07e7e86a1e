/** Services and slices for tests, with what is usual filled in. */
import type { ClusterService, EndpointSlice, ServicePort, SliceEndpoint } from "../../../model/service.ts";
import type { ServiceContext } from "../frontends.ts";

export const tcp80: ServicePort = { name: "http", protocol: "TCP", port: 80 };

export function aService(fields: Partial<ClusterService> = {}): ClusterService {
  const name = fields.name ?? "web";
  return {
    namespace: "default",
    name,
    uid: `uid-${name}`,
    createdAt: "2026-01-01T00:00:00Z",
    type: "ClusterIP",
    clusterIps: ["10.96.0.10"],
    ports: [tcp80],
    externalIps: [],
    loadBalancerIps: [],
    externalPolicy: "Cluster",
    internalPolicy: "Cluster",
    ...fields,
  };
}

export function anEndpoint(address: string, fields: Partial<SliceEndpoint> = {}): SliceEndpoint {
  const ready = fields.ready ?? true;
  return { address, ready, serving: fields.serving ?? ready, terminating: false, ...fields };
}

export function aSlice(endpoints: readonly SliceEndpoint[], fields: Partial<EndpointSlice> = {}): EndpointSlice {
  const family = endpoints[0]?.address.includes(":") ? 6 : 4;
  return {
    namespace: "default",
    name: "web-abcde",
    service: "web",
    family,
    ports: [{ name: "http", protocol: "TCP", port: 8080 }],
    endpoints,
    ...fields,
  };
}

export const node1: ServiceContext = {
  name: "node1",
  zone: "zone1",
  nodePortAddresses: ["192.168.1.11", "fd00:192:168:1::11"],
  addresses: ["127.0.0.1", "192.168.1.11", "fd00:192:168:1::11"],
  podCidrs: ["10.244.1.0/24", "fd00:10:244:1::/64"],
};
