/**
 * Credentials of a kubeconfig user or a service account: token, token file, basic, client certificate. What lives in
 * files is read again as it ages, because bound service account tokens and kubelet certificates rotate under a
 * running agent.
 */
import { messageOf } from "../model/errors.ts";
import { anonymous, type CredentialSource, type Credentials } from "./connection.ts";
import { execCredentials } from "./exec-credential.ts";
import type { JsonObject } from "./json.ts";
import { configError, type KubeconfigEntry } from "./kubeconfig.ts";
import { pathField, pemSource, readNamedFile, stringField } from "./pem.ts";

/**
 * How long what was read from a file is used. Bound tokens are renewed at 80 % of their life, which is ten minutes at
 * least, so one minute is always soon enough; client-go reads as often (rest/token_source.go).
 */
const REREAD_MS = 60_000;

/** Caches what `read` gives for a minute and reads again after a 401. A failed re-read keeps the last good value. */
export function rereadCredentials(
  read: () => Credentials,
  now: () => number = () => performance.now(),
): CredentialSource {
  let cached: { credentials: Credentials; at: number } | undefined;
  return {
    credentials() {
      if (cached === undefined || now() - cached.at >= REREAD_MS) cached = { credentials: reread(), at: now() };
      return Promise.resolve(cached.credentials);
    },
    invalidate() {
      if (cached !== undefined) cached = { credentials: cached.credentials, at: Number.NEGATIVE_INFINITY };
    },
  };
  /** A rotating file may be missing for an instant; a wrong credential shows as 401 on the next request. */
  function reread(): Credentials {
    try {
      return read();
    } catch (error) {
      if (cached === undefined) throw error;
      return cached.credentials;
    }
  }
}

/**
 * The credential source of a kubeconfig user.
 * @param cluster what an exec plugin is told of the cluster
 * @throws BreakwaterError BW_KUBE_CONFIG
 */
export function userCredentials(user: KubeconfigEntry, cluster: JsonObject, now?: () => number): CredentialSource {
  if (user.fields["auth-provider"] !== undefined)
    throw configError(
      user.file,
      `user "${user.name}" uses auth-provider, which Kubernetes 1.26 removed`,
      "Use an exec credential plugin instead",
    );
  if (user.fields["exec"] !== undefined && user.fields["exec"] !== null) return execCredentials(user, cluster);
  const certificate = certificateOf(user);
  const authorization = authorizationOf(user);
  if (certificate === undefined && authorization === undefined) return anonymous;
  const read = () => ({ ...certificate?.(), ...authorization?.() });
  read();
  return rereadCredentials(read, now);
}

function certificateOf(user: KubeconfigEntry): (() => Credentials) | undefined {
  const cert = pemSource(user, "client-certificate");
  const key = pemSource(user, "client-key");
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined)
    throw configError(
      user.file,
      `user "${user.name}" has a client ${cert === undefined ? "key without its certificate" : "certificate without its key"}`,
      "Give both client-certificate and client-key",
    );
  return () => ({ cert: cert.read(), key: key.read() });
}

/** tokenFile goes before token, as in client-go; basic comes last. */
function authorizationOf(user: KubeconfigEntry): (() => Credentials) | undefined {
  const path = pathField(user, "tokenFile");
  if (path !== undefined) return () => userBearer(user, readNamedFile(user, "tokenFile", path).trim());
  const token = stringField(user, "token");
  if (token !== undefined) return () => userBearer(user, token);
  const username = stringField(user, "username");
  if (username === undefined) return undefined;
  const password = stringField(user, "password") ?? "";
  const basic = Buffer.from(`${username}:${password}`).toString("base64");
  return () => ({ authorization: `Basic ${basic}` });
}

/** A bearer token as a header. @throws SyntaxError when it is empty or cannot be a header value */
export function bearer(token: string): Credentials {
  if (token === "") throw new SyntaxError("the token is empty");
  if (!/^[\x21-\x7e]+$/.test(token)) throw new SyntaxError("the token holds spaces or control characters");
  return { authorization: `Bearer ${token}` };
}

function userBearer(user: KubeconfigEntry, token: string): Credentials {
  try {
    return bearer(token);
  } catch (cause) {
    throw configError(user.file, `user "${user.name}": ${messageOf(cause)}`, "Write a new token", cause);
  }
}
