/**
 * Says in the status of a ClusterNetworkPolicy that it is enforced and understood, or what of it is not, and therefore closed: a
 * condition, written by the first agent that comes to it. All agents find the same, so each waits a little and looks whether it
 * is said already.
 */
import { KubeApiError } from "../../kube/api-error.ts";
import type { KubeClient } from "../../kube/client.ts";
import type { Clock } from "../../kube/clock.ts";
import { clusterNetworkPolicies } from "../../kube/resource.ts";
import { type ClusterNetworkPolicy, UNDERSTOOD } from "../../model/cluster-network-policy.ts";
import { messageOf } from "../../model/errors.ts";
import type { Log } from "../log.ts";

export interface ClusterPolicyStatusOptions {
  readonly client: Pick<KubeClient, "patch">;
  readonly clock: Clock;
  readonly log: Log;
  /** By name, as they are now. */
  readonly policies: () => ReadonlyMap<string, ClusterNetworkPolicy>;
  /** @default Date.now */
  readonly wallClock?: () => number;
}

/** How long an agent waits before it writes, at least and at most. */
const WAIT_MS = { least: 200, most: 3000 } as const;
/** metav1.Condition's message may have 32 KiB; people read less. */
const MESSAGE_LENGTH = 1000;
const ALL_UNDERSTOOD = "all of the policy is understood, and enforced";
/** One for all agents: none takes the condition from another. */
const FIELD_MANAGER = "breakwater-agent";

export class ClusterPolicyStatus implements Disposable {
  readonly #options: ClusterPolicyStatusOptions;
  /** By uid: what this agent wrote last. Agents of two versions must not overwrite each other for ever. */
  readonly #written = new Map<string, string>();
  #cancel: (() => void) | undefined;

  constructor(options: ClusterPolicyStatusOptions) {
    this.#options = options;
  }

  [Symbol.dispose](): void {
    this.#cancel?.();
  }

  /** Policies may have changed. */
  follow(): void {
    if (this.#cancel !== undefined || this.#unsaid().length === 0) return;
    const { clock } = this.#options;
    this.#cancel = clock.schedule(WAIT_MS.least + clock.random() * (WAIT_MS.most - WAIT_MS.least), () => {
      this.#cancel = undefined;
      for (const policy of this.#unsaid()) void this.#write(policy);
    });
  }

  #unsaid(): ClusterNetworkPolicy[] {
    const policies = [...this.#options.policies().values()];
    const here = new Set(policies.map(({ uid }) => uid));
    for (const uid of this.#written.keys()) if (!here.has(uid)) this.#written.delete(uid);
    return policies.filter((policy) => wantedOf(policy) !== (this.#written.get(policy.uid) ?? saidOf(policy)));
  }

  async #write(policy: ClusterNetworkPolicy): Promise<void> {
    const { client, log, wallClock = Date.now } = this.#options;
    const { name, uid, generation, understood } = policy;
    this.#written.set(uid, wantedOf(policy));
    const message = messageFor(policy);
    const status = message === ALL_UNDERSTOOD ? "True" : "False";
    const now = new Date(wallClock()).toISOString().replace(/\.\d+Z$/, "Z");
    const condition = {
      type: UNDERSTOOD,
      status,
      reason: status === "True" ? "Understood" : "NotUnderstood",
      message,
      observedGeneration: generation,
      lastTransitionTime: understood?.status === status ? understood.lastTransitionTime : now,
    };
    const { group, version } = clusterNetworkPolicies;
    const head = { apiVersion: `${group}/${version}`, kind: "ClusterNetworkPolicy", metadata: { name } };
    try {
      // By apply, so that conditions of others stay.
      await client.patch(
        { resource: clusterNetworkPolicies, name, subresource: "status" },
        { ...head, status: { conditions: [condition] } },
        { type: "apply", fieldManager: FIELD_MANAGER, force: true },
      );
    } catch (error) {
      // What the server refuses it would refuse again.
      if (!(error instanceof KubeApiError) || error.status >= 500) this.#written.delete(uid);
      log.warn({ clusterNetworkPolicy: name, error: messageOf(error) }, "cannot write the status of a policy");
    }
  }
}

function messageFor({ problems = [] }: ClusterNetworkPolicy): string {
  return problems.length === 0 ? ALL_UNDERSTOOD : problems.join("; ").slice(0, MESSAGE_LENGTH);
}

function wantedOf(policy: ClusterNetworkPolicy): string {
  return `${policy.generation} ${messageFor(policy)}`;
}

/** What its status says; undefined when it says nothing. */
function saidOf({ understood }: ClusterNetworkPolicy): string | undefined {
  return understood && `${understood.observedGeneration} ${understood.message}`;
}
