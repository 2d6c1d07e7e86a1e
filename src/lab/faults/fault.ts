/** What a fault is: something that goes wrong in real clusters, made to happen, and taken back. */
import type { ApiServerFaults } from "../api/server.ts";
import type { ActiveFault } from "../control-protocol.ts";
import type { Fabric } from "../fabric/fabric.ts";
import type { SupervisedProcess } from "../supervisor.ts";
import type { Topology } from "../topology.ts";
import type { LabHost } from "../underlay/host.ts";
import type { Underlay } from "../underlay/underlay.ts";
import type { FaultPod, FaultPods } from "./pods.ts";
import type { Segmentation } from "./segmentation.ts";

export interface FaultSurroundings {
  readonly topology: Topology;
  readonly underlay: Underlay;
  readonly agents: ReadonlyMap<string, SupervisedProcess>;
  readonly pods: FaultPods;
  readonly api: ApiServerFaults;
  /** Routers that speak BGP, where the lab has them. */
  readonly fabric: Fabric | undefined;
  readonly segmentation: Segmentation;
}

export interface FaultTarget {
  /** The node given with --node, or that of --pod, or the first one. */
  readonly node: string;
  readonly host: LabHost;
  /** All that are struck: with scope "cluster" every node unless one was named, else the one. */
  readonly hosts: readonly LabHost[];
  /** True with scope "cluster" when no node was named. */
  readonly everywhere: boolean;
  /** The pod of --pod; always there with scope "pod". */
  readonly pod: FaultPod | undefined;
  readonly parameters: Readonly<Record<string, string>>;
}

/**
 * Where a fault is in force, once in each place: on one node, in the whole cluster unless --node or --pod names a node,
 * on the router, in one pod, in the API server. What strikes one router of several says which.
 */
export type FaultScope = "node" | "cluster" | "router" | "pod" | "api";

export interface FaultKind {
  readonly name: string;
  readonly summary: string;
  /** Parameters it takes as --set KEY=VALUE, with their defaults. --size BYTES is --set bytes=BYTES. */
  readonly parameters?: Readonly<Record<string, string>>;
  /** @default "node" */
  readonly scope?: FaultScope;
  /** What is struck, where that is neither the node nor the scope's one: the name of a router. */
  readonly strikes?: (target: FaultTarget, around: FaultSurroundings) => string;
  /** What it changes, where two kinds change the same: only one of them can be in force in a place. @default its name */
  readonly subject?: string;
  /** True when machines and pods learn path MTUs from it: they are made to forget them when it is taken back. */
  readonly teachesPathMtu?: boolean;
  /** Makes it happen. @returns what was done in one sentence, and how to take it back; once done, such a fault is over */
  readonly add: (
    target: FaultTarget,
    around: FaultSurroundings,
  ) => Promise<{ readonly description: string; readonly undo?: () => Promise<void> }>;
}

export interface InjectedFault extends ActiveFault {
  readonly kind: FaultKind;
  readonly undo: () => Promise<void>;
}
