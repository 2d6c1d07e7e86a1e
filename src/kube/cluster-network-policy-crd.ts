/**
 * The CustomResourceDefinition of ClusterNetworkPolicies (policy.networking.k8s.io/v1alpha2) with the limits and the rules of
 * the API, experimental fields among them: what a definition does not know, the API server cuts off. tools/reference.ts
 * writes it to deploy/, and the lab installs it.
 */
import { MAX_PRIORITY, POLICY_TIERS, TIER_ACTIONS } from "../model/cluster-network-policy.ts";
import { conditionSchema, list, object, oneOf, type Schema, selector, text } from "./crd-schema.ts";
import { clusterNetworkPolicies } from "./resource.ts";

/** Rules of a direction, peers of a rule, protocols of a rule, networks of a peer. */
const MOST = 25;
const MOST_OF_NAME = 100;
/** Longest CIDR: an IPv6 address with eight groups and three digits of length. */
const CIDR_LENGTH = 43;

const pods = (description: string): Schema =>
  object(
    {
      namespaceSelector: selector("Namespaces; all of them when it is empty or absent."),
      podSelector: selector("Pods in these namespaces; all of them when it is empty."),
    },
    description,
    { required: ["podSelector"] },
  );

const inside = {
  namespaces: selector("All pods of these namespaces, but for those of the host network."),
  pods: pods("Pods by their labels and those of their namespaces, but for those of the host network."),
};

const outside = {
  nodes: selector("Every address in the status of these nodes. Experimental in the API."),
  networks: list(
    text("IPv4 or IPv6, as 10.0.0.0/8 or fd00::/8.", {
      maxLength: CIDR_LENGTH,
      "x-kubernetes-validations": [{ rule: "isCIDR(self)", message: "it is no CIDR" }],
    }),
    "Addresses. Pods inside them are meant, too.",
    { "x-kubernetes-list-type": "set" },
  ),
  domainNames: list(
    text("A name, or *. and a name for all below it.", {
      pattern: String.raw`^(\*\.)?([a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.)+[a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.?$`,
    }),
    "Experimental in the API; Breakwater does not support it: an Accept rule with it matches nothing.",
    { "x-kubernetes-list-type": "set" },
  ),
};

const portNumber = { type: "integer", format: "int32", minimum: 1, maximum: 65_535 };

const withPort = (protocol: string): Schema =>
  object(
    {
      destinationPort: oneOf(
        {
          number: { ...portNumber, description: "One port." },
          range: object(
            {
              start: { ...portNumber, description: "First port." },
              end: { ...portNumber, description: "Last port, greater than the first." },
            },
            "Ports from start to end, both included.",
            {
              required: ["start", "end"],
              "x-kubernetes-validations": [{ rule: "self.start < self.end", message: "start must be less than end" }],
            },
          ),
        },
        "Port that is dialled.",
      ),
    },
    `What of ${protocol} is matched.`,
    { minProperties: 1 },
  );

const protocols = list(
  oneOf(
    {
      tcp: withPort("TCP"),
      udp: withPort("UDP"),
      sctp: withPort("SCTP"),
      destinationNamedPort: text("Name of a container's port, of any protocol. Experimental in the API."),
    },
    "One protocol, or the name of a port.",
  ),
  "What the traffic must be; absent: anything, also what has no ports.",
);

function rules(direction: "ingress" | "egress"): Schema {
  const isIngress = direction === "ingress";
  const [field, who] = isIngress ? ["from", "sends"] : ["to", "is dialled"];
  const peers = isIngress ? inside : { ...inside, ...outside };
  const rule = object(
    {
      name: text("What people call the rule.", { maxLength: MOST_OF_NAME }),
      action: text("Accept and Deny decide. Pass skips what is left of the tier.", { enum: TIER_ACTIONS }),
      [field]: list(oneOf(peers, `Who ${who}.`), `Who ${who}: any of these.`),
      protocols,
    },
    "The first rule that matches counts.",
    { required: ["action", field], ...(isIngress ? {} : { "x-kubernetes-validations": [NAMED_PORTS] }) },
  );
  const empty = `Nothing is said of ${direction} when there are none.`;
  return { type: "array", maxItems: MOST, items: rule, description: `Rules in their order. ${empty}` };
}

const NAMED_PORTS = {
  rule: "!(self.to.exists(peer, has(peer.networks) || has(peer.nodes) || has(peer.domainNames)) && has(self.protocols) && self.protocols.exists(each, has(each.destinationNamedPort)))",
  message: "ports of networks, nodes and domainNames have no names: destinationNamedPort cannot stand beside them",
};

const spec = object(
  {
    tier: text("Admin: before NetworkPolicies. Baseline: for pods that no NetworkPolicy selects.", {
      enum: POLICY_TIERS,
    }),
    priority: {
      type: "integer",
      format: "int32",
      minimum: 0,
      maximum: MAX_PRIORITY,
      description:
        "In a tier, policies with less are looked at first. Of one priority, Breakwater goes by their names.",
    },
    subject: oneOf(inside, "Pods that the policy is about."),
    ingress: rules("ingress"),
    egress: rules("egress"),
  },
  "What is wanted.",
  { required: ["tier", "priority", "subject"] },
);

const status = object(
  {
    conditions: {
      type: "array",
      items: conditionSchema,
      "x-kubernetes-list-type": "map",
      "x-kubernetes-list-map-keys": ["type"],
    },
  },
  "What agents found.",
  { required: ["conditions"] },
);

const { group, plural, version } = clusterNetworkPolicies;

export const CLUSTER_NETWORK_POLICY_CRD = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: {
    name: `${plural}.${group}`,
    // A group of k8s.io needs it (KEP-2337): where the API was approved.
    annotations: { "api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/network-policy-api/pull/347" },
  },
  spec: {
    group,
    scope: "Cluster",
    names: {
      kind: "ClusterNetworkPolicy",
      listKind: "ClusterNetworkPolicyList",
      plural,
      singular: "clusternetworkpolicy",
      shortNames: ["cnp"],
    },
    versions: [
      {
        name: version,
        served: true,
        storage: true,
        subresources: { status: {} },
        additionalPrinterColumns: [
          { name: "Tier", type: "string", jsonPath: ".spec.tier" },
          { name: "Priority", type: "string", jsonPath: ".spec.priority" },
          { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
        ],
        schema: {
          openAPIV3Schema: object(
            {
              apiVersion: { type: "string" },
              kind: { type: "string" },
              metadata: { type: "object" },
              spec,
              status,
            },
            "A policy of the whole cluster, above or below NetworkPolicies.",
            { required: ["metadata", "spec"] },
          ),
        },
      },
    ],
  },
} as const;
