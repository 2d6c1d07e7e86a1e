/**
 * Server-side apply: the configuration of one manager merged into the live object, with ownership per field.
 * Conflicts are fields that the configuration would change and that another manager owns.
 */
import type { KubeObject } from "../object/object.ts";
import { type StatusCause, StatusError } from "../object/status.ts";
import type { Schema } from "../schema/schema.ts";
import { diffFields } from "./field-diff.ts";
import { difference, emptySet, type FieldSet, intersection, isEmpty, memberPaths, union } from "./field-set.ts";
import { appliedFields, type ManagerEntry, readManagers, type Writer, writeManagers } from "./managed-fields.ts";
import { mergeApplied, pruneDropped } from "./merge.ts";

export interface ApplyRequest {
  /** Undefined when the apply creates the object. */
  readonly live: KubeObject | undefined;
  readonly config: KubeObject;
  readonly schema: Schema;
  readonly writer: Writer;
  readonly force: boolean;
  readonly hasStatus: boolean;
}

/**
 * The object after the apply, its managedFields included.
 * @throws StatusError 409 with one cause a conflicting field, unless forced
 */
export function applyConfiguration(request: ApplyRequest): KubeObject {
  const { live, config, schema, writer, hasStatus } = request;
  const owned = appliedFields(config, schema, writer.subresource, hasStatus);
  const entries = readManagers(live);
  const previous = entries.find((entry) => isApplier(entry, writer));
  const others = entries.filter((entry) => entry !== previous);
  const base = live ?? { apiVersion: config.apiVersion, kind: config.kind, metadata: { name: config.metadata.name } };
  const merged = mergeApplied(base, { ...config, metadata: withoutManagers(config) }, schema) as KubeObject;
  const kept = others.reduce((set, entry) => union(set, entry.fields), owned);
  const dropped = previous === undefined ? emptySet() : difference(previous.fields, kept);
  const result = pruneRoot(merged, dropped, kept, schema);
  const diff = diffFields(base, result, schema);
  const remaining = resolveConflicts(others, diff.changed, request.force);
  const gone = diff.removed;
  const { manager, subresource, now: time } = writer;
  const entry: ManagerEntry = {
    manager,
    operation: "Apply",
    apiVersion: config.apiVersion,
    subresource,
    time: previous !== undefined && sameSet(previous.fields, owned) && isEmpty(diff.changed) ? previous.time : time,
    fields: owned,
  };
  writeManagers(result, [...remaining.map((other) => ({ ...other, fields: difference(other.fields, gone) })), entry]);
  return result;
}

/** Whole sections of an object (metadata, spec) stay even when nobody owns anything of them. */
function pruneRoot(merged: KubeObject, dropped: FieldSet, kept: FieldSet, schema: Schema): KubeObject {
  const sections: FieldSet = { member: kept.member, children: new Map(kept.children) };
  for (const edge of dropped.children.keys()) if (!sections.children.has(edge)) sections.children.set(edge, emptySet());
  return pruneDropped(merged, dropped, sections, schema) as KubeObject;
}

function resolveConflicts(others: readonly ManagerEntry[], changed: FieldSet, force: boolean): ManagerEntry[] {
  const causes: StatusCause[] = [];
  const remaining: ManagerEntry[] = [];
  for (const entry of others) {
    const fields = intersection(entry.fields, changed);
    remaining.push({ ...entry, fields: difference(entry.fields, changed) });
    for (const field of memberPaths(fields)) {
      causes.push({ reason: "FieldManagerConflict", message: `conflict with ${describe(entry)}`, field });
    }
  }
  if (causes.length > 0 && !force) throw applyConflict(causes);
  return remaining;
}

function describe(entry: ManagerEntry): string {
  const through = entry.subresource === "" ? "" : ` with subresource "${entry.subresource}"`;
  const at = entry.operation === "Update" && entry.time !== "" ? ` at ${entry.time}` : "";
  return `"${entry.manager}"${through} using ${entry.apiVersion}${at}`;
}

function applyConflict(causes: readonly StatusCause[]): StatusError {
  const noun = causes.length === 1 ? "conflict" : "conflicts";
  const byManager = Map.groupBy(causes, (cause) => cause.message);
  const list = [...byManager].map(([message, group]) => {
    const fields = group.map((cause) => cause.field ?? "");
    return fields.length === 1 ? `${message}: ${fields[0]}` : `${message}:\n${fields.map((f) => `- ${f}`).join("\n")}`;
  });
  const message = `Apply failed with ${causes.length} ${noun}: ${list.join("\n")}`;
  return new StatusError(409, "Conflict", message, { causes });
}

function isApplier(entry: ManagerEntry, writer: Writer): boolean {
  return entry.operation === "Apply" && entry.manager === writer.manager && entry.subresource === writer.subresource;
}

function sameSet(a: FieldSet, b: FieldSet): boolean {
  return isEmpty(difference(a, b)) && isEmpty(difference(b, a));
}

function withoutManagers(config: KubeObject): KubeObject["metadata"] {
  const { managedFields: _dropped, ...metadata } = config.metadata;
  return metadata;
}
