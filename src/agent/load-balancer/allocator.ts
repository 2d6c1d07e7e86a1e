/**
 * Gives LoadBalancer Services their addresses: plans with what the API says, and writes what differs into their status. A
 * write names the version that it was planned from, so that nothing is decided on what somebody changed meanwhile; what was
 * written counts until the watch shows it.
 */
import { isConflict, isNotFound } from "../../kube/api-error.ts";
import { Backoff } from "../../kube/backoff.ts";
import type { KubeClient } from "../../kube/client.ts";
import type { Clock } from "../../kube/clock.ts";
import type { EventRecorder } from "../../kube/events.ts";
import type { LoadBalancerSource } from "../../kube/load-balancer-source.ts";
import { services } from "../../kube/resource.ts";
import { messageOf } from "../../model/errors.ts";
import type { Ip } from "../../model/ip.ts";
import type { BalancedService } from "../../model/load-balancer.ts";
import { serviceKey } from "../../model/service.ts";
import { type Allocation, type AllocationPlan, planAllocations } from "../../plan/load-balancer/allocate.ts";
import type { Log } from "../log.ts";

export interface AllocatorOptions {
  readonly client: Pick<KubeClient, "patch">;
  readonly source: Pick<LoadBalancerSource, "services" | "pools" | "namespaces">;
  readonly events: Pick<EventRecorder, "record">;
  readonly clock: Clock;
  readonly log: Pick<Log, "info" | "warn">;
  /** A plan was made. */
  readonly onPlan?: (plan: AllocationPlan) => void;
}

/** Writes under way at once. */
const PARALLEL = 8;
const MESSAGE_LENGTH = 1000;

export class Allocator implements Disposable {
  readonly #options: AllocatorOptions;
  readonly #backoff: Backoff;
  /** What was written, until the API shows another version than the one it was written over. */
  readonly #written = new Map<string, { readonly over: string; readonly ips: readonly Ip[] }>();
  /** By key: what was told last of a Service. */
  readonly #told = new Map<string, string>();
  #isStopped = false;
  #isDue = false;
  #working: Promise<void> | undefined;
  #cancelRetry: (() => void) | undefined;

  constructor(options: AllocatorOptions) {
    this.#options = options;
    this.#backoff = new Backoff({ random: options.clock.random });
  }

  [Symbol.dispose](): void {
    this.#isStopped = true;
    this.#cancelRetry?.();
  }

  /** Something changed: plans anew, once the round that is under way has ended. */
  request(): void {
    this.#isDue = true;
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
    });
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    await this.#working;
  }

  async #work(): Promise<void> {
    while (this.#isDue && !this.#isStopped) {
      this.#isDue = false;
      await this.#round();
    }
  }

  async #round(): Promise<void> {
    const { source, onPlan } = this.#options;
    const now = new Map(Array.from(source.services(), ([key, service]) => [key, this.#asWritten(key, service)]));
    for (const key of this.#written.keys()) if (!now.has(key)) this.#written.delete(key);
    const plan = planAllocations({
      services: now.values(),
      pools: [...source.pools().values()],
      namespaces: source.namespaces(),
    });
    onPlan?.(plan);
    this.#tell(plan);
    // An address that one Service gives back is written there before it is written at another.
    const changed = [...plan.services.values()].filter(({ service, ips }) => !isSame(service.held, ips));
    const leaving = new Set(changed.flatMap(({ service, ips }) => service.held.filter((ip) => !ips.includes(ip))));
    const possible = changed.filter(
      ({ service, ips }) => !ips.some((ip) => leaving.has(ip) && !service.held.includes(ip)),
    );
    const failed = await this.#writeAll(possible);
    if (failed) this.#retryLater();
    else if (possible.length > 0) {
      this.#backoff.reset();
      // What was given back may be given to those who waited for it.
      if (possible.length < changed.length) this.#isDue = true;
    }
  }

  /** The Service as the API will show it, where we wrote over the version that it still shows. */
  #asWritten(key: string, service: BalancedService): BalancedService {
    const written = this.#written.get(key);
    if (written === undefined) return service;
    if (written.over === versionOf(service)) return { ...service, held: written.ips };
    this.#written.delete(key);
    return service;
  }

  /** @returns whether some could not be written */
  async #writeAll(allocations: readonly Allocation[]): Promise<boolean> {
    const rest = [...allocations];
    let failed = false;
    const worker = async () => {
      for (let next = rest.shift(); next !== undefined && !this.#isStopped; next = rest.shift()) {
        if (!(await this.#write(next))) failed = true;
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, worker));
    return failed;
  }

  async #write({ service, ips }: Allocation): Promise<boolean> {
    const { client, events, log } = this.#options;
    const { namespace, name, uid, resourceVersion } = service;
    const key = serviceKey(service);
    const ingress = ips.length === 0 ? null : ips.map((ip) => ({ ip }));
    const patch = { metadata: { uid, resourceVersion }, status: { loadBalancer: { ingress } } };
    try {
      await client.patch({ resource: services, namespace, name, subresource: "status" }, patch, { type: "merge" });
    } catch (error) {
      if (isNotFound(error)) return true;
      if (!isConflict(error)) log.warn({ service: key, error: messageOf(error) }, "cannot write a Service's addresses");
      return false;
    }
    this.#written.set(key, { over: versionOf(service), ips });
    const message = ips.length === 0 ? "it has no address any more" : `it has ${ips.join(", ")}`;
    log.info({ service: key, ips, had: service.held }, "a Service's addresses changed");
    events.record(subjectOf(service), "Normal", ips.length === 0 ? "IPReleased" : "IPAllocated", message);
    return true;
  }

  #retryLater(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = this.#options.clock.schedule(this.#backoff.next(), () => {
      this.#cancelRetry = undefined;
      this.request();
    });
  }

  /** What cannot be had is an Event on the Service, once. */
  #tell({ services: planned }: AllocationPlan): void {
    const { events, log } = this.#options;
    for (const key of this.#told.keys()) if (!planned.has(key)) this.#told.delete(key);
    for (const [key, { service, problems }] of planned) {
      const message = problems.join("; ").slice(0, MESSAGE_LENGTH);
      const text = message === "" ? "" : `${service.uid} ${message}`;
      if ((this.#told.get(key) ?? "") === text) continue;
      this.#told.set(key, text);
      if (message === "") continue;
      log.warn({ service: key, why: message }, "a Service does not have the addresses that it should have");
      events.record(subjectOf(service), "Warning", "AllocationFailed", message);
    }
  }
}

function versionOf({ uid, resourceVersion }: BalancedService): string {
  return `${uid} ${resourceVersion}`;
}

function isSame(a: readonly Ip[], b: readonly Ip[]): boolean {
  return a.length === b.length && a.every((ip, i) => ip === b[i]);
}

function subjectOf({ namespace, name, uid }: BalancedService) {
  return { apiVersion: "v1", kind: "Service", namespace, name, uid };
}
