/**
 * A large cluster with many NetworkPolicies, as objects of the API: 10,000 pods in 20 namespaces, 110 of them on the first
 * node, and 50 policies a namespace. Half of these select one application, the others a part of all: each pod is
 * selected by some fifteen. On the first node each namespace has three applications, mostly with two pods each.
 */
import type { JsonObject } from "../../../src/kube/json.ts";
import { parseNamespace } from "../../../src/kube/parse-namespace.ts";
import { parseNetworkPolicy } from "../../../src/kube/parse-network-policy.ts";
import { parsePolicyPod } from "../../../src/kube/parse-policy-pod.ts";
import type { NewObject } from "../../../src/lab/api/store.ts";
import type { PolicyInput } from "../../../src/plan/policies/table.ts";
import { largeNode } from "./large-cluster.ts";

export interface PolicyPopulation {
  readonly namespaces: readonly NewObject[];
  /** Those of the first node come first. */
  readonly pods: readonly NewObject[];
  readonly policies: readonly NewObject[];
}

export const LOCAL_PODS = 110;
const NAMESPACES = 20;
const NODES = 100;
export const TIERS = ["web", "api", "data"] as const;
const APPLICATIONS = 25;
const LOCAL_APPLICATIONS = 3;

/** @param policies multiple of 20 */
export function policyPopulation(policies: number, pods: number): PolicyPopulation {
  return {
    namespaces: Array.from({ length: NAMESPACES }, (_, i) => namespaceObject(i)),
    pods: Array.from({ length: pods }, (_, i) => podObject(i)),
    policies: Array.from({ length: policies }, (_, i) => policyObject(i)),
  };
}

/** The same as the planner takes it. */
export function planInput({ namespaces, pods, policies }: PolicyPopulation): PolicyInput {
  const quiet = () => undefined;
  const parsed = namespaces.map((object) => parseNamespace(object as JsonObject, quiet));
  return {
    nodeName: largeNode(1).name,
    namespaces: new Map(parsed.map(({ name, labels }) => [name, labels])),
    pods: pods.flatMap((object) => parsePolicyPod(object as JsonObject, quiet) ?? []),
    policies: policies.map((object) => parseNetworkPolicy(object as JsonObject, quiet)),
  };
}

const namespaceName = (i: number) => `team-${i % NAMESPACES}`;

function namespaceObject(i: number): NewObject {
  const labels = { team: namespaceName(i), stage: i % 4 === 0 ? "test" : "production" };
  return { apiVersion: "v1", kind: "Namespace", metadata: { name: namespaceName(i), labels } };
}

/** @param number of the pod in its namespace */
export function labelsOf(number: number, applications = LOCAL_APPLICATIONS): Record<"app" | "tier", string> {
  return { app: `app-${number % applications}`, tier: TIERS[number % TIERS.length] ?? "" };
}

/** A pod of the first node asks for its address. */
function podObject(i: number): NewObject {
  const number = Math.floor(i / NAMESPACES);
  const isLocal = i < LOCAL_PODS;
  const node = largeNode(isLocal ? 1 : 2 + ((i - LOCAL_PODS) % (NODES - 1)));
  const host = isLocal ? i : Math.floor((i - LOCAL_PODS) / (NODES - 1));
  const podIP = `${node.podCidr.split(".").slice(0, 3).join(".")}.${host + 2}`;
  const labels = labelsOf(number, isLocal ? LOCAL_APPLICATIONS : APPLICATIONS);
  const ports = [{ name: "http", containerPort: 8000 + (i % 5) }];
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `pod-${i}`, namespace: namespaceName(i), labels, annotations: { "breakwater.dev/ip": podIP } },
    spec: { nodeName: node.name, containers: [{ name: "main", image: "bench", ports }] },
    status: { phase: "Running", podIP, podIPs: [{ ip: podIP }] },
  };
}

function policyObject(i: number): NewObject {
  const number = Math.floor(i / NAMESPACES);
  const metadata = { name: `policy-${number}`, namespace: namespaceName(i) };
  const spec = number % 2 === 0 ? applicationPolicy(number / 2) : partPolicy(number, i);
  return { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata, spec };
}

/** An application is reached by the one before it and by the tests of its team, and reaches the next one. */
function applicationPolicy(number: number): object {
  const app = (offset: number) => ({
    matchLabels: { app: `app-${(number + offset) % APPLICATIONS}` },
  });
  return {
    podSelector: app(0),
    policyTypes: ["Ingress", "Egress"],
    ingress: [
      { from: [{ podSelector: app(APPLICATIONS - 1) }], ports: [{ port: "http" }] },
      {
        from: [{ podSelector: app(1), namespaceSelector: { matchLabels: { stage: "test" } } }],
        ports: [{ port: 9000 }],
      },
    ],
    egress: [{ to: [{ podSelector: app(1) }], ports: [{ port: "http" }, { port: 8000, endPort: 8009 }] }],
  };
}

/** A part of the namespace opens a port of its own: to a tier, to a team, to a block. */
function partPolicy(number: number, i: number): object {
  const tier = TIERS[number % TIERS.length];
  const port = 10_000 + number;
  const block = { cidr: `172.${16 + (number % 16)}.0.0/16`, except: [`172.${16 + (number % 16)}.${i % 256}.0/24`] };
  const ingress = [
    { from: [{ podSelector: { matchLabels: { tier } } }, { ipBlock: block }], ports: [{ port }] },
    {
      from: [{ namespaceSelector: { matchLabels: { team: namespaceName(i + number) } } }],
      ports: [{ port, protocol: "UDP" }],
    },
  ];
  const selector = [
    { matchExpressions: [{ key: "tier", operator: "In", values: [tier, "api"] }] },
    { matchExpressions: [{ key: "tier", operator: "NotIn", values: [tier] }] },
    { matchExpressions: [{ key: "app", operator: "Exists" }] },
  ][number % 3];
  return { podSelector: selector ?? {}, policyTypes: ["Ingress"], ingress };
}
