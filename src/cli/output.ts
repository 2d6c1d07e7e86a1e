/** How commands print what they found: text for people, or the same as one JSON document. */
import { type CommandSpec, choiceOption, type OptionTable } from "./options.ts";

export const outputOption = {
  output: { type: "string", short: "o", value: "FORMAT", default: "text", help: "text, or json" },
} as const satisfies OptionTable;

/** Prints a value, or the text that says the same. */
export type Print = (value: unknown, text: () => string) => void;

/** @param format the value of --output @throws BreakwaterError BW_USAGE */
export function printer(spec: CommandSpec, format: string): Print {
  const isJson = isJsonOutput(spec, format);
  return (value, text) => {
    process.stdout.write(isJson ? `${JSON.stringify(value, null, 2)}\n` : text());
  };
}

/** @throws BreakwaterError BW_USAGE */
export function isJsonOutput(spec: CommandSpec, format: string): boolean {
  return choiceOption(spec, "output", format, ["text", "json"]) === "json";
}
