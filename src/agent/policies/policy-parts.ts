/** Everything about NetworkPolicies, put together: the watch of the API and the enforcer. */
import type { Conntrack } from "../../kernel/ctnetlink/types.ts";
import type { OpenPacketLog } from "../../kernel/nflog/types.ts";
import type { Nftables } from "../../kernel/nfnetlink/types.ts";
import type { KubeClient } from "../../kube/client.ts";
import { type Clock, systemClock } from "../../kube/clock.ts";
import type { ClusterKind, ClusterSource } from "../../kube/cluster-source.ts";
import { EventRecorder, type EventSubject } from "../../kube/events.ts";
import { type PolicySource, startPolicySource } from "../../kube/policy-source.ts";
import { clusterNetworkPolicies } from "../../kube/resource.ts";
import type { ClusterNetworkPolicy } from "../../model/cluster-network-policy.ts";
import { messageOf } from "../../model/errors.ts";
import { mayUseIpvs, type NodeConfig } from "../../model/node-config.ts";
import type { ClusterPolicy } from "../../model/policy.ts";
import type { LocalPod } from "../../model/state.ts";
import { policyName } from "../../plan/policies/chains.ts";
import type { Log } from "../log.ts";
import type { AgentMetrics } from "../metrics.ts";
import { ClusterPolicyStatus } from "./cluster-policy-status.ts";
import { DeniedParts } from "./denied-parts.ts";
import { PolicyEnforcer } from "./policy-enforcer.ts";
import { PolicyEvents } from "./policy-events.ts";
import { createPolicyMetrics } from "./policy-metrics.ts";

/** Sockets of its own. */
export interface PolicyKernel {
  readonly nftables: Nftables;
  readonly conntrack: Conntrack;
  readonly openPacketLog: OpenPacketLog;
}

export interface PolicyPartsOptions {
  readonly config: NodeConfig;
  readonly kernel: PolicyKernel;
  readonly client: KubeClient;
  readonly cluster: ClusterSource;
  readonly attached: () => readonly LocalPod[];
  readonly metrics: AgentMetrics;
  /** Called when policies are enforced that were not. */
  readonly onEnforced?: () => void;
  readonly log: Log;
  /** @default systemClock */
  readonly clock?: Clock;
}

export class PolicyParts {
  readonly enforcer: PolicyEnforcer;
  readonly #source: PolicySource;
  readonly #denied: DeniedParts;
  readonly #recorder: EventRecorder;
  readonly #events: PolicyEvents;
  readonly #status: ClusterPolicyStatus;
  #synced = false;
  #begun = false;

  constructor({
    config,
    kernel,
    client,
    cluster,
    attached,
    metrics,
    onEnforced,
    log,
    clock = systemClock,
  }: PolicyPartsOptions) {
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
    this.#recorder = new EventRecorder({
      client,
      component: "breakwater-agent",
      host: config.nodeName,
      onDropped: (reason, { kind, name }, why) =>
        log.warn({ reason, object: `${kind} ${name}`, why }, "event not written"),
    });
    this.#events = new PolicyEvents({
      events: this.#recorder,
      clock,
      policies: () => [
        ...Array.from(this.#source.policies().values(), subjectOf),
        ...Array.from(this.#source.clusterNetworkPolicies().values(), clusterSubjectOf),
      ],
    });
    this.#status = new ClusterPolicyStatus({
      client,
      clock,
      log,
      policies: () => this.#source.clusterNetworkPolicies(),
    });
    this.#denied = new DeniedParts({
      nodeName: config.nodeName,
      nftables: kernel.nftables,
      openPacketLog: kernel.openPacketLog,
      logDenied: config.logDenied,
      addresses: { pods: () => this.#source.pods(), attached, nodes: () => cluster.view().nodes },
      policies: () => this.#policies(),
      enforcer: () => this.enforcer,
      metrics: createPolicyMetrics(metrics.registry),
      log,
      clock,
    });
    this.enforcer = new PolicyEnforcer({
      nodeName: config.nodeName,
      forbiddenConnections: config.forbiddenConnections ?? "cut",
      nftables: this.#denied.nftables,
      conntrack: kernel.conntrack,
      logDenied: this.#denied.logged,
      throughIpvs: mayUseIpvs(config),
      source: this.#source,
      namespaces: () => cluster.view().namespaces,
      nodes: () => cluster.view().nodes,
      ownPods: () => cluster.view().pods,
      attached,
      readPod: (namespace, name) => cluster.readPod(namespace, name),
      onEnforced,
      log,
      clock,
    });
    Promise.all([this.#source.synced, cluster.synced]).then(
      () => {
        this.#synced = true;
        this.follow();
      },
      () => undefined,
    );
  }

  /**
   * Pods that were attached before this agent started are known from here on. Rules that are planned without them would take
   * theirs out of the kernel.
   */
  begin(): void {
    this.#begun = true;
    this.follow();
  }

  /** Pods, namespaces or policies may have changed. */
  follow(): void {
    this.#denied.follow();
    if (!this.#synced || !this.#begun) return;
    this.enforcer.request();
    this.#events.follow();
    this.#status.follow();
  }

  /** The API's nodes, namespaces or pods of this node changed. Of the latter the watch of all pods mostly tells the same. */
  followCluster(kinds: ReadonlySet<ClusterKind>): void {
    const isAboutOwnPods = kinds.has("pods") && kinds.size === 1;
    if (!isAboutOwnPods || this.enforcer.looksAtOwnPods) this.follow();
  }

  /** Called when metrics are read. */
  collect(): void {
    this.#denied.collect();
  }

  #policies(): Map<string, Pick<ClusterPolicy, "problems">> {
    const all = new Map<string, Pick<ClusterPolicy, "problems">>(this.#source.policies());
    for (const policy of this.#source.clusterNetworkPolicies().values()) all.set(policyName(policy), policy);
    return all;
  }

  /** What the health server answers under /policies; undefined for other paths. */
  document({ pathname }: URL): unknown {
    return pathname === "/policies" ? this.#denied.report() : undefined;
  }

  async stop(): Promise<void> {
    this.enforcer[Symbol.dispose]();
    this.#denied[Symbol.dispose]();
    this.#events[Symbol.dispose]();
    this.#status[Symbol.dispose]();
    await this.#source.stop();
    await this.#recorder.stop();
  }
}

function subjectOf({ namespace, name, uid, problems = [] }: ClusterPolicy) {
  const subject: EventSubject = { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", namespace, name, uid };
  return { subject, problems };
}

function clusterSubjectOf({ name, uid, problems = [] }: ClusterNetworkPolicy) {
  const { group, version } = clusterNetworkPolicies;
  const subject: EventSubject = { apiVersion: `${group}/${version}`, kind: "ClusterNetworkPolicy", name, uid };
  return { subject, problems };
}
