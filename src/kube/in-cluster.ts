/**
 * The connection of a pod: KUBERNETES_SERVICE_HOST and the mounted service account
 * (https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/). The token is a projected volume that the
 * kubelet rotates, so it is read again as it ages.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BreakwaterError, messageOf } from "../model/errors.ts";
import type { ApiConnection, Credentials } from "./connection.ts";
import { bearer, rereadCredentials } from "./credentials.ts";

export const SERVICE_ACCOUNT_DIRECTORY = "/var/run/secrets/kubernetes.io/serviceaccount";

export interface InClusterOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** @default {@link SERVICE_ACCOUNT_DIRECTORY} */
  readonly directory?: string;
  readonly now?: () => number;
}

/** True when the environment says that this process runs in a pod. */
export function isInCluster(env: InClusterOptions["env"]): boolean {
  return Boolean(env["KUBERNETES_SERVICE_HOST"] && env["KUBERNETES_SERVICE_PORT"]);
}

/** @throws BreakwaterError BW_KUBE_CONFIG naming the missing variable or file */
export function inClusterConnection(options: InClusterOptions): ApiConnection {
  const host = options.env["KUBERNETES_SERVICE_HOST"];
  const port = options.env["KUBERNETES_SERVICE_PORT"];
  if (!host || !port) throw inClusterError("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set");
  const directory = options.directory ?? SERVICE_ACCOUNT_DIRECTORY;
  const tokenPath = join(directory, "token");
  const read = () => mountedToken(tokenPath);
  read();
  return {
    origin: `the service account in ${directory}`,
    server: new URL(`https://${host.includes(":") ? `[${host}]` : host}:${port}`),
    ca: readMounted(join(directory, "ca.crt")),
    insecureSkipTlsVerify: false,
    namespace: mountedNamespace(directory),
    credentialSource: rereadCredentials(read, options.now),
  };
}

function mountedNamespace(directory: string): string {
  try {
    return readFileSync(join(directory, "namespace"), "utf8").trim() || "default";
  } catch {
    // Not every projection mounts it, and only requests without a namespace of their own need it.
    return "default";
  }
}

function mountedToken(path: string): Credentials {
  const token = readMounted(path).trim();
  try {
    return bearer(token);
  } catch (cause) {
    throw inClusterError(`${path}: ${messageOf(cause)}`, cause);
  }
}

function readMounted(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw inClusterError(messageOf(cause), cause);
  }
}

function inClusterError(why: string, cause?: unknown): BreakwaterError {
  return new BreakwaterError("BW_KUBE_CONFIG", `Cannot use the pod's service account: ${why}`, {
    operation: "read the service account",
    object: SERVICE_ACCOUNT_DIRECTORY,
    cause,
    remedy: "Run in a pod with automountServiceAccountToken, or give --kubeconfig",
  });
}
