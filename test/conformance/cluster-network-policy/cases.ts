/**
 * What the conformance suite of ClusterNetworkPolicies expects (kubernetes-sigs/network-policy-api, conformance/, commit
 * 066a9454c5585568d99b22723b847bcf13df6b41, v1alpha2), as data. The ids are the suite's ShortNames. Its four houses are
 * namespaces, with the names and labels that its selectors look for; each has two pods.
 */
import { houseCases } from "./house-cases.ts";
import { orderedCases } from "./ordered-cases.ts";

export type Protocol = "TCP" | "UDP" | "SCTP";
export type Manifest = Readonly<Record<string, unknown>>;

export interface TierCase {
  readonly id: string;
  readonly steps: readonly TierStep[];
}

export interface TierStep {
  readonly title: string;
  /** All policies that there are, of both kinds. */
  readonly policies: readonly Manifest[];
  /** "gryffindor-0 > slytherin-1 TCP 80: denied", or from or to "node2". */
  readonly probes: readonly string[];
  /** Where we decide otherwise, and why: what is expected must then not be found. */
  readonly deviation?: string;
}

export interface House {
  readonly house: string;
  readonly pods: readonly { readonly name: string; readonly node: string; readonly ip: string }[];
}

/** Pods of one house are on two nodes, and each node has pods of several. */
export const houses: readonly House[] = [
  house("gryffindor", ["node1", "10.244.1.11"], ["node2", "10.244.2.11"]),
  house("slytherin", ["node2", "10.244.2.12"], ["node1", "10.244.1.12"]),
  house("hufflepuff", ["node3", "10.244.3.13"], ["node1", "10.244.1.13"]),
  house("ravenclaw", ["node1", "10.244.1.14"], ["node2", "10.244.2.14"]),
  // Of the suite's own tests of selectors: no policy but theirs is about it.
  house("durmstrang", ["node3", "10.244.3.15"]),
];

function house(name: string, ...pods: readonly (readonly [string, string])[]): House {
  return { house: name, pods: pods.map(([node, ip], i) => ({ name: `${name}-${i}`, node, ip })) };
}

/** Of every pod. */
export const PORTS: readonly { readonly name: string; readonly protocol: Protocol; readonly port: number }[] = [
  { name: "web", protocol: "TCP", port: 80 },
  { name: "web-alt", protocol: "TCP", port: 8080 },
  { name: "dns", protocol: "UDP", port: 53 },
  { name: "mdns", protocol: "UDP", port: 5353 },
  { name: "sctp-one", protocol: "SCTP", port: 9003 },
  { name: "sctp-two", protocol: "SCTP", port: 9005 },
];

export interface TierProbe {
  readonly from: string;
  readonly to: string;
  readonly protocol: Protocol;
  readonly port: number;
  readonly allowed: boolean;
}

export function parseProbe(text: string): TierProbe {
  const match = /^(\S+) > (\S+) (TCP|UDP|SCTP) (\d+): (allowed|denied)$/.exec(text);
  if (match === null) throw new SyntaxError(`Cannot parse probe ${JSON.stringify(text)}`);
  const [, from = "", to = "", protocol, port, outcome] = match;
  return { from, to, protocol: protocol as Protocol, port: Number(port), allowed: outcome === "allowed" };
}

export const tierCases: readonly TierCase[] = [...orderedCases(), ...houseCases()];
