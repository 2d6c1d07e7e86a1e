/**
 * Values of sysctls: numbers with a sign, several of them with tabs or spaces between ("4096	131072	6291456"), lists of
 * ranges ("30000-32767,8080"), words ("bbr"). And names: with slashes as in /proc/sys, or with dots as people write them.
 */

/** The same value, however it is spaced. */
export function sameSysctl(a: string, b: string): boolean {
  return sysctlFields(a).join(" ") === sysctlFields(b).join(" ");
}

export function sysctlFields(value: string): string[] {
  return value.split(/\s+/).filter((field) => field !== "");
}

/** A whole number with or without a sign; undefined for anything else. Exact: some counters have 64 bits. */
export function sysctlNumber(field: string): bigint | undefined {
  return /^[+-]?\d+$/.test(field) ? BigInt(field.replace(/^\+/, "")) : undefined;
}

export interface NumberRange {
  readonly first: number;
  readonly last: number;
}

/**
 * "30000-32767,8080"; "" is no range at all.
 * @throws SyntaxError naming the part that is none
 */
export function parseRanges(value: string): NumberRange[] {
  const parts = value.split(",").map((part) => part.trim());
  return parts
    .filter((part) => part !== "")
    .map((part) => {
      const match = /^(\d+)(?:-(\d+))?$/.exec(part);
      const [first, last] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])];
      if (match === null || first > last) throw new SyntaxError(`Cannot parse "${part}": it is no number or range`);
      return { first, last };
    });
}

/** Sorted, those that touch joined, as the kernel prints a list of ports. */
export function formatRanges(ranges: readonly NumberRange[]): string {
  const joined: { first: number; last: number }[] = [];
  for (const { first, last } of [...ranges].sort((a, b) => a.first - b.first)) {
    const before = joined.at(-1);
    if (before !== undefined && first <= before.last + 1) before.last = Math.max(before.last, last);
    else joined.push({ first, last });
  }
  return joined.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}

/**
 * As systemd-sysctl and sysctl(8) read a name: where the first separator is a slash it is a path already; where it is a dot,
 * dots and slashes change places, so that "net.ipv4.conf.eth0/100.rp_filter" is about the device eth0.100.
 */
export function sysctlPath(name: string): string {
  const first = /[./]/.exec(name)?.[0];
  const path = first === "." ? name.replaceAll(/[./]/g, (mark) => (mark === "." ? "/" : ".")) : name;
  return path.replace(/^\/?(?:proc\/sys\/)?/, "");
}

/** A name as people write it: the reverse of {@link sysctlPath}. */
export function sysctlDotted(path: string): string {
  return path.replaceAll(/[./]/g, (mark) => (mark === "." ? "/" : "."));
}
