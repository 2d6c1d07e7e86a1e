/** Everything about a node's kernel in one report, from its files. */
import type { ModuleTexts, TextFile } from "../../model/host-modules.ts";
import type { HostReport, ModuleReport, RequiredSysctlReport, StaleRequestReport } from "../../model/host-report.ts";
import type { DesiredSysctl } from "../../model/state.ts";
import { sameSysctl } from "../../model/sysctl-value.ts";
import { type HostNeeds, type ModuleRow, planFeatures, planModules, planNamedModule } from "./features.ts";
import { moduleFacts } from "./module-facts.ts";
import { parseModuleRequests } from "./module-files.ts";
import type { ModuleFacts } from "./modules.ts";
import { bootSettings, parseSysctlFiles, type SysctlFiles } from "./sysctl-files.ts";

export interface HostTexts {
  readonly modules: ModuleTexts;
  /** modules-load.d and /etc/modules. */
  readonly requests: readonly TextFile[];
  /** sysctl.d, in its order. */
  readonly sysctls: readonly TextFile[];
  /** /etc/sysctl.conf where nothing reads it at boot. */
  readonly unread: TextFile | undefined;
}

export interface HostInput {
  readonly texts: HostTexts;
  /** What the node is told to do. */
  readonly features: HostNeeds;
  readonly required: readonly DesiredSysctl[];
  /** What the kernel has of those; undefined where it has none. */
  readonly read: (name: string) => string | undefined;
}

export function planHostReport({ texts, features, required, read }: HostInput): HostReport {
  const facts = moduleFacts(texts.modules);
  const rows = planModules(facts, features);
  const files = parseSysctlFiles(texts.sysctls);
  return {
    kernel: facts.release,
    modules: rows.map(moduleReport),
    features: planFeatures(rows, features),
    staleRequests: staleRequests(texts.requests, facts),
    sysctls: required.map((sysctl) => requiredReport(sysctl, read(sysctl.name), files)),
    sysctlMistakes: mistakes(files, texts.unread),
    agent: null,
  };
}

function moduleReport({ module, state, detail, remedy, needed, need, load }: ModuleRow): ModuleReport {
  const { features, reason, option, without } = need;
  return { module, state, detail, remedy: remedy ?? null, needed, features, reason, option, without, load };
}

const ABSENT = new Set(["renamed", "absent", "too-old", "blacklisted", "diverted"]);

/** What old guides left: systemd-modules-load fails at it, at every boot. */
function staleRequests(files: readonly TextFile[], facts: ModuleFacts): StaleRequestReport[] {
  return parseModuleRequests(files).flatMap(({ module, where }) => {
    const { state, detail, remedy } = planNamedModule(module, facts);
    return ABSENT.has(state) ? [{ module, where, detail, remedy: remedy ?? null }] : [];
  });
}

function requiredReport(
  { name, value, alsoFine = [], ifThere, cause }: DesiredSysctl,
  current: string | undefined,
  files: SysctlFiles,
): RequiredSysctlReport {
  const good = [value, ...alsoFine];
  const isGood = (text: string) => good.some((one) => sameSysctl(one, text));
  const { winner } = bootSettings(name, files);
  return {
    name,
    value,
    current: current ?? null,
    reason: cause,
    fine: current === undefined ? ifThere === true : isGood(current),
    conflicts: winner === undefined || isGood(winner.value) ? [] : [winner],
  };
}

function mistakes({ mistakes: lines }: SysctlFiles, unread: TextFile | undefined): HostReport["sysctlMistakes"] {
  const unused = unread === undefined ? [] : parseSysctlFiles([unread]).assignments;
  return [
    ...lines.map(({ where, line }) => ({ where, why: `"${line}" is no assignment: systemd-sysctl skips it` })),
    ...unused.map(({ where }) => ({
      where,
      why: "systemd-sysctl does not read this file: put the line into a file of /etc/sysctl.d",
    })),
  ];
}
