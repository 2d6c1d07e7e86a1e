/** Kernel versions as uname(2) has them: "6.1.0-56-amd64", "5.15.0+", "6.18.44-fc". Only the numbers are compared. */

export type KernelVersion = readonly [major: number, minor: number, patch: number];

/** @throws SyntaxError for text that does not begin with MAJOR.MINOR */
export function parseKernelVersion(release: string): KernelVersion {
  const match = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(release);
  if (match === null) throw new SyntaxError(`Cannot parse kernel version "${release}": it does not begin with N.N`);
  return [Number(match[1]), Number(match[2]), Number(match[3] ?? 0)];
}

/** Whether a kernel is at least that version. @param least "4.19" */
export function kernelIsAtLeast(release: string, least: string): boolean {
  const [have, want] = [parseKernelVersion(release), parseKernelVersion(least)];
  for (const [i, number] of want.entries()) {
    const own = have[i] ?? 0;
    if (own !== number) return own > number;
  }
  return true;
}
