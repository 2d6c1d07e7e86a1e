/** Puts the plugin binary where the container runtime looks for it. */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { BreakwaterError, messageOf } from "../model/errors.ts";
import { writeFileAtomic } from "./atomic-file.ts";
import { PLUGIN_TYPE } from "./conflist.ts";

/**
 * Copies the binary to `${binDirectory}/breakwater`, executable for all. A runtime that executes it meanwhile gets the
 * old or the new one whole (overwriting in place would fail with ETXTBSY, or worse). Nothing is written when it is
 * there already.
 * @returns whether it was written
 * @throws BreakwaterError BW_CNI_INSTALL
 */
export function installPlugin(source: string, binDirectory: string): boolean {
  const target = join(binDirectory, PLUGIN_TYPE);
  try {
    const binary = readFileSync(source);
    if (isSame(target, binary)) return false;
    writeFileAtomic(target, binary, 0o755);
    return true;
  } catch (error) {
    throw new BreakwaterError(
      "BW_CNI_INSTALL",
      `Cannot install the CNI plugin ${source} as ${target}: ${messageOf(error)}`,
      {
        operation: "install CNI plugin",
        object: target,
        errno: error instanceof Error && "code" in error ? String(error.code) : undefined,
        remedy: "build it with src/cni/plugin/build.sh, and see that the directory can be written",
        cause: error,
      },
    );
  }
}

function isSame(target: string, binary: Buffer): boolean {
  try {
    return (statSync(target).mode & 0o777) === 0o755 && readFileSync(target).equals(binary);
  } catch {
    return false;
  }
}
