/** What a fault is: something that goes wrong in real clusters, made to happen, and taken back. */
import type { ActiveFault } from "../control-protocol.ts";
import type { SupervisedProcess } from "../supervisor.ts";
import type { Topology } from "../topology.ts";
import type { LabHost } from "../underlay/host.ts";
import type { Underlay } from "../underlay/underlay.ts";

export interface FaultSurroundings {
  readonly topology: Topology;
  readonly underlay: Underlay;
  readonly agents: ReadonlyMap<string, SupervisedProcess>;
}

export interface FaultTarget {
  /** The node given with --node, or the first one. */
  readonly node: string;
  readonly host: LabHost;
  readonly parameters: Readonly<Record<string, string>>;
}

export interface FaultKind {
  readonly name: string;
  readonly summary: string;
  /** Parameters it takes as --set KEY=VALUE, with their defaults. */
  readonly parameters?: Readonly<Record<string, string>>;
  /** Makes it happen. @returns what was done in one sentence, and how to take it back */
  readonly add: (
    target: FaultTarget,
    around: FaultSurroundings,
  ) => Promise<{ readonly description: string; readonly undo: () => Promise<void> }>;
}

export interface InjectedFault extends ActiveFault {
  readonly undo: () => Promise<void>;
}

export const nothingToUndo = async (): Promise<void> => undefined;
