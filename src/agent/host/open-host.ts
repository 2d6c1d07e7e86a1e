/** The machine that an agent runs on: its modules are loaded, its tuning is opened. */
import { join } from "node:path";
import { readText } from "../../kernel/conf-files.ts";
import { readHostTexts } from "../../kernel/host-texts.ts";
import { modprobe } from "../../kernel/modules/modprobe.ts";
import { readPresentModules } from "../../kernel/modules/read-modules.ts";
import { procSysctl } from "../../kernel/sysctl.ts";
import { readSysctlFiles } from "../../kernel/sysctl-files.ts";
import type { NodeConfig } from "../../model/node-config.ts";
import type { TuningProfile } from "../../model/tuning.ts";
import { neededFeatures } from "../../plan/host/features.ts";
import { parseSysctlFiles } from "../../plan/host/sysctl-files.ts";
import type { Log } from "../log.ts";
import type { HostSurroundings } from "./host-parts.ts";
import { prepareModules } from "./prepare-modules.ts";
import { TUNING_FILE, Tuner } from "./tuner.ts";

export async function openHost(
  config: NodeConfig,
  stateDir: string,
  profile: TuningProfile | undefined,
  log: Log,
): Promise<HostSurroundings> {
  const machine = { present: () => readPresentModules(), texts: () => readHostTexts(), load: modprobe() };
  const prepared = await prepareModules(neededFeatures(config), machine, log);
  const tuner = new Tuner({
    sysctl: procSysctl,
    // Read when a profile is planned: most agents have none.
    files: { assignments: profile === undefined ? [] : parseSysctlFiles(readSysctlFiles()).assignments },
    stateFile: join(stateDir, TUNING_FILE),
    bootId: (readText("/proc/sys/kernel/random/boot_id") ?? "").trim(),
    now: Date.now,
  });
  return { machine, prepared, tuner, profile };
}
