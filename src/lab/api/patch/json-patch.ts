/**
 * JSON patch, RFC 6902. Operations apply in order to one document; the first that fails fails the patch.
 */
import { clone, equal, type Fields, isFields } from "../object/object.ts";
import { child, listIndex, parsePointer } from "./json-pointer.ts";

/** A limit of the real API server: more operations than any honest client sends. */
const MAX_OPERATIONS = 10_000;

/** The patch is no JSON patch. */
export class JsonPatchSyntaxError extends SyntaxError {
  override name = "JsonPatchSyntaxError";
}

/** The patch is well-formed and does not fit the document. */
export class JsonPatchConflictError extends Error {
  override name = "JsonPatchConflictError";
}

/**
 * The document after the patch; `document` itself is left alone.
 * @throws JsonPatchSyntaxError | JsonPatchConflictError
 */
export function applyJsonPatch(document: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw new JsonPatchSyntaxError("a JSON patch is a list of operations");
  if (patch.length > MAX_OPERATIONS)
    throw new JsonPatchSyntaxError(`a JSON patch has at most ${MAX_OPERATIONS} operations`);
  // The document sits in a box, so that "" (the whole document) is a child like every other.
  const box: Fields = { document: clone(document) };
  for (const [i, operation] of patch.entries()) {
    if (!isFields(operation)) throw new JsonPatchSyntaxError(`operation ${i} is no object`);
    try {
      applyOperation(box, operation);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      const { op, path } = operation;
      throw new JsonPatchConflictError(
        `the server rejected our request: ${op} operation does not apply at "${path}": ${error.message}`,
      );
    }
  }
  return box["document"];
}

type Operation = (box: Fields, path: readonly string[], operation: Fields) => void;

const OPERATIONS: Readonly<Record<string, Operation>> = {
  add: (box, path, operation) => add(box, path, value(operation)),
  remove: (box, path) => {
    remove(box, path);
  },
  replace: (box, path, operation) => {
    lookUp(box, path);
    replace(box, path, value(operation));
  },
  move: (box, path, operation) => move(box, pointer(operation, "from"), path),
  copy: (box, path, operation) => add(box, path, clone(lookUp(box, pointer(operation, "from")))),
  test: (box, path, operation) => {
    if (!equal(lookUp(box, path), value(operation))) throw new RangeError("the value is another one");
  },
};

function applyOperation(box: Fields, operation: Fields): void {
  const name = String(operation["op"]);
  const apply = Object.hasOwn(OPERATIONS, name) ? OPERATIONS[name] : undefined;
  if (apply === undefined) throw new JsonPatchSyntaxError(`unknown JSON patch operation ${JSON.stringify(name)}`);
  apply(box, pointer(operation, "path"), operation);
}

function pointer(operation: Fields, name: string): string[] {
  const text = operation[name];
  if (typeof text !== "string") throw new JsonPatchSyntaxError(`a ${operation["op"]} operation needs "${name}"`);
  try {
    return ["document", ...parsePointer(text)];
  } catch (error) {
    throw new JsonPatchSyntaxError(error instanceof Error ? error.message : String(error));
  }
}

function value(operation: Fields): unknown {
  if (!("value" in operation)) throw new JsonPatchSyntaxError(`a ${operation["op"]} operation needs "value"`);
  return clone(operation["value"]);
}

function lookUp(box: Fields, path: readonly string[]): unknown {
  return path.reduce(child, box as unknown);
}

function parentOf(box: Fields, path: readonly string[]): { parent: unknown; token: string } {
  return { parent: lookUp(box, path.slice(0, -1)), token: path.at(-1) ?? "" };
}

function add(box: Fields, path: readonly string[], item: unknown): void {
  const { parent, token } = parentOf(box, path);
  if (Array.isArray(parent)) {
    const index = token === "-" ? parent.length : listIndex(parent, token, parent.length);
    parent.splice(index, 0, item);
  } else if (isFields(parent)) define(parent, token, item);
  else throw new RangeError("its parent is neither an object nor a list");
}

function replace(box: Fields, path: readonly string[], item: unknown): void {
  const { parent, token } = parentOf(box, path);
  if (Array.isArray(parent)) parent[Number(token)] = item;
  else if (isFields(parent)) define(parent, token, item);
}

function remove(box: Fields, path: readonly string[]): unknown {
  const { parent, token } = parentOf(box, path);
  const removed = child(parent, token);
  if (Array.isArray(parent)) parent.splice(Number(token), 1);
  else if (isFields(parent)) delete parent[token];
  return removed;
}

function move(box: Fields, from: readonly string[], to: readonly string[]): void {
  // RFC 6902, section 4.4: a value cannot move into itself.
  if (to.length > from.length && from.every((token, i) => to[i] === token)) {
    throw new RangeError("a value cannot move into itself");
  }
  add(box, to, remove(box, from));
}

/** Assigns even "__proto__" as plain data. */
function define(target: Fields, key: string, item: unknown): void {
  Object.defineProperty(target, key, { value: item, enumerable: true, writable: true, configurable: true });
}
