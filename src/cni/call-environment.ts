/**
 * The parameters of a CNI call that come as environment variables, checked as the spec's own plugins check them
 * (CNI spec 1.1.0, "Parameters"; libcni pkg/skel and pkg/types/args.go). Every mistake is error 4 and names the variable.
 */
import { CNI_CODE, CniError } from "./cni-error.ts";
import type { CniRequest } from "./frame.ts";

/** Which pod a call is about; the runtime says it in CNI_ARGS. */
export interface PodIdentity {
  readonly namespace: string;
  readonly name: string;
  readonly uid?: string;
}

export type CniCommand = "ADD" | "DEL" | "CHECK" | "GC" | "STATUS" | "VERSION";

const COMMANDS: ReadonlySet<string> = new Set(["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION"]);

/** CNI_ARGS that runtimes send; each is understood, others need IgnoreUnknown. */
const KNOWN_ARGS: ReadonlySet<string> = new Set([
  "IgnoreUnknown",
  "K8S_POD_NAMESPACE",
  "K8S_POD_NAME",
  "K8S_POD_UID",
  "K8S_POD_INFRA_CONTAINER_ID",
]);

/** @throws CniError 4 */
export function parseCommand(request: CniRequest): CniCommand {
  const command = request.command;
  if (!COMMANDS.has(command)) throw invalid("CNI_COMMAND", command, "ADD, DEL, CHECK, GC, STATUS or VERSION");
  return command as CniCommand;
}

/**
 * Container and interface of a call that needs them.
 * @throws CniError 4
 */
export function parseAttachmentKey(request: CniRequest): { containerId: string; ifname: string } {
  const { containerId, ifname } = request;
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(containerId) || containerId.length > 1024) {
    throw invalid(
      "CNI_CONTAINERID",
      containerId,
      "a letter or digit, then letters, digits, underscores, dots or hyphens",
    );
  }
  // IFNAMSIZ (linux/if.h) is 16 with the final NUL; the kernel refuses "/", ":" and white space (dev_valid_name()).
  const plain = /^[^\s/:\0]+$/.test(ifname) && ifname !== "." && ifname !== "..";
  if (!plain || Buffer.byteLength(ifname) > 15) {
    throw invalid("CNI_IFNAME", ifname, 'an interface name: 1 to 15 bytes without "/", ":" or white space');
  }
  return { containerId, ifname };
}

/** @throws CniError 4 */
export function parseNetns(request: CniRequest): string {
  const netns = request.netns;
  if (!netns.startsWith("/") || netns.includes("\0") || netns.length > 4095) {
    throw invalid("CNI_NETNS", netns, "the absolute path of a network namespace");
  }
  return netns;
}

/**
 * The pod that CNI_ARGS names; undefined when it names none (a runtime outside Kubernetes).
 * @throws CniError 4 for a malformed pair, or an unknown key without IgnoreUnknown
 */
export function parsePodIdentity(args: string): PodIdentity | undefined {
  const values = parsePairs(args);
  const unknown = [...values.keys()].filter((key) => !KNOWN_ARGS.has(key));
  if (unknown.length > 0 && !parseBoolean(values.get("IgnoreUnknown"))) {
    throw invalid("CNI_ARGS", args, `keys that are known (not ${unknown.join(", ")}), or IgnoreUnknown=1`);
  }
  const namespace = values.get("K8S_POD_NAMESPACE");
  const name = values.get("K8S_POD_NAME");
  if (!namespace || !name) return undefined;
  const uid = values.get("K8S_POD_UID");
  return uid ? { namespace, name, uid } : { namespace, name };
}

function parsePairs(args: string): Map<string, string> {
  const values = new Map<string, string>();
  if (args === "") return values;
  for (const pair of args.split(";")) {
    const [key, value, ...rest] = pair.split("=");
    if (!key || value === undefined || rest.length > 0) {
      throw invalid("CNI_ARGS", args, `pairs KEY=VALUE separated by ";" (not "${pair}")`);
    }
    values.set(key, value);
  }
  return values;
}

/** libcni's UnmarshallableBool: 1, true, 0 and false in any case, nothing else. */
function parseBoolean(text: string | undefined): boolean {
  if (text === undefined) return false;
  const lower = text.toLowerCase();
  if (!["0", "1", "true", "false"].includes(lower)) throw invalid("CNI_ARGS", `IgnoreUnknown=${text}`, "1 or 0");
  return lower === "1" || lower === "true";
}

function invalid(variable: string, value: string, wanted: string): CniError {
  const shown = value === "" ? "is missing" : `is ${JSON.stringify(value.slice(0, 200))}`;
  return new CniError(CNI_CODE.invalidEnvironment, `${variable} ${shown}; it must be ${wanted}`, {
    object: variable,
    remedy: "the container runtime sets this variable: see its log and its CNI settings",
  });
}
