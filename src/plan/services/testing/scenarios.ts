/** Services to plan for, one feature each, on node1. Each is one golden file. */
import type { ServiceConfig } from "../../../model/node-config.ts";
import type { ClusterService, EndpointSlice } from "../../../model/service.ts";
import { anEndpoint, aService, aSlice, tcp80 } from "./objects.ts";
import { pod6On, podOn } from "./service-cluster.ts";

export interface ServiceScenario {
  readonly services: readonly ClusterService[];
  readonly slices: readonly EndpointSlice[];
  readonly config?: Partial<ServiceConfig>;
}

const both = [aSlice([podOn(1, 5), podOn(2, 6)])];
const nodePort = { ...tcp80, nodePort: 30080 };
const balanced = aService({ type: "LoadBalancer", ports: [nodePort], loadBalancerIps: ["203.0.113.9"] });

export const serviceScenarios: Readonly<Record<string, ServiceScenario>> = {
  "cluster-ip": { services: [aService()], slices: both },
  "no-endpoints": { services: [balanced], slices: [] },
  "node-port-and-external-ip": {
    services: [aService({ type: "NodePort", ports: [nodePort], externalIps: ["198.51.100.7"] })],
    slices: both,
  },
  "load-balancer-local": { services: [{ ...balanced, externalPolicy: "Local" }], slices: both },
  "internal-local-without-endpoints-here": {
    services: [aService({ internalPolicy: "Local" })],
    slices: [aSlice([podOn(2, 6)])],
  },
  "source-ranges": {
    services: [{ ...balanced, sourceRanges: ["10.0.0.0/8", "192.168.1.0/24"] }],
    slices: both,
  },
  "session-affinity": { services: [aService({ affinitySeconds: 10_800 })], slices: both },
  "session-affinity-over-ipv6": {
    services: [
      aService({
        type: "LoadBalancer",
        clusterIps: ["fd00:10:96::a"],
        loadBalancerIps: ["2001:db8::9"],
        externalPolicy: "Local",
        affinitySeconds: 10_800,
      }),
    ],
    slices: [aSlice([pod6On(1, 5), pod6On(2, 6)], { name: "web-6" })],
  },
  "dual-stack": {
    services: [aService({ clusterIps: ["10.96.0.10", "fd00:10:96::a"] })],
    slices: [...both, aSlice([pod6On(1, 5), pod6On(2, 6)], { name: "web-6" })],
  },
  "seventeen-endpoints-counted": {
    services: [aService()],
    slices: [aSlice(Array.from({ length: 17 }, (_, i) => anEndpoint(`10.244.2.${i + 1}`)))],
    config: { counters: true },
  },
  "conflict-of-external-ips": {
    services: [
      aService({
        name: "younger",
        clusterIps: ["10.96.0.11"],
        externalIps: ["198.51.100.7"],
        createdAt: "2026-02-01T00:00:00Z",
      }),
      aService({ externalIps: ["198.51.100.7"] }),
    ],
    slices: [...both, aSlice([podOn(3, 7)], { service: "younger" })],
  },
};
