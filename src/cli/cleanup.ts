/** `breakwater cleanup`: takes Breakwater off this node. */
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { endBird, hasBird } from "../agent/bgp/bird-cleanup.ts";
import { birdPaths } from "../agent/bgp/bird-process.ts";
import { cleanUpKernel } from "../agent/cleanup.ts";
import { CONFLIST_FILE, PLUGIN_TYPE, removeConflist } from "../cni/conflist.ts";
import { answers } from "../cni/listen-socket.ts";
import { JOURNAL_FILE } from "../cni/server.ts";
import { openIpvs } from "../kernel/genetlink/ipvs.ts";
import { openKernel } from "../kernel/kernel.ts";
import { BreakwaterError, describeError } from "../model/errors.ts";
import { refuseWithoutRights } from "./node-options.ts";
import { type CommandSpec, formatHelp, type OptionTable, parseOptions } from "./options.ts";

const options = {
  "state-dir": { type: "string", value: "DIR", default: "/run/breakwater", help: "As given to the agent" },
  "cni-conf-dir": { type: "string", value: "DIR", default: "/etc/cni/net.d", help: "As given to the agent" },
  "cni-bin-dir": { type: "string", value: "DIR", default: "/opt/cni/bin", help: "As given to the agent" },
  "dry-run": { type: "boolean", help: "Only print what would be removed" },
} as const satisfies OptionTable;

export const cleanupSpec = {
  usage: "breakwater cleanup [options]",
  summary: "Removes everything Breakwater made on this node, and nothing else. Stop the agent first.",
  options,
} as const satisfies CommandSpec;

export async function cleanup(args: readonly string[]): Promise<number> {
  const parsed = parseOptions(cleanupSpec, args);
  if (parsed === undefined) {
    process.stdout.write(formatHelp(cleanupSpec));
    return 0;
  }
  const { values } = parsed;
  refuseWithoutRights("cleanup");
  const dryRun = values["dry-run"];
  const stateDir = values["state-dir"];
  if (!dryRun) await refuseWhileAgentRuns(join(stateDir, "cni.sock"));
  // The configuration goes first: from now on the runtime starts no pod here.
  if (!dryRun && removeConflist(values["cni-conf-dir"]))
    say(`removed the CNI configuration from ${values["cni-conf-dir"]}`);
  // Before its routes: it would put them back.
  if (hasBird(stateDir)) {
    const outcome = dryRun ? "end BIRD, if it runs" : await endBird(stateDir);
    if (outcome !== undefined) say(outcome);
  }
  using kernel = openKernel();
  const steps = cleanUpKernel(kernel, dryRun, openIpvs);
  for (const { text, error } of steps) say(error === undefined ? text : `FAILED ${text}: ${describeError(error)}`);
  const conflist = join(values["cni-conf-dir"], CONFLIST_FILE);
  const files = [
    ...(dryRun ? [conflist] : []),
    join(values["cni-bin-dir"], PLUGIN_TYPE),
    join(stateDir, JOURNAL_FILE),
    join(stateDir, "cni.sock"),
    join(stateDir, "pending-del"),
    birdPaths(stateDir).folder,
  ];
  for (const file of files.filter((path) => existsSync(path))) {
    say(`remove ${file}`);
    if (!dryRun) rmSync(file, { recursive: true, force: true });
  }
  if (steps.length === 0) say("nothing of Breakwater's is left in this node's kernel");
  return steps.some(({ error }) => error !== undefined) ? 2 : 0;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** A running agent would put everything back at once. A socket that nobody serves is what a killed one left. */
async function refuseWhileAgentRuns(socket: string): Promise<void> {
  if (!existsSync(socket) || !(await answers(socket))) return;
  throw new BreakwaterError("BW_REFUSED", `An agent serves ${socket}`, {
    operation: "clean up",
    object: socket,
    remedy: "Stop the agent first (delete the DaemonSet, or its pod on this node), then try again",
  });
}
