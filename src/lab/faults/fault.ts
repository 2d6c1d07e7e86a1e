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
  /** The node that a pod runs on; undefined when there is no such pod, or it has none yet. */
  readonly nodeOfPod: (namespace: string, name: string) => string | undefined;
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
  /** True when it is not of one node: the router's, say. It can be in force once. */
  readonly global?: boolean;
  /** Makes it happen. @returns what was done in one sentence, and how to take it back; once done, such a fault is over */
  readonly add: (
    target: FaultTarget,
    around: FaultSurroundings,
  ) => Promise<{ readonly description: string; readonly undo?: () => Promise<void> }>;
}

export interface InjectedFault extends ActiveFault {
  readonly undo: () => Promise<void>;
}
