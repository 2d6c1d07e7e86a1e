/**
 * Node ports of Services. As with addresses, what is allocated is what stored Services hold.
 */
import { at, type KubeObject, listOf } from "../object/object.ts";
import type { Collection } from "../store/collection.ts";

/** kube-apiserver --service-node-port-range, its default. */
export const NODE_PORT_RANGE = { first: 30000, last: 32767 } as const;
/** Ports below are left to Services that ask for one (KEP-3668): min(max(16, size/32), 128) of them. */
const DYNAMIC_FIRST = NODE_PORT_RANGE.first + 86;

export class NodePortAllocator {
  readonly #used = new Map<number, number>();
  #next = DYNAMIC_FIRST;

  constructor(services: Collection) {
    services.subscribe((event) => {
      if (event.previous !== undefined) this.#count(event.previous, -1);
      if (event.type !== "DELETED") this.#count(event.object, 1);
    });
  }

  isFree(port: number): boolean {
    return !this.#used.has(port);
  }

  /** The next free port; undefined when all are taken. */
  allocate(taken: ReadonlySet<number>): number | undefined {
    const size = NODE_PORT_RANGE.last - NODE_PORT_RANGE.first + 1;
    for (let i = 0; i < size; i++) {
      if (this.#next > NODE_PORT_RANGE.last) this.#next = NODE_PORT_RANGE.first;
      const port = this.#next++;
      if (this.isFree(port) && !taken.has(port)) return port;
    }
    return undefined;
  }

  #count(service: KubeObject, step: 1 | -1): void {
    for (const port of nodePortsOf(service)) {
      const count = (this.#used.get(port) ?? 0) + step;
      if (count > 0) this.#used.set(port, count);
      else this.#used.delete(port);
    }
  }
}

/** Every node port a Service holds, each once: TCP and UDP of one Service may share a number. */
export function nodePortsOf(service: KubeObject): ReadonlySet<number> {
  const ports = listOf(at(service, "spec", "ports")).map((port) => at(port, "nodePort"));
  const all = [...ports, at(service, "spec", "healthCheckNodePort")];
  return new Set(all.filter((port): port is number => typeof port === "number" && port > 0));
}
