/** Everything about NetworkPolicies, put together: the watch of the API and the enforcer. */
import type { KubeClient } from "../../kube/client.ts";
import { systemClock } from "../../kube/clock.ts";
import type { ClusterSource } from "../../kube/cluster-source.ts";
import { type PolicySource, startPolicySource } from "../../kube/policy-source.ts";
import { messageOf } from "../../model/errors.ts";
import type { NodeConfig } from "../../model/node-config.ts";
import type { LocalPod } from "../../model/state.ts";
import type { Log } from "../log.ts";
import type { AgentMetrics } from "../metrics.ts";
import { PolicyEnforcer, type PolicyEnforcerOptions } from "./policy-enforcer.ts";

export interface PolicyPartsOptions {
  readonly config: NodeConfig;
  readonly kernel: Pick<PolicyEnforcerOptions, "nftables" | "conntrack">;
  readonly client: KubeClient;
  readonly cluster: ClusterSource;
  readonly attached: () => readonly LocalPod[];
  readonly metrics: AgentMetrics;
  readonly log: Log;
}

export class PolicyParts {
  readonly enforcer: PolicyEnforcer;
  readonly #source: PolicySource;
  #synced = false;

  constructor({ config, kernel, client, cluster, attached, metrics, log }: PolicyPartsOptions) {
    this.#source = startPolicySource({
      client,
      withClusterNetworkPolicies: config.clusterNetworkPolicies === true,
      onChange: () => this.follow(),
      onProblem: ({ resource, key, field, why }) => log.warn({ resource, key, field }, why),
      onError: (resource, error, retryInMs) => {
        metrics.apiErrors.inc({ resource });
        log.warn(
          { resource, retryInMs, error: messageOf(error) },
          "the API cannot be read; the last known state stands",
        );
      },
    });
    this.enforcer = new PolicyEnforcer({
      nodeName: config.nodeName,
      forbiddenConnections: config.forbiddenConnections ?? "cut",
      ...kernel,
      source: this.#source,
      namespaces: () => cluster.view().namespaces,
      nodes: () => cluster.view().nodes,
      ownPods: () => cluster.view().pods,
      attached,
      readPod: (namespace, name) => cluster.readPod(namespace, name),
      log,
      clock: systemClock,
    });
    Promise.all([this.#source.synced, cluster.synced]).then(
      () => {
        this.#synced = true;
        this.follow();
      },
      () => undefined,
    );
  }

  /** Pods, namespaces or policies may have changed. */
  follow(): void {
    if (this.#synced) this.enforcer.request();
  }

  async stop(): Promise<void> {
    this.enforcer[Symbol.dispose]();
    await this.#source.stop();
  }
}
