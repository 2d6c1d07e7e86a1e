/**
 * What a tuning profile would change on a machine: each value beside what is there, joined field by field so that no
 * better value is ever lowered. Pasting an old guide's tcp_rmem keeps today's larger fields.
 */
import { formatRanges, parseRanges, sameSysctl, sysctlFields, sysctlNumber } from "../../model/sysctl-value.ts";
import type { KnownSysctl, TuningProfile, TuningRule, TuningValue } from "../../model/tuning.ts";
import { FORMER_SYSCTLS, KNOWN_SYSCTLS } from "./known-sysctls.ts";
import { type BootSettings, bootSettings, type SysctlFiles } from "./sysctl-files.ts";
import { tuningNotes } from "./tuning-notes.ts";

/**
 * set: the machine's value becomes `target`. right: it is that already. better: it is better than the profile's and
 * stays. absent: this kernel has no such sysctl. unfit: kernel and profile do not mean the same kind of value.
 */
export type TuningAction = "set" | "right" | "better" | "absent" | "unfit";

export interface TuningRow extends TuningValue {
  readonly rule: TuningRule;
  readonly known: KnownSysctl | undefined;
  /** Undefined where this kernel has no such sysctl, or it cannot be read. */
  readonly current: string | undefined;
  /** What the machine is to have: never worse than `current`. */
  readonly target: string | undefined;
  readonly action: TuningAction;
  /** What there is to know beside that: who sets it at boot, what it does not do, what was kept. */
  readonly notes: readonly string[];
  readonly boot: BootSettings;
}

export interface TuningInput {
  readonly profile: TuningProfile;
  /** By name with slashes; absent where this kernel has none. */
  readonly current: ReadonlyMap<string, string>;
  readonly files: Pick<SysctlFiles, "assignments">;
}

export function planTuning({ profile, current, files }: TuningInput): TuningRow[] {
  return profile.values.map(({ rule: asked, ...wanted }) => {
    const known = KNOWN_SYSCTLS.get(wanted.name);
    const rule = asked ?? known?.rule ?? "exactly";
    const now = current.get(wanted.name);
    const boot = bootSettings(wanted.name, files);
    const common = { ...wanted, rule, known, current: now, boot };
    if (now === undefined) {
      const gone = Object.hasOwn(FORMER_SYSCTLS, wanted.name) ? FORMER_SYSCTLS[wanted.name] : undefined;
      const why = gone ?? "this kernel has no such sysctl; its module may not be loaded";
      return { ...common, target: undefined, action: "absent" as const, notes: [why] };
    }
    const joined = joinValues(rule, wanted.value, now, known?.unlimited);
    if ("unfit" in joined) return { ...common, target: undefined, action: "unfit" as const, notes: [joined.unfit] };
    const { target } = joined;
    const action = !sameSysctl(target, now) ? "set" : sameSysctl(target, wanted.value) ? "right" : "better";
    const notes = [
      ...keptNotes(wanted.value, now, target),
      ...tuningNotes({ ...wanted, known, current: now }),
      ...bootNotes(target, boot),
    ];
    return { ...common, target, action, notes } as const;
  });
}

type Joined = { readonly target: string } | { readonly unfit: string };

/**
 * The better of two values, field by field.
 * @param unlimited fields that mean "without limit"
 */
export function joinValues(
  rule: TuningRule,
  wanted: string,
  current: string,
  unlimited: readonly string[] = [],
): Joined {
  if (rule === "exactly") return { target: sysctlFields(wanted).join(" ") };
  if (rule === "with") return joinRanges(wanted, current);
  const [ours, theirs] = [sysctlFields(wanted), sysctlFields(current)];
  if (ours.length !== theirs.length) {
    return { unfit: `the kernel has ${theirs.length} fields ("${theirs.join(" ")}"), not ${ours.length}` };
  }
  const fields: string[] = [];
  for (const [i, own] of ours.entries()) {
    const other = theirs[i] ?? "";
    const [a, b] = [sysctlNumber(own), sysctlNumber(other)];
    if (a === undefined || b === undefined) {
      return { unfit: `"${a === undefined ? own : other}" is no whole number, so neither is better: use rule exactly` };
    }
    const higher = rule === "at-least" || (rule === "widest" && i === ours.length - 1);
    fields.push(pick(higher, { text: own, size: a }, { text: other, size: b }, unlimited));
  }
  return { target: fields.join(" ") };
}

interface Field {
  readonly text: string;
  readonly size: bigint;
}

function pick(higher: boolean, own: Field, other: Field, unlimited: readonly string[]): string {
  const [ownEnds, otherEnds] = [!unlimited.includes(own.text), !unlimited.includes(other.text)];
  if (ownEnds !== otherEnds) return ownEnds === higher ? other.text : own.text;
  return own.size > other.size === higher ? own.text : other.text;
}

function joinRanges(wanted: string, current: string): Joined {
  try {
    const [ours, theirs] = [parseRanges(wanted), parseRanges(current)];
    const target = formatRanges([...ours, ...theirs]);
    return { target: target === formatRanges(theirs) ? current : target };
  } catch (error) {
    return { unfit: (error as SyntaxError).message };
  }
}

/** Says which fields of the profile would have been a step back. */
function keptNotes(wanted: string, current: string, target: string): string[] {
  const [ours, theirs, result] = [sysctlFields(wanted), sysctlFields(current), sysctlFields(target)];
  if (ours.length !== result.length) return [];
  const kept = result.flatMap((field, i) => (field === ours[i] ? [] : [`${theirs[i]} stays, not ${ours[i]}`]));
  if (kept.length === 0) return [];
  return [`the machine's ${result.length > 1 ? "fields are" : "value is"} better: ${kept.join(", ")}`];
}

function bootNotes(target: string, { winner, overruled }: BootSettings): string[] {
  if (winner === undefined || sameSysctl(winner.value, target)) return [];
  const others = overruled.length === 0 ? "" : ` (${overruled.map(({ where }) => where).join(", ")} set it, too)`;
  return [`${winner.where} sets it to ${winner.value} at boot${others}`];
}
