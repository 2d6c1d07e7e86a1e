/** Which parts of Breakwater a node's settings use, and which of them its kernel keeps from working. */
import type { HostFeature, ModuleNeed, ModuleStatus } from "../../model/host-modules.ts";
import { isPresent } from "../../model/host-modules.ts";
import type { NodeConfig } from "../../model/node-config.ts";
import { canonical } from "./module-files.ts";
import { MODULE_NEEDS } from "./module-table.ts";
import { type ModuleFacts, planModule } from "./modules.ts";

export interface ModuleRow extends ModuleStatus {
  readonly need: ModuleNeed;
  /** Something that this node is told to do uses it. */
  readonly needed: boolean;
}

export interface FeatureRow {
  readonly feature: HostFeature;
  readonly needed: boolean;
  /** What does not work, and because of which module; empty when all is there, or modprobe would bring it. */
  readonly off: readonly { readonly module: string; readonly without: string; readonly detail: string }[];
}

/** The settings that say which modules a node needs. */
export type HostSettings = Pick<
  NodeConfig,
  "routing" | "masquerade" | "services" | "networkPolicy" | "logDenied" | "flowtable"
>;

/** What a node uses: features, and by name the modules that its settings choose. */
export type HostNeeds = ReadonlySet<string>;

/**
 * In routing auto a node may need VXLAN at any time: a peer behind a router may come.
 * @param hasForeignBridge see required-sysctls.ts
 */
export function neededFeatures(settings: HostSettings, hasForeignBridge = false): HostNeeds {
  const { routing, masquerade, services, networkPolicy, logDenied, flowtable } = settings;
  const ipvs = services?.ipvs;
  const wanted: readonly (readonly [HostFeature | `ip_vs_${string}`, boolean])[] = [
    ["pods", true],
    ["vxlan", routing === "auto" || routing === "vxlan"],
    ["masquerade", masquerade],
    ["services", services !== undefined],
    ["ipvs", ipvs !== undefined],
    [`ip_vs_${ipvs?.scheduler}`, ipvs !== undefined],
    ["policies", networkPolicy === true],
    ["log-denied", networkPolicy === true && logDenied !== undefined],
    ["flowtable", flowtable === true],
    ["foreign-bridge", hasForeignBridge],
  ];
  return new Set(wanted.filter(([, is]) => is).map(([feature]) => feature));
}

export function planModules(facts: ModuleFacts, needs: HostNeeds): ModuleRow[] {
  return MODULE_NEEDS.map((need) => ({ ...planModule(need, facts), need, needed: isNeeded(need, needs) }));
}

/** A module that somebody names: what the table knows of it counts. */
export function planNamedModule(name: string, facts: ModuleFacts): ModuleStatus {
  const module = canonical(name);
  return planModule(MODULE_NEEDS.find((need) => need.module === module) ?? { module }, facts);
}

function isNeeded({ module, features, isChoice }: ModuleNeed, needs: HostNeeds): boolean {
  return isChoice === true ? needs.has(module) : features.some((feature) => needs.has(feature));
}

/** Modules to load, in the order of the table: what is needed, is not there, and modprobe would load. */
export function modulesToLoad(rows: readonly ModuleRow[]): ModuleRow[] {
  return rows.filter(({ needed, state }) => needed && state === "loadable");
}

export function planFeatures(rows: readonly ModuleRow[], needs: HostNeeds): FeatureRow[] {
  const all = [...new Set(MODULE_NEEDS.flatMap((need) => need.features))];
  // One that cannot be told of is no reason to call a feature off.
  const isMissing = (row: ModuleRow) => !isPresent(row) && row.state !== "loadable" && row.state !== "unknown";
  return all.map((feature) => ({
    feature,
    needed: needs.has(feature),
    off: rows
      .filter((row) => row.need.features.includes(feature) && (row.need.isChoice !== true || row.needed))
      .filter(isMissing)
      .map(({ module, need, detail }) => ({ module, without: need.without, detail })),
  }));
}

const HEADER = [
  "# Kernel modules for Breakwater, loaded at boot by systemd-modules-load.service: see modules-load.d(5).",
  "# Written by 'breakwater host --write-modules-load'. The agent loads what is missing by itself; this has it there before.",
];

/** A modules-load.d file of what this node needs; built-in code, and what this kernel has not, is left out. */
export function modulesLoadFile(rows: readonly ModuleRow[]): string {
  const lines = rows
    .filter(({ needed, state }) => needed && (state === "loaded" || state === "loadable"))
    .flatMap(({ module, need }) => [`# ${need.reason}`, module]);
  return `${[...HEADER, ...lines].join("\n")}\n`;
}
