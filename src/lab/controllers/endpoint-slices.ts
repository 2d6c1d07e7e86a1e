/**
 * Keeps the EndpointSlices of every Service with a selector in step with its Pods. A Service without one is left to
 * whoever made it.
 */
import { at, equal, fieldsOf, type KubeObject, textOf } from "../api/object/object.ts";
import { mapSelector } from "../api/selector/label-selector.ts";
import { keyOf } from "../api/store/collection.ts";
import type { Store } from "../api/store.ts";
import { type ControllerContext, splitKey } from "./controller.ts";
import { syncEndpoints } from "./endpoints-mirror.ts";
import { addressTypes, endpointGroups } from "./endpoints-of-service.ts";
import { type NewSlice, planSlices } from "./slice-plan.ts";

export const SERVICE_NAME = "kubernetes.io/service-name";
export const MANAGED_BY = "endpointslice.kubernetes.io/managed-by";
const MANAGER = "endpointslice-controller.k8s.io";
const HEADLESS = "service.kubernetes.io/headless";
const TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time";
const ZONE = "topology.kubernetes.io/zone";

export function startEndpointSlices(context: ControllerContext): void {
  const { store, queue } = context;
  const slicesOf = indexSlices(store);
  const work = queue("services", (key) => syncService(context, key, [...(slicesOf.get(key)?.values() ?? [])]));
  store.subscribe("services", ({ object }) => work.add(keyOf(object)));
  store.subscribe("pods", ({ type, object, previous }) => {
    if (type === "MODIFIED" && previous !== undefined && !concernsEndpoints(object, previous)) return;
    for (const service of store.list("services", { namespace: object.metadata.namespace ?? "" })) {
      const selects = mapSelector(fieldsOf(at(service, "spec", "selector")));
      const before = previous !== undefined && selects(previous.metadata.labels ?? {});
      if (before || selects(object.metadata.labels ?? {})) work.add(keyOf(service));
    }
  });
  store.subscribe("nodes", ({ object, previous }) => {
    if (previous !== undefined && zoneOf(object) === zoneOf(previous)) return;
    for (const service of store.list("services")) work.add(keyOf(service));
  });
  // A slice that somebody else changes or deletes is put right again.
  store.subscribe("endpointslices", ({ object }) => {
    if (object.metadata.labels?.[MANAGED_BY] === MANAGER) work.add(serviceKey(object));
  });
}

function zoneOf(node: KubeObject | undefined): string | undefined {
  return node?.metadata.labels?.[ZONE];
}

function serviceKey(slice: KubeObject): string {
  return `${slice.metadata.namespace}/${slice.metadata.labels?.[SERVICE_NAME]}`;
}

/** Slices of this controller by their Service's key. */
function indexSlices(store: Store): Map<string, Map<string, KubeObject>> {
  const index = new Map<string, Map<string, KubeObject>>();
  store.subscribe("endpointslices", ({ type, object, previous }) => {
    for (const slice of [previous, object]) {
      if (slice !== undefined) index.get(serviceKey(slice))?.delete(slice.metadata.name);
    }
    if (type === "DELETED" || object.metadata.labels?.[MANAGED_BY] !== MANAGER) return;
    const slices = index.get(serviceKey(object)) ?? new Map<string, KubeObject>();
    index.set(serviceKey(object), slices.set(object.metadata.name, object));
  });
  return index;
}

/** Most Pod writes (heartbeats, container states) change nothing that endpoints show. */
function concernsEndpoints(pod: KubeObject, previous: KubeObject): boolean {
  return !equal(endpointView(pod), endpointView(previous));
}

function endpointView(pod: KubeObject): unknown[] {
  const { phase, podIP, podIPs, conditions } = fieldsOf(pod["status"]);
  return [
    pod.metadata.labels,
    pod.metadata.deletionTimestamp,
    at(pod, "spec", "nodeName"),
    phase,
    podIP,
    podIPs,
    conditions,
  ];
}

function syncService(context: ControllerContext, key: string, existing: readonly KubeObject[]): void {
  const { store } = context;
  const { namespace = "", name } = splitKey(key);
  const service = store.get("services", namespace, name);
  const selector = fieldsOf(at(service, "spec", "selector"));
  const wanted =
    service !== undefined && Object.keys(selector).length > 0 && at(service, "spec", "type") !== "ExternalName";
  if (!wanted) {
    for (const slice of existing) store.delete("endpointslices", namespace, slice.metadata.name);
    return;
  }
  if (store.get("namespaces", undefined, namespace)?.metadata.deletionTimestamp !== undefined) return;
  const selects = mapSelector(selector);
  const pods = store.list("pods", { namespace }).filter((pod) => selects(pod.metadata.labels ?? {}));
  const zone = (node: string) => zoneOf(store.get("nodes", undefined, node));
  const groups = endpointGroups(service, pods, zone);
  const plan = planSlices(existing, groups, addressTypes(service));
  for (const slice of plan.create) store.create(newSlice(context, service, slice));
  for (const { slice, endpoints } of plan.update) {
    store.modify("endpointslices", namespace, slice.metadata.name, (draft) => {
      draft["endpoints"] = endpoints;
      draft.metadata.annotations = { ...draft.metadata.annotations, [TRIGGER_TIME]: context.now().toISOString() };
    });
  }
  for (const slice of plan.remove) store.delete("endpointslices", namespace, slice.metadata.name);
  relabel(
    context,
    service,
    existing.filter((slice) => !plan.remove.includes(slice)),
  );
  syncEndpoints(context, service, pods);
}

function sliceLabels(service: KubeObject): Record<string, string> {
  const headless = textOf(at(service, "spec", "clusterIP")) === "None";
  const { [HEADLESS]: _headless, ...labels } = service.metadata.labels ?? {};
  return {
    ...labels,
    [SERVICE_NAME]: service.metadata.name,
    [MANAGED_BY]: MANAGER,
    ...(headless && { [HEADLESS]: "" }),
  };
}

function newSlice({ now }: ControllerContext, service: KubeObject, { addressType, ports, endpoints }: NewSlice) {
  const { apiVersion, kind, metadata } = service;
  const owner = {
    apiVersion,
    kind,
    name: metadata.name,
    uid: metadata.uid,
    controller: true,
    blockOwnerDeletion: true,
  };
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      generateName: `${metadata.name}-`,
      namespace: metadata.namespace,
      labels: sliceLabels(service),
      annotations: { [TRIGGER_TIME]: now().toISOString() },
      ownerReferences: [owner],
    },
    addressType,
    endpoints,
    ports,
  };
}

/** The Service's labels are the slices' too. */
function relabel({ store }: ControllerContext, service: KubeObject, slices: readonly KubeObject[]): void {
  const labels = sliceLabels(service);
  for (const { metadata } of slices) {
    const current = store.get("endpointslices", metadata.namespace, metadata.name);
    if (current === undefined || equal(current.metadata.labels, labels)) continue;
    store.modify("endpointslices", metadata.namespace, metadata.name, (draft) => {
      draft.metadata.labels = labels;
    });
  }
}
