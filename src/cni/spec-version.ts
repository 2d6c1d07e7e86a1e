/**
 * Versions of the CNI spec and what differs between them (the changes of https://www.cni.dev/docs/spec/, 0.3.0 to 1.1.0).
 * 0.1.0 and 0.2.0 have another result type and no chaining; runtimes of today speak neither.
 */

export const SUPPORTED_VERSIONS = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;

export type SpecVersion = (typeof SUPPORTED_VERSIONS)[number];

export const NEWEST_VERSION: SpecVersion = "1.1.0";

/** What a configuration without cniVersion means: libcni and the spec's own plugins take it for the first version. */
export const VERSION_WHEN_ABSENT = "0.1.0";

export function isSupportedVersion(version: string): version is SpecVersion {
  return SUPPORTED_VERSIONS.some((supported) => supported === version);
}

/** True when `version` is `since` or later. */
export function isSince(version: SpecVersion, since: SpecVersion): boolean {
  return SUPPORTED_VERSIONS.indexOf(version) >= SUPPORTED_VERSIONS.indexOf(since);
}

/** The version in which a command came into the spec. */
export function commandSince(command: string): SpecVersion {
  if (command === "GC" || command === "STATUS") return "1.1.0";
  return command === "CHECK" ? "0.4.0" : "0.3.0";
}
