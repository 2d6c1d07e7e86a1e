/**
 * Tells when a process of this node listens on a NodePort: what comes for the port goes to the Service, and the process
 * is not reached any more. Looked at once, when the NodePort appears: the kernel's list of sockets may be long.
 */
import type { EventRecorder } from "../../kube/events.ts";
import type { ServicePlan } from "../../model/frontend.ts";
import type { Log } from "../log.ts";

export interface NodePortSocketsOptions {
  readonly nodeName: string;
  readonly log: Log;
  readonly events: Pick<EventRecorder, "record">;
  /** `tcp 8080`: ports that processes listen on. */
  readonly listening: () => ReadonlySet<string>;
}

export class NodePortSockets {
  readonly #options: NodePortSocketsOptions;
  /** Ports by Service. */
  readonly #seen = new Map<string, ReadonlySet<string>>();

  constructor(options: NodePortSocketsOptions) {
    this.#options = options;
  }

  /** Plans as they are now; undefined for a Service that is gone. */
  look(plans: Iterable<readonly [key: string, plan: ServicePlan | undefined]>): void {
    let listening: ReadonlySet<string> | undefined;
    for (const [key, plan] of plans) {
      const ports = new Set(
        (plan?.frontends ?? [])
          .filter(({ kind }) => kind === "NodePort")
          .map(({ protocol, port }) => `${protocol} ${port}`),
      );
      const fresh = [...ports].filter((port) => this.#seen.get(key)?.has(port) !== true);
      if (ports.size === 0) this.#seen.delete(key);
      else this.#seen.set(key, ports);
      if (fresh.length === 0) continue;
      listening ??= this.#options.listening();
      for (const port of fresh) if (listening.has(port)) this.#tell(key, port);
    }
  }

  #tell(key: string, port: string): void {
    const { events, log, nodeName } = this.#options;
    const [protocol = "", number] = port.split(" ");
    const [namespace = "", name = ""] = key.split("/");
    const message = `A process of node ${nodeName} listens on ${protocol.toUpperCase()} port ${number}, the NodePort of this Service: what comes for it goes to the Service, and the process is not reached. Find it with 'ss -lpn "sport = :${number}"', and move one of them`;
    log.warn({ service: key, port: Number(number), protocol }, "a process of this node listens on a NodePort");
    events.record({ apiVersion: "v1", kind: "Service", namespace, name }, "Warning", "NodePortInUse", message);
  }
}
