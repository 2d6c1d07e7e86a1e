/** `breakwater policy`: finds its verb and runs it. */
import { BreakwaterError } from "../model/errors.ts";
import type { Verb } from "./main.ts";

interface PolicyVerb {
  readonly summary: string;
  readonly load: () => Promise<Verb>;
}

const policyVerbs: Readonly<Record<string, PolicyVerb>> = {
  explain: {
    summary: "Say whether a connection is allowed, by which rule, and what would admit it",
    load: async () => (await import("./policy-explain.ts")).policyExplain,
  },
  audit: {
    summary: "List whom no policy isolates, and what of the policies does nothing",
    load: async () => (await import("./policy-audit.ts")).policyAudit,
  },
  status: {
    summary: "Say what this node's agent enforces, what it denied, and what it does not understand",
    load: async () => (await import("./policy-status.ts")).policyStatus,
  },
};

export async function policy(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    process.stdout.write(overview());
    return name === undefined ? 2 : 0;
  }
  const verb = Object.hasOwn(policyVerbs, name) ? policyVerbs[name] : undefined;
  if (verb === undefined) {
    throw new BreakwaterError("BW_USAGE", `Unknown policy command "${name}"`, {
      remedy: "See 'breakwater policy --help'",
    });
  }
  return (await verb.load())(rest);
}

function overview(): string {
  const width = Math.max(...Object.keys(policyVerbs).map((name) => name.length));
  const lines = Object.entries(policyVerbs).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`);
  return [
    "What the cluster's NetworkPolicies do.",
    "",
    "Usage: breakwater policy COMMAND [options]",
    "",
    "Commands:",
    ...lines,
    "",
    "'breakwater policy COMMAND --help' says more.",
    "",
  ].join("\n");
}
