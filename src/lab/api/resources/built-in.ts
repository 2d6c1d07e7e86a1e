/**
 * The kinds this server has from the start.
 */
import {
  CONFIG_MAP_PRINTER,
  CONFIG_MAP_STRATEGY,
  SECRET_PRINTER,
  SECRET_STRATEGY,
  SERVICE_ACCOUNT_PRINTER,
  SERVICE_ACCOUNT_STRATEGY,
} from "../kinds/config.ts";
import {
  CUSTOM_RESOURCE_DEFINITION_PRINTER,
  CUSTOM_RESOURCE_DEFINITION_STRATEGY,
} from "../kinds/custom-resource-definition.ts";
import {
  ENDPOINT_SLICE_PRINTER,
  ENDPOINT_SLICE_STRATEGY,
  ENDPOINTS_PRINTER,
  ENDPOINTS_STRATEGY,
} from "../kinds/endpoint-slice.ts";
import { EVENT_PRINTER, EVENT_STRATEGY, eventFromStored, eventToStored } from "../kinds/event.ts";
import { LEASE_PRINTER, LEASE_STRATEGY } from "../kinds/lease.ts";
import { NAMESPACE_PRINTER, NAMESPACE_STRATEGY } from "../kinds/namespace.ts";
import { NETWORK_POLICY_PRINTER, NETWORK_POLICY_STRATEGY } from "../kinds/network-policy.ts";
import { NODE_PRINTER, NODE_STRATEGY } from "../kinds/node.ts";
import { POD_STRATEGY } from "../kinds/pod.ts";
import { POD_PRINTER } from "../kinds/pod-printer.ts";
import { SERVICE_STRATEGY } from "../kinds/service.ts";
import { SERVICE_PRINTER } from "../kinds/service-printer.ts";
import type { KubeObject } from "../object/object.ts";
import { builtInSchema } from "../schema/built-in.ts";
import type { Printer } from "../table/printer.ts";
import type { Resource, Strategy } from "./resource.ts";

type Names = Pick<Resource, "kind" | "plural" | "namespaced"> &
  Partial<Pick<Resource, "group" | "shortNames" | "categories" | "subresources">>;

const same = (object: KubeObject) => object;

function builtIn(names: Names, strategy: Strategy, printer: Printer): Resource {
  return {
    group: "",
    version: "v1",
    singular: names.kind.toLowerCase(),
    listKind: `${names.kind}List`,
    shortNames: [],
    categories: [],
    subresources: [],
    storage: names.plural,
    schema: builtInSchema(names.kind),
    custom: false,
    toStored: same,
    fromStored: same,
    strategy,
    printer,
    ...names,
  };
}

const EVENTS = builtIn(
  { kind: "Event", plural: "events", namespaced: true, shortNames: ["ev"] },
  EVENT_STRATEGY,
  EVENT_PRINTER,
);

export const BUILT_IN_RESOURCES: readonly Resource[] = [
  builtIn(
    { kind: "ConfigMap", plural: "configmaps", namespaced: true, shortNames: ["cm"] },
    CONFIG_MAP_STRATEGY,
    CONFIG_MAP_PRINTER,
  ),
  builtIn(
    { kind: "Endpoints", plural: "endpoints", namespaced: true, shortNames: ["ep"] },
    ENDPOINTS_STRATEGY,
    ENDPOINTS_PRINTER,
  ),
  EVENTS,
  builtIn(
    {
      kind: "Namespace",
      plural: "namespaces",
      namespaced: false,
      shortNames: ["ns"],
      subresources: ["status", "finalize"],
    },
    NAMESPACE_STRATEGY,
    NAMESPACE_PRINTER,
  ),
  builtIn(
    { kind: "Node", plural: "nodes", namespaced: false, shortNames: ["no"], subresources: ["status"] },
    NODE_STRATEGY,
    NODE_PRINTER,
  ),
  builtIn(
    {
      kind: "Pod",
      plural: "pods",
      namespaced: true,
      shortNames: ["po"],
      categories: ["all"],
      subresources: ["status", "binding", "eviction", "log"],
    },
    POD_STRATEGY,
    POD_PRINTER,
  ),
  builtIn({ kind: "Secret", plural: "secrets", namespaced: true }, SECRET_STRATEGY, SECRET_PRINTER),
  builtIn(
    { kind: "ServiceAccount", plural: "serviceaccounts", namespaced: true, shortNames: ["sa"] },
    SERVICE_ACCOUNT_STRATEGY,
    SERVICE_ACCOUNT_PRINTER,
  ),
  builtIn(
    {
      kind: "Service",
      plural: "services",
      namespaced: true,
      shortNames: ["svc"],
      categories: ["all"],
      subresources: ["status"],
    },
    SERVICE_STRATEGY,
    SERVICE_PRINTER,
  ),
  builtIn(
    { group: "discovery.k8s.io", kind: "EndpointSlice", plural: "endpointslices", namespaced: true },
    ENDPOINT_SLICE_STRATEGY,
    ENDPOINT_SLICE_PRINTER,
  ),
  builtIn(
    {
      group: "networking.k8s.io",
      kind: "NetworkPolicy",
      plural: "networkpolicies",
      namespaced: true,
      shortNames: ["netpol"],
    },
    NETWORK_POLICY_STRATEGY,
    NETWORK_POLICY_PRINTER,
  ),
  builtIn(
    { group: "coordination.k8s.io", kind: "Lease", plural: "leases", namespaced: true },
    LEASE_STRATEGY,
    LEASE_PRINTER,
  ),
  {
    ...EVENTS,
    group: "events.k8s.io",
    schema: builtInSchema("EventsEvent"),
    toStored: eventToStored,
    fromStored: eventFromStored,
  },
  builtIn(
    {
      group: "apiextensions.k8s.io",
      kind: "CustomResourceDefinition",
      plural: "customresourcedefinitions",
      namespaced: false,
      shortNames: ["crd", "crds"],
      categories: ["api-extensions"],
      subresources: ["status"],
    },
    CUSTOM_RESOURCE_DEFINITION_STRATEGY,
    CUSTOM_RESOURCE_DEFINITION_PRINTER,
  ),
];
