/** Reads a user's tuning profile. */
import { readFileSync } from "node:fs";
import { BreakwaterError, messageOf } from "../model/errors.ts";
import { TUNING_PROFILES, type TuningProfile } from "../model/tuning.ts";
import { readProfile } from "../plan/host/profile-file.ts";
import { PROFILES } from "../plan/host/profiles.ts";
import { type CommandSpec, choiceOption } from "./options.ts";

/** @throws BreakwaterError BW_TUNING naming the file and what is wrong with it */
export async function loadProfileFile(path: string): Promise<TuningProfile> {
  const fail = (what: string, cause: unknown) =>
    new BreakwaterError("BW_TUNING", `${path}: ${what}`, {
      operation: "read profile",
      object: path,
      cause,
      remedy: "Give a YAML file with name: and values:, see docs/design/host.md",
    });
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw fail(`it cannot be read: ${(error as NodeJS.ErrnoException).code}`, error);
  }
  const { parse } = await import("yaml");
  let document: unknown;
  try {
    document = parse(text);
  } catch (error) {
    throw fail(`it is no YAML: ${messageOf(error).split("\n")[0]}`, error);
  }
  return readProfile(document, path);
}

/** Whether the value of --tuning names a file: it has a slash, or ends in .yaml. */
export function isProfileFile(text: string): boolean {
  return text.includes("/") || /\.ya?ml$/.test(text);
}

/**
 * The value of --tuning: a profile's name, or a file.
 * @returns undefined for "off"
 */
export async function tuningOption(spec: CommandSpec, text: string): Promise<TuningProfile | undefined> {
  if (isProfileFile(text)) return loadProfileFile(text);
  const name = choiceOption(spec, "tuning", text, TUNING_PROFILES);
  return name === "off" ? undefined : PROFILES[name];
}
