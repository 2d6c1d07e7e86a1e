/**
 * What goes wrong between us and an API server, as one error class with stable codes. The server's own words (the
 * Status object: reason and message) are kept, because RBAC and admission explain themselves there.
 */
import { BreakwaterError, type ErrorDetails, isBreakwaterError, messageOf } from "../model/errors.ts";
import { asObject, asString } from "./json.ts";

/** An HTTP answer that is no success, or an ERROR event of a watch. */
export class KubeApiError extends BreakwaterError {
  /** HTTP status, also of a Status object inside a watch. */
  readonly status: number;
  /** Status.reason: "Expired", "Conflict"; "" where the server gave none. */
  readonly reason: string;
  /** What the server asked us to wait, where it did (Retry-After, Status.details.retryAfterSeconds). */
  readonly retryAfterSeconds: number | undefined;

  constructor(answer: ApiAnswer, details: ErrorDetails) {
    const what = `${details.operation} ${details.object}`;
    const why = [String(answer.status), answer.reason, answer.message].filter((part) => part !== "").join(" ");
    super(codeOfStatus(answer.status), `Cannot ${what}: the API server answered ${why}`, {
      ...details,
      remedy: remedyOfStatus(answer.status),
    });
    this.status = answer.status;
    this.reason = answer.reason;
    this.retryAfterSeconds = answer.retryAfterSeconds;
  }
}

/** The parts of a Status object that callers decide on. */
export interface ApiAnswer {
  readonly status: number;
  readonly reason: string;
  readonly message: string;
  readonly retryAfterSeconds?: number;
}

const CODES: Readonly<Record<number, string>> = {
  400: "BW_KUBE_INVALID",
  401: "BW_KUBE_UNAUTHORIZED",
  403: "BW_KUBE_FORBIDDEN",
  404: "BW_KUBE_NOT_FOUND",
  409: "BW_KUBE_CONFLICT",
  410: "BW_KUBE_GONE",
  422: "BW_KUBE_INVALID",
  429: "BW_KUBE_OVERLOADED",
};

function codeOfStatus(status: number): string {
  return CODES[status] ?? (status >= 500 ? "BW_KUBE_SERVER" : "BW_KUBE_REJECTED");
}

const REMEDIES: Readonly<Record<number, string>> = {
  401: "Check the token or client certificate of this kubeconfig user, and the clocks of both machines",
  403: "Grant this verb on this resource to our user (ClusterRole and ClusterRoleBinding of deploy/)",
  404: "Check the name; for a custom resource, that its CustomResourceDefinition is installed",
  409: "Read the object again and repeat the change on what it is now",
  429: "Wait and try again: the server is shedding load (API priority and fairness)",
};

function remedyOfStatus(status: number): string | undefined {
  return REMEDIES[status] ?? (status >= 500 ? "Look at the log of kube-apiserver and the health of etcd" : undefined);
}

/**
 * Reads a Status object. A body that is none (a proxy's HTML page) still gives an answer, with its first line.
 * @param httpStatus used where the body names no code
 */
export function readStatus(body: string, httpStatus: number): ApiAnswer {
  const status = asObject(tryJson(body));
  if (status?.["kind"] !== "Status")
    return { status: httpStatus, reason: "", message: (body.split("\n", 1)[0] ?? "").slice(0, 200) };
  return statusAnswer(status, httpStatus);
}

/** The same of a parsed Status object, as ERROR events of a watch carry one. */
export function statusAnswer(status: Readonly<Record<string, unknown>>, httpStatus: number): ApiAnswer {
  const seconds = asObject(status["details"])?.["retryAfterSeconds"];
  return {
    status: typeof status["code"] === "number" ? status["code"] : httpStatus,
    reason: asString(status["reason"]) ?? "",
    message: asString(status["message"]) ?? "",
    ...(typeof seconds === "number" ? { retryAfterSeconds: seconds } : {}),
  };
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * The server cannot tell what happened since our version: list again. 410 by either way, or the reasons that stand
 * for it ("Expired" is what an apiserver sends, "Gone" what older ones and some proxies did); or a history that went
 * back, as {@link historyError} says.
 */
export function isExpired(error: unknown): boolean {
  if (isBreakwaterError(error, "BW_KUBE_HISTORY")) return true;
  if (!(error instanceof KubeApiError)) return false;
  return error.status === 410 || error.reason === "Expired" || error.reason === "Gone";
}

/** The server's versions are older than what it told us before: it was restored, or is another cluster. */
export function historyError(object: string, ours: string, theirs: string): BreakwaterError {
  const why = `the server is at version ${theirs}, which is older than ${ours}, which it gave before`;
  return new BreakwaterError("BW_KUBE_HISTORY", `Cannot watch ${object}: ${why}`, {
    operation: "watch",
    object,
    remedy: "Nothing to do after a restore of etcd: everything is listed anew",
  });
}

export function isNotFound(error: unknown): boolean {
  return error instanceof KubeApiError && error.status === 404;
}

/** Our user lacks the right (RBAC). */
export function isForbidden(error: unknown): boolean {
  return error instanceof KubeApiError && error.status === 403;
}

export function isConflict(error: unknown): boolean {
  return error instanceof KubeApiError && error.status === 409;
}

/** The network failed before an answer was complete. */
export function connectionError(cause: unknown, operation: string, object: string): BreakwaterError {
  const errno = asString(asObject(cause)?.["code"]) ?? asString((cause as { code?: unknown } | undefined)?.code);
  return new BreakwaterError("BW_KUBE_CONNECTION", `Cannot ${operation} ${object}: ${messageOf(cause)}`, {
    operation,
    object,
    cause,
    ...(errno === undefined ? {} : { errno }),
    remedy: "Check that the API server runs and that this machine reaches its address and port",
  });
}

/** The server kept silent longer than we wait. */
export function timeoutError(operation: string, object: string, timeoutMs: number): BreakwaterError {
  return new BreakwaterError("BW_KUBE_TIMEOUT", `Cannot ${operation} ${object}: no answer within ${timeoutMs} ms`, {
    operation,
    object,
    errno: "ETIMEDOUT",
    remedy: "Check the path to the API server (a firewall that drops, a proxy that hangs) and the server's load",
  });
}

/** The answer is no Kubernetes answer: not JSON, or JSON of another shape. */
export function responseError(operation: string, object: string, why: string): BreakwaterError {
  return new BreakwaterError("BW_KUBE_RESPONSE", `Cannot ${operation} ${object}: ${why}`, {
    operation,
    object,
    remedy: "Check that the server address is a Kubernetes API server and that no proxy changes its answers",
  });
}
