/**
 * Services as kube-proxy's mode nftables has them (pkg/proxy/nftables/proxier.go): a verdict map leads to a chain of the
 * Service, a map without a name in it to a chain of the endpoint, which translates.
 */
import { ipBytes } from "../../../src/model/ip.ts";
import type { NftSet } from "../../../src/model/nft.ts";
import { dnatTo, markHasNot, type PeerNftables, setMark } from "./services-peer-batch.ts";
import { CLUSTER_CIDR, ENDPOINT_PORT, SERVICE_PORT, type ServiceWithSlice } from "./services-population.ts";

const MASQUERADE_BIT = 0x4000;
const FRONTEND = ["ip daddr", "meta l4proto", "th dport"] as const;
const FRONTEND_KEY = ["ipv4_addr", "inet_proto", "inet_service"] as const;
const TCP = 6;
/** Services in a transaction of {@link loadInChunks}. */
export const CHUNK = 200;

function emptySet(rest: Pick<NftSet, "name" | "key" | "data">): NftSet {
  return { interval: false, elements: [], ...rest };
}
const serviceIps = emptySet({ name: "service-ips", key: FRONTEND_KEY, data: "verdict" });
const noEndpoints = emptySet({ name: "no-endpoint-services", key: FRONTEND_KEY, data: "verdict" });
const clusterIps = emptySet({ name: "cluster-ips", key: "ipv4_addr" });

/** Table, sets and the chains that all Services share, without their hooks. */
export function addShared(nft: PeerNftables): void {
  nft.addTable();
  for (const set of [serviceIps, noEndpoints, clusterIps]) nft.addSet(set);
  for (const chain of [
    "mark-for-masquerade",
    "masquerading",
    "services",
    "cluster-ips-check",
    "service-endpoints-check",
  ])
    nft.addChain(chain);
  nft.addRule("mark-for-masquerade", setMark("or", MASQUERADE_BIT));
  nft.addRule("masquerading", markHasNot(MASQUERADE_BIT), { verdict: "return" });
  nft.addRule("masquerading", setMark("xor", MASQUERADE_BIT));
  nft.addRule("masquerading", { masquerade: true });
  nft.addRule("services", { vmap: FRONTEND, map: serviceIps.name });
  nft.addRule("service-endpoints-check", { vmap: FRONTEND, map: noEndpoints.name });
  nft.addRule("cluster-ips-check", { lookup: "ip daddr", set: clusterIps.name }, { reject: "icmp" });
}

export function addHooks(nft: PeerNftables): void {
  const nat = { type: "nat", policy: "accept" } as const;
  nft.addChain("nat-prerouting", { ...nat, hook: "prerouting", priority: -100 });
  nft.addChain("nat-output", { ...nat, hook: "output", priority: -100 });
  nft.addChain("nat-postrouting", { ...nat, hook: "postrouting", priority: 100 });
  for (const chain of ["nat-prerouting", "nat-output"]) nft.addRule(chain, { verdict: { jump: "services" } });
  nft.addRule("nat-postrouting", { verdict: { jump: "masquerading" } });
  for (const hook of ["forward", "output"] as const) {
    nft.addChain(`filter-${hook}`, { type: "filter", policy: "accept", hook, priority: -110 });
    for (const chain of ["service-endpoints-check", "cluster-ips-check"]) {
      nft.addRule(`filter-${hook}`, { match: "ct state", op: "==", value: "new" }, { verdict: { jump: chain } });
    }
  }
}

/** All of it, in transactions of few Services: the kernel takes much longer for one of many. The hooks come last. */
export function loadInChunks(nft: PeerNftables, services: readonly ServiceWithSlice[]): void {
  nft.transaction(() => addShared(nft));
  for (let i = 0; i < services.length; i += CHUNK) {
    nft.transaction(() => addServices(nft, services.slice(i, i + CHUNK)));
  }
  nft.transaction(() => addHooks(nft));
}

/** Their chains, and the elements that lead there. */
export function addServices(nft: PeerNftables, services: readonly ServiceWithSlice[]): void {
  for (const each of services) {
    for (const { address } of each.slice.endpoints) addEndpoint(nft, each, address);
    const chain = serviceChain(each);
    nft.addChain(chain);
    addServiceRules(nft, each, chain);
  }
  const element = (each: ServiceWithSlice) =>
    `${each.service.clusterIps[0]} . tcp . ${SERVICE_PORT} : goto ${serviceChain(each)}`;
  nft.addElements(serviceIps, services.map(element));
  nft.addElements(
    clusterIps,
    services.flatMap(({ service }) => service.clusterIps),
  );
}

/** What one endpoint more or less than before makes of the Service's chain: it is written anew. */
export function changeService(nft: PeerNftables, now: ServiceWithSlice, added?: string): void {
  if (added !== undefined) addEndpoint(nft, now, added);
  const chain = serviceChain(now);
  nft.flushChain(chain);
  addServiceRules(nft, now, chain);
}

/** What kube-proxy does some time behind the change. */
export function deleteEndpoint(nft: PeerNftables, of: ServiceWithSlice, address: string): void {
  nft.flushChain(endpointChain(of, address));
  nft.deleteChain(endpointChain(of, address));
}

function serviceChain({ service }: ServiceWithSlice): string {
  return `service-${hash(service.name)}-${service.namespace}/${service.name}/tcp/http`;
}

function endpointChain({ service }: ServiceWithSlice, address: string): string {
  const { namespace, name } = service;
  return `endpoint-${hash(name + address)}-${namespace}/${name}/tcp/http__${address}/${ENDPOINT_PORT}`;
}

/** Eight letters, as there; from which text does not matter. */
function hash(text: string): string {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return value.toString(32).toUpperCase().padStart(8, "A");
}

function addServiceRules(nft: PeerNftables, of: ServiceWithSlice, chain: string): void {
  nft.addRule(
    chain,
    { match: "ip daddr", op: "==", value: of.service.clusterIps[0] ?? "" },
    { match: "meta l4proto", op: "==", value: TCP },
    { match: "th dport", op: "==", value: SERVICE_PORT },
    { match: "ip saddr", op: "!=", value: CLUSTER_CIDR },
    { verdict: { jump: "mark-for-masquerade" } },
  );
  nft.addRandomGoto(
    chain,
    of.slice.endpoints.map(({ address }) => endpointChain(of, address)),
  );
}

function addEndpoint(nft: PeerNftables, of: ServiceWithSlice, address: string): void {
  const chain = endpointChain(of, address);
  const port = of.slice.ports[0]?.port ?? ENDPOINT_PORT;
  nft.addChain(chain);
  nft.addRule(chain, { match: "ip saddr", op: "==", value: address }, { verdict: { jump: "mark-for-masquerade" } });
  nft.addRule(
    chain,
    { match: "meta l4proto", op: "==", value: TCP },
    dnatTo(ipBytes(address), Uint8Array.of(port >> 8, port & 255)),
  );
}
