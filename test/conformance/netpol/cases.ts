/** The NetworkPolicy cases as data: see the sources that each of them names. */
import upstream from "./cases-k8s-e2e.json" with { type: "json" };
import recipes from "./cases-recipes.json" with { type: "json" };
import fixtures from "./fixtures.json" with { type: "json" };

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

// What the compiler makes of so much JSON is a type of its own for each object.
export const policyCases = [...upstream.cases, ...recipes.cases] as unknown as readonly PolicyCase[];

const clusters = fixtures.clusters as unknown as Readonly<Record<string, CaseCluster>>;

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
