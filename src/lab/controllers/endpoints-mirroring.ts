/**
 * Mirrors core/v1 Endpoints that people write by hand for a Service without selector into EndpointSlices, so that
 * whoever routes Services has to read slices only (KEP-1672).
 */
import { type Family, ipFamily, tryParseIp } from "../../model/ip.ts";
import { at, equal, fieldsOf, type KubeObject, listOf, textOf } from "../api/object/object.ts";
import { keyOf } from "../api/store/collection.ts";
import { type ControllerContext, splitKey } from "./controller.ts";
import { MANAGED_BY, SERVICE_NAME } from "./endpoint-slices.ts";

const MANAGER = "endpointslicemirroring-controller.k8s.io";
const SKIP = "endpointslice.kubernetes.io/skip-mirror";
/** --mirroring-max-endpoints-per-subset, its default. */
const MAX_ENDPOINTS = 1000;

export function startEndpointsMirroring({ store, queue }: ControllerContext): void {
  const work = queue("endpoints", (key) => {
    const { namespace = "", name } = splitKey(key);
    const endpoints = store.get("endpoints", namespace, name);
    const service = store.get("services", namespace, name);
    const labelSelector = `${SERVICE_NAME}=${name},${MANAGED_BY}=${MANAGER}`;
    const existing = store.list("endpointslices", { namespace, labelSelector });
    const wanted = endpoints !== undefined && isMirrored(endpoints, service) ? mirrorSlices(endpoints) : [];
    for (const slice of existing) {
      const index = wanted.findIndex((item) => sameContent(item, slice));
      if (index >= 0) wanted.splice(index, 1);
      else store.delete("endpointslices", namespace, slice.metadata.name);
    }
    for (const slice of wanted) store.create(slice);
  });
  for (const resource of ["endpoints", "services"]) {
    store.subscribe(resource, ({ object }) => work.add(keyOf(object)));
  }
}

/** default/kubernetes writes its slice itself. */
function isMirrored(endpoints: KubeObject, service: KubeObject | undefined): boolean {
  if (service === undefined || endpoints.metadata.deletionTimestamp !== undefined) return false;
  if (keyOf(endpoints) === "default/kubernetes" || endpoints.metadata.labels?.[SKIP] === "true") return false;
  return Object.keys(fieldsOf(at(service, "spec", "selector"))).length === 0;
}

/** One slice for each subset and address family. */
function mirrorSlices(endpoints: KubeObject) {
  const { namespace, name, labels, uid } = endpoints.metadata;
  const owner = { apiVersion: "v1", kind: "Endpoints", name, uid, controller: true, blockOwnerDeletion: true };
  return listOf(endpoints["subsets"]).flatMap((subset) =>
    ([4, 6] as const).flatMap((family) => {
      const mirrored = subsetEndpoints(subset, family);
      if (mirrored.length === 0) return [];
      const metadata = {
        generateName: `${name}-`,
        namespace,
        labels: { ...labels, [SERVICE_NAME]: name, [MANAGED_BY]: MANAGER },
        ownerReferences: [owner],
      };
      const ports = listOf(at(subset, "ports")).map((port) => ({ name: "", protocol: "TCP", ...fieldsOf(port) }));
      const kind = { apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice" };
      return [{ ...kind, metadata, addressType: `IPv${family}`, endpoints: mirrored, ports }];
    }),
  );
}

function subsetEndpoints(subset: unknown, family: Family) {
  const { addresses, notReadyAddresses } = fieldsOf(subset);
  const ready = listOf(addresses).map((address) => ({ address, ready: true }));
  const notReady = listOf(notReadyAddresses).map((address) => ({ address, ready: false }));
  return [...ready, ...notReady].slice(0, MAX_ENDPOINTS).flatMap(({ address, ready: isReady }) => {
    const ip = tryParseIp(textOf(at(address, "ip")));
    if (ip === undefined || ipFamily(ip) !== family) return [];
    const { hostname, nodeName, targetRef } = fieldsOf(address);
    return [{ addresses: [ip], conditions: { ready: isReady }, hostname, nodeName, targetRef }];
  });
}

function sameContent(wanted: Readonly<Record<string, unknown>>, slice: KubeObject): boolean {
  return ["addressType", "endpoints", "ports"].every((field) => equal(wanted[field], slice[field]));
}
