/** core/v1 Secret -> its texts by key. Values that are no UTF-8 are left out, and reported without being shown. */
import { asObject, type JsonObject } from "./json.ts";
import type { ReportField } from "./object-reader.ts";

export type SecretTexts = Readonly<Record<string, string>>;

export function parseSecret(object: JsonObject, report: ReportField): SecretTexts {
  const texts: [string, string][] = [];
  for (const [key, value] of Object.entries(asObject(object["data"]) ?? {})) {
    const text = typeof value === "string" ? decode(value) : undefined;
    if (text === undefined) report(`data[${JSON.stringify(key)}]`, "it is no base64 of UTF-8 text");
    else texts.push([key, text]);
  }
  return Object.fromEntries(texts);
}

function decode(base64: string): string | undefined {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(base64)) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(base64, "base64"));
  } catch {
    return undefined;
  }
}
