/**
 * Everything about LoadBalancer addresses, put together: agents elect one of them, and that one watches what it needs and
 * gives addresses. The others watch nothing but the Lease.
 */
import type { Registry } from "prom-client";
import type { KubeClient } from "../../kube/client.ts";
import { type Clock, systemClock } from "../../kube/clock.ts";
import { EventRecorder } from "../../kube/events.ts";
import { type ElectionTiming, LeaderElection } from "../../kube/leader-election.ts";
import { type LoadBalancerSource, startLoadBalancerSource } from "../../kube/load-balancer-source.ts";
import { messageOf } from "../../model/errors.ts";
import type { NodeConfig } from "../../model/node-config.ts";
import type { AllocationPlan } from "../../plan/load-balancer/allocate.ts";
import type { Log } from "../log.ts";
import type { AgentMetrics } from "../metrics.ts";
import { Allocator } from "./allocator.ts";
import { collectLoadBalancer, createLoadBalancerMetrics, type LoadBalancerMetrics } from "./load-balancer-metrics.ts";
import { PoolStatusWriter } from "./pool-status.ts";

export interface LoadBalancerPartsOptions {
  readonly nodeName: string;
  readonly client: KubeClient;
  readonly registry: Registry;
  readonly log: Log;
  /** A list or watch failed. */
  readonly onApiError: (resource: string) => void;
  /** @default systemClock */
  readonly clock?: Clock;
  readonly timing?: Partial<ElectionTiming>;
}

/** The Lease that agents compete for. */
export const LEASE = { namespace: "kube-system", name: "breakwater-load-balancer" } as const;

export class LoadBalancerParts {
  readonly #election: LeaderElection;
  readonly #metrics: LoadBalancerMetrics;
  #term: Term | undefined;
  /** Terms that ended, and have to wind up. */
  #ending: Promise<void> = Promise.resolve();

  constructor(options: LoadBalancerPartsOptions) {
    this.#metrics = createLoadBalancerMetrics(options.registry);
    const { client, nodeName, log, timing, clock = systemClock } = options;
    this.#election = new LeaderElection({
      client,
      ...LEASE,
      identity: nodeName,
      onStarted: () => {
        log.info(LEASE, "this agent gives LoadBalancer Services their addresses");
        this.#term = new Term(options, clock);
      },
      onStopped: () => {
        log.info(LEASE, "this agent does not give LoadBalancer Services their addresses any more");
        const term = this.#term;
        this.#term = undefined;
        this.#ending = Promise.all([this.#ending, term?.end()]).then(() => undefined);
      },
      onError: (why) => log.warn({ ...LEASE, error: why }, "the Lease of the load balancer cannot be read or written"),
      clock,
      ...(timing === undefined ? {} : { timing }),
    });
    this.#election.start();
  }

  /** Called when metrics are read. */
  collect(): void {
    this.#metrics.leader.set(this.#election.isLeader ? 1 : 0);
    collectLoadBalancer(this.#metrics, this.#term?.plan);
  }

  async stop(): Promise<void> {
    await this.#election.stop();
    await this.#ending;
  }
}

/** Undefined where nobody asked for it. */
export function giveAddresses(
  { nodeName, loadBalancer }: NodeConfig,
  { client, metrics, log }: { readonly client: KubeClient; readonly metrics: AgentMetrics; readonly log: Log },
): LoadBalancerParts | undefined {
  if (loadBalancer !== true) return undefined;
  const onApiError = (resource: string) => metrics.apiErrors.inc({ resource });
  return new LoadBalancerParts({ nodeName, client, registry: metrics.registry, log, onApiError });
}

/** The time that an agent leads. */
class Term {
  plan: AllocationPlan | undefined;
  readonly #source: LoadBalancerSource;
  readonly #allocator: Allocator;
  readonly #status: PoolStatusWriter;
  readonly #events: EventRecorder;
  #synced = false;

  constructor({ client, nodeName, log, onApiError }: LoadBalancerPartsOptions, clock: Clock) {
    this.#events = new EventRecorder({
      client,
      component: "breakwater-agent",
      host: nodeName,
      onDropped: (reason, { kind, name }, why) =>
        log.warn({ reason, object: `${kind} ${name}`, why }, "event not written"),
    });
    this.#source = startLoadBalancerSource({
      client,
      onChange: () => {
        if (this.#synced) this.#allocator.request();
      },
      onProblem: ({ resource, key, field, why }) => log.warn({ resource, key, field }, why),
      onError: (resource, error, retryInMs) => {
        onApiError(resource);
        log.warn(
          { resource, retryInMs, error: messageOf(error) },
          "the API cannot be read; the last known state stands",
        );
      },
    });
    this.#status = new PoolStatusWriter({ client, clock, log });
    this.#allocator = new Allocator({
      client,
      source: this.#source,
      events: this.#events,
      clock,
      log,
      onPlan: (plan) => {
        this.plan = plan;
        this.#status.follow(plan);
      },
    });
    this.#source.synced.then(
      () => {
        this.#synced = true;
        this.#allocator.request();
      },
      () => undefined,
    );
  }

  /** Nothing is written from now on but what is on its way. */
  async end(): Promise<void> {
    this.#synced = false;
    this.#allocator[Symbol.dispose]();
    this.#status[Symbol.dispose]();
    await this.#source.stop();
    await this.#allocator.settled();
    await this.#events.stop();
  }
}
