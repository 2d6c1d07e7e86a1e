/** What `breakwater tune` prints. */
import type { TunedRow, TuningDrift, TuningOutcome, TuningState } from "../agent/host/tuner.ts";
import { sysctlDotted, sysctlFields } from "../model/sysctl-value.ts";
import { formatTable } from "./table.ts";

export interface ShownProfile {
  readonly profile: string;
  readonly values: readonly TunedRow[];
}

const SCOPES = {
  node: "the whole node",
  namespace: "the host's own network",
  inherited: "the host's own network, and pods that start later",
} as const;

export function formatShow(
  shown: readonly ShownProfile[],
  applied: TuningState | null,
  drift: readonly TuningDrift[],
): string {
  const head =
    applied === null
      ? "No profile is applied: Breakwater sets what it requires, and nothing else.\n"
      : `Profile ${applied.profile} is applied since ${applied.appliedAt}.\n`;
  const changed = drift.map(({ name, set, found }) => {
    return `${sysctlDotted(name)} was set to ${plain(set)}, and is ${plain(found ?? "gone")} now: somebody else changed it\n`;
  });
  const sections = shown
    .filter(({ values }) => values.length > 0)
    .map(({ profile, values }) => `\n# ${profile}\n\n${values.map(formatRow).join("\n")}`);
  return [head, ...changed, ...sections].join("");
}

function formatRow(row: TunedRow): string {
  const { name, value, reason, known, present, notes } = row;
  const lines: [string, string][] = [
    ["now", present === undefined ? "absent" : plain(present)],
    ["profile", `${plain(value)}${verdict(row)}`],
    ["default", known?.kernelDefault ?? "not known here"],
    ["unit", known === undefined ? "not known here" : known.unit || "none: a switch or a word"],
    ["concerns", known === undefined ? "not known here" : SCOPES[known.scope]],
    ["reason", reason],
    ["source", known?.source ?? "the profile's file"],
    ...notes.map((note): [string, string] => ["note", note]),
  ];
  return `${sysctlDotted(name)}\n${lines.map(([word, text]) => `  ${word.padEnd(8)}  ${text}\n`).join("")}`;
}

function verdict({ action, target, value }: TunedRow): string {
  switch (action) {
    case "set":
      return plain(target ?? "") === plain(value) ? "" : `, joined with what is there: ${plain(target ?? "")}`;
    case "right":
      return ": as it is";
    case "better":
      return ": not set, the machine's is better";
    case "absent":
      return ": cannot be set";
    case "unfit":
      return ": not set";
  }
}

export function formatDiff(profile: string, rows: readonly TunedRow[]): string {
  const changes = rows.filter(({ isDue }) => isDue);
  const left = rows.filter(({ action }) => action !== "set" && action !== "right");
  const table = formatTable(
    ["SYSCTL", "NOW", "WILL BE", "UNIT"],
    changes.map(({ name, present, target, known }) => [
      sysctlDotted(name),
      plain(present ?? ""),
      plain(target ?? ""),
      known?.unit || "-",
    ]),
  );
  const head = changes.length === 0 ? `Profile ${profile} changes nothing here.\n` : table;
  const notes = changes.flatMap(({ name, notes }) => notes.map((note) => `${sysctlDotted(name)}: ${note}\n`));
  const rest = left.map(({ name, action, notes }) => {
    const what = action === "better" ? "stays" : "is not set";
    return `${sysctlDotted(name)} ${what}: ${notes[0] ?? action}\n`;
  });
  return [head, ...(notes.length + rest.length === 0 ? [] : ["\n", ...notes, ...rest])].join("");
}

export function formatOutcomes(outcomes: readonly TuningOutcome[]): string {
  if (outcomes.length === 0) return "Nothing to do.\n";
  const rows = outcomes.map(({ name, from, to, result, error }) => [
    sysctlDotted(name),
    plain(from),
    result === "kept" ? "-" : plain(to),
    result === "kept" ? `left alone: changed since, had ${plain(to)} before` : (error ?? result),
  ]);
  return formatTable(["SYSCTL", "FROM", "TO", "RESULT"], rows);
}

function plain(value: string): string {
  return sysctlFields(value).join(" ") || '""';
}
