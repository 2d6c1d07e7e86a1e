/**
 * One line of a benchmark's outcome, and how it is printed. A goal is a bound of the ratio: it is met when
 * `ratio <= goal`. Where the goal is an absolute figure, that figure is the reference and the goal is 1.
 */

export interface Row {
  readonly suite: string;
  readonly name: string;
  /** Unit of `ours` and `reference`: "ms", "us", "s", "MB", "%", "operations". Less is better, whatever the unit. */
  readonly unit: string;
  readonly ours: number;
  readonly reference: number | null;
  readonly referenceName: string | null;
  readonly ratio: number | null;
  /** Null for a row that is there to be read beside the others. */
  readonly goal: number | null;
}

export interface RowDetails {
  readonly reference?: number;
  readonly referenceName?: string;
  /** @default ours / reference */
  readonly ratio?: number;
  readonly goal?: number;
}

export function makeRow(suite: string, name: string, unit: string, ours: number, details: RowDetails = {}): Row {
  const { reference, referenceName, goal } = details;
  const quotient = reference === undefined ? undefined : ours / reference;
  const ratio = details.ratio ?? quotient;
  return {
    suite,
    name,
    unit,
    ours: round(ours),
    reference: reference === undefined ? null : round(reference),
    referenceName: referenceName ?? null,
    ratio: ratio === undefined ? null : round(ratio),
    goal: goal ?? null,
  };
}

/** True when the row has no goal, or keeps it. */
export function meetsGoal({ ratio, goal }: Row): boolean {
  return goal === null || (ratio !== null && ratio <= goal);
}

const HEADINGS = ["WHAT", "UNIT", "OURS", "REFERENCE", "", "RATIO", "GOAL", ""] as const;
/** Columns of text; the others are numbers and stand to the right. */
const LEFT = new Set([0, 1, 4, 7]);

/** The rows of one suite as an aligned table. */
export function formatTable(rows: readonly Row[]): string {
  const lines = [HEADINGS, ...rows.map(cells)];
  const widths = HEADINGS.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines.map((line) => `${alignLine(line, widths).trimEnd()}\n`).join("");
}

function cells(row: Row): readonly string[] {
  const verdict = row.goal === null ? "" : meetsGoal(row) ? "met" : "MISSED";
  const goal = row.goal === null ? "" : `<= ${row.goal}`;
  const { name, unit, ours, reference, referenceName, ratio } = row;
  return [
    name,
    unit,
    formatNumber(ours),
    formatNumber(reference),
    referenceName ?? "",
    formatNumber(ratio),
    goal,
    verdict,
  ];
}

function alignLine(line: readonly string[], widths: readonly number[]): string {
  return line
    .map((cell, column) => (LEFT.has(column) ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
    .join("  ");
}

function formatNumber(value: number | null): string {
  if (value === null) return "";
  if (Number.isInteger(value)) return String(value);
  return value.toFixed(Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2);
}

/** Four significant digits are more than any of these measurements has. */
function round(value: number): number {
  return Number(value.toPrecision(4));
}
