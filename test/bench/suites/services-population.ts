/**
 * A cluster's Services by the number: each with a ClusterIP, one TCP port and one EndpointSlice of ten ready endpoints,
 * which lie on a thousand other nodes. As values, as objects of the API, and as changes of one slice.
 */
import type { Ip } from "../../../src/model/ip.ts";
import type { ClusterService, EndpointSlice, SliceEndpoint } from "../../../src/model/service.ts";

export const ENDPOINTS = 10;
export const SERVICE_PORT = 80;
export const ENDPOINT_PORT = 8080;
/** Where endpoints are: everything outside is no pod. */
export const CLUSTER_CIDR = "10.128.0.0/9";
const NAMESPACE = "default";
const NODES = 1000;

export interface ServiceWithSlice {
  readonly service: ClusterService;
  readonly slice: EndpointSlice;
}

/** 10.SECOND.0.0 and `offset` addresses on; 65,536 of them have the same second byte. */
function addressAt(second: number, offset: number): Ip {
  return `10.${second + (offset >> 16)}.${(offset >> 8) & 255}.${offset & 255}`;
}

/** The first address of the range is the API's own Service. */
export function serviceIp(index: number): Ip {
  return addressAt(96, index + 2);
}

/** The endpoint that every Service begins with at a place of its slice. */
function endpointIp(index: number, place: number): Ip {
  return addressAt(128, index * ENDPOINTS + place + 1);
}

/** Addresses that no Service begins with. */
export function spareIp(number: number): Ip {
  return addressAt(192, number + 1);
}

export function serviceName(index: number): string {
  return `service-${index}`;
}

export function endpointAt(address: Ip, number = 0): SliceEndpoint {
  return { address, ready: true, serving: true, terminating: false, nodeName: `worker${number % NODES}` };
}

export function serviceWithSlice(index: number): ServiceWithSlice {
  const name = serviceName(index);
  const service: ClusterService = {
    namespace: NAMESPACE,
    name,
    uid: `uid-${name}`,
    createdAt: "2026-01-01T00:00:00Z",
    type: "ClusterIP",
    clusterIps: [serviceIp(index)],
    ports: [{ name: "http", protocol: "TCP", port: SERVICE_PORT }],
    externalIps: [],
    loadBalancerIps: [],
    externalPolicy: "Cluster",
    internalPolicy: "Cluster",
  };
  const slice: EndpointSlice = {
    namespace: NAMESPACE,
    name: `${name}-x7k2p`,
    service: name,
    family: 4,
    ports: [{ name: "http", protocol: "TCP", port: ENDPOINT_PORT }],
    endpoints: Array.from({ length: ENDPOINTS }, (_, place) =>
      endpointAt(endpointIp(index, place), index * ENDPOINTS + place),
    ),
  };
  return { service, slice };
}

export function population(count: number): ServiceWithSlice[] {
  return Array.from({ length: count }, (_, index) => serviceWithSlice(index));
}

/** The Service as an object of the API. Nothing selects its endpoints: its slice is written by whoever measures. */
export function serviceObject({ service }: ServiceWithSlice) {
  const ports = [{ name: "http", protocol: "TCP", port: SERVICE_PORT, targetPort: ENDPOINT_PORT }];
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: service.name, namespace: service.namespace, labels: { app: service.name } },
    spec: { type: "ClusterIP", clusterIP: service.clusterIps[0], ports },
  };
}

/** The EndpointSlice as its controller writes it. */
export function sliceObject({ slice }: ServiceWithSlice) {
  const labels = {
    app: slice.service,
    // The real controller would delete what it has no pods for.
    "endpointslice.kubernetes.io/managed-by": "bench",
    "kubernetes.io/service-name": slice.service,
  };
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: slice.name, namespace: slice.namespace, labels },
    addressType: "IPv4",
    ports: [{ name: "http", protocol: "TCP", port: slice.ports[0]?.port }],
    endpoints: slice.endpoints.map((endpoint, place) => endpointObject(endpoint, `${slice.service}-${place}`)),
  };
}

export function endpointObject({ address, nodeName }: SliceEndpoint, pod: string) {
  return {
    addresses: [address],
    conditions: { ready: true, serving: true, terminating: false },
    nodeName,
    zone: "zone-a",
    targetRef: { kind: "Pod", namespace: NAMESPACE, name: pod, uid: `5f0d9d7e-2c1b-4c55-9d2e-${pod}` },
  };
}
