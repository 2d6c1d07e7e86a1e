/** Asks the agent on this node what it knows: the JSON documents beside its health and metrics. */
import { BreakwaterError } from "../model/errors.ts";

/** The least option: where the agent serves them. */
export const agentAddressOption = {
  "metrics-address": {
    type: "string",
    value: "HOST:PORT",
    default: "127.0.0.1:9098",
    help: "Where this node's agent answers, as given to it",
  },
} as const;

const TIMEOUT_MS = 10_000;
/** What of an agent's knowledge can be read from any machine. */
const ELSEWHERE: Readonly<Record<string, string>> = { "/mtu": "; or 'breakwater mtu --all'" };

/**
 * @param path "/mtu"
 * @returns undefined when the agent has no such document
 * @throws BreakwaterError BW_AGENT_AWAY when no agent answers
 */
export async function askAgent<T>(address: string, path: string): Promise<T | undefined> {
  const response = await ask(address, path);
  return response === undefined ? undefined : ((await response.json()) as T);
}

/** The same for what is no JSON. @throws BreakwaterError BW_AGENT_AWAY, also when it has none of that name */
export async function askAgentText(address: string, path: string): Promise<string> {
  const response = await ask(address, path);
  if (response !== undefined) return response.text();
  throw new BreakwaterError("BW_AGENT_AWAY", `What answers on ${address} has no ${path}`, {
    operation: "ask the agent",
    object: address,
    remedy: "See that --metrics-address is the agent's",
  });
}

async function ask(address: string, path: string): Promise<Response | undefined> {
  const url = `http://${address.startsWith(":") ? `127.0.0.1${address}` : address}${path}`;
  let response: Response;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (cause) {
    throw new BreakwaterError("BW_AGENT_AWAY", `No agent answers on ${address}: ${reason(cause)}`, {
      operation: "ask the agent",
      object: url,
      cause,
      remedy: `Run this on a node where 'breakwater agent' runs, with the agent's --metrics-address${ELSEWHERE[path] ?? ""}`,
    });
  }
  if (response.status === 404) return undefined;
  if (!response.ok) {
    throw new BreakwaterError(
      "BW_AGENT_AWAY",
      `The agent answers ${response.status}: ${(await response.text()).trim()}`,
      {
        operation: "ask the agent",
        object: url,
        remedy: "Read the agent's log",
      },
    );
  }
  return response;
}

function reason(error: unknown): string {
  const { cause, message } = error as Error & { cause?: { code?: string } };
  return cause?.code ?? message;
}
