/**
 * From an API object to the value that is kept of it. What cannot be read is reported with its name and the reason,
 * and never stops the stream it came in.
 */
import { messageOf } from "../model/errors.ts";
import { asObject, asString, type JsonObject } from "./json.ts";
import type { Parsed } from "./store.ts";

/** Says that one field could not be used, and why: ("spec.podCIDRs[1]", "…"). The object is used without it. */
export type ReportField = (field: string, why: string) => void;

/** Makes a model value of an API object; undefined or a throw means that the whole object is unusable. */
export type ParseObject<T> = (object: JsonObject, report: ReportField) => T | undefined;

/** What was wrong with an object of the API. */
export interface ObjectProblem {
  /** "nodes", "networkpolicies.networking.k8s.io". */
  readonly resource: string;
  /** "namespace/name" or "name". */
  readonly key: string;
  /** Path of the field; "" when it is the object as a whole. */
  readonly field: string;
  readonly why: string;
}

export class ObjectReader<T> {
  readonly #resource: string;
  readonly #parse: ParseObject<T>;
  readonly #onProblem: (problem: ObjectProblem) => void;

  constructor(resource: string, parse: ParseObject<T>, onProblem: (problem: ObjectProblem) => void) {
    this.#resource = resource;
    this.#parse = parse;
    this.#onProblem = onProblem;
  }

  /** Undefined, and reported, when the object has no name: it cannot be told from others. */
  read(object: JsonObject): Parsed<T> | undefined {
    const key = objectKey(object);
    if (key === undefined) return this.#report("(no name)", "metadata.name", "it is missing");
    return { key, resourceVersion: objectVersion(object), value: this.#parseValue(key, object) };
  }

  #parseValue(key: string, object: JsonObject): T | undefined {
    try {
      return this.#parse(object, (field, why) => this.#report(key, field, why));
    } catch (error) {
      return this.#report(key, "", messageOf(error));
    }
  }

  #report(key: string, field: string, why: string): undefined {
    this.#onProblem({ resource: this.#resource, key, field, why });
  }
}

/** "namespace/name", or "name" of what has no namespace; undefined without a name. */
export function objectKey(object: JsonObject): string | undefined {
  const metadata = asObject(object["metadata"]);
  const name = asString(metadata?.["name"]);
  if (!name) return undefined;
  const namespace = asString(metadata?.["namespace"]);
  return namespace ? `${namespace}/${name}` : name;
}

/** metadata.resourceVersion, "" where there is none. */
export function objectVersion(object: JsonObject): string {
  return asString(asObject(object["metadata"])?.["resourceVersion"]) ?? "";
}
