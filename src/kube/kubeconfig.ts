/**
 * Reads kubeconfig files (client.config `v1` Config) and merges them the way kubectl does: of several files in
 * KUBECONFIG the first to name a cluster, user, context or current-context wins
 * (https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/).
 *
 * Every entry remembers its file, because relative paths inside it start at that file's folder and because messages
 * name it.
 */
import { readFileSync } from "node:fs";
import { BreakwaterError, messageOf } from "../model/errors.ts";
import { asArray, asObject, asString, type JsonObject, typeName } from "./json.ts";

/** One named cluster, user or context. */
export interface KubeconfigEntry {
  readonly file: string;
  readonly name: string;
  readonly fields: JsonObject;
}

export interface Kubeconfig {
  readonly files: readonly string[];
  readonly currentContext: string | undefined;
  readonly clusters: ReadonlyMap<string, KubeconfigEntry>;
  readonly users: ReadonlyMap<string, KubeconfigEntry>;
  readonly contexts: ReadonlyMap<string, KubeconfigEntry>;
}

/** An error about a kubeconfig: always names the file. */
export function configError(file: string, why: string, remedy: string, cause?: unknown): BreakwaterError {
  return new BreakwaterError("BW_KUBE_CONFIG", `Cannot use kubeconfig ${file}: ${why}`, {
    operation: "read kubeconfig",
    object: file,
    remedy,
    cause,
  });
}

/**
 * Reads and merges kubeconfig files.
 * @param optional skip a file that is not there, as kubectl does for the list in KUBECONFIG
 * @throws BreakwaterError BW_KUBE_CONFIG
 */
export async function readKubeconfig(files: readonly string[], optional = false): Promise<Kubeconfig> {
  const found: { file: string; document: JsonObject }[] = [];
  for (const file of files) {
    const text = readText(file, optional && files.length > 1);
    if (text !== undefined) found.push({ file, document: await parseDocument(file, text) });
  }
  if (found.length === 0) throw configError(files.join(":"), "none of these files exists", "Name an existing file");
  return {
    files: found.map(({ file }) => file),
    currentContext: found.map(({ document }) => asString(document["current-context"])).find((name) => name),
    clusters: mergeEntries(found, "clusters", "cluster"),
    users: mergeEntries(found, "users", "user"),
    contexts: mergeEntries(found, "contexts", "context"),
  };
}

function readText(file: string, optional: boolean): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    if (optional && (cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw configError(file, messageOf(cause), "Name an existing, readable file with --kubeconfig or KUBECONFIG", cause);
  }
}

async function parseDocument(file: string, text: string): Promise<JsonObject> {
  const document = await parseYaml(file, text);
  // An empty file is an empty configuration to kubectl too.
  if (document === null || document === undefined) return {};
  const object = asObject(document);
  if (object === undefined)
    throw configError(file, `it holds ${typeName(document)}, not a Config object`, "Give a file of kind: Config");
  const kind = object["kind"];
  if (kind !== undefined && kind !== "Config")
    throw configError(file, `its kind is ${JSON.stringify(kind)}, not "Config"`, "Give a file of kind: Config");
  return object;
}

/** The YAML parser is loaded only here: an agent in a pod needs no kubeconfig and saves its memory. */
async function parseYaml(file: string, text: string): Promise<unknown> {
  if (text.trimStart().startsWith("{")) {
    try {
      return JSON.parse(text);
    } catch {
      // Flow-style YAML starts with a brace too; the YAML parser gives the message with the line.
    }
  }
  const { parse } = await import("yaml");
  try {
    return parse(text);
  } catch (cause) {
    const [firstLine = ""] = messageOf(cause).split("\n", 1);
    throw configError(file, `it does not parse as YAML: ${firstLine}`, "Mend that line, or write the file anew", cause);
  }
}

function mergeEntries(
  found: readonly { file: string; document: JsonObject }[],
  list: string,
  field: string,
): ReadonlyMap<string, KubeconfigEntry> {
  const merged = new Map<string, KubeconfigEntry>();
  for (const { file, document } of found) {
    for (const entry of readEntries(file, document[list], list, field)) {
      if (!merged.has(entry.name)) merged.set(entry.name, entry);
    }
  }
  return merged;
}

function readEntries(file: string, value: unknown, list: string, field: string): KubeconfigEntry[] {
  if (value === undefined || value === null) return [];
  const items = asArray(value);
  if (items === undefined)
    throw configError(
      file,
      `"${list}" is ${typeName(value)}, not a list`,
      `Make "${list}" a list of name and ${field}`,
    );
  return items.map((item, index) => {
    const object = asObject(item);
    const name = asString(object?.["name"]);
    if (object === undefined || name === undefined)
      throw configError(file, `${list}[${index}] has no name`, `Give each of "${list}" a name and a ${field}`);
    const fields = object[field] ?? {};
    if (asObject(fields) === undefined)
      throw configError(file, `${field} "${name}" is ${typeName(fields)}, not an object`, `Mend ${field} "${name}"`);
    return { file, name, fields: fields as JsonObject };
  });
}
