/**
 * Discovery: which groups, versions and resources there are. Plain documents a group and version, and the aggregated
 * form (KEP-3352) that newer clients ask for to save round trips.
 */

import { apiVersionOf, type Resource } from "../resources/resource.ts";
import type { ResourceTable } from "../resources/resource-table.ts";

const VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const STATUS_VERBS = ["get", "patch", "update"];

/** Requests under an object that are no parts of it, by "resource/name". */
const SUBRESOURCES: Readonly<Record<string, { kind: string; group: string; verbs: readonly string[] }>> = {
  "pods/binding": { kind: "Binding", group: "", verbs: ["create"] },
  "pods/eviction": { kind: "Eviction", group: "policy", verbs: ["create"] },
  "pods/log": { kind: "Pod", group: "", verbs: ["get"] },
  "namespaces/finalize": { kind: "Namespace", group: "", verbs: ["update"] },
};

export function apiVersions(address: string): unknown {
  const serverAddressByClientCIDRs = [{ clientCIDR: "0.0.0.0/0", serverAddress: address }];
  return { kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs };
}

export function apiGroupList(resources: ResourceTable): unknown {
  const groups = [...resources.groups().keys()].map((group) => groupFields(resources, group));
  return { kind: "APIGroupList", apiVersion: "v1", groups };
}

export function apiGroup(resources: ResourceTable, group: string): unknown {
  if (!resources.groups().has(group)) return undefined;
  return { kind: "APIGroup", apiVersion: "v1", ...groupFields(resources, group) };
}

function groupFields(resources: ResourceTable, name: string) {
  const versions = (resources.groups().get(name) ?? []).map((version) => ({
    groupVersion: `${name}/${version}`,
    version,
  }));
  return { name, versions, preferredVersion: versions[0] };
}

export function apiResourceList(resources: ResourceTable, group: string, version: string): unknown {
  const list = resources.inVersion(group, version);
  if (list.length === 0) return undefined;
  const groupVersion = apiVersionOf({ group, version });
  return { kind: "APIResourceList", apiVersion: "v1", groupVersion, resources: list.flatMap(resourceEntries) };
}

function resourceEntries(resource: Resource): unknown[] {
  const { plural: name, singular: singularName, namespaced, kind, shortNames, categories } = resource;
  const entry = {
    name,
    singularName,
    namespaced,
    kind,
    verbs: VERBS,
    ...(shortNames.length > 0 && { shortNames }),
    ...(categories.length > 0 && { categories }),
  };
  const below = resource.subresources.map((subresource) => {
    const special = SUBRESOURCES[`${name}/${subresource}`];
    const own = {
      name: `${name}/${subresource}`,
      singularName: "",
      namespaced,
      kind: special?.kind ?? kind,
      verbs: special?.verbs ?? STATUS_VERBS,
    };
    return special?.group ? { ...own, group: special.group, version: "v1" } : own;
  });
  return [entry, ...below];
}

/** All of the core group (`/api`) or of the others (`/apis`) in one document. */
export function aggregatedDiscovery(resources: ResourceTable, root: "api" | "apis", apiVersion: string): unknown {
  const names = root === "api" ? [""] : [...resources.groups().keys()];
  const items = names.map((name) => ({
    metadata: { ...(name !== "" && { name }), creationTimestamp: null },
    versions: (name === "" ? ["v1"] : (resources.groups().get(name) ?? [])).map((version) => ({
      version,
      freshness: "Current",
      resources: resources.inVersion(name, version).map(aggregatedResource),
    })),
  }));
  return { kind: "APIGroupDiscoveryList", apiVersion, metadata: {}, items };
}

function aggregatedResource(resource: Resource): unknown {
  const { group, version, kind } = resource;
  return {
    resource: resource.plural,
    responseKind: { group, version, kind },
    scope: resource.namespaced ? "Namespaced" : "Cluster",
    singularResource: resource.singular,
    verbs: VERBS,
    ...(resource.shortNames.length > 0 && { shortNames: resource.shortNames }),
    ...(resource.categories.length > 0 && { categories: resource.categories }),
    ...(resource.subresources.length > 0 && {
      subresources: resource.subresources.map((subresource) => {
        const special = SUBRESOURCES[`${resource.plural}/${subresource}`];
        const responseKind = { group: special?.group ?? group, version, kind: special?.kind ?? kind };
        return { subresource, responseKind, verbs: special?.verbs ?? STATUS_VERBS };
      }),
    }),
  };
}
