/**
 * The verbs of the API over the database. Requests and the lab's in-process callers both come through here, so that
 * defaults, validation, ownership and admission are the same for both.
 */
import { randomUUID } from "node:crypto";
import { NodePortAllocator } from "../allocate/node-port.ts";
import { ServiceIpAllocator } from "../allocate/service-ip.ts";
import { type KubeObject, objectKey } from "../object/object.ts";
import { notFound } from "../object/status.ts";
import type { Resource } from "../resources/resource.ts";
import { ResourceTable } from "../resources/resource-table.ts";
import type { WriteContext } from "../resources/write-context.ts";
import type { Collection } from "../store/collection.ts";
import { Database } from "../store/database.ts";

export interface RegistryOptions {
  readonly serviceCidrs: readonly string[];
  readonly now: () => Date;
}

export class Registry {
  readonly database: Database;
  readonly resources: ResourceTable;
  readonly now: () => Date;
  readonly #serviceIps: ServiceIpAllocator;
  readonly #nodePorts: NodePortAllocator;

  constructor(options: RegistryOptions) {
    this.now = options.now;
    this.database = new Database(options.now().getTime());
    this.resources = new ResourceTable(this.database);
    const services = this.database.collection("services");
    this.#serviceIps = new ServiceIpAllocator(options.serviceCidrs, services);
    this.#nodePorts = new NodePortAllocator(services);
  }

  get serviceIps(): ServiceIpAllocator {
    return this.#serviceIps;
  }

  context(): WriteContext {
    return {
      now: timestamp(this.now()),
      serviceIps: this.#serviceIps,
      nodePorts: this.#nodePorts,
      customNameConflict: (definition) => this.resources.nameConflict(definition),
    };
  }

  collection(resource: Resource): Collection {
    return this.database.collection(resource.storage);
  }

  /** The stored object. @throws StatusError 404 */
  get(resource: Resource, namespace: string | undefined, name: string): KubeObject {
    const object = this.collection(resource).get(namespace, name);
    if (object === undefined) throw notFound(resource, name);
    return object;
  }

  newUid(): string {
    return randomUUID();
  }

  describe(resource: Resource, object: KubeObject): string {
    return `${resource.plural} ${objectKey(object.metadata.namespace, object.metadata.name)}`;
  }
}

/** RFC 3339 in whole seconds, as metav1.Time prints. */
export function timestamp(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`;
}
