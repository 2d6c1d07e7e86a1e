/**
 * Who sets a sysctl at boot, and which file wins: sysctl.d(5) as systemd-sysctl applies it.
 *
 * Files come in the order of their names, whatever their folder, and the last assignment of a name wins. A name that is
 * given without wildcards is left alone by patterns, wherever the pattern stands; so is one that is named with "-" in
 * front and no value. /etc/sysctl.conf is read by systemd-sysctl only where a link in sysctl.d leads to it, as Debian 12
 * and Ubuntu have it; `sysctl --system` reads it last.
 */
import type { TextFile } from "../../model/host-modules.ts";
import { sysctlPath } from "../../model/sysctl-value.ts";

export interface SysctlAssignment {
  /** With slashes; may hold *, ? and []. */
  readonly pattern: string;
  /** Undefined: patterns are to leave this name alone. */
  readonly value: string | undefined;
  readonly where: string;
  /** "-" in front: systemd-sysctl says nothing when it cannot be set. */
  readonly ignoreFailure: boolean;
}

/** A line that is neither a comment nor an assignment. */
export interface SysctlMistake {
  readonly where: string;
  readonly line: string;
}

export interface SysctlFiles {
  readonly assignments: readonly SysctlAssignment[];
  readonly mistakes: readonly SysctlMistake[];
}

/** @param files in the order in which they are read */
export function parseSysctlFiles(files: readonly TextFile[]): SysctlFiles {
  const assignments: SysctlAssignment[] = [];
  const mistakes: SysctlMistake[] = [];
  for (const { path, text } of files) {
    for (const [i, raw] of text.split("\n").entries()) {
      const line = raw.trim();
      if (line === "" || line.startsWith("#") || line.startsWith(";")) continue;
      const where = `${path}:${i + 1}`;
      const ignoreFailure = line.startsWith("-");
      const rest = ignoreFailure ? line.slice(1) : line;
      const equals = rest.indexOf("=");
      if (equals <= 0 && !(ignoreFailure && equals < 0)) {
        mistakes.push({ where, line });
        continue;
      }
      const pattern = sysctlPath((equals < 0 ? rest : rest.slice(0, equals)).trim());
      const value = equals < 0 ? undefined : rest.slice(equals + 1).trim();
      assignments.push({ pattern, value, where, ignoreFailure });
    }
  }
  return { assignments, mistakes };
}

export interface BootSetting {
  readonly value: string;
  readonly where: string;
}

export interface BootSettings {
  /** What the machine has of it behind its boot; undefined: no file says anything, the kernel's own value stays. */
  readonly winner: BootSetting | undefined;
  /** Other files that wanted to set it, in their order, with why they do not count. */
  readonly overruled: readonly (BootSetting & { readonly why: string })[];
}

/** @param name with slashes */
export function bootSettings(name: string, { assignments }: Pick<SysctlFiles, "assignments">): BootSettings {
  const exact = assignments.filter(({ pattern }) => pattern === name);
  const byPattern = assignments.filter(
    ({ pattern, value }) => value !== undefined && isPattern(pattern) && matchesSysctl(pattern, name),
  );
  const settings = (list: readonly SysctlAssignment[]) =>
    list.flatMap(({ value, where }) => (value === undefined ? [] : [{ value, where }]));
  // The last line about a name replaces those before it, also one that takes it out of the patterns' reach.
  const last = exact.at(-1);
  const counting = exact.length > 0 ? settings(last === undefined ? [] : [last]) : settings(byPattern);
  const winner = counting.at(-1);
  const why = (setting: BootSetting) => {
    if (exact.length > 0 && !exact.some(({ where }) => where === setting.where)) {
      return `it is a pattern, and ${last?.where} names this sysctl`;
    }
    return `${last?.where ?? winner?.where} comes later`;
  };
  const others = settings([...byPattern, ...exact]).filter(({ where }) => where !== winner?.where);
  return { winner, overruled: others.map((setting) => ({ ...setting, why: why(setting) })) };
}

function isPattern(name: string): boolean {
  return /[*?[]/.test(name);
}

/** glob(3) below /proc/sys: no wildcard matches a slash. */
export function matchesSysctl(pattern: string, name: string): boolean {
  const source = pattern.replaceAll(/\[[^\]]*\]|[.+^${}()|\\*?]/g, (part) => {
    if (part === "*") return "[^/]*";
    if (part === "?") return "[^/]";
    return part.startsWith("[") ? part.replace("[!", "[^") : `\\${part}`;
  });
  return new RegExp(`^${source}$`).test(name);
}
