/**
 * How `kubectl get` shows a kind: columns, and one row of cells an object. Columns with a priority above 0 appear
 * with `-o wide`.
 */
import type { KubeObject } from "../object/object.ts";

export interface Column {
  readonly name: string;
  readonly type: string;
  readonly format?: string;
  readonly description?: string;
  readonly priority: number;
}

export interface Printer {
  readonly columns: readonly Column[];
  readonly cells: (object: KubeObject, now: Date) => readonly unknown[];
}

/** Columns from their names: the first is the object's name, a leading "+" marks one for `-o wide`. */
export function columns(...names: readonly string[]): readonly Column[] {
  return names.map((text) => {
    const wide = text.startsWith("+");
    const name = wide ? text.slice(1) : text;
    const format = name === "Name" ? "name" : "";
    return { name, type: "string", format, description: "", priority: wide ? 1 : 0 };
  });
}

/** The printer of kinds about which there is nothing special to say. */
export const AGE_PRINTER: Printer = {
  columns: columns("Name", "Age"),
  cells: (object, now) => [object.metadata.name, age(object.metadata.creationTimestamp, now)],
};

/** Time since `timestamp` as kubectl prints it. */
export function age(timestamp: unknown, now: Date): string {
  const then = typeof timestamp === "string" ? Date.parse(timestamp) : Number.NaN;
  return Number.isNaN(then) ? "<unknown>" : humanDuration(Math.floor((now.getTime() - then) / 1000));
}

/** k8s.io/apimachinery/pkg/util/duration: two units while they tell something, then one. */
export function humanDuration(seconds: number): string {
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return both(minutes, "m", seconds % 60, "s");
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return both(hours, "h", minutes % 60, "m");
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (days < 8) return both(days, "d", hours % 24, "h");
  if (days < 730) return `${days}d`;
  const years = Math.floor(days / 365);
  return years < 8 ? both(years, "y", days % 365, "d") : `${years}y`;
}

function both(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large}${largeUnit}` : `${large}${largeUnit}${small}${smallUnit}`;
}
