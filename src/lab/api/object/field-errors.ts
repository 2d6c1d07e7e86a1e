/**
 * Collects what is wrong with an object, one cause a field, in the words of the Kubernetes field package
 * (k8s.io/apimachinery/pkg/util/validation/field): all faults in one answer, not one a try.
 */
import type { StatusCause } from "./status.ts";

export class FieldErrors {
  readonly causes: StatusCause[] = [];

  /** A collector of its own, for "does it fit this schema?" */
  scratch(): FieldErrors {
    return new FieldErrors();
  }

  required(field: string, detail = ""): void {
    this.#add("FieldValueRequired", field, detail === "" ? "Required value" : `Required value: ${detail}`);
  }

  invalid(field: string, value: unknown, detail: string): void {
    this.#add("FieldValueInvalid", field, `Invalid value: ${JSON.stringify(value) ?? "null"}: ${detail}`);
  }

  typeInvalid(field: string, value: unknown, detail: string): void {
    this.#add("FieldValueTypeInvalid", field, `Invalid value: ${JSON.stringify(value) ?? "null"}: ${detail}`);
  }

  notSupported(field: string, value: unknown, supported: readonly string[]): void {
    const list = supported.map((name) => JSON.stringify(name)).join(", ");
    this.#add(
      "FieldValueNotSupported",
      field,
      `Unsupported value: ${JSON.stringify(value)}: supported values: ${list}`,
    );
  }

  duplicate(field: string, value: unknown): void {
    this.#add("FieldValueDuplicate", field, `Duplicate value: ${JSON.stringify(value)}`);
  }

  forbidden(field: string, detail: string): void {
    this.#add("FieldValueForbidden", field, `Forbidden: ${detail}`);
  }

  notFound(field: string, value: unknown): void {
    this.#add("FieldValueNotFound", field, `Not found: ${JSON.stringify(value)}`);
  }

  tooMany(field: string, count: number, max: number): void {
    this.#add("FieldValueTooMany", field, `Too many: ${count}: must have at most ${max} items`);
  }

  tooLong(field: string, max: number): void {
    this.#add("FieldValueTooLong", field, `Too long: may not be more than ${max} bytes`);
  }

  #add(reason: string, field: string, message: string): void {
    this.causes.push({ reason, message, field });
  }
}
