/** Probes of containers: exec, tcpSocket and httpGet, dialled from the node as a kubelet does. */
import { execFile } from "node:child_process";
import { request } from "node:http";
import { connect } from "node:net";
import { inNamespaceAt } from "../../kernel/netns.ts";
import type { ContainerProbe } from "./container-spec.ts";

export interface ProbeTarget {
  /** The pod's first address. */
  readonly ip: string;
  /** Path of its namespace, for exec. */
  readonly netns: string;
}

export interface ProbeWatch {
  stop(): void;
}

/** Until the first success a real kubelet waits the whole period too; here nobody is served by waiting. */
const SOON_MS = 250;

/**
 * Tries a probe again and again and tells its verdict whenever that changes, until stopped.
 * @param verdict what counts before the first try: not ready, alive, or nothing yet
 * @param soon looks more often than the period until the first success
 */
export function watchProbe(
  probe: ContainerProbe,
  target: ProbeTarget,
  { verdict, soon = false }: { readonly verdict?: boolean; readonly soon?: boolean },
  onVerdict: (ok: boolean) => void,
): ProbeWatch {
  let stopped = false;
  let current = verdict;
  let [successes, failures] = [0, 0];
  let timer: NodeJS.Timeout;
  const judge = () => {
    if (successes >= probe.successThreshold) return true;
    return failures >= probe.failureThreshold ? false : current;
  };
  const round = async () => {
    // A probe that cannot even be tried (a path that is no path, an empty command) has failed.
    const ok = await tryOnce(probe, target).catch(() => false);
    if (stopped) return;
    successes = ok ? successes + 1 : 0;
    failures = ok ? 0 : failures + 1;
    const next = judge();
    const changed = next !== current;
    current = next;
    const periodMs = probe.periodSeconds * 1000;
    timer = setTimeout(round, soon && current !== true ? Math.min(periodMs, SOON_MS) : periodMs);
    if (changed && next !== undefined) onVerdict(next);
  };
  timer = setTimeout(round, probe.initialDelaySeconds * 1000);
  return {
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

async function tryOnce({ check, timeoutSeconds }: ContainerProbe, { ip, netns }: ProbeTarget): Promise<boolean> {
  const timeout = timeoutSeconds * 1000;
  if (check.type === "exec") return execIn(netns, check.command, timeout);
  return check.type === "tcp" ? tryTcp(ip, check.port, timeout) : tryHttp(ip, check.port, check.path, timeout);
}

/** Runs a command in a pod's network namespace. @returns whether it ended well in time */
export function execIn(netns: string, command: readonly string[], timeoutMs: number): Promise<boolean> {
  const [file = "", ...args] = command;
  return new Promise((resolve) => {
    inNamespaceAt(netns, () => execFile(file, args, { timeout: timeoutMs }, (error) => resolve(error === null)));
  });
}

function tryTcp(ip: string, port: number, timeout: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: ip, port, timeout });
    const finish = (ok: boolean) => {
      socket.destroy();
      resolve(ok);
    };
    socket.on("connect", () => finish(true));
    socket.on("timeout", () => finish(false));
    socket.on("error", () => finish(false));
  });
}

/** 200 to 399 is a success. The built-in responder speaks no HTTP: that it answers at all is taken as one. */
function tryHttp(ip: string, port: number, path: string, timeout: number): Promise<boolean> {
  return new Promise((resolve) => {
    const call = request({ host: ip, port, path, timeout, agent: false }, (response) => {
      response.resume();
      resolve((response.statusCode ?? 500) < 400);
    });
    call.on("timeout", () => call.destroy(new Error("timeout")));
    call.on("error", (error: NodeJS.ErrnoException) => resolve(error.code?.startsWith("HPE_") === true));
    call.end();
  });
}
