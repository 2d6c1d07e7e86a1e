/** How long a folder's disk takes to make a small write safe, as etcd's log asks it to. */
import type { LatencySummary } from "./latency.ts";

export interface DiskReport {
  readonly folder: string;
  /** "ext4", "xfs", "tmpfs"; a number where it has no name here. */
  readonly fileSystem: string;
  /** False where fdatasync has nothing to do: memory, not a disk. */
  readonly isDurable: boolean;
  readonly bytesAWrite: number;
  readonly seconds: number;
  readonly fdatasync: LatencySummary;
}
