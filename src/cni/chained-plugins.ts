/** Which versions of the CNI spec the plugins behind us in the chain speak: they say so themselves (VERSION). */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { BreakwaterError, messageOf } from "../model/errors.ts";
import { asObject } from "./network-config.ts";

const execFileAsync = promisify(execFile);
/** A plugin answers VERSION in milliseconds. */
const TIMEOUT_MS = 10_000;

/**
 * Those of `versions` that every plugin named in `chain` supports. Finds a missing plugin before a pod does.
 * @throws BreakwaterError BW_CNI_CHAINED_PLUGIN
 */
export async function supportedByChain(
  binDirectory: string,
  chain: readonly string[],
  versions: readonly string[],
): Promise<readonly string[]> {
  const supported = await Promise.all(chain.map((type) => askVersions(join(binDirectory, type))));
  return versions.filter((version) => supported.every((list) => list.includes(version)));
}

async function askVersions(path: string): Promise<readonly unknown[]> {
  try {
    const asked = execFileAsync(path, [], { env: { CNI_COMMAND: "VERSION" }, timeout: TIMEOUT_MS });
    // A plugin that does not read its input closes the pipe: EPIPE is no failure.
    asked.child.stdin?.on("error", () => undefined).end('{"cniVersion":"1.0.0"}');
    const versions = asObject(JSON.parse((await asked).stdout))?.["supportedVersions"];
    if (Array.isArray(versions)) return versions;
    throw new SyntaxError("its answer has no supportedVersions");
  } catch (error) {
    throw new BreakwaterError("BW_CNI_CHAINED_PLUGIN", `Cannot chain the CNI plugin ${path}: ${messageOf(error)}`, {
      operation: "ask for CNI versions",
      object: path,
      remedy: "install it (Debian: containernetworking-plugins), or turn it off in Breakwater's options",
      cause: error,
    });
  }
}
