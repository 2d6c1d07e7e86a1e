/** `breakwater lab up` and `down`. */
import { resolve } from "node:path";
import { findBird } from "../agent/bgp/bird-process.ts";
import { callLab } from "../lab/control-protocol.ts";
import { findRouterPrograms } from "../lab/fabric/programs.ts";
import { launchLab, removeLab } from "../lab/launch.ts";
import { readManifests } from "../lab/manifests.ts";
import type { LabPaths } from "../lab/paths.ts";
import type { LabOptions } from "../lab/topology.ts";
import { BreakwaterError, isBreakwaterError } from "../model/errors.ts";
import { clusterOptions, labOptions, nameOption } from "./lab-options.ts";
import { type CommandSpec, formatHelp, integerOption, parseOptions } from "./options.ts";
import { tuningOption } from "./profile-file.ts";

export const labUpSpec = {
  usage: "breakwater lab up [options]",
  summary: "Brings up a cluster: nodes, wires, API server, an agent and a kubelet a node. Returns when all is ready.",
  options: {
    ...clusterOptions,
    manifests: { type: "string", value: "DIR", help: "YAML or JSON files to apply: Pods, Services, …" },
    timeout: { type: "string", value: "SECONDS", default: "60", help: "How long to wait for nodes and pods" },
  },
} as const satisfies CommandSpec;

export const labDownSpec = {
  usage: "breakwater lab down [options]",
  summary: "Takes a cluster down and leaves nothing behind.",
  options: nameOption,
} as const satisfies CommandSpec;

export async function labUp(args: readonly string[]): Promise<number> {
  const parsed = parseOptions(labUpSpec, args);
  if (parsed === undefined) {
    process.stdout.write(formatHelp(labUpSpec));
    return 0;
  }
  const { values } = parsed;
  await tuningOption(labUpSpec, values.tuning);
  const options = labOptions(labUpSpec, values);
  const timeoutMs = 1000 * integerOption(labUpSpec, "timeout", values.timeout, 1, 3600);
  const started = performance.now();
  const paths = await bringUp(options, values.manifests, timeoutMs, progress(started));
  const suffix = options.name === "lab" ? "" : ` --name ${options.name}`;
  process.stdout.write(
    `Lab "${options.name}" is ready after ${seconds(started)} s.\n\n` +
      `  export KUBECONFIG=${paths.kubeconfig}\n  kubectl get pods -A -o wide\n` +
      `  ${programName()} lab status${suffix}\n  ${programName()} lab down${suffix}\n`,
  );
  return 0;
}

/** How this program was called: "bin/breakwater" in a checkout. */
export function programName(): string {
  return process.env["BREAKWATER_SELF"] ?? "breakwater";
}

/** Prints a step with the seconds since the start, on standard error. */
export function progress(started: number): (step: string) => void {
  return (step) => process.stderr.write(`${seconds(started).padStart(6)} s  ${step}\n`);
}

export function seconds(started: number): string {
  return ((performance.now() - started) / 1000).toFixed(2);
}

/** Starts a lab, applies manifests, waits until nodes and pods are ready. A lab that cannot be made ready stays up. */
export async function bringUp(
  options: LabOptions,
  manifests: string | undefined,
  timeoutMs: number,
  onStep: (step: string) => void,
): Promise<LabPaths> {
  const folder = manifests === undefined ? undefined : resolve(manifests);
  // Read them before anything is made: a bad manifest must not leave half a lab.
  const count = folder === undefined ? 0 : readManifests(folder).length;
  const program = process.argv[1] ?? "";
  // Where it is missing no node would become ready.
  if (options.routing === "bgp") findBird();
  if (options.fabric !== undefined) findRouterPrograms(options.fabric);
  const paths = await launchLab(options, program, onStep);
  try {
    if (folder !== undefined) {
      // Pods are spread over the nodes that are ready: over all of them, when they wait for all.
      await waitUntilReady(options.name, paths, timeoutMs);
      onStep("nodes are ready");
      await callLab(paths.control, "apply", { folder });
      onStep(`applied ${count} object${count === 1 ? "" : "s"}`);
    }
  } catch (error) {
    // What waits can be looked at; half a set of manifests helps nobody.
    if (!isBreakwaterError(error, "BW_LAB_NOT_READY")) await removeLab(options.name);
    throw error;
  }
  await waitUntilReady(options.name, paths, timeoutMs);
  onStep("nodes and pods are ready");
  return paths;
}

/** @throws BreakwaterError BW_LAB_NOT_READY naming what is not */
export async function waitUntilReady(name: string, paths: LabPaths, timeoutMs: number): Promise<void> {
  const { ready, waitingFor } = await callLab(paths.control, "waitReady", { timeoutMs });
  if (!ready) throw notReady(name, paths, waitingFor, timeoutMs);
}

function notReady(name: string, paths: LabPaths, waitingFor: readonly string[], timeoutMs: number): BreakwaterError {
  const shown = waitingFor.slice(0, 5).join(", ");
  const more = waitingFor.length > 5 ? ` and ${waitingFor.length - 5} more` : "";
  return new BreakwaterError("BW_LAB_NOT_READY", `Not ready after ${timeoutMs / 1000} s: ${shown}${more}`, {
    operation: "wait for lab",
    object: name,
    remedy: `The lab stays up: read ${paths.logs}, or 'breakwater lab down --name ${name}'`,
  });
}

export async function labDown(args: readonly string[]): Promise<number> {
  const parsed = parseOptions(labDownSpec, args);
  if (parsed === undefined) {
    process.stdout.write(formatHelp(labDownSpec));
    return 0;
  }
  const { name } = parsed.values;
  const existed = await removeLab(name);
  process.stdout.write(existed ? `Lab "${name}" is gone.\n` : `There is no lab "${name}".\n`);
  return 0;
}
