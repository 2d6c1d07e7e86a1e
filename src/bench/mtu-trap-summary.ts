/** The figures of a case in one line: what `breakwater bench mtu-trap` prints. */
import type { IpCounterName } from "../kernel/ip-counters.ts";
import { median } from "./median.ts";
import type { TrapResult } from "./mtu-trap.ts";

export interface TrapSummary {
  readonly case: string;
  readonly explanation: string;
  readonly streamHangs: boolean;
  readonly gigabitsPerSecond: number;
  readonly cpuSecondsPerGigabyte: number | null;
  readonly smallMessageUs: number | null;
  readonly largeMessageUs: number | null;
  readonly fragmentsPerSecond: number;
  readonly reassembliesPerSecond: number;
}

/** Medians of the rounds; null where something was lost in one of them. */
export function summarizeTrap({ case: { name, explanation }, rounds }: TrapResult): TrapSummary {
  const middle = (pick: (round: (typeof rounds)[number]) => number | null): number | null => {
    const found = rounds.map(pick);
    return found.includes(null) ? null : significant(median(found as number[]));
  };
  const rate = (counter: IpCounterName) => middle(({ perSecond }) => perSecond[counter] ?? 0) ?? 0;
  return {
    case: name,
    explanation,
    streamHangs: rounds.some(({ streamHangs }) => streamHangs),
    gigabitsPerSecond: middle(({ gigabitsPerSecond }) => gigabitsPerSecond) ?? 0,
    cpuSecondsPerGigabyte: middle(({ cpuSecondsPerGigabyte }) => cpuSecondsPerGigabyte),
    smallMessageUs: middle(({ smallUs }) => smallUs),
    largeMessageUs: middle(({ largeUs }) => largeUs),
    fragmentsPerSecond: rate("IpFragCreates"),
    reassembliesPerSecond: rate("IpReasmReqds"),
  };
}

/** Three digits are more than such a measurement has. */
export function significant(value: number): number {
  return Number(value.toPrecision(3));
}
