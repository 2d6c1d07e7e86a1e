/** What a {@link Reflector} is told and what it tells: its spans of time, its callbacks, its state. */
import type { Selection } from "./client.ts";
import type { Clock } from "./clock.ts";
import type { ListWatchClient } from "./lister.ts";
import type { ObjectProblem, ParseObject } from "./object-reader.ts";
import type { ResourceType } from "./resource.ts";
import type { Change, StoreOptions } from "./store.ts";

/** Spans of a reflector; the defaults suit a cluster, tests use small ones. */
export interface ReflectorTiming {
  /** Silence after which a watch is doubted, and how much is added at random. Bookmarks come every 60 s. */
  readonly idleMs: number;
  readonly idleJitterMs: number;
  readonly probeTimeoutMs: number;
  /** The server is asked to end a watch after this to twice this, so that not all end at once (client-go: 5 min). */
  readonly watchSeconds: number;
  readonly slackMs: number;
  /** A watch that stood this long was healthy: the next failure is a first one. */
  readonly healthyMs: number;
  readonly backoffBaseMs: number;
  readonly backoffCapMs: number;
  /** How often an optional collection is looked for that the server does not know, and how long it is doubted that it is gone. */
  readonly absentMs: number;
}

export const DEFAULT_TIMING: ReflectorTiming = {
  idleMs: 65_000,
  idleJitterMs: 15_000,
  probeTimeoutMs: 10_000,
  watchSeconds: 300,
  slackMs: 30_000,
  healthyMs: 10_000,
  backoffBaseMs: 500,
  backoffCapMs: 30_000,
  absentMs: 30_000,
};

export interface ReflectorOptions<T> extends StoreOptions {
  readonly client: ListWatchClient;
  readonly resource: ResourceType;
  readonly selection?: Selection;
  readonly parse: ParseObject<T>;
  /** The server need not know the collection, as one of a CustomResourceDefinition: then it is empty. @default false */
  readonly isOptional?: boolean;
  /** An object, or a field of one, that could not be used. */
  readonly onProblem?: (problem: ObjectProblem) => void;
  /** A list or watch that failed, and what the reflector waits before it tries again. */
  readonly onError?: (error: Error, retryInMs: number) => void;
  readonly timing?: Partial<ReflectorTiming>;
  /** Items of one page of a list. @default 500 */
  readonly pageSize?: number;
  readonly clock?: Clock;
}

/** For metrics and health. */
export interface ReflectorState {
  readonly resource: string;
  /** A complete list was seen at least once. */
  readonly synced: boolean;
  /** A watch is open now. */
  readonly connected: boolean;
  /** When the server last sent anything good; the clock's milliseconds. */
  readonly lastContact: number | undefined;
  readonly lastResourceVersion: string | undefined;
  readonly objects: number;
  /** Complete lists after the first. */
  readonly relists: number;
  readonly watches: number;
  readonly errors: number;
  readonly failuresInRow: number;
  /** Message of the last failure; undefined while a watch is open. */
  readonly lastError: string | undefined;
}

export type ChangeListener<T> = (changes: readonly Change<T>[]) => void;
