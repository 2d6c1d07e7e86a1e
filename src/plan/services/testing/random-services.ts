/** Services and slices that differ in everything, and claim each other's addresses; the same ones for the same numbers. */
import type { ClusterService, EndpointSlice, ServicePort, SliceEndpoint } from "../../../model/service.ts";
import { serviceKey } from "../../../model/service.ts";
import { anEndpoint } from "./objects.ts";

/** A number below its argument. */
export type Random = (below: number) => number;

/** Tommy Ettinger's mulberry32: its low bits are as good as its high ones, which a choice among two, four or eight needs. */
export function randomNumbers(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

export interface RandomCluster {
  readonly services: readonly ClusterService[];
  readonly slices: readonly EndpointSlice[];
  slicesOf(service: ClusterService): EndpointSlice[];
}

const NAMES = ["web", "db", "cache", "mail", "dns"] as const;

/** A cluster of up to five Services; every call makes other ones of the same names. */
export function randomCluster(random: Random): RandomCluster {
  const services = NAMES.filter(() => random(5) > 0).map((name, i) => randomService(random, name, i));
  const all = services.length > 0 ? services : [randomService(random, "web", 0)];
  const slices = all.flatMap((service) => randomSlices(random, service));
  return { services: all, slices, slicesOf: (service) => slicesOf(slices, service) };
}

export function slicesOf(slices: readonly EndpointSlice[], service: ClusterService): EndpointSlice[] {
  return slices.filter((slice) => `${slice.namespace}/${slice.service}` === serviceKey(service));
}

const pick = <T>(random: Random, values: readonly T[]): T => values[random(values.length)] as T;
const some = <T>(random: Random, values: readonly T[]): T[] => values.filter(() => random(2) === 0);

export function randomService(random: Random, name: string, number: number): ClusterService {
  const [four, six] = [`10.96.0.${number + 10}`, `fd00:10:96::${number + 10}`];
  const type = pick(random, ["ClusterIP", "NodePort", "LoadBalancer", "LoadBalancer", "ExternalName"] as const);
  const balanced = type === "LoadBalancer";
  const externalPolicy = pick(random, ["Cluster", "Local"] as const);
  return {
    namespace: "default",
    name,
    uid: `uid-${name}`,
    createdAt: `2026-01-0${1 + random(3)}T00:00:00Z`,
    type,
    clusterIps: pick(random, [[four], [four, six], [six], [four, six], []]),
    ports: randomPorts(random, type !== "ClusterIP"),
    externalIps: some(random, ["198.51.100.7", "203.0.113.9", "2001:db8:1::7", "192.168.1.11"]),
    loadBalancerIps: balanced ? some(random, ["203.0.113.9", "2001:db8::9"]) : [],
    externalPolicy,
    internalPolicy: pick(random, ["Cluster", "Cluster", "Local"] as const),
    ...(random(3) === 0 && { sourceRanges: some(random, ["10.0.0.0/8", "10.1.0.0/16", "2001:db8:2::/48"]) }),
    ...(random(3) === 0 && { affinitySeconds: pick(random, [10, 10800]) }),
    ...(balanced && externalPolicy === "Local" && { healthCheckNodePort: 32000 + number }),
    ...(random(10) === 0 && { leftTo: "headless" as const }),
  };
}

function randomPorts(random: Random, hasNodePorts: boolean): ServicePort[] {
  const ports: ServicePort[] = [
    { name: "http", protocol: "TCP", port: 80 },
    { name: "dns", protocol: "UDP", port: 53 },
    { name: "tcp", protocol: "TCP", port: 53 },
    { name: "sctp", protocol: "SCTP", port: 7 },
  ];
  const chosen = some(random, ports);
  return (chosen.length === 0 ? ports.slice(0, 1) : chosen).map((port) =>
    hasNodePorts && random(2) === 0 ? { ...port, nodePort: 30000 + random(3) } : port,
  );
}

export function randomSlices(random: Random, { name }: ClusterService): EndpointSlice[] {
  return Array.from({ length: random(4) }, (_, i) => {
    const family = pick(random, [4, 4, 6] as const);
    return {
      namespace: "default",
      name: `${name}-${i}`,
      service: name,
      family,
      ports: some(random, [
        { name: "http", protocol: "TCP", port: 8080 },
        { name: "dns", protocol: "UDP", port: 5353 },
        { name: "tcp", protocol: "TCP", port: 5353 },
        { name: "sctp", protocol: "SCTP", port: 7 },
      ] as const),
      endpoints: Array.from({ length: pick(random, [0, 1, 2, 3, 5, 20]) }, () => randomEndpoint(random, family)),
    };
  });
}

function randomEndpoint(random: Random, family: 4 | 6): SliceEndpoint {
  const node = 1 + random(3);
  const address = family === 4 ? `10.244.${node}.${1 + random(30)}` : `fd00:10:244:${node}::${1 + random(30)}`;
  const fields = pick<Partial<SliceEndpoint>>(random, [
    {},
    {},
    {},
    { ready: false },
    { ready: false, serving: true, terminating: true },
    { ready: true, serving: false, terminating: true },
  ]);
  const hints = random(2) === 0 ? { zoneHints: [`zone${1 + random(2)}`] } : {};
  return anEndpoint(address, { ...(random(8) > 0 && { nodeName: `node${node}` }), ...fields, ...hints });
}
