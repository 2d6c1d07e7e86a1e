/** The NetworkPolicy cases as data: see the sources that each of them names. */
import { readFileSync } from "node:fs";

export interface CasePod {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Record<string, string>;
  readonly node: string;
  readonly ips: readonly string[];
  readonly ports: readonly {
    readonly name: string;
    readonly port: number;
    readonly protocol: "TCP" | "UDP" | "SCTP";
  }[];
  readonly hostNetwork?: boolean;
}

export interface CaseCluster {
  readonly namespaces: readonly { readonly name: string; readonly labels: Record<string, string> }[];
  readonly pods: readonly CasePod[];
}

export type CaseAction =
  | { readonly op: "applyPolicy"; readonly policy: Record<string, unknown> }
  | { readonly op: "deletePolicy"; readonly namespace: string; readonly name: string }
  | { readonly op: "setNamespaceLabels"; readonly namespace: string; readonly labels: Record<string, string> }
  | {
      readonly op: "setPodLabels";
      readonly namespace: string;
      readonly name: string;
      readonly labels: Record<string, string>;
    };

export type CaseProbe = { readonly port: number; readonly protocol: "TCP" | "UDP" | "SCTP" } & (
  | { readonly pods: readonly string[]; readonly rows: readonly string[] }
  | { readonly from: string; readonly to: string; readonly allowed: boolean }
);

export interface PolicyCase {
  readonly id: string;
  readonly title: string;
  readonly cluster: string | CaseCluster;
  readonly steps: readonly { readonly actions: readonly CaseAction[]; readonly probes: readonly CaseProbe[] }[];
}

const read = (name: string) => JSON.parse(readFileSync(new URL(name, import.meta.url), "utf8"));

export const policyCases: readonly PolicyCase[] = [
  ...read("cases-k8s-e2e.json").cases,
  ...read("cases-recipes.json").cases,
];

const clusters: Readonly<Record<string, CaseCluster>> = read("fixtures.json").clusters;

export function clusterOf({ cluster }: PolicyCase): CaseCluster {
  const found = typeof cluster === "string" ? clusters[cluster] : cluster;
  if (found === undefined) throw new Error(`There is no cluster ${cluster}`);
  return found;
}

/** Every connection of a probe; a table's "-" is none. */
export function* connectionsOf(
  probe: CaseProbe,
): Generator<{ readonly from: string; readonly to: string; readonly allowed: boolean }> {
  if ("from" in probe) {
    yield probe;
    return;
  }
  for (const [i, from] of probe.pods.entries()) {
    for (const [j, to] of probe.pods.entries()) {
      const expected = probe.rows[i]?.[j];
      if (expected !== "-") yield { from, to, allowed: expected === "." };
    }
  }
}
