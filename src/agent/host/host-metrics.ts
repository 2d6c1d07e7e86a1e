/** Metrics of the node's kernel: modules that are missing, sysctls that were changed. */
import { Gauge, type Registry } from "prom-client";

/** Asked when metrics are read. */
export interface HostFigures {
  readonly missing: () => readonly string[];
  readonly drifted: () => readonly string[];
}

export function createHostMetrics(registry: Registry, { missing, drifted }: HostFigures): void {
  const registers = [registry];
  new Gauge({
    name: "breakwater_modules_missing",
    help: "1 for each kernel module that this node needs and cannot have",
    labelNames: ["module"],
    registers,
    collect() {
      this.reset();
      for (const module of missing()) this.set({ module }, 1);
    },
  });
  new Gauge({
    name: "breakwater_sysctl_drift",
    help: "1 for each sysctl of the applied tuning profile that somebody changed since; required ones are repaired",
    labelNames: ["sysctl"],
    registers,
    collect() {
      this.reset();
      for (const sysctl of drifted()) this.set({ sysctl }, 1);
    },
  });
}
