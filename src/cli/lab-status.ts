/** `breakwater lab status` and `kubeconfig`. */
import { existsSync } from "node:fs";
import { callLab, type LabStatus } from "../lab/control-protocol.ts";
import { BreakwaterError } from "../model/errors.ts";
import { nameOption, pathsOf } from "./lab-options.ts";
import { type CommandSpec, formatHelp, parseOptions } from "./options.ts";
import { outputOption, printer } from "./output.ts";
import { formatTable } from "./table.ts";

export const labStatusSpec = {
  usage: "breakwater lab status [options]",
  summary: "Shows nodes, pods and faults of a lab.",
  options: { ...nameOption, ...outputOption },
} as const satisfies CommandSpec;

export const labKubeconfigSpec = {
  usage: "breakwater lab kubeconfig [options]",
  summary: "Prints the path of the kubeconfig: export KUBECONFIG=$(breakwater lab kubeconfig)",
  options: nameOption,
} as const satisfies CommandSpec;

export async function labStatus(args: readonly string[]): Promise<number> {
  const parsed = parseOptions(labStatusSpec, args);
  if (parsed === undefined) {
    process.stdout.write(formatHelp(labStatusSpec));
    return 0;
  }
  const print = printer(labStatusSpec, parsed.values.output);
  const status = await callLab(pathsOf(parsed.values).control, "status", {});
  print(status, () => formatStatus(status));
  return status.nodes.every(({ ready }) => ready) ? 0 : 1;
}

/** At most `limit` pods; how many more there are is said. */
export function formatPods({ pods }: LabStatus, limit = 50): string {
  const rows = pods
    .slice(0, limit)
    .map(({ name, node, ips, phase, ready }) => [name, ready ? "Ready" : phase, ips.join(","), node]);
  const more = pods.length > limit ? `… and ${pods.length - limit} more: kubectl get pods -A -o wide\n` : "";
  return `${formatTable(["POD", "STATUS", "ADDRESS", "NODE"], rows)}${more}`;
}

export function formatStatus(status: LabStatus): string {
  const rows = status.nodes.map((node) => [
    node.name,
    node.ready ? "Ready" : "NotReady",
    `subnet${node.subnet}`,
    node.addresses.join(","),
    node.podCidrs.join(","),
    String(node.pods),
    node.agentPid === undefined
      ? "down"
      : node.agentRestarts === 0
        ? "running"
        : `running (${node.agentRestarts} restarts)`,
  ]);
  const faults = status.faults.map(({ name, node, pod, description }) => [name, pod ?? node ?? "", description]);
  return [
    formatTable(["NODE", "STATUS", "SUBNET", "ADDRESS", "POD CIDR", "PODS", "AGENT"], rows),
    ...(status.pods.length === 0 ? [] : [formatPods(status)]),
    ...(faults.length === 0 ? [] : [formatTable(["FAULT", "WHERE", "WHAT"], faults)]),
  ].join("\n");
}

export async function labKubeconfig(args: readonly string[]): Promise<number> {
  const parsed = parseOptions(labKubeconfigSpec, args);
  if (parsed === undefined) {
    process.stdout.write(formatHelp(labKubeconfigSpec));
    return 0;
  }
  const { kubeconfig } = pathsOf(parsed.values);
  if (!existsSync(kubeconfig)) {
    throw new BreakwaterError("BW_LAB_DOWN", `Lab "${parsed.values.name}" is not up`, {
      object: kubeconfig,
      remedy: "Start it with 'breakwater lab up'",
    });
  }
  process.stdout.write(`${kubeconfig}\n`);
  return 0;
}
