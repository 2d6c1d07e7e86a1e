/**
 * NetworkPolicies as plans need them: fields of networking.k8s.io/v1, parsed and canonical. What could not be understood
 * admits nothing.
 */
import type { Labels } from "./cluster.ts";
import type { Ip } from "./ip.ts";
import type { Prefix } from "./prefix.ts";
import type { Selector } from "./selector.ts";
import type { ServiceProtocol } from "./service.ts";

export type PolicyPeer =
  | {
      readonly kind: "pods";
      /** Of which namespaces; undefined: the policy's own. */
      readonly namespaces?: Selector;
      readonly pods: Selector;
    }
  | { readonly kind: "block"; readonly prefix: Prefix; readonly except: readonly Prefix[] };

export interface PolicyPort {
  readonly protocol: ServiceProtocol;
  /** A number, or the name of a port of the pod that is dialled; undefined: every port of the protocol. */
  readonly port?: number | string;
  /** The last port of a range that begins with {@link port}. */
  readonly endPort?: number;
}

export interface PolicyRule {
  /** Undefined: anybody. Empty: nobody that could be understood. */
  readonly peers?: readonly PolicyPeer[];
  /** Undefined: every port. Empty: none that could be understood. */
  readonly ports?: readonly PolicyPort[];
}

/** Of the pod that a policy selects: what it is sent, and what it sends. */
export type PolicyDirection = "ingress" | "egress";

export interface ClusterPolicy {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Which pods of its namespace it selects. */
  readonly pods: Selector;
  /** Undefined: the policy says nothing of this direction. Empty: nothing is admitted. */
  readonly ingress?: readonly PolicyRule[];
  readonly egress?: readonly PolicyRule[];
  /** What of the object could not be understood, a sentence each. */
  readonly problems?: readonly string[];
}

/** A pod as policies see it. Pods of the host network have their node's address and are no pods to policies. */
export interface PolicyPod {
  readonly namespace: string;
  readonly name: string;
  /** Tells it from an older pod of the same name. */
  readonly uid?: string;
  readonly labels: Labels;
  readonly nodeName: string;
  readonly ips: readonly Ip[];
  readonly ports: readonly { readonly name: string; readonly protocol: ServiceProtocol; readonly port: number }[];
}
