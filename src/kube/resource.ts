/**
 * Names of things in the Kubernetes API and the URL paths that follow from them
 * (https://kubernetes.io/docs/reference/using-api/api-concepts/, "Resource URIs").
 */

/** A kind of object as URLs name it. Any kind, custom ones too. */
export interface ResourceType {
  /** "" for the core group. */
  readonly group: string;
  readonly version: string;
  /** "pods", "networkpolicies". */
  readonly plural: string;
  readonly namespaced: boolean;
}

export interface ObjectAddress {
  readonly resource: ResourceType;
  /** Required where the resource is namespaced. */
  readonly namespace?: string;
  readonly name: string;
  /** "status", "binding", "eviction". */
  readonly subresource?: string;
}

const core = (plural: string, namespaced: boolean): ResourceType => ({ group: "", version: "v1", plural, namespaced });

export const nodes = core("nodes", false);
export const pods = core("pods", true);
export const namespaces = core("namespaces", false);
export const events = core("events", true);
export const configMaps = core("configmaps", true);
export const networkPolicies: ResourceType = {
  group: "networking.k8s.io",
  version: "v1",
  plural: "networkpolicies",
  namespaced: true,
};
/** Of a CustomResourceDefinition: a cluster need not have it. */
export const clusterNetworkPolicies: ResourceType = {
  group: "policy.networking.k8s.io",
  version: "v1alpha2",
  plural: "clusternetworkpolicies",
  namespaced: false,
};
const own = (plural: string): ResourceType => ({
  group: "breakwater.dev",
  version: "v1alpha1",
  plural,
  namespaced: false,
});
/** Of our own CustomResourceDefinitions, in deploy/crds: a cluster need not have them. */
export const bgpPeers = own("bgppeers");
export const bgpConfigurations = own("bgpconfigurations");
export const loadBalancerPools = own("loadbalancerpools");
export const secrets = core("secrets", true);
export const leases: ResourceType = { group: "coordination.k8s.io", version: "v1", plural: "leases", namespaced: true };
export const services = core("services", true);
export const endpointSlices: ResourceType = {
  group: "discovery.k8s.io",
  version: "v1",
  plural: "endpointslices",
  namespaced: true,
};

/** Path of a collection: all namespaces when none is given. */
export function collectionPath(resource: ResourceType, namespace?: string): string {
  const root = resource.group === "" ? `/api/${resource.version}` : `/apis/${resource.group}/${resource.version}`;
  if (!resource.namespaced || namespace === undefined) return `${root}/${resource.plural}`;
  return `${root}/namespaces/${encodeURIComponent(namespace)}/${resource.plural}`;
}

/** @throws RangeError when a namespaced object has no namespace, or a name is empty: the path would mean a collection */
export function objectPath(address: ObjectAddress): string {
  const { resource, namespace, name, subresource } = address;
  if (name === "") throw new RangeError(`Cannot address one of ${resource.plural}: its name is empty`);
  if (resource.namespaced && !namespace)
    throw new RangeError(`Cannot address ${resource.plural} "${name}": it has no namespace`);
  const path = `${collectionPath(resource, namespace)}/${encodeURIComponent(name)}`;
  return subresource === undefined ? path : `${path}/${subresource}`;
}

/** How messages name a resource: "networkpolicies.networking.k8s.io", "pods". */
export function resourceName(resource: ResourceType): string {
  return resource.group === "" ? resource.plural : `${resource.plural}.${resource.group}`;
}
