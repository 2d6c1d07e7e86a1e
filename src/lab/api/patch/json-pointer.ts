/**
 * JSON pointers (RFC 6901) as JSON patch uses them.
 */
import { isFields } from "../object/object.ts";

/** The tokens of a pointer. @throws SyntaxError for text that does not start with "/" */
export function parsePointer(text: string): string[] {
  if (text === "") return [];
  if (!text.startsWith("/")) throw new SyntaxError(`JSON pointer "${text}" does not start with "/"`);
  return text
    .slice(1)
    .split("/")
    .map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** The value under `token`. @throws RangeError where there is none */
export function child(container: unknown, token: string): unknown {
  if (Array.isArray(container)) return container[listIndex(container, token, container.length - 1)];
  if (isFields(container) && Object.hasOwn(container, token)) return container[token];
  throw new RangeError(`no value at "${token}"`);
}

/** RFC 6901, section 4: digits without leading zeros. @throws RangeError outside 0..max */
export function listIndex(list: readonly unknown[], token: string, max: number): number {
  if (!/^(0|[1-9]\d*)$/.test(token)) throw new RangeError(`"${token}" is no list index`);
  const index = Number(token);
  if (index > max) throw new RangeError(`index ${token} is out of bounds of a list of ${list.length}`);
  return index;
}
