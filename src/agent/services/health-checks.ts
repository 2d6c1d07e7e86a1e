/**
 * Answers load balancers that ask whether this node has endpoints of a Service: one HTTP server for each
 * healthCheckNodePort, 200 with a ready endpoint here and 503 without, with kube-proxy's body and headers
 * (pkg/proxy/healthcheck/service_health.go).
 */
import { createServer, type Server } from "node:http";
import type { Ip } from "../../model/ip.ts";

export interface HealthCheck {
  /** `namespace/name`. */
  readonly service: string;
  readonly port: number;
  readonly localEndpoints: number;
}

export interface HealthChecksOptions {
  /** False while the rules of Services cannot be brought up to date. */
  readonly healthy: () => boolean;
  readonly onError: (check: HealthCheck, error: Error) => void;
}

interface Listener {
  servers: readonly Server[];
  readonly addresses: string;
}

export class HealthChecks {
  readonly #options: HealthChecksOptions;
  readonly #checks = new Map<number, HealthCheck>();
  readonly #listeners = new Map<number, Listener>();

  constructor(options: HealthChecksOptions) {
    this.#options = options;
  }

  /** Ports that are answered on. */
  ports(): number[] {
    return [...this.#listeners.keys()];
  }

  /** @param addresses where the node's NodePorts answer */
  set(checks: Iterable<HealthCheck>, addresses: readonly Ip[]): void {
    this.#checks.clear();
    for (const check of checks) this.#checks.set(check.port, check);
    const where = addresses.join();
    for (const [port, listener] of this.#listeners) {
      if (this.#checks.has(port) && listener.addresses === where) continue;
      close(listener);
      this.#listeners.delete(port);
    }
    for (const check of this.#checks.values()) {
      if (this.#listeners.has(check.port)) continue;
      const listener: Listener = { servers: [], addresses: where };
      this.#listeners.set(check.port, listener);
      listener.servers = addresses.map((ip) => this.#listen(check, ip, listener));
    }
  }

  stop(): void {
    for (const listener of this.#listeners.values()) close(listener);
    this.#listeners.clear();
    this.#checks.clear();
  }

  #listen(check: HealthCheck, host: Ip, listener: Listener): Server {
    const server = createServer((_, response) => {
      const now = this.#checks.get(check.port);
      const [namespace, name] = (now ?? check).service.split("/");
      const healthy = this.#options.healthy();
      const localEndpoints = now?.localEndpoints ?? 0;
      response.writeHead(localEndpoints > 0 && healthy ? 200 : 503, {
        "Content-Type": "application/json",
        "X-Content-Type-Options": "nosniff",
        "X-Load-Balancing-Endpoint-Weight": String(localEndpoints),
      });
      response.end(
        `${JSON.stringify({ service: { namespace, name }, localEndpoints, serviceProxyHealthy: healthy })}\n`,
      );
    });
    server.on("error", (error) => {
      // With the other addresses, so that the next set() tries all of them again.
      close(listener);
      if (this.#listeners.get(check.port) !== listener) return;
      this.#listeners.delete(check.port);
      this.#options.onError(check, error);
    });
    server.listen({ port: check.port, host });
    return server;
  }
}

function close({ servers }: Listener): void {
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
}
