/** Sysctls that tuning profiles set: what is known of each, and what a profile wants of it. */

export type TuningProfileName = "off" | "throughput" | "latency" | "scale";
export const TUNING_PROFILES: readonly TuningProfileName[] = ["off", "throughput", "latency", "scale"];

/**
 * Which of two values is better. at-least, at-most: field by field. widest: a range "FIRST LAST", the lower first and the
 * higher last. with: a list of ranges, both together. exactly: neither is better, the profile's counts.
 */
export type TuningRule = "at-least" | "at-most" | "widest" | "with" | "exactly";

/**
 * Whom it concerns. node: all of the machine. namespace: sockets and packets of the host's own network namespace; pods
 * have their own. inherited: the same, and pods that start later begin with the host's value.
 */
export type TuningScope = "node" | "namespace" | "inherited";

export interface KnownSysctl {
  /** With slashes. */
  readonly name: string;
  /** "bytes", "packets", "µs", "entries"; "" for a switch. */
  readonly unit: string;
  /** The kernel's own value, with the version where it changed. */
  readonly kernelDefault: string;
  readonly rule: TuningRule;
  readonly scope: TuningScope;
  /** The kernel's document, or the page of who found it out. */
  readonly source: string;
  /** Values that mean "without limit", the best of all for at-least and the worst for at-most. */
  readonly unlimited?: readonly string[];
}

export interface TuningValue {
  readonly name: string;
  readonly value: string;
  readonly reason: string;
}

export interface TuningProfile {
  readonly name: string;
  readonly values: readonly (TuningValue & { readonly rule?: TuningRule })[];
}
