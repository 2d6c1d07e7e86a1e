/** What the commands of the CNI server work on. */
import type { AttachmentStore } from "./attachment-store.ts";
import type { CniRequest } from "./frame.ts";
import type { KeyedQueue } from "./keyed-queue.ts";
import type { NetworkConfig } from "./network-config.ts";
import type { PodLookup, PodNetwork } from "./pod-network.ts";

/** One line a change with its cause; pino has this shape. */
export interface CniLog {
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
}

export interface CallContext {
  readonly store: AttachmentStore;
  readonly network: PodNetwork;
  readonly pods: PodLookup;
  readonly log: CniLog;
  /** Serialises what concerns one container and interface. */
  readonly queue: KeyedQueue;
}

/** A call whose configuration has been read. */
export interface Call {
  readonly request: CniRequest;
  readonly config: NetworkConfig;
}
