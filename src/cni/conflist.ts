/**
 * The CNI configuration on the node's disk. Its presence tells the container runtime that pods can be attached, so it
 * is written only by an agent that serves, and taken away by cleanup.
 *
 * cniVersion is 1.0.0: every runtime that a supported Kubernetes works with reads it (containerd since 1.6, CRI-O since
 * 1.23), and so do Debian's chained plugins. "cniVersions" beside it lets libcni 1.2 and newer choose 1.1.0, which has
 * GC and STATUS, where every plugin of the chain speaks it; older ones do not know the field and pass over it.
 */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { BreakwaterError, messageOf } from "../model/errors.ts";
import { writeFileAtomic } from "./atomic-file.ts";
import { supportedByChain } from "./chained-plugins.ts";
import { asObject, type JsonObject } from "./network-config.ts";
import { SUPPORTED_VERSIONS } from "./spec-version.ts";

/** Runtimes take the first file in lexical order. */
export const CONFLIST_FILE = "10-breakwater.conflist";
/** Name of the network, of the plugin's type and so of its binary. */
export const PLUGIN_TYPE = "breakwater";
const BASE_VERSION = "1.0.0";
/** How we know our own file. libcni passes over fields it does not know. */
const MARKER = "breakwater.dev/written-by";

export interface ConflistOptions {
  /** The runtime's CNI configuration directory: "/etc/cni/net.d". */
  readonly directory: string;
  /** Where the plugins are: "/opt/cni/bin". Chained ones are asked there which versions they speak. */
  readonly binDirectory: string;
  readonly socketPath: string;
  /** hostPort of pods, by Debian's portmap behind us. */
  readonly portmap?: boolean;
  /** kubernetes.io/ingress-bandwidth and egress-bandwidth, by Debian's bandwidth behind us. */
  readonly bandwidth?: boolean;
}

/**
 * Writes the file unless it says the same already (each write makes a runtime load it anew).
 * @returns whether it was written
 * @throws BreakwaterError BW_CNI_CONFLIST_FOREIGN, BW_CNI_CONFLIST, BW_CNI_CHAINED_PLUGIN
 */
export async function writeConflist(options: ConflistOptions): Promise<boolean> {
  const path = join(options.directory, CONFLIST_FILE);
  const chain = [...(options.portmap ? ["portmap"] : []), ...(options.bandwidth ? ["bandwidth"] : [])];
  const versions = await supportedByChain(options.binDirectory, chain, SUPPORTED_VERSIONS);
  const text = formatConflist(options, versions);
  if (readOwn(path) === text) return false;
  try {
    writeFileAtomic(path, text, 0o644);
  } catch (error) {
    throw conflistError("BW_CNI_CONFLIST", "write", path, messageOf(error), error);
  }
  return true;
}

/**
 * Takes the file away; one that is not there is fine.
 * @returns whether it was there
 * @throws BreakwaterError BW_CNI_CONFLIST_FOREIGN when we did not write it
 */
export function removeConflist(directory: string): boolean {
  const path = join(directory, CONFLIST_FILE);
  if (readOwn(path) === undefined) return false;
  try {
    rmSync(path, { force: true });
  } catch (error) {
    throw conflistError("BW_CNI_CONFLIST", "remove", path, messageOf(error), error);
  }
  return true;
}

/** The file's text; pure. `versions` are those that every plugin of the chain speaks. */
export function formatConflist(options: ConflistOptions, versions: readonly string[]): string {
  const plugins: JsonObject[] = [{ type: PLUGIN_TYPE, capabilities: { ips: true }, socket: options.socketPath }];
  // "snat" makes a hostPort reachable through the node's own addresses and from the pod itself.
  if (options.portmap) plugins.push({ type: "portmap", capabilities: { portMappings: true }, snat: true });
  if (options.bandwidth) plugins.push({ type: "bandwidth", capabilities: { bandwidth: true } });
  const conflist = {
    cniVersion: BASE_VERSION,
    cniVersions: versions.filter((version) => SUPPORTED_VERSIONS.some((ours) => ours === version)),
    name: PLUGIN_TYPE,
    [MARKER]: "breakwater agent; changes are overwritten",
    plugins,
  };
  return `${JSON.stringify(conflist, undefined, 2)}\n`;
}

/** Text of our own file, undefined when there is none. */
function readOwn(path: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw conflistError("BW_CNI_CONFLIST", "read", path, messageOf(error), error);
  }
  if (hasMarker(text)) return text;
  const why = "it was not written by Breakwater";
  throw conflistError("BW_CNI_CONFLIST_FOREIGN", "replace or remove", path, why);
}

function hasMarker(text: string): boolean {
  try {
    return asObject(JSON.parse(text))?.[MARKER] !== undefined;
  } catch {
    return false;
  }
}

function conflistError(code: string, verb: string, path: string, why: string, cause?: unknown): BreakwaterError {
  return new BreakwaterError(code, `Cannot ${verb} the CNI configuration ${path}: ${why}`, {
    operation: `${verb} CNI configuration`,
    object: path,
    errno: cause instanceof Error && "code" in cause ? String(cause.code) : undefined,
    remedy: "look at the file and move it away by hand if nobody needs it",
    cause,
  });
}
