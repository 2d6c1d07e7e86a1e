/**
 * Loading modules by modprobe(8): why not ourselves is in docs/adr/0013-modprobe.md. It is asked to honour blacklists, and
 * what it did is read from /proc/modules, since an install line may have succeeded at doing nothing.
 */
import { execFile } from "node:child_process";
import { BreakwaterError } from "../../model/errors.ts";

/** Loads one module and what it needs. @throws BreakwaterError BW_MODULE with modprobe's own sentence */
export type LoadModule = (module: string) => Promise<void>;

/** Where modprobe is, also for a process whose PATH is a user's. */
const PATH = "/usr/sbin:/sbin:/usr/bin:/bin";
/** A driver that waits for its hardware may take long; none of ours has any. */
const TIMEOUT_MS = 20_000;

/** @param root where the machine's own / is, for its lib/modules and modprobe.d */
export function modprobe(root = ""): LoadModule {
  const place = root === "" ? [] : ["--dirname", root, "--config", `${root}/etc/modprobe.d`];
  return (module) =>
    new Promise((resolve, reject) => {
      const args = [...place, "--use-blacklist", "--", module];
      const options = { env: { PATH }, timeout: TIMEOUT_MS, encoding: "utf8" } as const;
      execFile("modprobe", args, options, (error, _, stderr) => {
        if (error === null) resolve();
        else reject(modprobeError(module, error, stderr));
      });
    });
}

function modprobeError(module: string, cause: Error & { code?: unknown; killed?: boolean }, stderr: string) {
  const isMissing = cause.code === "ENOENT";
  const said = stderr
    .trim()
    .replaceAll(/^modprobe: (?:ERROR|FATAL): /gm, "")
    .replaceAll("\n", "; ");
  const answer = isMissing
    ? "there is no modprobe"
    : cause.killed === true
      ? `modprobe did not end within ${TIMEOUT_MS / 1000} s`
      : said || `modprobe ended with ${cause.code}`;
  return new BreakwaterError("BW_MODULE", `Cannot load kernel module ${module}: ${answer}`, {
    operation: "load kernel module",
    object: module,
    cause,
    remedy: isMissing
      ? `Install kmod (in the agent's image, too), or load it on the machine: modprobe ${module}`
      : /not permitted/i.test(said)
        ? `The agent lacks CAP_SYS_MODULE: run it privileged, or load it on the machine: modprobe ${module}`
        : "See dmesg, and 'breakwater host' for how the module stands",
  });
}
