/** What `breakwater host` prints. */
import type { ModuleStatus } from "../model/host-modules.ts";
import type { AgentHostReport, HostReport, ModuleReport } from "../model/host-report.ts";
import { sysctlDotted } from "../model/sysctl-value.ts";
import { formatAge } from "./bgp.ts";
import { formatTable } from "./table.ts";

/** @param now seconds since 1970 */
export function formatHost(report: HostReport, now = Date.now() / 1000): string {
  const { kernel, agent } = report;
  const head =
    agent === null
      ? `Linux ${kernel}; no agent answers here, or the options ask of another mode: what is needed is by the options, or their defaults\n`
      : `Linux ${kernel}; node ${agent.node}\n`;
  const parts = [
    head,
    formatFeatures(report),
    formatTable(["MODULE", "STATE", "NEEDED", "FOR", "WHAT IT DOES"], report.modules.map(moduleRow)),
    formatMissing(report.modules),
    formatSysctls(report),
    ...(agent === null ? [] : [formatAgent(agent, now)]),
    formatStale(report),
  ];
  return parts.filter((part) => part !== "").join("\n");
}

function formatFeatures({ features }: HostReport): string {
  const off = features.filter((feature) => feature.needed && feature.off.length > 0);
  if (off.length === 0) return "Everything that this node is told to do has its modules, or can load them.\n";
  const lines = off.flatMap((feature) =>
    feature.off.map(({ module, without, detail }) => `OFF: ${feature.feature}: ${without}: ${module}: ${detail}\n`),
  );
  return lines.join("");
}

function moduleRow({ module, state, needed, features, reason }: ModuleReport): string[] {
  return [module, state, needed ? "yes" : "-", features.join(","), reason];
}

function formatMissing(modules: readonly ModuleReport[]): string {
  const lines = modules.flatMap(({ module, state, detail, remedy, needed, option }) => {
    if (state === "loadable" && needed) return [`${module} is not loaded: the agent loads it when it starts\n`];
    if (!/^(loaded|built-in|loadable)$/.test(state)) {
      return [`${module} (${option}): ${detail}\n${needed && remedy !== null ? `  -> ${remedy}\n` : ""}`];
    }
    return [];
  });
  return lines.join("");
}

function formatSysctls({ sysctls, sysctlMistakes }: HostReport): string {
  const rows = sysctls.map(({ name, value, current, fine, reason }) => [
    sysctlDotted(name),
    value,
    current ?? "absent",
    fine ? "yes" : "NO",
    reason,
  ]);
  const conflicts = sysctls.flatMap(({ name, value, conflicts: files }) =>
    files.map(
      (file) =>
        `${file.where} sets ${sysctlDotted(name)} to ${file.value} at boot: the agent sets it to ${value} again\n`,
    ),
  );
  const mistakes = sysctlMistakes.map(({ where, why }) => `${where}: ${why}\n`);
  return [formatTable(["REQUIRED SYSCTL", "VALUE", "NOW", "FINE", "REASON"], rows), ...conflicts, ...mistakes].join("");
}

function formatAgent({ moduleFailures, loaded, repairs, tuning, drift }: AgentHostReport, now: number): string {
  const when = (at: number) => `${new Date(at * 1000).toISOString()} (${formatAge(now - at)} ago)`;
  return [
    ...(loaded.length === 0 ? [] : [`Loaded by the agent: ${loaded.join(", ")}\n`]),
    ...moduleFailures.map(({ error, without }) => `${error}: ${without}\n`),
    `Tuning profile: ${tuning ?? "off"}\n`,
    ...repairs.map(({ name, value, found, at, error }) => {
      const outcome = error === null ? `set to ${value} again` : `NOT repaired: ${error}`;
      return `${when(at)}: ${sysctlDotted(name)} was found at ${found}, ${outcome}\n`;
    }),
    ...drift.map(({ name, value, found, since }) => {
      return `since ${when(since)}: ${sysctlDotted(name)} is ${found ?? "gone"}, the profile set it to ${value}; not repaired\n`;
    }),
  ].join("");
}

function formatStale({ staleRequests }: HostReport): string {
  return staleRequests
    .map(
      ({ where, module, detail, remedy }) =>
        `${where} asks for ${module}: ${detail}\n${remedy === null ? "" : `  -> ${remedy}\n`}`,
    )
    .join("");
}

export function formatModule({ module, state, detail, remedy, load }: ModuleStatus): string {
  return [
    `${module}: ${state}${detail === "" ? "" : `: ${detail}`}\n`,
    ...(load.length === 0 ? [] : [`modprobe would load: ${load.join(", ")}\n`]),
    ...(remedy === undefined ? [] : [`  -> ${remedy}\n`]),
  ].join("");
}
