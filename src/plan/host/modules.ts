/**
 * How each module stands on a machine, and what modprobe(8) would do about it: dependencies, soft dependencies, blacklists,
 * install lines, built-in code. Said before anything is loaded, so that a dry run and an error can say why.
 */
import type { ModuleNeed, ModuleStatus } from "../../model/host-modules.ts";
import { kernelIsAtLeast } from "../../model/kernel-version.ts";
import { canonical, type ModprobeRules, type ModuleFile, matchesAlias } from "./module-files.ts";
import { FORMER_MODULES } from "./module-table.ts";

export interface ModuleFacts {
  /** uname -r. */
  readonly release: string;
  /** Undefined: this kernel has no modules at all (no /proc/modules). */
  readonly loaded: ReadonlySet<string> | undefined;
  /** Folders of /sys/module: modules that are loaded, and built-in ones that have a parameter or a version. */
  readonly inSysfs: ReadonlySet<string>;
  /** modules.dep of this release; undefined when there is none. */
  readonly files: ReadonlyMap<string, ModuleFile> | undefined;
  readonly builtin: ReadonlySet<string>;
  readonly rules: ModprobeRules;
  /** The kernel's configuration; undefined when it cannot be read. */
  readonly config: ReadonlyMap<string, string> | undefined;
  /** Folder of the modules, for messages: "/lib/modules/6.1.0". */
  readonly folder: string;
}

type Wanted = Pick<ModuleNeed, "module"> & Partial<Pick<ModuleNeed, "option" | "since">>;

/** @param need a row of the table, or only a name that somebody asks for */
export function planModule(need: Wanted, facts: ModuleFacts): ModuleStatus {
  const module = canonical(need.module);
  const status = (state: ModuleStatus["state"], detail = "", remedy?: string, load: readonly string[] = []) => ({
    module,
    state,
    detail,
    ...(remedy === undefined ? {} : { remedy }),
    load,
  });
  if (facts.loaded?.has(module)) return status("loaded");
  if (isBuiltIn(module, need.option, facts)) return status("built-in");
  const former = renamed(module, facts);
  if (former !== undefined) return status("renamed", former.detail, former.remedy);
  if (need.since !== undefined && !kernelIsAtLeast(facts.release, need.since) && !facts.files?.has(module)) {
    const detail = `it came with Linux ${need.since}, and this is ${facts.release}`;
    return status("too-old", detail, `Boot Linux ${need.since} or newer`);
  }
  const [real, ...others] = resolve(module, facts);
  if (real === undefined) return { ...status("absent"), ...whyAbsent(module, need.option, facts) };
  const refused = refusal(real, facts);
  if (refused !== undefined) return { ...status(refused.state, refused.detail), remedy: refused.remedy };
  const load = loadOrder(real, facts);
  for (const other of others) loadOrder(other, facts, load);
  const blocked = load
    .map((name) => [name, refusal(name, facts)] as const)
    .find(([, why]) => why?.state === "diverted");
  if (blocked?.[1] !== undefined) {
    const [name, why] = blocked;
    return status("diverted", `it needs ${name}, and ${why?.detail}`, why?.remedy);
  }
  return status("loadable", real === module ? "" : `as ${real}`, undefined, load);
}

function isBuiltIn(module: string, option: string | undefined, facts: ModuleFacts): boolean {
  if (facts.builtin.has(module)) return true;
  if (option !== undefined && facts.config?.get(option) === "y" && !facts.files?.has(module)) return true;
  // Loaded modules are in both; where one is here alone it is part of the kernel.
  return facts.inSysfs.has(module) && facts.loaded?.has(module) !== true;
}

function renamed(module: string, { release, files }: ModuleFacts): { detail: string; remedy: string } | undefined {
  const former = Object.hasOwn(FORMER_MODULES, module) ? FORMER_MODULES[module] : undefined;
  if (former === undefined || files?.has(module) || !kernelIsAtLeast(release, former.goneSince)) return undefined;
  return {
    detail: `it is gone since Linux ${former.goneSince}, and this is ${release}: ${former.instead} does its work`,
    remedy: `Load ${former.instead} instead; guides that name ${module} are older than Linux ${former.goneSince}`,
  };
}

/** The module of that name, or all that have that alias: modprobe loads each of them. */
function resolve(module: string, { files, rules }: ModuleFacts): string[] {
  if (files === undefined) return [];
  if (files.has(module)) return [module];
  const named = rules.aliases.filter(([pattern, target]) => files.has(target) && matchesAlias(pattern, module));
  return [...new Set(named.map(([, target]) => target))];
}

function whyAbsent(
  module: string,
  option: string | undefined,
  { release, loaded, files, config, folder }: ModuleFacts,
): Pick<ModuleStatus, "detail" | "remedy" | "state"> {
  const set = option === undefined ? undefined : config?.get(option);
  const anotherKernel = `Boot a kernel with ${option ?? module}, such as the distribution's own`;
  if (config !== undefined && option !== undefined && set === undefined) {
    return { state: "absent", detail: `this kernel was built without ${option}`, remedy: anotherKernel };
  }
  if (loaded === undefined) {
    if (config === undefined) {
      const detail =
        "this kernel has no modules, and its configuration cannot be read: whether it is built in is not known";
      return { state: "unknown", detail, remedy: "Look whether what needs it works" };
    }
    if (option === undefined) {
      const detail = "this kernel has no modules, and which of its options would have this built in is not known here";
      return { state: "unknown", detail, remedy: "Look whether what needs it works" };
    }
    return { state: "absent", detail: `this kernel has no modules, and ${option} is ${set}`, remedy: anotherKernel };
  }
  if (files === undefined) {
    const remedy = "Reboot when the kernel was upgraded; in a container mount the host's /lib/modules";
    return { state: "absent", detail: `there is no ${folder}/modules.dep for the kernel that runs`, remedy };
  }
  const remedy =
    "Check the name; some distributions keep it in a package of its own (linux-modules-extra, kernel-modules-extra)";
  const built = set === "m" ? `: ${option} is m, so its file is missing` : "";
  return { state: "absent", detail: `Linux ${release} has no module of that name in ${folder}${built}`, remedy };
}

/** What modprobe.d says against a module. */
function refusal(
  module: string,
  { rules }: ModuleFacts,
): { state: "blacklisted" | "diverted"; detail: string; remedy: string } | undefined {
  const install = rules.install.get(module);
  if (install !== undefined) {
    const detail = `${install.where} has "${install.command}" run in its place`;
    return { state: "diverted", detail, remedy: `Remove that line, or load ${module} yourself` };
  }
  const blacklist = rules.blacklist.get(module);
  if (blacklist === undefined) return undefined;
  const detail = `${blacklist.where} blacklists it`;
  return { state: "blacklisted", detail, remedy: `Remove that line, or load it yourself: modprobe ${module}` };
}

/**
 * What modprobe loads, in its order: dependencies (modules.dep has the last first), soft dependencies before, the module,
 * soft dependencies behind. A soft dependency that is missing or blacklisted is left out: it is a wish.
 */
function loadOrder(module: string, facts: ModuleFacts, order: string[] = [], above: readonly string[] = []): string[] {
  const isThere = facts.loaded?.has(module) || facts.builtin.has(module);
  const file = facts.files?.get(module);
  if (isThere || order.includes(module) || above.includes(module) || file === undefined) return order;
  const inside = [...above, module];
  const wishes = (names: readonly string[]) => {
    for (const name of names) {
      for (const real of resolve(name, facts)) {
        if (refusal(real, facts) === undefined) loadOrder(real, facts, order, inside);
      }
    }
  };
  const soft = facts.rules.softdeps.get(module);
  for (const name of [...file.dependencies].reverse()) loadOrder(name, facts, order, inside);
  wishes(soft?.pre ?? []);
  order.push(module);
  wishes(soft?.post ?? []);
  return order;
}
