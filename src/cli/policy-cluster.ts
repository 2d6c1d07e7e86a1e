/** What `breakwater policy` asks the Kubernetes API for: policies, and everybody that they may speak of. */
import { KubeClient } from "../kube/client.ts";
import { loadConnection } from "../kube/config.ts";
import { type ContainerPort, containerPorts } from "../kube/container-ports.ts";
import { asObject } from "../kube/json.ts";
import { type ListWatchClient, listCollection } from "../kube/lister.ts";
import { ObjectReader, type ParseObject } from "../kube/object-reader.ts";
import { parseClusterNetworkPolicy } from "../kube/parse-cluster-network-policy.ts";
import { parseEndpointSlice } from "../kube/parse-endpoint-slice.ts";
import { parseNamespace } from "../kube/parse-namespace.ts";
import { parseNetworkPolicy } from "../kube/parse-network-policy.ts";
import { parseNode } from "../kube/parse-node.ts";
import { parsePod } from "../kube/parse-pod.ts";
import { policyPodOf } from "../kube/parse-policy-pod.ts";
import { parseService } from "../kube/parse-service.ts";
import {
  clusterNetworkPolicies,
  endpointSlices,
  namespaces,
  networkPolicies,
  nodes,
  pods,
  type ResourceType,
  resourceName,
  services,
} from "../kube/resource.ts";
import { SharedValues } from "../kube/shared-values.ts";
import { withProblems } from "../kube/source-options.ts";
import type { ClusterNode, ClusterPod } from "../model/cluster.ts";
import type { ClusterNetworkPolicy } from "../model/cluster-network-policy.ts";
import { isBreakwaterError } from "../model/errors.ts";
import type { PolicyPod } from "../model/policy.ts";
import type { ClusterService, EndpointSlice } from "../model/service.ts";
import type { PolicyCluster } from "../plan/policies/explain.ts";
import { connectionOptions } from "./node-options.ts";
import type { OptionTable, OptionValues } from "./options.ts";

/** A pod as the API has it, and as policies see it where it is one to them. */
export interface KnownPod extends ClusterPod {
  readonly policyPod: PolicyPod | undefined;
  readonly declaredPorts: readonly ContainerPort[];
}

export interface KnownCluster extends PolicyCluster {
  /** Also those of the host network, and those that are over; by "namespace/name". */
  readonly known: ReadonlyMap<string, KnownPod>;
  readonly nodes: ReadonlyMap<string, ClusterNode>;
  /** What is to be known of the policies themselves, a sentence each. */
  readonly notes: readonly string[];
}

export interface KnownServices {
  readonly services: readonly ClusterService[];
  readonly slices: readonly EndpointSlice[];
}

const PAGE_SIZE = 500;

/** Runs with a client that is closed behind it. */
export async function withClient<T>(
  values: OptionValues<typeof connectionOptions>,
  body: (client: KubeClient) => Promise<T>,
): Promise<T> {
  const { kubeconfig, context, "api-server": server } = values;
  const client = new KubeClient(await loadConnection({ kubeconfig, context, server }));
  try {
    return await body(client);
  } finally {
    client.close();
  }
}

/** Options of all verbs that read policies. */
export const clusterOptions = {
  ...connectionOptions,
  "cluster-network-policies": {
    type: "boolean",
    help: "Go by ClusterNetworkPolicies too, even if their status does not say that agents enforce them",
  },
} as const satisfies OptionTable;

/** As the API has it now, not as some cache had it. */
export async function readCluster(
  client: ListWatchClient,
  values: Pick<OptionValues<typeof clusterOptions>, "cluster-network-policies">,
): Promise<KnownCluster> {
  const [policies, known, labels, nodeObjects, tiers] = await Promise.all([
    readAll(client, networkPolicies, withProblems(parseNetworkPolicy)),
    readAll(client, pods, parseKnownPod),
    readAll(client, namespaces, parseNamespace),
    readAll(client, nodes, parseNode),
    readTiers(client, values["cluster-network-policies"]),
  ]);
  return {
    policies: [...policies.values()],
    pods: [...known.values()].flatMap(({ policyPod }) => policyPod ?? []),
    namespaces: new Map([...labels].map(([name, namespace]) => [name, namespace.labels])),
    known,
    nodes: nodeObjects,
    ...tiers,
  };
}

/** Agents enforce them with an option only, and then write so into their status. */
async function readTiers(
  client: ListWatchClient,
  isTold: boolean,
): Promise<Pick<KnownCluster, "clusterNetworkPolicies" | "notes">> {
  let found: readonly ClusterNetworkPolicy[];
  try {
    found = [...(await readAll(client, clusterNetworkPolicies, withProblems(parseClusterNetworkPolicy))).values()];
  } catch (error) {
    // Most clusters do not know them.
    if (isBreakwaterError(error, "BW_KUBE_NOT_FOUND")) return { notes: [] };
    if (isTold || !isBreakwaterError(error, "BW_KUBE_FORBIDDEN")) throw error;
    return {
      notes: ["ClusterNetworkPolicies may not be read with this identity: should there be any, they are left out"],
    };
  }
  if (found.length === 0 || isTold || found.some(({ understood }) => understood !== undefined))
    return { clusterNetworkPolicies: found, notes: [] };
  const note = `${found.length} ClusterNetworkPolicies are left out, for no agent says in their status that it enforces them (--cluster-network-policies goes by them)`;
  return { notes: [note] };
}

export async function readServices(client: ListWatchClient): Promise<KnownServices> {
  const shared = new SharedValues();
  const [found, slices] = await Promise.all([
    readAll(client, services, parseService),
    readAll(client, endpointSlices, (object, report) => parseEndpointSlice(object, report, shared)),
  ]);
  return { services: [...found.values()], slices: [...slices.values()] };
}

/** By "namespace/name" or "name". What cannot be read at all is left out, as the agent leaves it out. */
async function readAll<T>(
  client: ListWatchClient,
  resource: ResourceType,
  parse: ParseObject<T>,
): Promise<ReadonlyMap<string, T>> {
  const reader = new ObjectReader(resourceName(resource), parse, () => undefined);
  const collection = { client, resource, selection: {}, reader, pageSize: PAGE_SIZE };
  const { objects } = await listCollection(collection, undefined, new AbortController().signal);
  return new Map([...objects].flatMap(([key, { value }]) => (value === undefined ? [] : [[key, value] as const])));
}

const parseKnownPod: ParseObject<KnownPod> = (object, report) => {
  const pod = parsePod(object, report);
  const declaredPorts = containerPorts(asObject(object["spec"]) ?? {}, report);
  return { ...pod, policyPod: policyPodOf(pod, () => declaredPorts), declaredPorts };
};
