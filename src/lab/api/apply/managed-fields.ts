/**
 * `metadata.managedFields`: who owns which field. Every write updates it; server-side apply reads it to find
 * conflicts and to know what the applier has dropped.
 */
import { clone, type Fields, isFields, type KubeObject, listOf, textOf } from "../object/object.ts";
import type { Schema } from "../schema/schema.ts";
import { diffFields, fieldsIn } from "./field-diff.ts";
import { difference, type FieldSet, isEmpty, setFromJson, setToJson, union } from "./field-set.ts";

export interface ManagerEntry {
  readonly manager: string;
  readonly operation: "Apply" | "Update";
  readonly apiVersion: string;
  readonly subresource: string;
  readonly time: string;
  readonly fields: FieldSet;
}

/** Who writes: the manager of the query or of the User-Agent, through the object or one of its subresources. */
export interface Writer {
  readonly manager: string;
  readonly subresource: string;
  readonly now: string;
}

/** Nobody owns an object's identity and the server's own bookkeeping: fields of the metadata. */
const UNOWNED = [
  "name",
  "generateName",
  "namespace",
  "uid",
  "resourceVersion",
  "generation",
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
  "selfLink",
  "managedFields",
].map((name) => `f:${name}`);

/** What of a field set can be owned at all through this endpoint. */
export function ownable(set: FieldSet, subresource: string, hasStatus: boolean): FieldSet {
  const owned: FieldSet = { member: set.member, children: new Map(set.children) };
  owned.children.delete("f:apiVersion");
  owned.children.delete("f:kind");
  if (subresource === "status") owned.children.delete("f:spec");
  else if (hasStatus) owned.children.delete("f:status");
  const metadata = owned.children.get("f:metadata");
  if (metadata === undefined) return owned;
  // An object's metadata is always there: owning it as a whole means nothing.
  const own: FieldSet = { member: false, children: new Map(metadata.children) };
  for (const edge of UNOWNED) own.children.delete(edge);
  if (isEmpty(own)) owned.children.delete("f:metadata");
  else owned.children.set("f:metadata", own);
  return owned;
}

export function readManagers(object: KubeObject | undefined): ManagerEntry[] {
  return listOf(object?.metadata.managedFields)
    .filter(isFields)
    .flatMap((entry) => {
      const operation = entry["operation"];
      if (operation !== "Apply" && operation !== "Update") return [];
      return [
        {
          manager: textOf(entry["manager"]),
          operation,
          apiVersion: textOf(entry["apiVersion"]),
          subresource: textOf(entry["subresource"]),
          time: textOf(entry["time"]),
          fields: setFromJson(entry["fieldsV1"]),
        },
      ];
    });
}

/** Sets the object's managedFields to those entries that own something, oldest first. */
export function writeManagers(object: KubeObject, entries: readonly ManagerEntry[]): void {
  const rows = entries
    .filter((entry) => !isEmpty(entry.fields))
    .sort((a, b) => (a.operation === b.operation ? compareText(a.time, b.time) : a.operation === "Apply" ? -1 : 1));
  if (rows.length === 0) delete object.metadata.managedFields;
  else object.metadata.managedFields = rows.map(entryJson);
}

function entryJson(entry: ManagerEntry): Fields {
  return {
    manager: entry.manager,
    operation: entry.operation,
    apiVersion: entry.apiVersion,
    time: entry.time,
    fieldsType: "FieldsV1",
    fieldsV1: setToJson(entry.fields),
    ...(entry.subresource !== "" && { subresource: entry.subresource }),
  };
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Records a create, update or patch: the writer owns what it changed, and others lose it. */
export function recordUpdate(
  before: KubeObject | undefined,
  after: KubeObject,
  schema: Schema,
  writer: Writer,
  hasStatus: boolean,
): void {
  const base: KubeObject = before ?? { apiVersion: after.apiVersion, kind: after.kind, metadata: { name: "" } };
  const diff = diffFields(base, after, schema);
  const changed = ownable(diff.changed, writer.subresource, hasStatus);
  const entries = readManagers(resetByClient(after) ? undefined : after.metadata.managedFields ? after : before);
  const gone = union(diff.removed, diff.changed);
  const others = entries.map((entry) =>
    isWriter(entry, writer, after.apiVersion)
      ? { ...entry, fields: difference(entry.fields, diff.removed) }
      : { ...entry, fields: difference(entry.fields, gone) },
  );
  writeManagers(after, isEmpty(changed) ? others : withUpdate(others, changed, writer, after.apiVersion));
}

function withUpdate(entries: ManagerEntry[], changed: FieldSet, writer: Writer, apiVersion: string): ManagerEntry[] {
  const old = entries.find((entry) => isWriter(entry, writer, apiVersion));
  const fields = old === undefined ? changed : union(old.fields, changed);
  const { manager, subresource, now: time } = writer;
  const entry: ManagerEntry = { manager, operation: "Update", apiVersion, subresource, time, fields };
  return [...entries.filter((other) => other !== old), entry];
}

/** `managedFields: [{}]` is the documented way to forget all ownership. */
function resetByClient(object: KubeObject): boolean {
  const list = object.metadata.managedFields;
  return list?.length === 1 && isFields(list[0]) && Object.keys(list[0]).length === 0;
}

function isWriter(entry: ManagerEntry, writer: Writer, apiVersion: string): boolean {
  return (
    entry.operation === "Update" &&
    entry.manager === writer.manager &&
    entry.subresource === writer.subresource &&
    entry.apiVersion === apiVersion
  );
}

/** The fields a configuration owns when it is applied. */
export function appliedFields(config: KubeObject, schema: Schema, subresource: string, hasStatus: boolean): FieldSet {
  return ownable(fieldsIn(clone(config), schema), subresource, hasStatus);
}
