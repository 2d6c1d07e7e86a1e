/** Fields of objects as they come: anything may stand anywhere. */

/** What stands where something else was expected. */
export const MISFIT: unique symbol = Symbol("misfit");
export type Misfit = typeof MISFIT;

/** Null is how some writers leave a field out. */
export function isAbsent(value: unknown): boolean {
  return value === undefined || value === null;
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The fields of an object; none of anything else. */
export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return isObject(value) ? value : {};
}

/** The items of a list, none where it is absent. */
export function listOf(value: unknown): readonly unknown[] | Misfit {
  if (isAbsent(value)) return [];
  return Array.isArray(value) ? value : MISFIT;
}

/** The same where it does not matter what else may stand there. */
export function itemsOf(value: unknown): readonly unknown[] {
  const items = listOf(value);
  return items === MISFIT ? [] : items;
}

export function stringsOf(value: unknown): readonly string[] | Misfit {
  const items = listOf(value);
  if (items === MISFIT) return MISFIT;
  return items.every((item) => typeof item === "string") ? items : MISFIT;
}
