/**
 * Applies a tuning profile and takes it back. What a sysctl had before is on disk, flushed, before the first is written:
 * whatever happens in between, undo finds it. A value that somebody else changed since is his: it is told of, not undone.
 */
import { readFileSync, rmSync } from "node:fs";
import { writeFileAtomic } from "../../cni/atomic-file.ts";
import type { Sysctl } from "../../kernel/sysctl.ts";
import { BreakwaterError, isBreakwaterError, messageOf } from "../../model/errors.ts";
import { sameSysctl } from "../../model/sysctl-value.ts";
import type { TuningProfile } from "../../model/tuning.ts";
import type { SysctlFiles } from "../../plan/host/sysctl-files.ts";
import { planTuning, type TuningRow } from "../../plan/host/tuning.ts";

/** In the state folder. */
export const TUNING_FILE = "tuning.json";
const STATE_MODE = 0o600;

export interface TunerOptions {
  readonly sysctl: Sysctl;
  readonly files: Pick<SysctlFiles, "assignments">;
  readonly stateFile: string;
  /** /proc/sys/kernel/random/boot_id: a machine that started anew has lost what was applied. */
  readonly bootId: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

interface AppliedValue {
  readonly name: string;
  readonly before: string;
  readonly set: string;
  /** What another profile had set, where it stands until this one's is written. */
  readonly former?: string;
}

export interface TuningState {
  readonly bootId: string;
  readonly profile: string;
  /** ISO 8601. */
  readonly appliedAt: string;
  readonly values: readonly AppliedValue[];
}

/** What became of one sysctl. */
export interface TuningOutcome {
  readonly name: string;
  readonly from: string;
  readonly to: string;
  /** kept: somebody else changed it meanwhile, so it stays as it is. */
  readonly result: "set" | "restored" | "kept" | "failed";
  readonly error?: string;
}

/** A row of the plan beside what the machine has at this moment: `current` is what it had without any profile. */
export interface TunedRow extends TuningRow {
  readonly present: string | undefined;
  /** Applying the profile would write it. */
  readonly isDue: boolean;
}

/** An applied value that somebody else changed. */
export interface TuningDrift {
  readonly name: string;
  readonly set: string;
  readonly found: string | undefined;
}

export class Tuner {
  readonly #options: TunerOptions;

  constructor(options: TunerOptions) {
    this.#options = options;
  }

  /** What is applied since this boot; undefined: nothing. @throws BreakwaterError BW_TUNING when its file is damaged */
  state(): TuningState | undefined {
    const { stateFile, bootId } = this.#options;
    let text: string;
    try {
      text = readFileSync(stateFile, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw this.#stateError("read", error);
    }
    const state = this.#parse(text);
    return state.bootId === bootId ? state : undefined;
  }

  /** Compared with what the machine had before any profile: one that was applied is no reason to keep its values. */
  plan(profile: TuningProfile): TunedRow[] {
    return this.#plan(profile, this.#unchanged()).map((row) => {
      const present = this.#read(row.name);
      const isDue = row.action === "set" && !sameSysctl(present ?? "", row.target ?? "");
      return { ...row, present, isDue };
    });
  }

  apply(profile: TuningProfile): TuningOutcome[] {
    const ours = this.#unchanged();
    const rows = this.#plan(profile, ours);
    const before = (name: string) => ours.get(name)?.before ?? this.#read(name) ?? "";
    const wanted = rows.flatMap(({ name, action, target }): AppliedValue[] => {
      if (action !== "set" || target === undefined) return [];
      const former = ours.has(name) ? this.#read(name) : undefined;
      return [{ name, before: before(name), set: target, ...(former === undefined ? {} : { former }) }];
    });
    const dropped = [...ours.values()].filter(({ name }) => !wanted.some((value) => value.name === name));
    this.#store(profile.name, [...wanted, ...dropped]);
    const restored = dropped.reverse().map((value) => this.#write(value.name, value.before, "restored"));
    const applied: AppliedValue[] = [];
    const outcomes = wanted.map(({ former, ...value }) => {
      const isThere = sameSysctl(this.#read(value.name) ?? "", value.set);
      const outcome = isThere
        ? { ...noChange(value), result: "set" as const }
        : this.#write(value.name, value.set, "set");
      // The kernel may have rounded it: what it says is what drift and undo are told by.
      if (outcome.result === "set") applied.push({ ...value, set: this.#read(value.name) ?? value.set });
      // The other profile's stands, and is still to be undone.
      else if (former !== undefined) applied.push({ ...value, set: former });
      return outcome;
    });
    const stuck = dropped.filter(({ name }) => restored.some((one) => one.name === name && one.result === "failed"));
    this.#store(profile.name, [...applied, ...stuck]);
    return [...restored, ...outcomes];
  }

  /** The other way round, last first. */
  undo(): TuningOutcome[] {
    const state = this.state();
    if (state === undefined) return [];
    const left: AppliedValue[] = [];
    const outcomes = state.values.toReversed().map((value): TuningOutcome => {
      const found = this.#read(value.name);
      // Whoever applied it was ended before he wrote it.
      if (found !== undefined && sameSysctl(found, value.before)) {
        return { name: value.name, from: found, to: value.before, result: "restored" };
      }
      if (found === undefined || !isOurs(found, value)) {
        return { name: value.name, from: found ?? "absent", to: value.before, result: "kept" };
      }
      const outcome = this.#write(value.name, value.before, "restored");
      if (outcome.result === "failed") left.push(value);
      return outcome;
    });
    this.#store(state.profile, left.reverse());
    return outcomes;
  }

  drift(): TuningDrift[] {
    const values = this.state()?.values ?? [];
    return values.flatMap(({ name, set }) => {
      const found = this.#read(name);
      return found !== undefined && sameSysctl(found, set) ? [] : [{ name, set, found }];
    });
  }

  #plan(profile: TuningProfile, ours: ReadonlyMap<string, AppliedValue>): TuningRow[] {
    const current = new Map<string, string>();
    for (const { name } of profile.values) {
      const value = ours.get(name)?.before ?? this.#read(name);
      if (value !== undefined) current.set(name, value);
    }
    return planTuning({ profile, current, files: this.#options.files });
  }

  /** What an applied profile set, and nobody changed since, by name. */
  #unchanged(): Map<string, AppliedValue> {
    const values = this.state()?.values ?? [];
    return new Map(
      values.filter((value) => isOurs(this.#read(value.name) ?? "", value)).map((value) => [value.name, value]),
    );
  }

  #read(name: string): string | undefined {
    try {
      return this.#options.sysctl.read(name);
    } catch (error) {
      // Write-only, or not for us: nothing to compare with.
      if (isBreakwaterError(error, "BW_SYSCTL")) return undefined;
      throw error;
    }
  }

  #write(name: string, to: string, result: "set" | "restored"): TuningOutcome {
    const from = this.#read(name) ?? "absent";
    try {
      this.#options.sysctl.write(name, to);
      return { name, from, to, result };
    } catch (error) {
      return { name, from, to, result: "failed", error: messageOf(error) };
    }
  }

  #store(profile: string, values: readonly AppliedValue[]): void {
    const { stateFile, bootId, now } = this.#options;
    try {
      if (values.length === 0) {
        rmSync(stateFile, { force: true });
        return;
      }
      const state: TuningState = { bootId, profile, appliedAt: new Date(now()).toISOString(), values };
      writeFileAtomic(stateFile, `${JSON.stringify(state, null, 2)}\n`, STATE_MODE);
    } catch (error) {
      throw this.#stateError("write", error);
    }
  }

  #parse(text: string): TuningState {
    try {
      const state = JSON.parse(text) as TuningState;
      const isWhole = (value: AppliedValue) =>
        [value.name, value.before, value.set].every((field) => typeof field === "string");
      if (typeof state.bootId === "string" && Array.isArray(state.values) && state.values.every(isWhole)) return state;
    } catch {
      // Said below.
    }
    throw this.#stateError("read", new SyntaxError("it is not what 'tune apply' writes"));
  }

  #stateError(operation: string, cause: unknown): BreakwaterError {
    const { stateFile } = this.#options;
    const why = (cause as NodeJS.ErrnoException).code ?? messageOf(cause);
    return new BreakwaterError("BW_TUNING", `Cannot ${operation} ${stateFile}, what sysctls had before: ${why}`, {
      operation,
      object: stateFile,
      cause,
      remedy: "Give a --state-dir that can be written, or remove the damaged file: sysctls stay as they are",
    });
  }
}

/** Of an applied profile, or of the one before where somebody was ended in between. */
function isOurs(found: string, { set, former }: AppliedValue): boolean {
  return sameSysctl(found, set) || (former !== undefined && sameSysctl(found, former));
}

function noChange({ name, set }: AppliedValue): Omit<TuningOutcome, "result"> {
  return { name, from: set, to: set };
}
