/** From a request to its answer: which command, which configuration, which error. Never throws. */
import { addCommand } from "./add-command.ts";
import type { Call, CallContext } from "./call-context.ts";
import { type CniCommand, parseCommand } from "./call-environment.ts";
import { checkCommand } from "./check-command.ts";
import { CNI_CODE, CniError, cniCodeOf, formatCniError } from "./cni-error.ts";
import { delCommand, gcCommand } from "./del-command.ts";
import type { CniAnswer, CniRequest } from "./frame.ts";
import { parseNetworkConfig, versionForErrors } from "./network-config.ts";
import { SUPPORTED_VERSIONS } from "./spec-version.ts";

/** What one call came to; for metrics and logs. */
export interface CallOutcome {
  readonly answer: CniAnswer;
  /** "ADD", or "invalid" for what is no command. */
  readonly command: string;
  /** 0, or the CNI error code. */
  readonly code: number;
  readonly error?: unknown;
}

const COMMANDS: Readonly<
  Record<Exclude<CniCommand, "VERSION">, (call: Call, context: CallContext) => Promise<string>>
> = {
  ADD: addCommand,
  DEL: delCommand,
  CHECK: checkCommand,
  GC: gcCommand,
  STATUS: statusCommand,
};

export async function dispatch(request: CniRequest, context: CallContext): Promise<CallOutcome> {
  let command: CniCommand | undefined;
  try {
    command = parseCommand(request);
    const text = command === "VERSION" ? versionText(request) : await runCommand(command, request, context);
    return { answer: { exitStatus: 0, text }, command, code: 0 };
  } catch (error) {
    return failedCall(error, command ?? "invalid", versionForErrors(request.stdin));
  }
}

export function failedCall(error: unknown, command: string, cniVersion: string): CallOutcome {
  const text = formatCniError(error, cniVersion);
  return { answer: { exitStatus: 1, text }, command, code: cniCodeOf(error), error };
}

function runCommand(
  command: Exclude<CniCommand, "VERSION">,
  request: CniRequest,
  context: CallContext,
): Promise<string> {
  const config = parseNetworkConfig(request.stdin, command);
  return COMMANDS[command]({ request, config }, context);
}

/** The plugin answers VERSION by itself; this is for whoever speaks to the socket. */
function versionText(request: CniRequest): string {
  return JSON.stringify({ cniVersion: versionForErrors(request.stdin), supportedVersions: SUPPORTED_VERSIONS });
}

async function statusCommand(_call: Call, { network }: CallContext): Promise<string> {
  const reason = network.notReadyReason();
  if (reason === undefined) return "";
  const limited = network.limitedReason?.();
  const details = { remedy: "see /readyz and the log of the agent" };
  if (limited === undefined) {
    throw new CniError(CNI_CODE.notAvailable, `Breakwater cannot attach pods: ${reason}`, details);
  }
  const message = `Breakwater cannot attach pods: ${reason}; pods of this node may have limited connectivity: ${limited}`;
  throw new CniError(CNI_CODE.limitedConnectivity, message, details);
}
