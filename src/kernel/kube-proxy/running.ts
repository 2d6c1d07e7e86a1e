/**
 * Whether a kube-proxy runs beside us: a process of that name in our network namespace, or an answer where its health
 * server listens. Either is enough: its process may be out of sight (another PID namespace) or have another name (k3s runs
 * it inside its own), and its health server may be elsewhere or off.
 */
import * as fs from "node:fs";
import * as http from "node:http";
import type { FindRunning } from "./types.ts";

/** --healthz-bind-address of kube-proxy, on loopback. */
export const KUBE_PROXY_HEALTHZ = { host: "127.0.0.1", port: 10256 } as const;
const HEALTHZ_TIMEOUT_MS = 1000;
const HEALTHZ_BYTES = 4096;
const NAME = "kube-proxy";

/** Of the namespace that the process runs in. @param healthz for tests */
export function findRunning(healthz: { host: string; port: number } = KUBE_PROXY_HEALTHZ): FindRunning {
  return async () => {
    const answers = await answersAsKubeProxy(healthz);
    return { pids: processes(), healthz: answers ? `${healthz.host}:${healthz.port}` : undefined };
  };
}

/**
 * Processes called kube-proxy in the calling thread's network namespace, by pid. Those of other namespaces, such as the
 * nodes of a cluster in containers or of a lab, are somebody else's.
 * @param proc for tests
 */
export function processes(proc = "/proc"): number[] {
  const own = readLink(`${proc}/thread-self/ns/net`);
  const pids = fs.readdirSync(proc).filter((name) => /^[0-9]+$/.test(name));
  return pids
    .filter((pid) => isKubeProxy(`${proc}/${pid}`) && own !== undefined && readLink(`${proc}/${pid}/ns/net`) === own)
    .map(Number)
    .sort((a, b) => a - b);
}

function isKubeProxy(process: string): boolean {
  try {
    return fs.readFileSync(`${process}/comm`, "utf8").trimEnd() === NAME;
  } catch {
    // It ended meanwhile.
    return false;
  }
}

/** Undefined for a process that ended, is dead but not collected, or is not ours to look into. */
function readLink(path: string): string | undefined {
  try {
    return fs.readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** Its health server tells two times, whatever its status (pkg/proxy/healthcheck/proxy_health.go). */
function answersAsKubeProxy({ host, port }: { host: string; port: number }): Promise<boolean> {
  return new Promise((resolve) => {
    const request = http.get({ host, port, path: "/healthz", agent: false, timeout: HEALTHZ_TIMEOUT_MS });
    const finish = (answer: boolean) => {
      resolve(answer);
      request.destroy();
    };
    request.on("error", () => finish(false));
    request.on("timeout", () => finish(false));
    request.on("response", (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => {
        body += text;
        if (body.length > HEALTHZ_BYTES) finish(false);
      });
      response.on("end", () => finish(/"lastUpdated"/.test(body) && /"currentTime"/.test(body)));
      response.on("error", () => finish(false));
    });
  });
}
