/**
 * ConfigMap, Secret and ServiceAccount.
 */
import type { FieldErrors } from "../object/field-errors.ts";
import { configKeyFault } from "../object/names.ts";
import { at, equal, type Fields, fieldsOf, type KubeObject, listOf, textOf } from "../object/object.ts";
import type { Strategy } from "../resources/resource.ts";
import { age, columns, type Printer } from "../table/printer.ts";
import { setDefault } from "./pod-defaults.ts";

/** 1 MiB: core.MaxSecretSize, for ConfigMaps too. */
const MAX_BYTES = 1024 * 1024;

export const CONFIG_MAP_STRATEGY: Strategy = {
  nameRule: "subdomain",
  validate: (map, errors) => {
    validateData(fieldsOf(map["data"]), "data", errors);
    validateData(fieldsOf(map["binaryData"]), "binaryData", errors);
    for (const key of Object.keys(fieldsOf(map["binaryData"]))) {
      if (at(map, "data", key) !== undefined)
        errors.invalid(`data[${key}]`, key, "duplicate of key present in binaryData");
    }
  },
  validateUpdate: (map, old, errors) => validateImmutable(map, old, ["data", "binaryData"], errors),
};

export const SECRET_STRATEGY: Strategy = {
  nameRule: "subdomain",
  selectableFields: ["type"],
  defaults: (secret) => {
    setDefault(secret, "type", "Opaque");
    const plain = Object.entries(fieldsOf(secret["stringData"]));
    delete secret["stringData"];
    if (plain.length === 0) return;
    const encoded = plain.map(([key, value]) => [key, Buffer.from(String(value)).toString("base64")]);
    secret["data"] = { ...fieldsOf(secret["data"]), ...Object.fromEntries(encoded) };
  },
  validate: (secret, errors) => {
    validateData(fieldsOf(secret["data"]), "data", errors);
    for (const [key, value] of Object.entries(fieldsOf(secret["data"]))) {
      if (!/^[A-Za-z0-9+/]*={0,2}$/.test(textOf(value)))
        errors.invalid(`data[${key}]`, "<secret>", "illegal base64 data");
    }
  },
  validateUpdate: (secret, old, errors) => {
    if (secret["type"] !== old["type"]) errors.invalid("type", secret["type"], "field is immutable");
    validateImmutable(secret, old, ["data"], errors);
  },
};

export const SERVICE_ACCOUNT_STRATEGY: Strategy = { nameRule: "subdomain" };

function validateData(data: Fields, field: string, errors: FieldErrors): void {
  let size = 0;
  for (const [key, value] of Object.entries(data)) {
    const fault = configKeyFault(key);
    if (fault !== undefined) errors.invalid(`${field}[${key}]`, key, fault);
    size += textOf(value).length;
  }
  if (size > MAX_BYTES) errors.tooLong(field, MAX_BYTES);
}

function validateImmutable(object: KubeObject, old: KubeObject, fields: readonly string[], errors: FieldErrors): void {
  if (old["immutable"] !== true) return;
  if (object["immutable"] !== true) errors.forbidden("immutable", "field is immutable when `immutable` is set");
  for (const field of fields) {
    if (!equal(object[field], old[field])) errors.forbidden(field, "field is immutable when `immutable` is set");
  }
}

function size(map: unknown): number {
  return Object.keys(fieldsOf(map)).length;
}

export const CONFIG_MAP_PRINTER: Printer = {
  columns: columns("Name", "Data", "Age"),
  cells: (map, now) => [
    map.metadata.name,
    String(size(map["data"]) + size(map["binaryData"])),
    age(map.metadata.creationTimestamp, now),
  ],
};

export const SECRET_PRINTER: Printer = {
  columns: columns("Name", "Type", "Data", "Age"),
  cells: (secret, now) => [
    secret.metadata.name,
    textOf(secret["type"]),
    String(size(secret["data"])),
    age(secret.metadata.creationTimestamp, now),
  ],
};

export const SERVICE_ACCOUNT_PRINTER: Printer = {
  columns: columns("Name", "Secrets", "Age"),
  cells: (account, now) => [
    account.metadata.name,
    String(listOf(account["secrets"]).length),
    age(account.metadata.creationTimestamp, now),
  ],
};
