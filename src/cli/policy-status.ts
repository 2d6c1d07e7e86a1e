/** `breakwater policy status`: what this node's agent enforces, what it denied, and what of the policies it does not understand. */
import { BreakwaterError } from "../model/errors.ts";
import type { DeniedReport, PoliciesReport } from "../model/policy-report.ts";
import { agentAddressOption, askAgent } from "./agent-documents.ts";
import { type CommandSpec, formatHelp, type OptionTable, parseOptions } from "./options.ts";
import { outputOption, printer } from "./output.ts";
import { formatTable } from "./table.ts";

const options = {
  ...agentAddressOption,
  ...outputOption,
} as const satisfies OptionTable;

export const policyStatusSpec = {
  usage: "breakwater policy status [options]",
  summary:
    "Prints what the policies denied to pods of this node since its agent started, for each policy and for those that select a pod together, and what of them is not understood.",
  options,
} as const satisfies CommandSpec;

export async function policyStatus(args: readonly string[]): Promise<number> {
  const parsed = parseOptions(policyStatusSpec, args);
  if (parsed === undefined) {
    process.stdout.write(formatHelp(policyStatusSpec));
    return 0;
  }
  const { values } = parsed;
  const print = printer(policyStatusSpec, values.output);
  const address = values["metrics-address"];
  const report = await askAgent<PoliciesReport>(address, "/policies");
  if (report === undefined) {
    throw new BreakwaterError("BW_AGENT_AWAY", "This node's agent leaves NetworkPolicies to somebody else", {
      operation: "ask the agent",
      object: address,
      remedy: "Start it without --no-network-policy, or ask whoever enforces them",
    });
  }
  print(report, () => formatPolicies(report));
  const isGood = report.failure === null && report.policies.every(({ problems }) => problems.length === 0);
  return isGood ? 0 : 1;
}

export function formatPolicies({ node, failure, logDeniedPerSecond, policies, denials }: PoliciesReport): string {
  const log =
    logDeniedPerSecond === null ? "counted" : `counted, and logged: ${logDeniedPerSecond} lines a second at most`;
  const head = [
    failure === null ? `Node ${node} enforces all policies.` : `Node ${node} does not: ${failure}`,
    `Denied packets are ${log}.`,
  ];
  const rows = policies.map(({ policy, denied, problems }) => [
    policy,
    count(denied.ingress),
    count(denied.egress),
    problems.length === 0 ? "" : "not all of it is understood",
  ]);
  const together = denials.map(({ direction, policies: names, packets, bytes }) => [
    direction,
    String(packets),
    String(bytes),
    names.join(", "),
  ]);
  const problems = policies.flatMap(({ policy, problems: sentences }) =>
    sentences.map((sentence) => `${policy}: ${sentence}\n`),
  );
  return [
    `${head.join("\n")}\n`,
    ...(rows.length === 0 ? [] : [`\n${formatTable(["POLICY", "INGRESS DENIED", "EGRESS DENIED", ""], rows)}`]),
    ...(together.length === 0 ? [] : [`\n${formatTable(["TOGETHER", "PACKETS", "BYTES", "POLICIES"], together)}`]),
    ...(problems.length === 0 ? [] : [`\n${problems.join("")}`]),
  ].join("");
}

/** "-" where the policy selects no pod of the node in this direction. */
function count(denied: DeniedReport | null): string {
  return denied === null ? "-" : String(denied.packets);
}
