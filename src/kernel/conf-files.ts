/**
 * Configuration in folders of small files, as systemd, kmod and procps read it: a file of /etc hides one of the same name
 * in /run, that one in /usr/local/lib, and so on; what is left is read in the order of the names, whatever the folder.
 */
import { readdirSync, readFileSync } from "node:fs";

/** A file with its place; the text is empty where it is hidden by a link to /dev/null. */
export interface ConfFile {
  readonly path: string;
  readonly text: string;
}

/** The first hides the others. */
const PARENTS = ["/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"] as const;

/**
 * @param folder "sysctl.d"
 * @param root where the machine's own / is: "" or "/host"
 */
export function readConfFolders(folder: string, root = ""): ConfFile[] {
  const paths = new Map<string, string>();
  for (const parent of PARENTS) {
    const path = `${parent}/${folder}`;
    for (const name of listFolder(`${root}${path}`)) {
      if (name.endsWith(".conf") && !paths.has(name)) paths.set(name, `${path}/${name}`);
    }
  }
  const names = [...paths.keys()].sort();
  return names.flatMap((name) => readConfFile(paths.get(name) ?? "", root) ?? []);
}

/** Undefined where it is not there, or not ours to read. */
export function readConfFile(path: string, root = ""): ConfFile | undefined {
  const text = readText(`${root}${path}`);
  return text === undefined ? undefined : { path, text };
}

const ABSENT = new Set(["ENOENT", "ENOTDIR", "EACCES", "EPERM", "EISDIR", "ELOOP"]);

export function readText(path: string): string | undefined {
  return ifThere(() => readFileSync(path, "utf8"));
}

/** Names in a folder; none where it is not there. */
export function listFolder(path: string): string[] {
  return ifThere(() => readdirSync(path)) ?? [];
}

export function ifThere<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (ABSENT.has((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}
