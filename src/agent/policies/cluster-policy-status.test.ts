import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { KubeApiError } from "../../kube/api-error.ts";
import { ManualClock } from "../../kube/testing/manual-clock.ts";
import type { ClusterNetworkPolicy, UnderstoodCondition } from "../../model/cluster-network-policy.ts";
import type { Log } from "../log.ts";
import { ClusterPolicyStatus, type ClusterPolicyStatusOptions } from "./cluster-policy-status.ts";

interface Written {
  readonly status: { readonly conditions: readonly [UnderstoodCondition] };
}

const said = (message: string, status = "False"): UnderstoodCondition => ({
  ...{ status, message, observedGeneration: 7, lastTransitionTime: "2026-01-02T03:04:05Z" },
});

class Rig implements Disposable {
  readonly clock = new ManualClock(0.5);
  readonly policies = new Map<string, ClusterNetworkPolicy>();
  readonly patches: unknown[][] = [];
  readonly warnings: unknown[] = [];
  failure: Error | undefined;
  readonly status: ClusterPolicyStatus;

  constructor() {
    const ignore = () => undefined;
    const log: Log = { debug: ignore, info: ignore, warn: (...said) => this.warnings.push(said), error: ignore };
    const patch: ClusterPolicyStatusOptions["client"]["patch"] = async (...args) => {
      this.patches.push(args);
      if (this.failure !== undefined) throw this.failure;
      return {};
    };
    const policies = () => this.policies;
    this.status = new ClusterPolicyStatus({ client: { patch }, clock: this.clock, log, policies, wallClock: () => 0 });
  }

  [Symbol.dispose](): void {
    this.status[Symbol.dispose]();
  }

  set(problems: readonly string[], understood?: ClusterNetworkPolicy["understood"]): void {
    const head = { name: "p", uid: "u", generation: 7, tier: "Admin", priority: 1 } as const;
    const rest = { subject: { namespaces: [], pods: [] }, ingress: [], egress: [] };
    this.policies.set("p", {
      ...head,
      ...rest,
      ...(problems.length > 0 && { problems }),
      ...(understood && { understood }),
    });
  }

  /** What was written since. */
  async follow(): Promise<string[]> {
    this.status.follow();
    this.clock.advance(3000);
    await nextTurn();
    return this.patches.splice(0).map(([, patch]) => {
      const [condition] = (patch as Written).status.conditions;
      return `${condition.status} ${condition.message}`;
    });
  }
}

test("ClusterPolicyStatus writes what is not understood, once, as a condition that it alone applies", async () => {
  using rig = new Rig();
  rig.set(["spec.tier: no", "spec.subject: no"]);
  rig.status.follow();
  rig.clock.advance(3000);
  assert.deepEqual(rig.patches, [
    [
      {
        resource: {
          group: "policy.networking.k8s.io",
          version: "v1alpha2",
          plural: "clusternetworkpolicies",
          namespaced: false,
        },
        ...{ name: "p", subresource: "status" },
      },
      {
        apiVersion: "policy.networking.k8s.io/v1alpha2",
        kind: "ClusterNetworkPolicy",
        metadata: { name: "p" },
        status: {
          conditions: [
            {
              ...{ type: "breakwater.dev/Understood", status: "False", reason: "NotUnderstood" },
              ...{ message: "spec.tier: no; spec.subject: no", observedGeneration: 7 },
              lastTransitionTime: "1970-01-01T00:00:00Z",
            },
          ],
        },
      },
      { type: "apply", fieldManager: "breakwater-agent", force: true },
    ],
  ]);
  rig.patches.length = 0;
  assert.deepEqual(await rig.follow(), []);
});

test("ClusterPolicyStatus says once that a policy is understood, and says it when it is again", async () => {
  using rig = new Rig();
  rig.set([]);
  assert.deepEqual(await rig.follow(), ["True all of the policy is understood, and enforced"]);
  assert.deepEqual(await rig.follow(), []);
  using other = new Rig();
  other.set([], said("all of the policy is understood, and enforced", "True"));
  assert.deepEqual(await other.follow(), []);
  other.set([], said("no"));
  assert.deepEqual(await other.follow(), ["True all of the policy is understood, and enforced"]);
});

test("ClusterPolicyStatus leaves what another agent said while it waited", async () => {
  using rig = new Rig();
  rig.set(["no"]);
  rig.status.follow();
  rig.set(["no"], said("no"));
  assert.deepEqual(await rig.follow(), []);
});

test("ClusterPolicyStatus says it anew of a changed policy, and since when it holds", async () => {
  using rig = new Rig();
  rig.set(["no"], { ...said("no"), observedGeneration: 6 });
  rig.status.follow();
  rig.clock.advance(3000);
  const [[, patch] = []] = rig.patches;
  const [condition] = (patch as Written).status.conditions;
  assert.deepEqual([condition.observedGeneration, condition.lastTransitionTime], [7, said("").lastTransitionTime]);
});

test("ClusterPolicyStatus does not take back what an agent of another version wrote over it", async () => {
  using rig = new Rig();
  rig.set(["no"]);
  assert.deepEqual(await rig.follow(), ["False no"]);
  rig.set(["no"], said("in other words"));
  assert.deepEqual(await rig.follow(), []);
  rig.set(["no", "still no"], said("in other words"));
  assert.deepEqual(await rig.follow(), ["False no; still no"]);
});

test("ClusterPolicyStatus tries again behind a failure, and not behind a refusal", async () => {
  using rig = new Rig();
  rig.set(["no"]);
  rig.failure = new Error("the network is down");
  await rig.follow();
  rig.failure = new KubeApiError(
    { status: 403, reason: "Forbidden", message: "" },
    { operation: "patch", object: "p" },
  );
  assert.deepEqual(await rig.follow(), ["False no"]);
  assert.deepEqual(await rig.follow(), []);
  assert.equal(rig.warnings.length, 2);
});

test("ClusterPolicyStatus begins anew with a policy of the same name", async () => {
  using rig = new Rig();
  rig.set(["no"]);
  await rig.follow();
  rig.policies.clear();
  await rig.follow();
  rig.set(["no"]);
  assert.deepEqual(await rig.follow(), ["False no"]);
});
