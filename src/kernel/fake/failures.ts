/**
 * Failures on demand: the next calls of a kind fail as a kernel would let them fail, once, some times or for good. A call
 * may also fail although its work was done, as when the acknowledgement is lost.
 */
import { constants } from "node:os";
import { netlinkError, type Purpose } from "../netlink/error.ts";
import type { RouteTable } from "../rtnetlink/types.ts";

/** What can fail: the methods of the interfaces, by name. */
export type FakeOperation =
  | Exclude<keyof RouteTable, "close" | typeof Symbol.dispose>
  | "table"
  | "counters"
  | "commit"
  | "readSysctl"
  | "writeSysctl"
  | "readFeature"
  | "writeFeature"
  | "deleteGroup"
  | "openPod"
  | "conntrackEntries"
  | "deleteEntry"
  | "deleteMatching"
  | "ipvsServers"
  | "ipvsDestinations"
  | "ipvsChange"
  | "loadIpvs";

export interface Failure {
  readonly operation: FakeOperation;
  /** Name of the errno: "EBUSY". EINTR on a list is repeated, as the real socket does. */
  readonly errno: string;
  /** @default 1; Infinity: until cleared */
  readonly times?: number;
  /** Only calls on objects whose text holds this. */
  readonly object?: string;
  /** The call fails, but what it was to do is done. */
  readonly applied?: boolean;
}

export class Failures {
  #pending: { failure: Failure; left: number }[] = [];

  fail(failure: Failure): void {
    this.#pending.push({ failure, left: failure.times ?? 1 });
  }

  clear(): void {
    this.#pending = [];
  }

  /** Failures that no call has met yet. */
  get pending(): number {
    return this.#pending.length;
  }

  /** The failure that this call meets, if any; it is used up by that. */
  take(operation: FakeOperation, object: string): Failure | undefined {
    const entry = this.#pending.find(
      ({ failure }) =>
        failure.operation === operation && (failure.object === undefined || object.includes(failure.object)),
    );
    if (entry === undefined) return undefined;
    entry.left--;
    if (entry.left <= 0) this.#pending.splice(this.#pending.indexOf(entry), 1);
    return entry.failure;
  }
}

/** Throws what the real socket throws for this errno. */
export function refuse(errno: string, purpose: Purpose, sentence = ""): never {
  throw refusal(errno, purpose, sentence);
}

export function refusal(errno: string, { operation, object }: Purpose, sentence = "") {
  const number = constants.errno[errno as keyof typeof constants.errno];
  if (number === undefined) throw new RangeError(`There is no errno "${errno}"`);
  return netlinkError(number, sentence === "" ? "" : `: ${sentence}`, { operation, object });
}
