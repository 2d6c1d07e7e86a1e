/** Runs a verb to its end. Exit codes: 0 fine, 1 found something or refused, 2 could not. */
import { describeError, isBreakwaterError } from "../model/errors.ts";

/** @param verb resolves to the exit code */
export async function runToEnd(verb: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await verb();
  } catch (error) {
    process.stderr.write(`breakwater: ${describeError(error)}\n`);
    if (!isBreakwaterError(error) && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    // At once: what was begun before the error (a watch, a timer) must not keep the process.
    process.exit(isBreakwaterError(error, "BW_USAGE") || isBreakwaterError(error, "BW_REFUSED") ? 1 : 2);
  }
}
