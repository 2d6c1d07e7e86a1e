/** What is told of a node's kernel: by its agent as the document /host, and by `breakwater host` where none answers. */
import type { HostFeature, ModuleState } from "./host-modules.ts";

export interface ModuleReport {
  readonly module: string;
  readonly state: ModuleState;
  readonly detail: string;
  readonly remedy: string | null;
  /** Something that the node is told to do uses it. */
  readonly needed: boolean;
  readonly features: readonly HostFeature[];
  readonly reason: string;
  readonly option: string;
  readonly without: string;
  /** What modprobe would load, in its order. */
  readonly load: readonly string[];
}

export interface FeatureReport {
  readonly feature: HostFeature;
  readonly needed: boolean;
  /** Empty: it works, or modprobe would bring what it lacks. */
  readonly off: readonly { readonly module: string; readonly without: string; readonly detail: string }[];
}

/** A module that a file asks for at boot, and that this kernel cannot give. */
export interface StaleRequestReport {
  readonly module: string;
  /** "/etc/modules-load.d/ipvs.conf:3". */
  readonly where: string;
  readonly detail: string;
  readonly remedy: string | null;
}

export interface RequiredSysctlReport {
  /** With slashes. */
  readonly name: string;
  readonly value: string;
  /** Null: this kernel has none. */
  readonly current: string | null;
  readonly reason: string;
  readonly fine: boolean;
  /** Files that set something else at boot; the last of them wins until Breakwater sets it again. */
  readonly conflicts: readonly { readonly where: string; readonly value: string }[];
}

/** A required sysctl that somebody changed. */
export interface RepairReport {
  readonly name: string;
  readonly value: string;
  readonly found: string;
  /** Seconds since 1970. */
  readonly at: number;
  readonly error: string | null;
}

/** A sysctl of the tuning profile that somebody changed: told of, not repaired. */
export interface DriftReport {
  readonly name: string;
  readonly value: string;
  readonly found: string | null;
  /** When it was first seen so, seconds since 1970. */
  readonly since: number;
}

export interface HostReport {
  readonly kernel: string;
  readonly modules: readonly ModuleReport[];
  readonly features: readonly FeatureReport[];
  readonly staleRequests: readonly StaleRequestReport[];
  readonly sysctls: readonly RequiredSysctlReport[];
  /** Lines of sysctl.d that are no assignment, and files that are not read at boot. */
  readonly sysctlMistakes: readonly { readonly where: string; readonly why: string }[];
  /** What only an agent knows; null where none answers. */
  readonly agent: AgentHostReport | null;
}

export interface AgentHostReport {
  readonly node: string;
  /** Modules that could not be loaded, with what modprobe said. */
  readonly moduleFailures: readonly { readonly module: string; readonly error: string; readonly without: string }[];
  readonly loaded: readonly string[];
  /** The latest, last first. */
  readonly repairs: readonly RepairReport[];
  readonly tuning: string | null;
  readonly drift: readonly DriftReport[];
}
