/**
 * Tells those who wrote a Service what of it could not be served: a condition in its status and an Event, written by the
 * first agent that comes to it. All agents find the same, so each waits a little and looks whether it is said already.
 */
import type { KubeClient } from "../../kube/client.ts";
import type { Clock } from "../../kube/clock.ts";
import type { EventRecorder } from "../../kube/events.ts";
import { services } from "../../kube/resource.ts";
import { messageOf } from "../../model/errors.ts";
import { type ClusterService, PROGRAMMED } from "../../model/service.ts";
import type { ServiceLedger } from "../../plan/services/ledger.ts";
import type { Log } from "../log.ts";

export interface ServiceStatusOptions {
  readonly client: Pick<KubeClient, "patch">;
  readonly clock: Clock;
  readonly log: Log;
  readonly events: Pick<EventRecorder, "record">;
  /** The Service as it is now. */
  readonly service: (key: string) => ClusterService | undefined;
  /** What of it is not served. */
  readonly problems: (key: string) => readonly string[];
  /** @default Date.now */
  readonly wallClock?: () => number;
}

/** How long an agent waits before it writes, at least and at most. */
const WAIT_MS = { least: 200, most: 3000 } as const;
/** metav1.Condition's message may have 32 KiB; people read less. */
const MESSAGE_LENGTH = 1000;

export class ServiceStatus implements Disposable {
  readonly #options: ServiceStatusOptions;
  readonly #touched = new Set<string>();
  #cancel: (() => void) | undefined;

  constructor(options: ServiceStatusOptions) {
    this.#options = options;
  }

  [Symbol.dispose](): void {
    this.#cancel?.();
  }

  /** These may have problems, or have none any more. */
  touch(keys: Iterable<string>): void {
    for (const key of keys) if (this.#wanted(key) !== undefined) this.#touched.add(key);
    if (this.#touched.size === 0) return;
    const { clock } = this.#options;
    this.#cancel ??= clock.schedule(WAIT_MS.least + clock.random() * (WAIT_MS.most - WAIT_MS.least), () => {
      this.#cancel = undefined;
      this.#write();
    });
  }

  /** What the condition has to become; undefined where it says so already, or there is nothing to say. */
  #wanted(key: string): { status: "True" | "False"; message: string } | undefined {
    const service = this.#options.service(key);
    if (service === undefined) return undefined;
    const problems = this.#options.problems(key);
    const now = service.programmed;
    if (problems.length === 0) {
      return now?.status === "False" ? { status: "True", message: "all of the Service is served" } : undefined;
    }
    const message = problems.join("; ").slice(0, MESSAGE_LENGTH);
    return now?.status === "False" && now.message === message ? undefined : { status: "False", message };
  }

  #write(): void {
    const keys = [...this.#touched];
    this.#touched.clear();
    for (const key of keys) void this.#writeOne(key);
  }

  async #writeOne(key: string): Promise<void> {
    const { client, events, log, service } = this.#options;
    const object = service(key);
    const wanted = this.#wanted(key);
    if (object === undefined || wanted === undefined) return;
    const { namespace, name, uid } = object;
    const isGood = wanted.status === "True";
    const condition = {
      type: PROGRAMMED,
      ...wanted,
      reason: isGood ? "Served" : "NotProgrammed",
      lastTransitionTime: new Date((this.#options.wallClock ?? Date.now)()).toISOString().replace(/\.\d+Z$/, "Z"),
    };
    if (!isGood) log.warn({ service: key, why: wanted.message }, "not all of a Service can be served");
    try {
      const address = { resource: services, namespace, name, subresource: "status" };
      await client.patch(address, { status: { conditions: [condition] } }, { type: "strategic" });
      const subject = { apiVersion: "v1", kind: "Service", namespace, name, uid };
      events.record(subject, isGood ? "Normal" : "Warning", condition.reason, wanted.message);
    } catch (error) {
      log.warn({ service: key, error: messageOf(error) }, "cannot write the status of a Service");
    }
  }
}

/** What of a Service is not served: fields that cannot be used, and frontends that an older Service has. */
export function problemsOf(ledger: ServiceLedger, key: string): string[] {
  const lost = ledger.conflicts().filter(({ loser }) => loser === key);
  return [
    ...(ledger.plan(key)?.problems ?? []),
    ...lost.map(({ key: frontend, winner }) => {
      const [address, protocol, port] = frontend.split(" . ");
      return `${address} ${protocol?.toUpperCase()} port ${port} is served for the older Service ${winner}: give one of them another address or port`;
    }),
  ];
}
