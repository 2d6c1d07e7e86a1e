/**
 * Reads etcd's own metrics: http, or https with a client certificate, as clusters have it. What answers and is no etcd is
 * told apart from what does not answer.
 */
import type { ClientRequest, IncomingMessage } from "node:http";
import { BreakwaterError, messageOf } from "../../model/errors.ts";
import { type MetricSamples, parseMetrics } from "../../model/metrics-text.ts";

/** See src/kube/transport.ts for why not by `import`. */
const http = process.getBuiltinModule("node:http");
const https = process.getBuiltinModule("node:https");

export interface EtcdAddress {
  /** "https://127.0.0.1:2379". */
  readonly url: string;
  /** PEM. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** @default 5000 */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 5000;
/** etcd 3.5 serves 200 KB. */
const MOST_BYTES = 16 * 1024 * 1024;
/** What every etcd has, since 3.1. */
const SIGN = "etcd_server_has_leader";

/** @throws BreakwaterError BW_ETCD: unreachable, TLS does not fit, refused, or not etcd */
export async function readEtcdMetrics(address: EtcdAddress): Promise<MetricSamples> {
  const url = parseUrl(address.url);
  const { status, body } = await get(url, address);
  if (status === 401 || status === 403) {
    throw etcdError(url, `it answers ${status}`, "Give a client certificate that it accepts: --etcd-cert, --etcd-key");
  }
  const samples = status === 200 ? parseMetrics(body) : undefined;
  if (samples?.has(SIGN)) return samples;
  const what = status === 200 ? `answers, and has no metric ${SIGN}` : `answers ${status}`;
  throw etcdError(
    url,
    `what listens there is not etcd, or not where it serves metrics: it ${what}`,
    "Give etcd's client URL (--listen-client-urls) or its metrics URL (--listen-metrics-urls, kubeadm: http://127.0.0.1:2381)",
  );
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new BreakwaterError("BW_ETCD", `"${text}" is no http or https URL`, {
      operation: "read metrics of etcd",
      object: text,
      remedy: "Give a URL such as https://127.0.0.1:2379",
    });
  }
  return new URL("/metrics", url);
}

function get(url: URL, address: EtcdAddress): Promise<{ status: number; body: string }> {
  const { ca, cert, key, timeoutMs = TIMEOUT_MS } = address;
  const options = { ca, cert, key, agent: false, signal: AbortSignal.timeout(timeoutMs) };
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => reject(connectError(url, error, cert !== undefined));
    let request: ClientRequest;
    try {
      request = (url.protocol === "https:" ? https : http).get(url, options);
    } catch (error) {
      // A certificate that is no PEM.
      fail(error);
      return;
    }
    request.on("error", fail);
    request.on("response", (response: IncomingMessage) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => {
        body += text;
        if (body.length > MOST_BYTES) request.destroy(new RangeError("the answer has no end"));
      });
      response.on("error", fail);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    });
  });
}

/** What went wrong between here and there, in words, by the codes of Node and OpenSSL. */
function connectError(url: URL, cause: unknown, hasCertificate: boolean): BreakwaterError {
  const { code = "", name } = cause as NodeJS.ErrnoException;
  const text = `${code} ${messageOf(cause)}`;
  const certificate =
    "Give --etcd-cert and --etcd-key; kubeadm has /etc/kubernetes/pki/etcd/healthcheck-client.crt and .key";
  if (name === "TimeoutError" || name === "AbortError") {
    return etcdError(
      url,
      "it does not answer in time",
      "See whether etcd runs, and whether a firewall is between",
      cause,
    );
  }
  if (/ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN/.test(text)) {
    return etcdError(url, `nobody answers: ${code}`, "See whether etcd runs, and on which address: ss -ltnp", cause);
  }
  if (
    /CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNKNOWN_CA|HANDSHAKE_FAILURE|certificate required|bad certificate|unknown ca/i.test(
      text,
    )
  ) {
    const why = hasCertificate ? "it does not accept this client certificate" : "it wants a client certificate";
    return etcdError(url, why, hasCertificate ? "Give one that etcd's --trusted-ca-file signed" : certificate, cause);
  }
  if (/SELF_SIGNED|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER|CERT_HAS_EXPIRED|ALTNAME/.test(text)) {
    return etcdError(
      url,
      `its certificate is not trusted: ${code}`,
      "Give --etcd-ca, and the address that its certificate names",
      cause,
    );
  }
  if (/WRONG_VERSION_NUMBER|EPROTO|packet length too long/.test(text)) {
    return etcdError(url, "it does not speak TLS", "Give its address with http://", cause);
  }
  if (/ECONNRESET|socket hang up/.test(text) && url.protocol === "https:") {
    const why = hasCertificate ? "does not accept this client certificate" : "wants a client certificate";
    return etcdError(url, `it closes the connection; perhaps it ${why}`, certificate, cause);
  }
  if (/ECONNRESET|HPE_|socket hang up|Parse Error/.test(text)) {
    const why = `it does not speak HTTP as etcd does: ${messageOf(cause)}`;
    return etcdError(
      url,
      why,
      "Where etcd listens with TLS give https://; see that it is etcd at all: ss -ltnp",
      cause,
    );
  }
  return etcdError(url, messageOf(cause), "Check the certificates and the address", cause);
}

function etcdError(url: URL, why: string, remedy: string, cause?: unknown): BreakwaterError {
  return new BreakwaterError("BW_ETCD", `Cannot read metrics of etcd at ${url.origin}: ${why}`, {
    operation: "read metrics of etcd",
    object: url.origin,
    ...(cause === undefined ? {} : { cause }),
    remedy,
  });
}
