/** What an agent is started with. */
import type { Kernel } from "../kernel/kernel.ts";
import type { FindRunning, KubeProxyPart } from "../kernel/kube-proxy/types.ts";
import type { OpenProbePort } from "../kernel/probe-port.ts";
import type { PmtuCache } from "../kernel/rtnetlink/pmtu-cache.ts";
import type { ApiConnection } from "../kube/connection.ts";
import type { NodeConfig } from "../model/node-config.ts";
import type { HostSurroundings } from "./host/host-parts.ts";
import type { Log } from "./log.ts";
import type { PolicyKernel } from "./policies/policy-parts.ts";
import type { ServiceKernel } from "./services/service-parts.ts";

/** What proving paths needs of the kernel beyond {@link Kernel}. */
export interface ProofKernel {
  readonly openProbePort: OpenProbePort;
  /** What the kernel learned of paths from ICMP, in the namespace that the calling thread is in. */
  readonly pmtuCache: PmtuCache;
}

/** Where kube-proxy's state is looked for, and kube-proxy itself. */
export interface KubeProxyKernel {
  /** In the order in which they are to go. */
  readonly parts: readonly KubeProxyPart[];
  readonly findRunning: FindRunning;
}

export interface AgentOptions {
  readonly kernel: Kernel;
  readonly proofKernel: ProofKernel;
  readonly serviceKernel: ServiceKernel;
  /** Sockets of their own, too. */
  readonly policyKernel: PolicyKernel;
  readonly kubeProxyKernel: KubeProxyKernel;
  /** The machine, where its modules and tuning are this agent's. */
  readonly host?: HostSurroundings;
  readonly config: NodeConfig;
  readonly connection: ApiConnection;
  readonly stateDir: string;
  readonly cniSocket: string;
  readonly metricsAddress: string;
  readonly log: Log;
  /** Puts the CNI configuration on disk; called once the node can give pods their network, and when it is lost again. */
  readonly publishCni: () => Promise<void>;
  /** Whether it is on disk. */
  readonly cniIsPublished: () => boolean;
}
