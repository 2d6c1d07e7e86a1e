/**
 * One description of a type, from which everything else is derived: strict decoding, strategic merge keys,
 * server-side-apply list types and OpenAPI. Built-in kinds come from the tables in types/, custom resources from
 * their CustomResourceDefinition.
 */

export type SchemaType =
  | "string"
  | "integer"
  | "number"
  | "boolean"
  | "quantity"
  | "int-or-string"
  | "object"
  | "map"
  | "list"
  | "any";

export interface Schema {
  readonly type: SchemaType;
  /** OpenAPI format: "int32", "date-time", "byte". */
  readonly format?: string;
  /** Full definition name of an object type, for OpenAPI `$ref`. */
  readonly typeName?: string;
  /** Fields of an object. */
  readonly fields?: ReadonlyMap<string, Schema>;
  /** Protobuf field numbers of an object's fields, as a path where a message is inlined in JSON: "2.1". */
  readonly numbers?: ReadonlyMap<string, string>;
  readonly required?: readonly string[];
  /** Elements of a list, values of a map. */
  readonly items?: Schema;
  /** Server-side apply owns the whole value as one (x-kubernetes-map-type: atomic). */
  readonly atomic?: boolean;
  /** x-kubernetes-list-type; a list without one is atomic. */
  readonly listType?: "atomic" | "set" | "map";
  readonly listKeys?: readonly string[];
  /** What a list key means when an item does not name it: ports default to protocol TCP. */
  readonly listKeyDefaults?: Readonly<Record<string, string>>;
  /** Strategic merge patch merges the list (by {@link patchMergeKey}, or as a set of scalars without one). */
  readonly patchMerge?: boolean;
  readonly patchMergeKey?: string;
  /** Strategic merge patch may name the union members to keep with `$retainKeys`. */
  readonly retainKeys?: boolean;
  /** Fields that the schema does not name are kept (x-kubernetes-preserve-unknown-fields). */
  readonly preserveUnknown?: boolean;
  readonly nullable?: boolean;
  readonly description?: string;
  /** The JSON schema a custom resource's type was read from, printed again in OpenAPI. */
  readonly source?: Readonly<Record<string, unknown>>;
}

export const ANY_SCHEMA: Schema = { type: "any", preserveUnknown: true };
