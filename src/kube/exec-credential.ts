/**
 * Exec credential plugins: a command that prints an ExecCredential with a token or a client certificate
 * (client.authentication.k8s.io/v1, https://kubernetes.io/docs/reference/config-api/client-authentication.v1/).
 * The answer is kept until it expires or the server says 401.
 */
import { execFile } from "node:child_process";
import { dirname, resolve } from "node:path";
import { messageOf } from "../model/errors.ts";
import type { CredentialSource, Credentials } from "./connection.ts";
import { asArray, asObject, asString, type JsonObject } from "./json.ts";
import { configError, type KubeconfigEntry } from "./kubeconfig.ts";

/** A plugin that hangs must not hang the agent; cloud plugins answer in a few seconds. */
const PLUGIN_TIMEOUT_MS = 60_000;
/** Ask again a little before the end, so that no request leaves with a token that dies on the way. */
const EXPIRY_MARGIN_MS = 10_000;

interface ExecPlugin {
  readonly entry: KubeconfigEntry;
  readonly apiVersion: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly installHint: string;
  /** Passed to the plugin where it asks for it (provideClusterInfo). */
  readonly cluster: JsonObject | undefined;
}

interface CachedCredentials {
  readonly credentials: Credentials;
  readonly expiresAt: number;
}

/**
 * A credential source that runs the plugin of a kubeconfig user.
 * @param wallClock milliseconds since 1970, for expirationTimestamp
 */
export function execCredentials(
  entry: KubeconfigEntry,
  cluster: JsonObject,
  wallClock: () => number = Date.now,
): CredentialSource {
  const plugin = readPlugin(entry, cluster);
  let cached: CachedCredentials | undefined;
  let running: Promise<CachedCredentials> | undefined;
  return {
    async credentials() {
      if (cached !== undefined && wallClock() < cached.expiresAt - EXPIRY_MARGIN_MS) return cached.credentials;
      // Several reflectors ask at once; one run serves all.
      running ??= runPlugin(plugin).finally(() => {
        running = undefined;
      });
      cached = await running;
      return cached.credentials;
    },
    invalidate() {
      cached = undefined;
    },
  };
}

function readPlugin(entry: KubeconfigEntry, cluster: JsonObject): ExecPlugin {
  const exec = asObject(entry.fields["exec"]) ?? {};
  const command = asString(exec["command"]);
  const apiVersion = asString(exec["apiVersion"]) ?? "";
  if (!command) throw configError(entry.file, `exec of user "${entry.name}" has no command`, "Give exec.command");
  if (!/^client\.authentication\.k8s\.io\/(v1|v1beta1)$/.test(apiVersion))
    throw configError(
      entry.file,
      `exec of user "${entry.name}" has apiVersion "${apiVersion}"`,
      "Use client.authentication.k8s.io/v1",
    );
  if (exec["interactiveMode"] === "Always")
    throw configError(
      entry.file,
      `exec of user "${entry.name}" is interactive`,
      "An agent cannot answer prompts: use a plugin with interactiveMode Never or IfAvailable",
    );
  return {
    entry,
    apiVersion,
    // A path is relative to the kubeconfig; a bare name is looked up in PATH.
    command: command.includes("/") ? resolve(dirname(entry.file), command) : command,
    args: (asArray(exec["args"]) ?? []).map(String),
    env: readEnv(asArray(exec["env"]) ?? []),
    installHint: asString(exec["installHint"]) ?? "",
    cluster: exec["provideClusterInfo"] === true ? cluster : undefined,
  };
}

function readEnv(list: readonly unknown[]): Record<string, string> {
  const env: Record<string, string> = {};
  for (const item of list) {
    const name = asString(asObject(item)?.["name"]);
    if (name !== undefined) env[name] = String(asObject(item)?.["value"] ?? "");
  }
  return env;
}

function runPlugin(plugin: ExecPlugin): Promise<CachedCredentials> {
  const info = {
    apiVersion: plugin.apiVersion,
    kind: "ExecCredential",
    spec: { interactive: false, ...(plugin.cluster === undefined ? {} : { cluster: plugin.cluster }) },
  };
  const env = { ...process.env, ...plugin.env, KUBERNETES_EXEC_INFO: JSON.stringify(info) };
  const options = { env, timeout: PLUGIN_TIMEOUT_MS, killSignal: "SIGKILL", maxBuffer: 1 << 20 } as const;
  return new Promise((resolvePromise, reject) => {
    const child = execFile(plugin.command, [...plugin.args], options, (error, stdout, stderr) => {
      if (error !== null) return reject(pluginError(plugin, firstLine(stderr) || messageOf(error), error));
      try {
        resolvePromise(readExecCredential(plugin, stdout));
      } catch (cause) {
        reject(cause);
      }
    });
    child.stdin?.end();
  });
}

function readExecCredential(plugin: ExecPlugin, stdout: string): CachedCredentials {
  const status = asObject(asObject(parseAnswer(plugin, stdout))?.["status"]);
  const token = asString(status?.["token"]);
  const cert = asString(status?.["clientCertificateData"]);
  const key = asString(status?.["clientKeyData"]);
  if (!token && !(cert && key)) throw pluginError(plugin, "its answer has neither a token nor a certificate with key");
  const expires = asString(status?.["expirationTimestamp"]);
  const expiresAt = expires === undefined ? Number.POSITIVE_INFINITY : Date.parse(expires);
  if (Number.isNaN(expiresAt)) throw pluginError(plugin, `its expirationTimestamp "${expires}" is no time`);
  return {
    credentials: {
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...(cert && key ? { cert, key } : {}),
    },
    expiresAt,
  };
}

function parseAnswer(plugin: ExecPlugin, stdout: string): unknown {
  try {
    return JSON.parse(stdout);
  } catch (cause) {
    throw pluginError(plugin, `its answer is not JSON: ${messageOf(cause)}`, cause);
  }
}

function pluginError(plugin: ExecPlugin, why: string, cause?: unknown): Error {
  const remedy =
    plugin.installHint || `Run "${[plugin.command, ...plugin.args].join(" ")}" by hand and mend what it says`;
  const what = `credential plugin ${plugin.command} of user "${plugin.entry.name}" failed: ${why}`;
  return configError(plugin.entry.file, what, remedy, cause);
}

function firstLine(text: string): string {
  return text.trim().split("\n", 1)[0] ?? "";
}
