/** Kernel modules: what a part of Breakwater needs of them, and how a module stands on a machine. */

/** Parts of Breakwater that a kernel may be without. */
export type HostFeature =
  | "pods"
  | "vxlan"
  | "masquerade"
  | "services"
  | "ipvs"
  | "policies"
  | "log-denied"
  | "flowtable"
  | "foreign-bridge"
  | "wireguard";

export interface ModuleNeed {
  readonly module: string;
  readonly features: readonly HostFeature[];
  /** One of several of which the settings choose: needed where they name it. */
  readonly isChoice?: true;
  /** What it is for. */
  readonly reason: string;
  /** The kernel's option: "y" in its configuration means that the module is built in. */
  readonly option: string;
  /** The first kernel that has it, where that is newer than what Breakwater needs anyway. */
  readonly since?: string;
  /** What fails without it. */
  readonly without: string;
}

/**
 * loaded, built-in: fine. loadable: modprobe would load it. blacklisted, diverted: the administrator's modprobe.d says no,
 * by `blacklist`, or by an `install` line that runs something else. renamed: other kernels call it otherwise. too-old:
 * came with a newer kernel. absent: this kernel was built without it, or its file is not there. unknown: nothing here
 * tells (no configuration of the kernel, no list of modules).
 */
export type ModuleState =
  | "loaded"
  | "built-in"
  | "loadable"
  | "blacklisted"
  | "diverted"
  | "renamed"
  | "too-old"
  | "absent"
  | "unknown";

export interface ModuleStatus {
  readonly module: string;
  readonly state: ModuleState;
  /** Why it stands so, with the file and line that say it; empty where the state says all. */
  readonly detail: string;
  /** What to do, where something can be done. */
  readonly remedy?: string;
  /** In the order in which modprobe would load them, the module itself among them; those that are there left out. */
  readonly load: readonly string[];
}

/** Works now, or as soon as modprobe ran. */
export function isPresent({ state }: Pick<ModuleStatus, "state">): boolean {
  return state === "loaded" || state === "built-in";
}

/** A file with its place, for messages. */
export interface TextFile {
  readonly path: string;
  readonly text: string;
}

/** What a machine says of its modules, as text. */
export interface ModuleTexts {
  /** uname -r. */
  readonly release: string;
  /** Absent: this kernel has no modules. */
  readonly procModules: string | undefined;
  readonly sysModules: readonly string[];
  /** "/lib/modules/6.1.0-56-amd64". */
  readonly folder: string;
  readonly dep: string | undefined;
  readonly builtin: string | undefined;
  /** modprobe.d in its order, then modules.softdep and modules.alias. */
  readonly rules: readonly TextFile[];
  readonly config: string | undefined;
  readonly commandLine: string;
}
