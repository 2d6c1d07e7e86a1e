/**
 * What the server knows of a kind: its names, its schema and what is special about it. Discovery, routing, tables and
 * OpenAPI are all read from these; a CustomResourceDefinition adds one a served version.
 */
import type { FieldErrors } from "../object/field-errors.ts";
import type { Fields, KubeObject } from "../object/object.ts";
import type { Schema } from "../schema/schema.ts";
import type { Printer } from "../table/printer.ts";
import type { WriteContext } from "./write-context.ts";

export type NameRule = "subdomain" | "label" | "label-1035" | "path-segment";

/** What the server does with objects of a kind beyond storing them. Each function may change the object it is given. */
export interface Strategy {
  readonly nameRule: NameRule;
  /** Fields that `fieldSelector` may name, beside metadata.name and metadata.namespace. */
  readonly selectableFields?: readonly string[];
  /** A new object keeps the status it comes with: kubelets register nodes whole. */
  readonly keepsStatus?: boolean;
  /** metadata.generation counts changes of the spec. */
  readonly countsGeneration?: boolean;
  /** Fills in what the client left out. Runs on every create and update. */
  readonly defaults?: (object: KubeObject) => void;
  /** Completes a new object: allocations, initial status. */
  readonly prepareCreate?: (object: KubeObject, context: WriteContext) => void;
  /** Completes a change of an object: carries allocations over, allocates what is new. */
  readonly prepareUpdate?: (object: KubeObject, old: KubeObject, context: WriteContext) => void;
  readonly validate?: (object: KubeObject, errors: FieldErrors, context: WriteContext) => void;
  readonly validateUpdate?: (object: KubeObject, old: KubeObject, errors: FieldErrors) => void;
}

export interface Resource {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly listKind: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  /** Name of the collection: the same for all versions of a kind. */
  readonly storage: string;
  readonly subresources: readonly string[];
  readonly schema: Schema;
  readonly strategy: Strategy;
  readonly printer: Printer;
  /** True for kinds that a CustomResourceDefinition made. */
  readonly custom: boolean;
  /** Between this version's spelling and the stored one. */
  readonly toStored: (object: KubeObject) => KubeObject;
  readonly fromStored: (object: KubeObject) => KubeObject;
  /** Defaults and validates by the custom resource's JSON schema, and prunes what it does not know. */
  readonly structural?: StructuralSchema;
}

export interface StructuralSchema {
  readonly defaults: (object: Fields) => void;
  readonly validate: (object: Fields, errors: FieldErrors, old: Fields | undefined) => void;
}

export function apiVersionOf(resource: { readonly group: string; readonly version: string }): string {
  return resource.group === "" ? resource.version : `${resource.group}/${resource.version}`;
}

export function hasStatus(resource: Resource): boolean {
  return resource.subresources.includes("status");
}
