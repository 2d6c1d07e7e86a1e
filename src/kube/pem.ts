/**
 * Certificates and keys of a kubeconfig: inline base64 ("…-data") or a file beside it. Read with the file and the
 * field in every message, because OpenSSL's own ("no start line") names neither.
 */
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { messageOf } from "../model/errors.ts";
import { asString, typeName } from "./json.ts";
import { configError, type KubeconfigEntry } from "./kubeconfig.ts";

/** Where PEM text comes from; `read` looks again each time, as files rotate. */
export interface PemSource {
  read(): string;
}

/**
 * The source behind `field` ("client-certificate") and `field`-data; inline data wins, as in client-go.
 * Reads it once, so that a missing or broken one is found at the start.
 * @throws BreakwaterError BW_KUBE_CONFIG
 */
export function pemSource(entry: KubeconfigEntry, field: string): PemSource | undefined {
  const source = inlinePem(entry, `${field}-data`) ?? filePem(entry, field);
  source?.read();
  return source;
}

function inlinePem(entry: KubeconfigEntry, field: string): PemSource | undefined {
  const data = stringField(entry, field);
  if (data === undefined) return undefined;
  const pem = Buffer.from(data, "base64").toString("utf8");
  return { read: () => checkPem(pem, entry.file, `${field} of "${entry.name}"`) };
}

function filePem(entry: KubeconfigEntry, field: string): PemSource | undefined {
  const path = pathField(entry, field);
  if (path === undefined) return undefined;
  return { read: () => checkPem(readNamedFile(entry, field, path), entry.file, `${field} file ${path}`) };
}

/** A path field, resolved from the folder of the kubeconfig that has it. */
export function pathField(entry: KubeconfigEntry, field: string): string | undefined {
  const path = stringField(entry, field);
  return path === undefined ? undefined : resolve(dirname(entry.file), path);
}

/** A non-empty string field, or undefined. @throws BreakwaterError BW_KUBE_CONFIG when it is no string */
export function stringField(entry: KubeconfigEntry, field: string): string | undefined {
  const value = entry.fields[field];
  if (value === undefined || value === null || value === "") return undefined;
  const text = asString(value);
  if (text === undefined)
    throw configError(entry.file, `${field} of "${entry.name}" is ${typeName(value)}`, `Make ${field} a string`);
  return text;
}

/** Reads a file that a kubeconfig names. @throws BreakwaterError BW_KUBE_CONFIG */
export function readNamedFile(entry: KubeconfigEntry, field: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    const why = `${field} of "${entry.name}" names a file that cannot be read: ${messageOf(cause)}`;
    throw configError(entry.file, why, `Restore ${path} or correct ${field}`, cause);
  }
}

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]+?-----END \1-----/;

/** OpenSSL takes a CA that is garbage without a word, so that every connection fails later: look at it here. */
function checkPem(pem: string, file: string, what: string): string {
  const block = BLOCK.exec(pem);
  if (block === null) throw configError(file, `${what} is not PEM`, "Give PEM text (-----BEGIN …), base64 in -data");
  if (block[1] === "CERTIFICATE") {
    try {
      new X509Certificate(block[0]);
    } catch (cause) {
      throw configError(file, `${what} is no X.509 certificate: ${messageOf(cause)}`, "Replace it", cause);
    }
  }
  return pem;
}
