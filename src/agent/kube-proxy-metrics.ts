/** Metrics of what kube-proxy left on the node. */
import { Counter, Gauge, type Registry } from "prom-client";

export interface KubeProxyMetrics {
  readonly objects: Gauge<"kind">;
  readonly removed: Counter<"kind">;
  readonly failures: Counter<"kind">;
}

export function createKubeProxyMetrics(registry: Registry): KubeProxyMetrics {
  const registers = [registry];
  return {
    objects: new Gauge({
      name: "breakwater_kube_proxy_objects",
      help: "Chains, rules, tables, virtual servers, links and sets of kube-proxy's that were found at the last look, by kind",
      labelNames: ["kind"],
      registers,
    }),
    removed: new Counter({
      name: "breakwater_kube_proxy_removed_total",
      help: "Objects of kube-proxy's that were removed from this node, by kind (--replace-kube-proxy)",
      labelNames: ["kind"],
      registers,
    }),
    failures: new Counter({
      name: "breakwater_kube_proxy_failures_total",
      help: "Times that kube-proxy's state could not be read or removed, by kind; tried again by itself",
      labelNames: ["kind"],
      registers,
    }),
  };
}
