/** All files of a machine that say something of its modules and sysctls. */
import type { ConfFile } from "./conf-files.ts";
import { readModuleRequests, readModuleTexts } from "./modules/read-modules.ts";
import { readSysctlFiles, readUnlinkedSysctlConf } from "./sysctl-files.ts";

/** @param root where the machine's own / is: "" or "/host" */
export function readHostTexts(root = "") {
  return {
    modules: readModuleTexts(root),
    requests: readModuleRequests(root),
    sysctls: readSysctlFiles(root),
    unread: readUnlinkedSysctlConf(root) satisfies ConfFile | undefined,
  };
}
