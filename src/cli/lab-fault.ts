/** `breakwater lab fault list | add NAME | clear [NAME]`. */
import { existsSync } from "node:fs";
import { callLab } from "../lab/control-protocol.ts";
import { faultKinds } from "../lab/faults/catalogue.ts";
import { nameOption, pathsOf } from "./lab-options.ts";
import { type CommandSpec, formatHelp, parseOptions, usageError } from "./options.ts";
import { outputOption, printer } from "./output.ts";
import { formatTable } from "./table.ts";

export const labFaultSpec = {
  usage: "breakwater lab fault list | add NAME [options] | clear [NAME] [options]",
  summary: "Makes something go wrong that goes wrong in real clusters, and takes it back.",
  options: {
    ...nameOption,
    ...outputOption,
    node: { type: "string", value: "NODE", help: "Where; when absent the first node, or all for faults of all" },
    pod: { type: "string", value: "NS/POD", help: "Which pod, for faults of pods" },
    size: { type: "string", value: "BYTES", help: "For faults of sizes: the same as --set bytes=BYTES" },
    set: { type: "string", multiple: true, value: "KEY=VALUE", help: "A parameter of the fault" },
  },
  positionals: [1, 2],
} as const satisfies CommandSpec;

export async function labFault(args: readonly string[]): Promise<number> {
  const parsed = parseOptions(labFaultSpec, args);
  if (parsed === undefined) {
    process.stdout.write(formatHelp(labFaultSpec));
    return 0;
  }
  const { values, positionals } = parsed;
  const [verb = "", fault] = positionals;
  const print = printer(labFaultSpec, values.output);
  const { control } = pathsOf(values);
  switch (verb) {
    case "list": {
      // The catalogue can be read without a lab; a lab that does not answer is an error.
      const { faults } = existsSync(control) ? await callLab(control, "status", {}) : { faults: [] };
      const kinds = faultKinds.map(({ name, summary, parameters = {} }) => ({
        name,
        summary,
        parameters,
        active: faults.filter((active) => active.name === name),
      }));
      const rows = kinds.map(({ name, summary, parameters, active }) => [
        name,
        active.map(({ node, pod }) => pod ?? node).join(","),
        Object.entries(parameters)
          .map(([key, value]) => `${key}=${value}`)
          .join(" "),
        summary,
      ]);
      print(kinds, () => formatTable(["FAULT", "IN FORCE ON", "PARAMETERS", "WHAT"], rows));
      return 0;
    }
    case "add": {
      if (fault === undefined) throw usageError(labFaultSpec, "Which fault? See 'breakwater lab fault list'");
      const parameters = parametersOf(values);
      const added = await callLab(control, "addFault", { name: fault, node: values.node, pod: values.pod, parameters });
      print(added, () => `${added.name}: ${added.description}\n`);
      return 0;
    }
    case "clear": {
      const cleared = await callLab(control, "clearFaults", { name: fault });
      print(cleared, () =>
        cleared.length === 0
          ? "No fault was in force.\n"
          : cleared.map(({ name, node, pod }) => `cleared ${name} on ${pod ?? node}\n`).join(""),
      );
      return 0;
    }
    default:
      throw usageError(labFaultSpec, `"${verb}" is neither list, add nor clear`);
  }
}

function parametersOf({ set, size }: { set: readonly string[]; size: string | undefined }): Record<string, string> {
  const parameters = Object.fromEntries(set.map(parseParameter));
  if (size === undefined) return parameters;
  if (parameters["bytes"] !== undefined)
    throw usageError(labFaultSpec, "--size and --set bytes= say the same: give one");
  return { ...parameters, bytes: size };
}

function parseParameter(text: string): [string, string] {
  const equals = text.indexOf("=");
  if (equals < 1) throw usageError(labFaultSpec, `--set "${text}" is no KEY=VALUE`);
  return [text.slice(0, equals), text.slice(equals + 1)];
}
