/**
 * Says in the status of a LoadBalancerPool how many of its addresses are used and free, and what of it is not understood.
 * Many Services that change together are one write.
 */
import type { KubeClient } from "../../kube/client.ts";
import type { Clock } from "../../kube/clock.ts";
import { loadBalancerPools } from "../../kube/resource.ts";
import { messageOf } from "../../model/errors.ts";
import { POOL_USABLE } from "../../model/load-balancer.ts";
import type { AllocationPlan } from "../../plan/load-balancer/allocate.ts";
import type { PoolUse } from "../../plan/load-balancer/pool-use.ts";
import type { Log } from "../log.ts";

export interface PoolStatusOptions {
  readonly client: Pick<KubeClient, "patch">;
  readonly clock: Clock;
  readonly log: Pick<Log, "warn">;
  /** @default Date.now */
  readonly wallClock?: () => number;
}

/** Changes of this long are one write. */
const GATHER_MS = 500;
const MESSAGE_LENGTH = 1000;
const ALL_USABLE = "all of the pool is understood, and overlaps no other";
const FIELD_MANAGER = "breakwater-agent";

export class PoolStatusWriter implements Disposable {
  readonly #options: PoolStatusOptions;
  /** By uid: what was written last. What a server makes of it must not be written again for ever. */
  readonly #written = new Map<string, string>();
  #plan: AllocationPlan["pools"] = new Map();
  #cancel: (() => void) | undefined;

  constructor(options: PoolStatusOptions) {
    this.#options = options;
  }

  [Symbol.dispose](): void {
    this.#cancel?.();
  }

  follow({ pools }: AllocationPlan): void {
    this.#plan = pools;
    if (this.#cancel !== undefined || this.#unsaid().length === 0) return;
    this.#cancel = this.#options.clock.schedule(GATHER_MS, () => {
      this.#cancel = undefined;
      for (const use of this.#unsaid()) void this.#write(use);
    });
  }

  #unsaid(): PoolUse[] {
    const uses = [...this.#plan.values()];
    const here = new Set(uses.map(({ pool }) => pool.uid));
    for (const uid of this.#written.keys()) if (!here.has(uid)) this.#written.delete(uid);
    return uses.filter((use) => wantedOf(use) !== (this.#written.get(use.pool.uid) ?? saidOf(use)));
  }

  async #write(use: PoolUse): Promise<void> {
    const { client, log, wallClock = Date.now } = this.#options;
    const { pool, assigned, available } = use;
    const { name, uid, generation, status: before } = pool;
    this.#written.set(uid, wantedOf(use));
    const status = use.problems.length === 0 ? "True" : "False";
    const now = new Date(wallClock()).toISOString().replace(/\.\d+Z$/, "Z");
    const condition = {
      type: POOL_USABLE,
      status,
      reason: status === "True" ? "Usable" : "NotAllUsable",
      message: messageFor(use),
      observedGeneration: generation,
      lastTransitionTime: before?.usable?.status === status ? before.usable.lastTransitionTime : now,
    };
    const counts = {
      assignedIPv4: assigned.ipv4,
      assignedIPv6: assigned.ipv6,
      availableIPv4: available.ipv4,
      availableIPv6: available.ipv6,
    };
    const { group, version } = loadBalancerPools;
    const head = { apiVersion: `${group}/${version}`, kind: "LoadBalancerPool", metadata: { name } };
    try {
      await client.patch(
        { resource: loadBalancerPools, name, subresource: "status" },
        { ...head, status: { ...counts, conditions: [condition] } },
        { type: "apply", fieldManager: FIELD_MANAGER, force: true },
      );
    } catch (error) {
      this.#written.delete(uid);
      log.warn({ loadBalancerPool: name, error: messageOf(error) }, "cannot write the status of a pool");
    }
  }
}

function messageFor({ problems }: PoolUse): string {
  return problems.length === 0 ? ALL_USABLE : problems.join("; ").slice(0, MESSAGE_LENGTH);
}

function wantedOf(use: PoolUse): string {
  const { assigned, available, pool } = use;
  return textOf(pool.generation, messageFor(use), assigned, available);
}

/** What its status says; undefined when it says nothing. */
function saidOf({ pool: { status } }: PoolUse): string | undefined {
  if (status?.usable === undefined) return undefined;
  return textOf(status.usable.observedGeneration, status.usable.message, status.assigned, status.available);
}

function textOf(...parts: readonly unknown[]): string {
  return JSON.stringify(parts);
}
