/** What a machine says of its kernel's modules, as text; src/plan/host reads it. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { BreakwaterError } from "../../model/errors.ts";
import type { ModuleTexts } from "../../model/host-modules.ts";
import { type ConfFile, ifThere, listFolder, readConfFile, readConfFolders, readText } from "../conf-files.ts";

/** @param root where the machine's own / is: "" or "/host" */
export function readModuleTexts(root = ""): ModuleTexts {
  const present = readPresentModules(root);
  const { release, folder } = present;
  const listed = [`${folder}/modules.softdep`, `${folder}/modules.alias`];
  return {
    ...present,
    dep: readText(`${root}${folder}/modules.dep`),
    rules: [...readConfFolders("modprobe.d", root), ...listed.flatMap((path) => readConfFile(path, root) ?? [])],
    config: readKernelConfig(release, root),
    commandLine: readText(`${root}/proc/cmdline`) ?? "",
  };
}

/** The little of it that says what is there already: the rest is megabytes. @throws BreakwaterError BW_MODULE */
export function readPresentModules(root = ""): ModuleTexts {
  const release = readRelease(`${root}/proc/sys/kernel/osrelease`);
  const folder = moduleFolder(release, root);
  return {
    release,
    procModules: readText(`${root}/proc/modules`),
    sysModules: listFolder(`${root}/sys/module`),
    folder,
    dep: undefined,
    builtin: readText(`${root}${folder}/modules.builtin`),
    rules: [],
    config: undefined,
    commandLine: "",
  };
}

/** @throws BreakwaterError BW_MODULE where /proc is not the machine's */
function readRelease(path: string): string {
  const release = readText(path)?.trim();
  if (release !== undefined && release !== "") return release;
  throw new BreakwaterError("BW_MODULE", `Cannot read which kernel runs: there is no ${path}`, {
    operation: "read",
    object: path,
    remedy: "Give --root where the machine's own / is mounted, with its /proc",
  });
}

/** Newer kmod has it below /usr alone. */
function moduleFolder(release: string, root: string): string {
  const folders = [`/lib/modules/${release}`, `/usr/lib/modules/${release}`];
  return folders.find((folder) => listFolder(`${root}${folder}`).length > 0) ?? `/lib/modules/${release}`;
}

function readKernelConfig(release: string, root: string): string | undefined {
  const zipped = ifThere(() => readFileSync(`${root}/proc/config.gz`));
  if (zipped !== undefined) return gunzipSync(zipped).toString("latin1");
  const places = [`/boot/config-${release}`, `/lib/modules/${release}/config`, `/usr/lib/modules/${release}/config`];
  for (const place of places) {
    const text = readText(`${root}${place}`);
    if (text !== undefined) return text;
  }
  return undefined;
}

/** modules-load.d in its order, and Debian's /etc/modules. */
export function readModuleRequests(root = ""): ConfFile[] {
  const debian = readConfFile("/etc/modules", root);
  return [...readConfFolders("modules-load.d", root), ...(debian === undefined ? [] : [debian])];
}
