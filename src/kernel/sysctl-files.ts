/** The files that set sysctls at boot, in the order in which systemd-sysctl reads them. */
import { realpathSync } from "node:fs";
import { type ConfFile, ifThere, readConfFile, readConfFolders } from "./conf-files.ts";

const OLD_FILE = "/etc/sysctl.conf";

/** @param root where the machine's own / is: "" or "/host" */
export function readSysctlFiles(root = ""): ConfFile[] {
  return readConfFolders("sysctl.d", root);
}

/**
 * /etc/sysctl.conf where systemd-sysctl does not read it: it does by a link in sysctl.d alone, as Debian 12 and Ubuntu have
 * it. `sysctl --system` reads it all the same, so people take it for what counts at boot.
 */
export function readUnlinkedSysctlConf(root = ""): ConfFile | undefined {
  const real = (path: string) => ifThere(() => realpathSync(`${root}${path}`));
  const target = real(OLD_FILE);
  const isLinked = readSysctlFiles(root).some(({ path }) => real(path) === target);
  return isLinked ? undefined : readConfFile(OLD_FILE, root);
}
