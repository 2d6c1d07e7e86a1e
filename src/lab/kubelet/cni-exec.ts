/**
 * Calls CNI plugins exactly as a container runtime does (CNI spec 1.1.0, sections 3 and 4): environment, configuration
 * on standard input, result on standard output, the chain's prevResult handed on; DEL in the reverse order.
 */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BreakwaterError } from "../../model/errors.ts";

export interface CniCall {
  readonly containerId: string;
  readonly netns: string;
  readonly ifname: string;
  /** CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAMESPACE=…". */
  readonly args: string;
  /** Values for the capabilities that plugins declare: "portMappings", "bandwidth". */
  readonly capabilities: Readonly<Record<string, unknown>>;
}

export interface CniResult {
  readonly ips: readonly string[];
  /** The last plugin's result as it stands, for CHECK and DEL. */
  readonly raw: unknown;
}

type Plugin = Record<string, unknown> & { type: string; capabilities?: Record<string, boolean> };

interface Conflist {
  readonly name: string;
  readonly cniVersion: string;
  readonly plugins: readonly Plugin[];
}

/** The first configuration in lexical order, as containerd takes it; undefined when there is none. */
export function readConflist(directory: string): Conflist | undefined {
  const file = readdirSync(directory)
    .filter((name) => name.endsWith(".conflist"))
    .sort()[0];
  return file === undefined ? undefined : (JSON.parse(readFileSync(join(directory, file), "utf8")) as Conflist);
}

export class CniRuntime {
  readonly #confDir: string;
  readonly #binDirs: readonly string[];

  constructor(confDir: string, binDirs: readonly string[]) {
    this.#confDir = confDir;
    this.#binDirs = binDirs;
  }

  ready(): boolean {
    try {
      return readConflist(this.#confDir) !== undefined;
    } catch {
      return false;
    }
  }

  async add(call: CniCall): Promise<CniResult> {
    const conflist = this.#conflist();
    let prevResult: unknown;
    for (const plugin of conflist.plugins) {
      const output = await this.#exec("ADD", call, conflist, plugin, prevResult);
      prevResult = JSON.parse(output);
    }
    const { ips = [] } = prevResult as { ips?: { address: string }[] };
    return { ips: ips.map(({ address }) => address.split("/")[0] ?? ""), raw: prevResult };
  }

  async del(call: CniCall, prevResult: unknown): Promise<void> {
    const conflist = this.#conflist();
    for (const plugin of [...conflist.plugins].reverse()) await this.#exec("DEL", call, conflist, plugin, prevResult);
  }

  #conflist(): Conflist {
    const conflist = readConflist(this.#confDir);
    if (conflist !== undefined) return conflist;
    throw new BreakwaterError("BW_LAB_CNI", `There is no CNI configuration in ${this.#confDir} yet`, {
      object: this.#confDir,
      remedy: "Wait for the node's agent, or read its log",
    });
  }

  #exec(command: string, call: CniCall, conflist: Conflist, plugin: Plugin, prevResult: unknown): Promise<string> {
    const { name, cniVersion } = conflist;
    const config = JSON.stringify({ ...plugin, name, cniVersion, ...runtimeConfig(plugin, call), prevResult });
    const binary = this.#find(plugin.type);
    const env = {
      PATH: process.env["PATH"] ?? "",
      CNI_COMMAND: command,
      CNI_CONTAINERID: call.containerId,
      CNI_NETNS: call.netns,
      CNI_IFNAME: call.ifname,
      CNI_ARGS: call.args,
      CNI_PATH: this.#binDirs.join(":"),
    };
    return new Promise((resolve, reject) => {
      const child = spawn(binary, [], { env, stdio: ["pipe", "pipe", "pipe"] });
      let output = "";
      let errors = "";
      child.stdout.on("data", (chunk: Buffer) => (output += chunk));
      child.stderr.on("data", (chunk: Buffer) => (errors += chunk));
      child.on("error", reject);
      child.on("close", (code) => {
        if (code === 0) resolve(output);
        else reject(pluginError(command, call, plugin.type, output || errors || `exit code ${code}`));
      });
      child.stdin.on("error", () => undefined);
      child.stdin.end(config);
    });
  }

  #find(type: string): string {
    return join(this.#binDirs[0] ?? "", type);
  }
}

/** A plugin is told only what it declared, as libcni's injectRuntimeConfig does. */
function runtimeConfig({ capabilities = {} }: Plugin, call: CniCall): { runtimeConfig?: Record<string, unknown> } {
  const wanted = Object.entries(call.capabilities).filter(
    ([name, value]) => capabilities[name] === true && value !== undefined,
  );
  return wanted.length === 0 ? {} : { runtimeConfig: Object.fromEntries(wanted) };
}

function pluginError(command: string, call: CniCall, plugin: string, output: string): BreakwaterError {
  let said = output.trim();
  try {
    const { msg, details } = JSON.parse(output) as { msg?: string; details?: string };
    said = details === undefined || details === "" ? (msg ?? said) : `${msg}: ${details}`;
  } catch {
    // Not an error object: what it printed is all there is.
  }
  return new BreakwaterError("BW_LAB_CNI", `CNI ${command} by ${plugin} for ${call.containerId}: ${said}`, {
    operation: `CNI ${command}`,
    object: call.containerId,
  });
}
