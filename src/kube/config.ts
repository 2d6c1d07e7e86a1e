/**
 * Finds out how to reach the API server: a kubeconfig the caller names, KUBECONFIG, ~/.kube/config, then the pod's
 * service account; the order of kubectl.
 *
 * `server` replaces the address but keeps the identity: the agent stands in for kube-proxy, so at its start the
 * ClusterIP that a pod is told (KUBERNETES_SERVICE_HOST) may lead nowhere yet.
 */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { BreakwaterError } from "../model/errors.ts";
import { type ApiConnection, anonymous, type Impersonation } from "./connection.ts";
import { userCredentials } from "./credentials.ts";
import { inClusterConnection, isInCluster } from "./in-cluster.ts";
import { asArray, asObject, type JsonObject } from "./json.ts";
import { configError, type Kubeconfig, type KubeconfigEntry, readKubeconfig } from "./kubeconfig.ts";
import { pemSource, stringField } from "./pem.ts";

export interface ConfigOptions {
  /** Path of a kubeconfig; wins over all else. */
  readonly kubeconfig?: string;
  /** Context to use instead of the kubeconfig's current-context. */
  readonly context?: string;
  /** API server URL to use instead of the configured one. */
  readonly server?: string;
  /** @default process.env */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Home folder for ~/.kube/config. @default os.homedir() */
  readonly home?: string;
  /** Folder of the mounted service account, for tests. */
  readonly serviceAccountDirectory?: string;
}

/** @throws BreakwaterError BW_KUBE_CONFIG naming the file, the object in it and the remedy */
export async function loadConnection(options: ConfigOptions = {}): Promise<ApiConnection> {
  const connection = await findConnection(options);
  if (options.server === undefined) return connection;
  return { ...connection, server: parseServer(options.server, "--api-server", "the command line") };
}

async function findConnection(options: ConfigOptions): Promise<ApiConnection> {
  const env = options.env ?? process.env;
  if (options.kubeconfig !== undefined)
    return selectContext(await readKubeconfig([options.kubeconfig]), options.context);
  const listed = (env["KUBECONFIG"] ?? "").split(delimiter).filter((path) => path !== "");
  if (listed.length > 0) return selectContext(await readKubeconfig(listed, true), options.context);
  const standard = join(options.home ?? homedir(), ".kube", "config");
  if (existsSync(standard)) return selectContext(await readKubeconfig([standard]), options.context);
  if (isInCluster(env)) return inClusterConnection({ env, directory: options.serviceAccountDirectory });
  throw new BreakwaterError(
    "BW_KUBE_CONFIG",
    `Cannot find the Kubernetes API: no KUBECONFIG, no ${standard}, not in a pod`,
    {
      operation: "find the Kubernetes API",
      object: standard,
      remedy: "Give --kubeconfig FILE or set KUBECONFIG",
    },
  );
}

/**
 * Resolves a context to its cluster and user.
 * @param context @default the file's current-context
 */
export function selectContext(config: Kubeconfig, context?: string): ApiConnection {
  const file = config.files.join(delimiter);
  const name = context ?? config.currentContext;
  if (!name) throw configError(file, "it has no current-context", `Name one: ${known(config.contexts)}`);
  const chosen = lookUp(config.contexts, name, "context", file);
  const clusterName = stringField(chosen, "cluster");
  if (clusterName === undefined) throw configError(chosen.file, `context "${name}" names no cluster`, "Give it one");
  const cluster = lookUp(config.clusters, clusterName, "cluster", file);
  const userName = stringField(chosen, "user");
  const user = userName === undefined ? undefined : lookUp(config.users, userName, "user", file);
  return { ...clusterConnection(cluster), ...userConnection(user, cluster), ...contextConnection(chosen) };
}

function contextConnection(context: KubeconfigEntry): Pick<ApiConnection, "origin" | "namespace"> {
  return {
    origin: `kubeconfig ${context.file}, context "${context.name}"`,
    namespace: stringField(context, "namespace") ?? "default",
  };
}

function clusterConnection(cluster: KubeconfigEntry): Omit<ApiConnection, "origin" | "namespace" | "credentialSource"> {
  const server = stringField(cluster, "server");
  if (server === undefined)
    throw configError(cluster.file, `cluster "${cluster.name}" has no server`, "Give it server: https://HOST:PORT");
  const insecure = cluster.fields["insecure-skip-tls-verify"] === true;
  const ca = pemSource(cluster, "certificate-authority");
  if (insecure && ca !== undefined)
    throw configError(
      cluster.file,
      `cluster "${cluster.name}" has both a certificate-authority and insecure-skip-tls-verify`,
      "Remove insecure-skip-tls-verify",
    );
  const tlsServerName = stringField(cluster, "tls-server-name");
  const proxyUrl = readProxyUrl(cluster);
  return {
    server: parseServer(server, `cluster "${cluster.name}"`, cluster.file),
    insecureSkipTlsVerify: insecure,
    ...(ca === undefined ? {} : { ca: ca.read() }),
    ...(tlsServerName === undefined ? {} : { tlsServerName }),
    ...(proxyUrl === undefined ? {} : { proxyUrl }),
  };
}

function userConnection(
  user: KubeconfigEntry | undefined,
  cluster: KubeconfigEntry,
): Pick<ApiConnection, "credentialSource" | "impersonation"> {
  if (user === undefined) return { credentialSource: anonymous };
  const impersonation = readImpersonation(user);
  return {
    credentialSource: userCredentials(user, execClusterInfo(cluster)),
    ...(impersonation === undefined ? {} : { impersonation }),
  };
}

/** The Cluster object of ExecCredential: a CA is always data there, never a file name. */
function execClusterInfo(cluster: KubeconfigEntry): JsonObject {
  const { "certificate-authority": _file, extensions, ...rest } = cluster.fields;
  const ca = pemSource(cluster, "certificate-authority");
  const config = (asArray(extensions) ?? [])
    .map(asObject)
    .find((extension) => extension?.["name"] === "client.authentication.k8s.io/exec")?.["extension"];
  return {
    ...rest,
    ...(ca === undefined ? {} : { "certificate-authority-data": Buffer.from(ca.read()).toString("base64") }),
    ...(config === undefined ? {} : { config }),
  };
}

function readImpersonation(user: KubeconfigEntry): Impersonation | undefined {
  const name = stringField(user, "as");
  if (name === undefined) return undefined;
  const uid = stringField(user, "as-uid");
  const extra = Object.entries(asObject(user.fields["as-user-extra"]) ?? {});
  return {
    user: name,
    groups: (asArray(user.fields["as-groups"]) ?? []).map(String),
    extra: Object.fromEntries(extra.map(([key, values]) => [key, (asArray(values) ?? []).map(String)])),
    ...(uid === undefined ? {} : { uid }),
  };
}

function readProxyUrl(cluster: KubeconfigEntry): string | undefined {
  const text = stringField(cluster, "proxy-url");
  if (text === undefined) return undefined;
  if (!/^https?:\/\//.test(text) || !URL.canParse(text))
    throw configError(
      cluster.file,
      `proxy-url "${text}" of cluster "${cluster.name}" is not supported`,
      "Use an http:// or https:// proxy",
    );
  return text;
}

function parseServer(text: string, what: string, file: string): URL {
  // kubectl takes "host:port" without a scheme as http.
  const url = /^[a-z]+:\/\//i.test(text) ? text : `http://${text}`;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw configError(file, `the server of ${what} is "${text}"`, "Give https://HOST:PORT");
  return new URL(url);
}

function lookUp(
  entries: ReadonlyMap<string, KubeconfigEntry>,
  name: string,
  what: string,
  file: string,
): KubeconfigEntry {
  const entry = entries.get(name);
  if (entry === undefined) throw configError(file, `it has no ${what} "${name}"`, `Name one of: ${known(entries)}`);
  return entry;
}

function known(entries: ReadonlyMap<string, KubeconfigEntry>): string {
  return entries.size === 0 ? "(it has none)" : [...entries.keys()].sort().join(", ");
}
