/**
 * HTTP to one API server: TLS, identity, keep-alive, deadlines. Knows nothing of Kubernetes but how it reports
 * errors. Bodies go to the caller chunk by chunk, so that lists and watches need no memory of their own size.
 *
 *   request ──▶ credentials ──▶ http(s).request ──2xx──▶ onChunk… ──▶ resolves with the status
 *                     ▲                         └─else──▶ Status object ──▶ KubeApiError
 *                     └── invalidate on 401
 */
import type { Agent, ClientRequest, IncomingMessage, OutgoingHttpHeaders } from "node:http";
import type { RequestOptions } from "node:https";
import { getCACertificates } from "node:tls";
import { isBreakwaterError, messageOf } from "../model/errors.ts";
import { connectionError, KubeApiError, readStatus, responseError, timeoutError } from "./api-error.ts";
import type { ApiConnection, Credentials, Impersonation } from "./connection.ts";

/**
 * Not by `import`: that reads every export of node:http, and one of them (WebSocket) loads all of undici, 4.5 MB of
 * memory and 45 ms of start (docs/adr/0003-kubernetes-client.md).
 */
const http = process.getBuiltinModule("node:http");
const https = process.getBuiltinModule("node:https");

/**
 * Silence on a socket before the kernel starts to ask whether the other end lives. libuv asks ten times, one second
 * apart (uv__tcp_keepalive), so a peer that vanished is noticed after 25 s.
 */
const KEEP_ALIVE_DELAY_MS = 15_000;
/** More of an error body than any Status object needs. */
const MAX_ERROR_BYTES = 256 * 1024;

export interface TransportRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Path and query, from the server's root. */
  readonly path: string;
  readonly body?: string;
  readonly contentType?: string;
  readonly signal?: AbortSignal;
  /** What is tried and on what, for messages: "list", "pods". */
  readonly operation: string;
  readonly object: string;
  /** Longest wait for the headers, and between chunks where `streaming` is not set. */
  readonly timeoutMs: number;
  /** A watch: silence between chunks is no error here. */
  readonly streaming?: boolean;
  /** The headers of a success arrived. */
  readonly onOpen?: () => void;
  readonly onChunk: (chunk: Buffer) => void;
}

export class Transport {
  readonly #connection: ApiConnection;
  readonly #agent: Agent;
  readonly #ca: string | string[] | undefined;
  readonly #secure: boolean;

  constructor(connection: ApiConnection, env: NodeJS.ProcessEnv = process.env) {
    this.#connection = connection;
    this.#secure = connection.server.protocol === "https:";
    this.#ca = this.#secure && !connection.insecureSkipTlsVerify ? (connection.ca ?? commonAuthorities()) : undefined;
    const { proxyUrl } = connection;
    const options = {
      keepAlive: true,
      keepAliveMsecs: KEEP_ALIVE_DELAY_MS,
      proxyEnv: proxyUrl === undefined ? env : { HTTPS_PROXY: proxyUrl, HTTP_PROXY: proxyUrl },
    };
    this.#agent = this.#secure ? new https.Agent(options) : new http.Agent(options);
  }

  /**
   * Sends a request and feeds a successful answer's body to `onChunk`. Resolves when the body ended.
   * @throws KubeApiError, BreakwaterError BW_KUBE_CONNECTION, BW_KUBE_TIMEOUT, BW_KUBE_RESPONSE; the signal's reason
   */
  async send(request: TransportRequest): Promise<void> {
    try {
      await this.#attempt(request, await this.#connection.credentialSource.credentials());
    } catch (error) {
      if (!(error instanceof StaleSocketError)) throw error;
      // RFC 9112, section 9.3.1: the server may close an idle connection just as we use it; GET may be sent again.
      await this.#attempt(request, await this.#connection.credentialSource.credentials());
    }
  }

  /** Closes every connection, also those in use. */
  close(): void {
    this.#agent.destroy();
  }

  /** After a failure all pooled connections may share the path that broke. */
  #dropIdleSockets(): void {
    for (const sockets of Object.values(this.#agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
  }

  #attempt(request: TransportRequest, credentials: Credentials): Promise<void> {
    request.signal?.throwIfAborted();
    const { operation, object, timeoutMs } = request;
    return new Promise((resolve, reject) => {
      let answered = false;
      const outgoing = this.#open(request, credentials);
      const settle = (error: unknown) => {
        clearTimeout(silence);
        if (error === undefined) return resolve();
        outgoing.destroy();
        if (error instanceof Error && BROKEN_PATH.has((error as NodeJS.ErrnoException).code ?? ""))
          this.#dropIdleSockets();
        reject(request.signal?.aborted ? request.signal.reason : error);
      };
      // One timer for name look-up, connection, TLS and headers; every chunk of the body winds it up again.
      const silence = setTimeout(() => settle(timeoutError(operation, object, timeoutMs)), timeoutMs);
      outgoing.on("error", (cause) => {
        const stale = request.method === "GET" && outgoing.reusedSocket && !answered;
        settle(stale ? new StaleSocketError() : connectionError(cause, operation, object));
      });
      outgoing.on("response", (response: IncomingMessage) => {
        answered = true;
        this.#receive(request, response, silence).then(() => settle(undefined), settle);
      });
      outgoing.end(request.body);
    });
  }

  #open(request: TransportRequest, credentials: Credentials): ClientRequest {
    const { server, tlsServerName, insecureSkipTlsVerify, impersonation } = this.#connection;
    const options: RequestOptions = {
      agent: this.#agent,
      method: request.method,
      headers: requestHeaders(request, credentials, impersonation),
      ...(request.signal === undefined ? {} : { signal: request.signal }),
      ...(this.#secure
        ? {
            ca: this.#ca,
            cert: credentials.cert,
            key: credentials.key,
            rejectUnauthorized: !insecureSkipTlsVerify,
            ...(tlsServerName === undefined ? {} : { servername: tlsServerName }),
          }
        : {}),
    };
    const url = new URL(`${server.pathname.replace(/\/$/, "")}${request.path}`, server);
    return this.#secure ? https.request(url, options) : http.request(url, options);
  }

  async #receive(request: TransportRequest, response: IncomingMessage, silence: NodeJS.Timeout): Promise<void> {
    const status = response.statusCode ?? 0;
    if (status < 200 || status > 299) throw await this.#refusal(request, response, status);
    if (request.streaming) clearTimeout(silence);
    request.onOpen?.();
    await consume(response, request, (chunk) => {
      if (!request.streaming) silence.refresh();
      request.onChunk(chunk);
    });
  }

  async #refusal(request: TransportRequest, response: IncomingMessage, status: number): Promise<KubeApiError> {
    if (status === 401) this.#connection.credentialSource.invalidate();
    const chunks: Buffer[] = [];
    let length = 0;
    await consume(response, request, (chunk) => {
      length += chunk.length;
      if (length <= MAX_ERROR_BYTES) chunks.push(chunk);
    });
    const answer = readStatus(Buffer.concat(chunks).toString("utf8"), status);
    const retryAfter = Number(response.headers["retry-after"]);
    const seconds = answer.retryAfterSeconds ?? (Number.isFinite(retryAfter) ? retryAfter : undefined);
    const { operation, object } = request;
    return new KubeApiError(
      { ...answer, ...(seconds === undefined ? {} : { retryAfterSeconds: seconds }) },
      { operation, object },
    );
  }
}

/** Codes after which pooled connections are not trusted. */
const BROKEN_PATH = new Set(["BW_KUBE_CONNECTION", "BW_KUBE_TIMEOUT"]);

/** Marks a pooled connection that was dead on use; never leaves this file. */
class StaleSocketError extends Error {}

/** Reads a body to its end. An error of `onChunk` itself means that the answer is no Kubernetes answer. */
function consume(
  response: IncomingMessage,
  request: TransportRequest,
  onChunk: (chunk: Buffer) => void,
): Promise<void> {
  const { operation, object } = request;
  return new Promise((resolve, reject) => {
    response.on("data", (chunk: Buffer) => {
      try {
        onChunk(chunk);
      } catch (cause) {
        response.destroy();
        reject(isBreakwaterError(cause) ? cause : responseError(operation, object, messageOf(cause)));
      }
    });
    response.on("end", () => resolve());
    // Also when the connection closes before the body is whole (ECONNRESET, "aborted").
    response.on("error", (cause) => reject(connectionError(cause, operation, object)));
  });
}

function requestHeaders(
  request: TransportRequest,
  credentials: Credentials,
  impersonation: Impersonation | undefined,
): OutgoingHttpHeaders {
  return {
    accept: "application/json",
    "user-agent": "breakwater",
    ...(credentials.authorization === undefined ? {} : { authorization: credentials.authorization }),
    ...(request.body === undefined
      ? {}
      : {
          "content-type": request.contentType ?? "application/json",
          "content-length": Buffer.byteLength(request.body),
        }),
    ...(impersonation === undefined ? {} : impersonationHeaders(impersonation)),
  };
}

/** https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation */
function impersonationHeaders(impersonation: Impersonation): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = { "impersonate-user": impersonation.user };
  if (impersonation.uid !== undefined) headers["impersonate-uid"] = impersonation.uid;
  if (impersonation.groups.length > 0) headers["impersonate-group"] = [...impersonation.groups];
  for (const [key, values] of Object.entries(impersonation.extra))
    headers[`impersonate-extra-${encodeURIComponent(key)}`] = [...values];
  return headers;
}

/**
 * What a server with a public or company certificate is verified against. Reading the system's store takes a fifth
 * of a second, so it is done only where no authority is configured.
 */
function commonAuthorities(): string[] {
  return [...new Set([...getCACertificates("default"), ...getCACertificates("system")])];
}
