/** One real agent, as it ships (the bundle), in the namespace of its node. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, watch } from "node:fs";
import { join } from "node:path";
import { CONFLIST_FILE } from "../../src/cni/conflist.ts";
import type { LabHost } from "../../src/lab/underlay/host.ts";
import { BreakwaterError } from "../../src/model/errors.ts";
import type { RoutingMode } from "../../src/model/node-config.ts";
import { program } from "./tools.ts";

export interface AgentSettings {
  readonly nodeName: string;
  readonly host: LabHost;
  /** For everything the agent keeps, its CNI directories and its log. */
  readonly folder: string;
  readonly kubeconfig: string;
  /** Journal and socket. @default a folder in `folder` */
  readonly stateDir?: string;
  readonly routing?: RoutingMode;
  /** 0: paths are not proved. @default the agent's own */
  readonly probePort?: number;
  /** More of its options. */
  readonly options?: readonly string[];
}

export interface AgentProcess {
  readonly pid: number;
  readonly cniSocket: string;
  readonly journalDir: string;
  readonly cniConfDir: string;
  readonly cniBinDir: string;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

const PATIENCE_MS = 30_000;

/** Resolves when the agent has written its CNI configuration: from then on pods can be attached. */
export async function startAgentProcess(settings: AgentSettings): Promise<AgentProcess> {
  const { folder, cniConfDir, cniBinDir, stateDir } = agentFolders(settings);
  mkdirSync(cniConfDir, { recursive: true });
  const log = join(folder, "agent.log");
  const child = spawnAgent(settings);
  await published(cniConfDir, child, log);
  const stop = async (signal: NodeJS.Signals = "SIGTERM") => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    child.kill(signal);
    await exited;
  };
  return {
    pid: child.pid ?? 0,
    cniSocket: join(stateDir, "cni.sock"),
    journalDir: stateDir,
    cniConfDir,
    cniBinDir,
    stop,
  };
}

/** The process alone, for whoever waits for something else. */
export function spawnAgent(settings: AgentSettings): ChildProcess {
  const { nodeName, host, kubeconfig, routing = "auto" } = settings;
  const { folder, cniConfDir, cniBinDir, stateDir } = agentFolders(settings);
  for (const each of [cniConfDir, cniBinDir, stateDir]) mkdirSync(each, { recursive: true });
  const args = ["agent", "--node-name", nodeName, "--kubeconfig", kubeconfig, "--routing", routing];
  args.push("--state-dir", stateDir, "--cni-conf-dir", cniConfDir, "--cni-bin-dir", cniBinDir, "--cni-chain", "none");
  if (settings.probePort !== undefined) args.push("--probe-port", String(settings.probePort));
  args.push(...(settings.options ?? []));
  const log = openSync(join(folder, "agent.log"), "a");
  try {
    // fork() happens inside spawn(), on this thread: the process is born in that namespace.
    return host.run(() => spawn(process.execPath, [program, ...args], { stdio: ["ignore", log, log] }));
  } finally {
    closeSync(log);
  }
}

function agentFolders({ folder, stateDir = join(folder, "state") }: AgentSettings) {
  return { folder, stateDir, cniConfDir: join(folder, "net.d"), cniBinDir: join(folder, "bin") };
}

function published(folder: string, child: ChildProcess, log: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (why: string) => settle(() => reject(agentError(why, log)));
    const timer = setTimeout(() => fail(`is not ready after ${PATIENCE_MS / 1000} s`), PATIENCE_MS);
    const watcher = watch(folder, (_event, name) => name === CONFLIST_FILE && settle(resolve));
    const onExit = (code: number | null) => fail(`ended with code ${code}`);
    const settle = (outcome: () => void) => {
      clearTimeout(timer);
      watcher.close();
      child.off("exit", onExit);
      outcome();
    };
    child.on("exit", onExit);
  });
}

function agentError(why: string, log: string): BreakwaterError {
  const last = readFileSync(log, "utf8").trim().split("\n").slice(-5).join("\n");
  return new BreakwaterError("BW_BENCH_AGENT", `The agent ${why}:\n${last}`, {
    operation: "start agent",
    remedy: "Read its last lines above",
  });
}
