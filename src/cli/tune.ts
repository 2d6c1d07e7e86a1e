/** `breakwater tune`: tuning profiles shown, compared with this machine, applied, and taken back. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { TUNING_FILE, Tuner, type TuningOutcome } from "../agent/host/tuner.ts";
import { readText } from "../kernel/conf-files.ts";
import { sysctlsAt } from "../kernel/sysctl.ts";
import { readSysctlFiles } from "../kernel/sysctl-files.ts";
import { TUNING_PROFILES, type TuningProfile } from "../model/tuning.ts";
import { PROFILES } from "../plan/host/profiles.ts";
import { parseSysctlFiles } from "../plan/host/sysctl-files.ts";
import { refuseWithoutRights } from "./node-options.ts";
import {
  type CommandSpec,
  formatHelp,
  type OptionTable,
  type OptionValues,
  parseOptions,
  usageError,
} from "./options.ts";
import { outputOption, type Print, printer } from "./output.ts";
import { loadProfileFile } from "./profile-file.ts";
import { formatDiff, formatOutcomes, formatShow } from "./tune-text.ts";

const options = {
  "profile-file": { type: "string", value: "FILE", help: "A profile of your own, in YAML: docs/design/host.md" },
  "state-dir": {
    type: "string",
    value: "DIR",
    default: "/run/breakwater",
    help: "Where it is kept what the sysctls had before",
  },
  root: { type: "string", value: "DIR", default: "", help: "Where the machine's own / is mounted, in a container" },
  ...outputOption,
} as const satisfies OptionTable;

export const tuneSpec = {
  usage: "breakwater tune show|diff|apply|undo [PROFILE] [options]",
  summary:
    "Tunes this machine's sysctls by a profile (throughput, latency, scale), and never lowers a better value. show: each with its reason, source, unit, default and present value; diff: what would change; apply; undo: what was before.",
  positionals: [1, 2],
  options,
} as const satisfies CommandSpec;

const ACTIONS = ["show", "diff", "apply", "undo"] as const;

export async function tune(args: readonly string[]): Promise<number> {
  const parsed = parseOptions(tuneSpec, args);
  if (parsed === undefined) {
    process.stdout.write(formatHelp(tuneSpec));
    return 0;
  }
  const { values, positionals } = parsed;
  const print = printer(tuneSpec, values.output);
  const [action = ""] = positionals;
  const known = ACTIONS.find((word) => word === action);
  if (known === undefined) throw usageError(tuneSpec, `Unknown word "${action}": use ${ACTIONS.join(", ")}`);
  const tuner = openTuner(values);
  if (known === "undo") {
    if (positionals[1] !== undefined) throw usageError(tuneSpec, "undo takes back what is applied, whatever profile");
    refuseWithoutRights("tune undo");
    return report(tuner.undo(), print);
  }
  const profiles = await chosenProfiles(positionals[1], values, tuner);
  if (known === "show") {
    const shown = profiles.map((profile) => ({ profile: profile.name, values: tuner.plan(profile) }));
    const applied = tuner.state() ?? null;
    const drift = tuner.drift();
    print({ applied, drift, profiles: shown }, () => formatShow(shown, applied, drift));
    return 0;
  }
  const [profile] = profiles;
  if (profile === undefined || profiles.length > 1) {
    throw usageError(tuneSpec, `Which profile? ${TUNING_PROFILES.join(", ")}, or --profile-file`);
  }
  if (known === "apply") {
    refuseWithoutRights("tune apply");
    return report(tuner.apply(profile), print);
  }
  const rows = tuner.plan(profile);
  print({ profile: profile.name, values: rows }, () => formatDiff(profile.name, rows));
  return rows.some(({ isDue }) => isDue) ? 1 : 0;
}

function openTuner({ root, "state-dir": folder }: OptionValues<typeof options>): Tuner {
  if (!existsSync(`${root}/proc/sys`)) throw usageError(tuneSpec, `--root ${root} has no proc/sys below it`);
  return new Tuner({
    sysctl: sysctlsAt(root),
    files: parseSysctlFiles(readSysctlFiles(root)),
    stateFile: join(folder, TUNING_FILE),
    bootId: (readText(`${root}/proc/sys/kernel/random/boot_id`) ?? "").trim(),
    now: Date.now,
  });
}

/** Without a name: what is applied; where nothing is, all that there are. */
async function chosenProfiles(
  name: string | undefined,
  values: OptionValues<typeof options>,
  tuner: Tuner,
): Promise<TuningProfile[]> {
  const file = values["profile-file"];
  if (file !== undefined) {
    if (name !== undefined) throw usageError(tuneSpec, `Give ${name} or --profile-file, not both`);
    return [await loadProfileFile(file)];
  }
  if (name !== undefined) {
    const known = TUNING_PROFILES.find((one) => one === name);
    if (known !== undefined) return [PROFILES[known]];
    throw usageError(tuneSpec, `There is no profile "${name}": use ${TUNING_PROFILES.join(", ")}, or --profile-file`);
  }
  const applied = TUNING_PROFILES.find((known) => known === tuner.state()?.profile);
  return applied === undefined ? TUNING_PROFILES.map((known) => PROFILES[known]) : [PROFILES[applied]];
}

function report(outcomes: readonly TuningOutcome[], print: Print): number {
  print({ outcomes }, () => formatOutcomes(outcomes));
  if (outcomes.some(({ result }) => result === "failed")) return 2;
  return outcomes.some(({ result }) => result === "kept") ? 1 : 0;
}
