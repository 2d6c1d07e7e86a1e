/**
 * Says in the status of an object that all of it is understood, or what of it is not: a condition, written by the first agent
 * that comes to it. All agents find the same, so each waits a little and looks whether it is said already.
 */
import { KubeApiError } from "../kube/api-error.ts";
import type { KubeClient } from "../kube/client.ts";
import type { Clock } from "../kube/clock.ts";
import { type ResourceType, resourceName } from "../kube/resource.ts";
import { messageOf } from "../model/errors.ts";
import type { Log } from "./log.ts";

/** An object of the API with what was found of it. */
export interface UnderstoodObject {
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
  readonly problems?: readonly string[];
  /** What its status says now. */
  readonly understood?: {
    readonly status: string;
    readonly message: string;
    readonly observedGeneration: number;
    readonly lastTransitionTime: string;
  };
}

export interface UnderstoodStatusOptions {
  readonly client: Pick<KubeClient, "patch">;
  readonly clock: Clock;
  readonly log: Pick<Log, "warn">;
  /** A cluster-wide kind with a status. */
  readonly resource: ResourceType;
  readonly kind: string;
  /** Type of the condition. */
  readonly type: string;
  /** What is said where nothing is wrong. */
  readonly good: string;
  /** By name, as they are now. */
  readonly objects: () => ReadonlyMap<string, UnderstoodObject>;
  /** @default Date.now */
  readonly wallClock?: () => number;
}

/** How long an agent waits before it writes, at least and at most. */
const WAIT_MS = { least: 200, most: 3000 } as const;
/** metav1.Condition's message may have 32 KiB; people read less. */
const MESSAGE_LENGTH = 1000;
/** One for all agents: none takes the condition from another. */
const FIELD_MANAGER = "breakwater-agent";

export class UnderstoodStatus implements Disposable {
  readonly #options: UnderstoodStatusOptions;
  /** By uid: what this agent wrote last. Agents of two versions must not overwrite each other for ever. */
  readonly #written = new Map<string, string>();
  #cancel: (() => void) | undefined;

  constructor(options: UnderstoodStatusOptions) {
    this.#options = options;
  }

  [Symbol.dispose](): void {
    this.#cancel?.();
  }

  /** Objects may have changed. */
  follow(): void {
    if (this.#cancel !== undefined || this.#unsaid().length === 0) return;
    const { clock } = this.#options;
    this.#cancel = clock.schedule(WAIT_MS.least + clock.random() * (WAIT_MS.most - WAIT_MS.least), () => {
      this.#cancel = undefined;
      for (const object of this.#unsaid()) void this.#write(object);
    });
  }

  #unsaid(): UnderstoodObject[] {
    const objects = [...this.#options.objects().values()];
    const here = new Set(objects.map(({ uid }) => uid));
    for (const uid of this.#written.keys()) if (!here.has(uid)) this.#written.delete(uid);
    return objects.filter((object) => {
      return wantedOf(object, this.#options.good) !== (this.#written.get(object.uid) ?? saidOf(object));
    });
  }

  async #write(object: UnderstoodObject): Promise<void> {
    const { client, log, resource, kind, type, good, wallClock = Date.now } = this.#options;
    const { name, uid, generation, understood } = object;
    this.#written.set(uid, wantedOf(object, good));
    const message = messageFor(object, good);
    const status = message === good ? "True" : "False";
    const now = new Date(wallClock()).toISOString().replace(/\.\d+Z$/, "Z");
    const condition = {
      type,
      status,
      reason: status === "True" ? "Understood" : "NotUnderstood",
      message,
      observedGeneration: generation,
      lastTransitionTime: understood?.status === status ? understood.lastTransitionTime : now,
    };
    const { group, version } = resource;
    const head = { apiVersion: `${group}/${version}`, kind, metadata: { name } };
    try {
      // By apply, so that conditions of others stay.
      await client.patch(
        { resource, name, subresource: "status" },
        { ...head, status: { conditions: [condition] } },
        { type: "apply", fieldManager: FIELD_MANAGER, force: true },
      );
    } catch (error) {
      // What the server refuses it would refuse again.
      if (!(error instanceof KubeApiError) || error.status >= 500) this.#written.delete(uid);
      log.warn({ resource: resourceName(resource), name, error: messageOf(error) }, "cannot write a status");
    }
  }
}

function messageFor({ problems = [] }: UnderstoodObject, good: string): string {
  return problems.length === 0 ? good : problems.join("; ").slice(0, MESSAGE_LENGTH);
}

function wantedOf(object: UnderstoodObject, good: string): string {
  return `${object.generation} ${messageFor(object, good)}`;
}

/** What its status says; undefined when it says nothing. */
function saidOf({ understood }: UnderstoodObject): string | undefined {
  return understood && `${understood.observedGeneration} ${understood.message}`;
}
