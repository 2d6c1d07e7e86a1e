/**
 * Paths of resource requests:
 *
 *     /api/v1/[namespaces/NS/]PLURAL[/NAME[/SUBRESOURCE]]
 *     /apis/GROUP/VERSION/[namespaces/NS/]PLURAL[/NAME[/SUBRESOURCE]]
 *
 * The older form …/watch/… before the plural means `?watch=true`.
 */
import { badRequest } from "../object/status.ts";

export interface ResourcePath {
  readonly group: string;
  readonly version: string;
  readonly namespace: string | undefined;
  readonly plural: string;
  readonly name: string | undefined;
  readonly subresource: string;
  readonly watch: boolean;
}

/** Subresources of a namespace, which look like kinds inside it. */
const NAMESPACE_SUBRESOURCES = ["status", "finalize"];

/** Undefined when the path is not that of a resource. @throws StatusError 400 for broken percent-encoding */
export function parseResourcePath(path: string): ResourcePath | undefined {
  const parts = segments(path);
  const [root, ...rest] = parts;
  if (root === "api" && rest.length >= 2) return inVersion("", rest[0] ?? "", rest.slice(1));
  if (root === "apis" && rest.length >= 3) return inVersion(rest[0] ?? "", rest[1] ?? "", rest.slice(2));
  return undefined;
}

/** Decoded segments without empty ones. */
export function segments(path: string): string[] {
  try {
    return path
      .split("/")
      .filter((part) => part !== "")
      .map(decodeURIComponent);
  } catch {
    throw badRequest(`the path ${JSON.stringify(path)} is not valid percent-encoding`);
  }
}

function inVersion(group: string, version: string, parts: readonly string[]): ResourcePath | undefined {
  const watch = parts[0] === "watch";
  const rest = watch ? parts.slice(1) : parts;
  const [first = "", second, third] = rest;
  const inside = first === "namespaces" && rest.length >= 3 && !NAMESPACE_SUBRESOURCES.includes(third ?? "");
  const namespace = inside ? second : undefined;
  const [plural = "", name, ...subresource] = inside ? rest.slice(2) : rest;
  if (subresource.length > 1) return undefined;
  return { group, version, namespace, plural, name, subresource: subresource[0] ?? "", watch };
}
