/** Readiness probes: exec, tcpSocket and httpGet, dialled from the node as a kubelet does. */
import { execFile } from "node:child_process";
import { request } from "node:http";
import { connect } from "node:net";
import { inNamespaceAt } from "../../kernel/netns.ts";
import type { ReadinessProbe } from "./pod-object.ts";

/** Tries a probe again and again and reports each change, until stopped. */
export function watchReadiness(
  probe: ReadinessProbe,
  ip: string,
  netns: string,
  onChange: (ready: boolean) => void,
): { stop(): void } {
  let stopped = false;
  let ready = false;
  let failures = 0;
  let timer: NodeJS.Timeout;
  const round = async () => {
    // A probe that cannot even be tried (a path that is no path, an empty command) has failed.
    const ok = await tryOnce(probe, ip, netns).catch(() => false);
    if (stopped) return;
    failures = ok ? 0 : failures + 1;
    const now = ok || (ready && failures < probe.failureThreshold);
    if (now !== ready) onChange(now);
    ready = now;
    // Until the first success a real kubelet waits the whole period too; here nobody is served by waiting.
    timer = setTimeout(round, ready ? probe.periodSeconds * 1000 : Math.min(probe.periodSeconds * 1000, 250));
  };
  timer = setTimeout(round, probe.initialDelaySeconds * 1000);
  return {
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

async function tryOnce({ check, timeoutSeconds }: ReadinessProbe, ip: string, netns: string): Promise<boolean> {
  const timeout = timeoutSeconds * 1000;
  if (check.type === "exec") return tryExec(check.command, netns, timeout);
  return check.type === "tcp" ? tryTcp(ip, check.port, timeout) : tryHttp(ip, check.port, check.path, timeout);
}

function tryExec(command: readonly string[], netns: string, timeout: number): Promise<boolean> {
  const [file = "", ...args] = command;
  return new Promise((resolve) => {
    inNamespaceAt(netns, () => execFile(file, args, { timeout }, (error) => resolve(error === null)));
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
