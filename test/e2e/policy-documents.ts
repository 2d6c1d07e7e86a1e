/** What `breakwater policy` prints with -o json, as far as tests read it. */

export interface PolicyExplanation {
  readonly from: { readonly name: string; readonly kind: string };
  readonly to: { readonly name: string; readonly port: number; readonly protocol: string };
  readonly allowed: boolean;
  readonly ways: readonly {
    readonly from: string;
    readonly to: string;
    readonly allowed: boolean;
    readonly egress: { readonly allowed: boolean; readonly why: string };
    readonly ingress: { readonly allowed: boolean; readonly why: string };
  }[];
  readonly suggestions: readonly {
    readonly policy: { readonly kind: string; readonly spec: Readonly<Record<string, unknown>> };
  }[];
  readonly notes: readonly string[];
}

export interface NetworkPolicyFinding {
  readonly kind: string;
  readonly namespace: string;
  readonly policy?: string;
  readonly rule?: number;
  readonly hint?: boolean;
}
