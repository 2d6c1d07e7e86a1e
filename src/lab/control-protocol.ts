/**
 * What the command line and a running lab say to each other over the lab's unix socket: one JSON line each way. The
 * types are the protocol.
 */
import { connect } from "node:net";
import { basename, dirname } from "node:path";
import { BreakwaterError } from "../model/errors.ts";
import type { NewObject } from "./api/store.ts";
import type { DialResult } from "./dial.ts";

export interface ProbeRequest {
  /** "NS/POD" or "node/NODE". */
  readonly from: string;
  /** "NS/POD", an IP address or "SERVICE.NS". */
  readonly to: string;
  readonly port: number;
  readonly protocol?: "TCP" | "UDP" | "SCTP";
  readonly timeoutMs?: number;
}

export interface NodeStatus {
  readonly name: string;
  readonly subnet: number;
  readonly zone: string;
  readonly addresses: readonly string[];
  readonly podCidrs: readonly string[];
  readonly ready: boolean;
  readonly agentPid: number | undefined;
  readonly agentRestarts: number;
  readonly kubeletPid: number | undefined;
  readonly pods: number;
}

export interface PodSummary {
  /** "namespace/name". */
  readonly name: string;
  readonly node: string;
  readonly ips: readonly string[];
  readonly phase: string;
  readonly ready: boolean;
}

export interface LabStatus {
  readonly name: string;
  readonly nodes: readonly NodeStatus[];
  readonly pods: readonly PodSummary[];
  readonly routing: string;
  readonly mtuBytes: number;
  readonly dualStack: boolean;
  readonly kubeconfig: string;
  readonly faults: readonly ActiveFault[];
  readonly daemonPid: number;
}

export interface ActiveFault {
  readonly name: string;
  readonly node?: string;
  readonly pod?: string;
  readonly description: string;
}

export interface FaultRequest {
  readonly name: string;
  readonly node?: string;
  readonly pod?: string;
  readonly parameters: Readonly<Record<string, string>>;
}

/** Method name -> [parameters, result]. */
export interface ControlMethods {
  status: [Record<string, never>, LabStatus];
  /** Path of a namespace as the lab's processes see it; a folder with commands of that machine's own, where it has any. */
  resolve: [{ readonly target: string }, { readonly netns: string; readonly commands?: string }];
  probe: [{ readonly probes: readonly ProbeRequest[]; readonly batch?: boolean }, readonly DialResult[]];
  addFault: [FaultRequest, ActiveFault];
  clearFaults: [{ readonly name?: string }, readonly ActiveFault[]];
  apply: [
    { readonly folder: string } | { readonly objects: readonly NewObject[] },
    { readonly created: readonly string[] },
  ];
  waitReady: [{ readonly timeoutMs: number }, { readonly ready: boolean; readonly waitingFor: readonly string[] }];
  paths: [Record<string, never>, readonly PathRow[]];
  down: [Record<string, never>, Record<string, never>];
}

/** The way from one node to another, as the sending node's kernel has it. */
export interface PathRow {
  readonly from: string;
  readonly to: string;
  readonly mode: string;
  readonly device: string;
  readonly via: string;
  readonly mtuBytes: number;
}

export type ControlAnswer<M extends keyof ControlMethods> =
  | { readonly result: ControlMethods[M][1] }
  | { readonly error: { readonly code: string; readonly message: string; readonly remedy?: string } };

/** @throws BreakwaterError BW_LAB_DOWN when nobody answers, or what the lab answered */
export async function callLab<M extends keyof ControlMethods>(
  socketPath: string,
  method: M,
  params: ControlMethods[M][0],
): Promise<ControlMethods[M][1]> {
  const text = await exchange(socketPath, `${JSON.stringify({ method, params })}\n`);
  const answer = JSON.parse(text) as ControlAnswer<M>;
  if ("result" in answer) return answer.result;
  const { code, message, remedy } = answer.error;
  throw new BreakwaterError(code, message, { operation: method, remedy });
}

function exchange(socketPath: string, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    let text = "";
    socket.setEncoding("utf8");
    socket.on("connect", () => socket.write(line));
    socket.on("data", (chunk: string) => (text += chunk));
    socket.on("error", (cause: NodeJS.ErrnoException) => reject(noLab(socketPath, cause)));
    socket.on("close", () => {
      if (text.endsWith("\n")) resolve(text);
      else reject(noLab(socketPath, undefined));
    });
  });
}

function noLab(socketPath: string, cause: NodeJS.ErrnoException | undefined): BreakwaterError {
  const absent = cause?.code === "ENOENT";
  return new BreakwaterError(
    "BW_LAB_DOWN",
    absent
      ? `There is no lab "${basename(dirname(socketPath))}"`
      : `The lab does not answer on ${socketPath}: ${cause?.code ?? "it ended"}`,
    {
      operation: "ask the lab",
      object: socketPath,
      errno: cause?.code,
      cause,
      remedy: absent
        ? "Start one with 'breakwater lab up', or name it with --name"
        : "Take it down with 'breakwater lab down' and start anew",
    },
  );
}
