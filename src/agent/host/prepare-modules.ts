/** Loads the kernel modules that a node's settings need and its kernel has not loaded, before anything uses them. */

import type { LoadModule } from "../../kernel/modules/modprobe.ts";
import { describeError, messageOf } from "../../model/errors.ts";
import { isPresent, type ModuleTexts } from "../../model/host-modules.ts";
import { type HostNeeds, type ModuleRow, modulesToLoad, planModules } from "../../plan/host/features.ts";
import { moduleFacts } from "../../plan/host/module-facts.ts";
import type { HostTexts } from "../../plan/host/report.ts";
import type { Log } from "../log.ts";

/** A machine's files and its modprobe. */
export interface HostMachine {
  readonly present: () => ModuleTexts;
  readonly texts: () => HostTexts;
  readonly load: LoadModule;
}

export interface ModuleFailure {
  readonly module: string;
  readonly error: string;
  readonly without: string;
}

export interface PreparedModules {
  /** What modprobe loaded now, without what these depend on. */
  readonly loaded: readonly string[];
  readonly failures: readonly ModuleFailure[];
}

/** Costs next to nothing where all is there. A module that cannot be had stops nobody: it is said what is off. */
export async function prepareModules(features: HostNeeds, machine: HostMachine, log: Log): Promise<PreparedModules> {
  const present = moduleFacts(machine.present());
  // A kernel without modules: nothing can be loaded, and what it lacks is told of behind the start.
  if (present.loaded === undefined) return { loaded: [], failures: [] };
  if (missing(planModules(present, features)).length === 0) return { loaded: [], failures: [] };
  const rows = planModules(moduleFacts(machine.texts().modules), features);
  const errors = new Map<string, string>();
  const wanted = modulesToLoad(rows);
  for (const { module } of wanted) {
    try {
      await machine.load(module);
    } catch (error) {
      errors.set(module, describeError(error));
    }
  }
  const now = moduleFacts(machine.present());
  const gained = wanted.filter(({ module, load }) => now.loaded?.has(load.at(-1) ?? module) || now.loaded?.has(module));
  const loaded = gained.map(({ module }) => module);
  if (loaded.length > 0) log.info({ modules: loaded }, "kernel modules loaded");
  const failures = missing(rows)
    .filter(({ module, state }) => !loaded.includes(module) && state !== "unknown")
    .map(({ module, detail, remedy, need }) => ({
      module,
      error: errors.get(module) ?? sentence(module, detail, remedy),
      without: need.without,
    }));
  for (const { module, error, without } of failures) log.error({ code: "BW_MODULE", module, error }, `off: ${without}`);
  return { loaded, failures };
}

function missing(rows: readonly ModuleRow[]): ModuleRow[] {
  return rows.filter((row) => row.needed && !isPresent(row));
}

function sentence(module: string, detail: string, remedy: string | undefined): string {
  const why = detail === "" ? "modprobe succeeded, and it is not there all the same" : detail;
  return `Kernel module ${module} cannot be had: ${why}${remedy === undefined ? "" : `\n  -> ${remedy}`}`;
}

/** One module more, found to be needed later. @returns undefined when it is there now */
export async function loadLater(module: string, { load }: Pick<HostMachine, "load">): Promise<string | undefined> {
  try {
    await load(module);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}
