/** Manifests on disk -> the lab's API: every YAML or JSON file of a folder, in the order of their names. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { BreakwaterError, messageOf } from "../model/errors.ts";
import type { NewObject, Store } from "./api/store.ts";

export interface ManifestObject {
  readonly source: string;
  readonly object: NewObject;
}

/** @param path a folder or one file. @throws BreakwaterError BW_MANIFEST naming the file and document */
export function readManifests(path: string): ManifestObject[] {
  return manifestFiles(path).flatMap((file) => {
    const documents = attempt(file, () => parseAllDocuments(readFileSync(file, "utf8")));
    return [...documents].flatMap((document, i) => {
      const source = `${file}, document ${i + 1}`;
      if (document.errors[0] !== undefined) throw manifestError(source, document.errors[0].message);
      return flatten(
        attempt(source, () => document.toJS()),
        source,
      );
    });
  });
}

/** What reading or parsing throws, with the place. */
function attempt<T>(source: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw manifestError(source, messageOf(error));
  }
}

function manifestFiles(path: string): string[] {
  try {
    if (!statSync(path).isDirectory()) return [path];
    const files = readdirSync(path)
      .filter((name) => /\.(ya?ml|json)$/.test(name))
      .sort();
    if (files.length > 0) return files.map((name) => join(path, name));
  } catch (error) {
    throw manifestError(path, messageOf(error));
  }
  throw manifestError(path, "there is no .yaml, .yml or .json file in it");
}

function flatten(value: unknown, source: string): ManifestObject[] {
  if (value === null || value === undefined) return [];
  const object = value as Partial<NewObject> & { items?: unknown };
  if (typeof value !== "object" || typeof object.kind !== "string" || typeof object.apiVersion !== "string") {
    throw manifestError(source, "it has no apiVersion and kind");
  }
  if (object.kind === "List" && Array.isArray(object.items)) {
    return object.items.flatMap((item, i) => flatten(item, `${source}, item ${i + 1}`));
  }
  return [{ source, object: { metadata: {}, ...object } as NewObject }];
}

/** Creates all objects, or none: what was made before the first bad one is taken away again. */
export function applyManifests(store: Store, manifests: readonly ManifestObject[]): string[] {
  const made: { resource: string; namespace: string | undefined; name: string; label: string }[] = [];
  for (const { source, object } of manifests) {
    try {
      const created = store.create(inNamespace(store, object));
      const { namespace, name } = created.metadata;
      const label = `${object.kind.toLowerCase()} ${namespace === undefined ? "" : `${namespace}/`}${name}`;
      made.push({ resource: resourceOf(store, object.kind), namespace, name, label });
    } catch (error) {
      for (const { resource, namespace, name } of made.reverse()) {
        if (resource !== "") store.delete(resource, namespace, name, { gracePeriodSeconds: 0 });
      }
      throw manifestError(source, messageOf(error));
    }
  }
  return made.map(({ label }) => label);
}

/** As kubectl does: what says no namespace goes to "default". */
function inNamespace(store: Store, object: NewObject): NewObject {
  if (object.metadata["namespace"] !== undefined || store.isNamespaced(object) !== true) return object;
  return { ...object, metadata: { ...object.metadata, namespace: "default" } };
}

/** "Pod" -> "pods", "NetworkPolicy" -> "networkpolicies"; "" when the lab has no such resource. */
function resourceOf(store: Store, kind: string): string {
  const lower = kind.toLowerCase();
  const names = store.resources().map((name) => name.split(".")[0] ?? "");
  const candidates = [`${lower}s`, `${lower}es`, lower.replace(/y$/, "ies")];
  return candidates.find((candidate) => names.includes(candidate)) ?? "";
}

function manifestError(source: string, why: string): BreakwaterError {
  return new BreakwaterError("BW_MANIFEST", `Cannot use the manifest ${source}: ${why}`, {
    operation: "read manifest",
    object: source,
    remedy: "Correct the file; the lab takes Pods, Services and the other kinds of 'kubectl api-resources'",
  });
}
