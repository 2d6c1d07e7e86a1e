/**
 * The files that modprobe(8) goes by, as text: modules.dep, modules.builtin, modules.alias, modules.softdep (depmod(8)),
 * modprobe.d(5), modules-load.d(5), and the kernel's own configuration. In names "-" and "_" are the same.
 */
import type { TextFile } from "../../model/host-modules.ts";

/** "kernel/net/netfilter/nf-tables.ko.xz" -> "nf_tables". */
export function moduleName(path: string): string {
  return canonical((path.split("/").at(-1) ?? path).replace(/\.ko(?:\.(?:gz|xz|zst))?$/, ""));
}

export function canonical(name: string): string {
  return name.replaceAll("-", "_");
}

export interface ModuleFile {
  readonly path: string;
  /** What must be loaded before, in the order of modules.dep: the last first. */
  readonly dependencies: readonly string[];
}

/** modules.dep: "kernel/a.ko: kernel/b.ko kernel/c.ko". */
export function parseModulesDep(text: string): Map<string, ModuleFile> {
  const files = new Map<string, ModuleFile>();
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const path = line.slice(0, colon).trim();
    const dependencies = words(line.slice(colon + 1)).map(moduleName);
    files.set(moduleName(path), { path, dependencies });
  }
  return files;
}

/** modules.builtin: one path a line. */
export function parseModulesBuiltin(text: string): Set<string> {
  return new Set(words(text).map(moduleName));
}

/** /proc/modules: name, size, users, who uses it, state, address. One that is being loaded or removed does not count. */
export function parseProcModules(text: string): Set<string> {
  const live = text.split("\n").map((line) => line.split(" "));
  return new Set(live.filter((fields) => fields[4] === "Live").map(([name = ""]) => canonical(name)));
}

/** A kernel's configuration: options that are set, to "y", "m" or a value. */
export function parseKernelConfig(text: string): Map<string, string> {
  const options = new Map<string, string>();
  for (const match of text.matchAll(/^(CONFIG_\w+)=(.*)$/gm)) options.set(match[1] ?? "", match[2] ?? "");
  return options;
}

/** Something that a file says, and where. */
interface Said {
  /** "/etc/modprobe.d/a.conf:3". */
  readonly where: string;
}

export interface SoftDependencies {
  readonly pre: readonly string[];
  readonly post: readonly string[];
}

export interface ModprobeRules {
  readonly blacklist: ReadonlyMap<string, Said>;
  /** What is run in place of loading. */
  readonly install: ReadonlyMap<string, Said & { readonly command: string }>;
  readonly softdeps: ReadonlyMap<string, SoftDependencies>;
  /** Pattern with *, ? and [] -> module. */
  readonly aliases: readonly (readonly [pattern: string, module: string])[];
}

/** @param files modprobe.d in its order, modules.softdep and modules.alias, which have the same syntax */
export function parseModprobeRules(files: readonly TextFile[], kernelCommandLine = ""): ModprobeRules {
  const blacklist = new Map<string, Said>();
  const install = new Map<string, Said & { command: string }>();
  const softdeps = new Map<string, SoftDependencies>();
  const aliases: [string, string][] = [];
  for (const { path, text } of files) {
    for (const [number, line] of logicalLines(text)) {
      const where = `${path}:${number}`;
      const [verb, first = "", ...rest] = words(line);
      const name = canonical(first);
      // Of several install or softdep lines for a module the first counts (libkmod-module.c).
      if (verb === "blacklist") blacklist.set(name, { where });
      else if (verb === "install" && !install.has(name)) install.set(name, { where, command: rest.join(" ") });
      else if (verb === "softdep" && !softdeps.has(name)) softdeps.set(name, softDependencies(rest));
      else if (verb === "alias" && rest[0] !== undefined) aliases.push([name, canonical(rest[0])]);
    }
  }
  for (const match of kernelCommandLine.matchAll(/(?:^|\s)(?:modprobe\.|module_)blacklist=(\S+)/g)) {
    for (const name of (match[1] ?? "").split(","))
      blacklist.set(canonical(name), { where: "the kernel's command line" });
  }
  return { blacklist, install, softdeps, aliases };
}

/** "pre: a b post: c". */
function softDependencies(rest: readonly string[]): SoftDependencies {
  const found = { pre: [] as string[], post: [] as string[] };
  let list: string[] | undefined;
  for (const word of rest) {
    if (word === "pre:") list = found.pre;
    else if (word === "post:") list = found.post;
    else list?.push(canonical(word));
  }
  return found;
}

/** Lines without comments, those that end in a backslash joined with the next; each with the number of its first. */
function logicalLines(text: string): [number, string][] {
  const lines: [number, string][] = [];
  let open: [number, string] | undefined;
  for (const [i, raw] of text.split("\n").entries()) {
    const [number, before] = open ?? [i + 1, ""];
    const joined = before + raw;
    open = joined.endsWith("\\") ? [number, `${joined.slice(0, -1)} `] : undefined;
    if (open === undefined && !/^\s*(#|$)/.test(joined)) lines.push([number, joined]);
  }
  return lines;
}

export interface ModuleRequest {
  readonly module: string;
  readonly where: string;
}

/** modules-load.d and /etc/modules: a name a line, in the latter with options behind it. */
export function parseModuleRequests(files: readonly TextFile[]): ModuleRequest[] {
  return files.flatMap(({ path, text }) =>
    text.split("\n").flatMap((line, i) => {
      const [name = ""] = words(line);
      return name === "" || /^[#;]/.test(name) ? [] : [{ module: canonical(name), where: `${path}:${i + 1}` }];
    }),
  );
}

/** fnmatch(3) as modules.alias uses it. */
export function matchesAlias(pattern: string, name: string): boolean {
  const source = pattern.replaceAll(/\\.|\[[^\]]*\]|[.+^${}()|*?]/g, (part) => {
    if (part === "*") return ".*";
    if (part === "?") return ".";
    return part.startsWith("[") ? part.replace("[!", "[^") : part.startsWith("\\") ? part : `\\${part}`;
  });
  return new RegExp(`^${source}$`).test(name);
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}
