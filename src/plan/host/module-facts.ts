/** The texts that a machine has of its modules -> facts to plan by. */
import type { ModuleTexts } from "../../model/host-modules.ts";
import {
  canonical,
  parseKernelConfig,
  parseModprobeRules,
  parseModulesBuiltin,
  parseModulesDep,
  parseProcModules,
} from "./module-files.ts";
import type { ModuleFacts } from "./modules.ts";

export function moduleFacts(texts: ModuleTexts): ModuleFacts {
  const { release, folder, procModules, dep, config } = texts;
  return {
    release,
    folder,
    loaded: procModules === undefined ? undefined : parseProcModules(procModules),
    inSysfs: new Set(texts.sysModules.map(canonical)),
    files: dep === undefined ? undefined : parseModulesDep(dep),
    builtin: parseModulesBuiltin(texts.builtin ?? ""),
    rules: parseModprobeRules(texts.rules, texts.commandLine),
    config: config === undefined ? undefined : parseKernelConfig(config),
  };
}
