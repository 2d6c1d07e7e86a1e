/**
 * Options of a command as a table: parsing, `--help` and docs/reference/options.md all come from it. An unknown or
 * repeated option, a missing or unusable value is one clear error.
 */
import { parseArgs } from "node:util";
import { BreakwaterError, messageOf } from "../model/errors.ts";

export interface OptionSpec {
  readonly type: "string" | "boolean";
  /** May be given more than once; the value is a list. */
  readonly multiple?: true;
  readonly short?: string;
  /** What stands for the value in help: "CIDR". */
  readonly value?: string;
  /** Default, as the command line would have it. */
  readonly default?: string;
  /** Environment variable that gives the value when the option does not. */
  readonly env?: string;
  readonly help: string;
}

export type OptionTable = Readonly<Record<string, OptionSpec>>;

export interface CommandSpec {
  /** "breakwater agent [options]". */
  readonly usage: string;
  readonly summary: string;
  readonly options: OptionTable;
  /** How many words may stand beside the options: [least, most]. */
  readonly positionals?: readonly [number, number];
}

type ValueOf<S> = S extends { type: "boolean" }
  ? boolean
  : S extends { multiple: true }
    ? readonly string[]
    : S extends { default: string }
      ? string
      : string | undefined;

export type OptionValues<T extends OptionTable> = { readonly [K in keyof T]: ValueOf<T[K]> };

export interface Parsed<T extends OptionTable> {
  readonly values: OptionValues<T>;
  readonly positionals: readonly string[];
  /** Words behind "--", kept apart. */
  readonly rest: readonly string[];
}

/** "breakwater lab probe": the words of a usage up to the first that stands for something. */
export function commandOf({ usage }: Pick<CommandSpec, "usage">): string {
  const words = usage.split(" ");
  const end = words.findIndex((word) => !/^[a-z]+$/.test(word));
  return words
    .slice(0, end < 0 ? words.length : end)
    .join(" ")
    .replace(/ list$/, "");
}

/** A mistake on the command line. */
export function usageError(spec: Pick<CommandSpec, "usage">, message: string): BreakwaterError {
  const command = commandOf(spec);
  return new BreakwaterError("BW_USAGE", message, { remedy: `See '${command} --help'` });
}

/**
 * @throws BreakwaterError BW_USAGE
 * @returns undefined when --help was asked for
 */
export function parseOptions<const T extends OptionTable>(
  spec: CommandSpec & { readonly options: T },
  args: readonly string[],
): Parsed<T> | undefined {
  const dashes = args.indexOf("--");
  const own = dashes < 0 ? args : args.slice(0, dashes);
  if (own.includes("--help") || own.includes("-h")) return undefined;
  const parsed = parseStrictly(spec, own);
  refuseRepeated(spec, parsed.tokens);
  const [least, most] = spec.positionals ?? [0, 0];
  if (parsed.positionals.length > most) throw usageError(spec, `Unexpected argument "${parsed.positionals[most]}"`);
  if (parsed.positionals.length < least) throw usageError(spec, `Missing argument: ${spec.usage}`);
  const values = Object.fromEntries(
    Object.entries(spec.options).map(([name, option]) => [name, optionValue(option, parsed.values[name])]),
  );
  return {
    values: values as OptionValues<T>,
    positionals: parsed.positionals,
    rest: dashes < 0 ? [] : args.slice(dashes + 1),
  };
}

function parseStrictly(spec: CommandSpec, args: readonly string[]) {
  const options = Object.fromEntries(
    Object.entries(spec.options).map(([name, { type, multiple, short }]) => [
      name,
      { type, ...(multiple === true ? { multiple } : {}), ...(short === undefined ? {} : { short }) },
    ]),
  );
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true, tokens: true });
  } catch (error) {
    throw usageError(spec, messageOf(error).split(". ")[0] ?? messageOf(error));
  }
}

function refuseRepeated(spec: CommandSpec, tokens: readonly { kind: string; name?: string }[]): void {
  const seen = new Set<string>();
  for (const { kind, name } of tokens) {
    if (kind !== "option" || name === undefined) continue;
    if (seen.has(name) && spec.options[name]?.multiple !== true) throw usageError(spec, `--${name} is given twice`);
    seen.add(name);
  }
}

function optionValue(option: OptionSpec, given: unknown): unknown {
  if (option.type === "boolean") return given === true;
  if (given !== undefined) return given;
  const fromEnv = option.env === undefined ? undefined : process.env[option.env];
  if (option.multiple === true) return fromEnv === undefined ? [] : fromEnv.split(",");
  return fromEnv ?? option.default;
}

/** An integer within bounds. @throws BreakwaterError BW_USAGE naming the option */
export function integerOption(spec: CommandSpec, name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw usageError(spec, `--${name} "${text}" is no whole number from ${least} to ${most}`);
}

/** One of a list of words. @throws BreakwaterError BW_USAGE naming the option and the words */
export function choiceOption<T extends string>(spec: CommandSpec, name: string, text: string, words: readonly T[]): T {
  const word = words.find((candidate) => candidate === text);
  if (word === undefined) throw usageError(spec, `--${name} "${text}" is none of ${words.join(", ")}`);
  return word;
}

export function formatHelp(spec: CommandSpec): string {
  const rows = Object.entries(spec.options).map(([name, option]) => [optionLabel(name, option), optionText(option)]);
  const width = Math.max(0, ...rows.map(([label = ""]) => label.length));
  const lines = rows.map(([label = "", text]) => `  ${label.padEnd(width)}  ${text}`);
  return [
    `${spec.summary}`,
    "",
    `Usage: ${spec.usage}`,
    ...(lines.length === 0 ? [] : ["", "Options:", ...lines]),
    "",
  ].join("\n");
}

export function optionLabel(name: string, option: OptionSpec): string {
  const short = option.short === undefined ? "" : `-${option.short}, `;
  return `${short}--${name}${option.type === "boolean" ? "" : ` ${option.value ?? "VALUE"}`}`;
}

function optionText(option: OptionSpec): string {
  const notes = [
    ...(option.default === undefined ? [] : [`default ${option.default}`]),
    ...(option.env === undefined ? [] : [`or ${option.env}`]),
    ...(option.multiple === true ? ["may be repeated"] : []),
  ];
  return notes.length === 0 ? option.help : `${option.help} (${notes.join("; ")})`;
}
