/** The planners of both families, which follow the same cluster. */
import type { Family } from "../../model/ip.ts";
import type { NftTable } from "../../model/nft.ts";
import type { PolicyPod } from "../../model/policy.ts";
import { type Exchange, PolicyPlanner, type PolicySteps } from "./planner.ts";
import type { PolicyInput } from "./policy-input.ts";

export class PolicyPlanners {
  #planners: Readonly<Record<Family, PolicyPlanner>> | undefined;

  /** By the chain that drops ("ingress-denied-…"): the policies that deny, as policyName() names them. */
  get denials(): ReadonlyMap<string, readonly string[]> {
    return new Map([4, 6].flatMap((family) => [...(this.#planners?.[family as Family].denials ?? [])]));
  }

  /**
   * Follows the cluster: see {@link PolicyPlanner.update}.
   * @param change of the pods since the last call
   */
  update(input: PolicyInput, change: Exchange<PolicyPod>): Readonly<Record<Family, PolicySteps>> {
    const planners = this.#planners ?? { 4: new PolicyPlanner(4), 6: new PolicyPlanner(6) };
    const since = this.#planners === undefined ? { added: input.pods, removed: [] } : change;
    // When one of them fails, the other one has followed or has not: both begin anew.
    this.#planners = undefined;
    const steps = { 4: planners[4].update(input, since), 6: planners[6].update(input, since) };
    this.#planners = planners;
    return steps;
  }

  /** All of the last input's table. */
  table(family: Family): NftTable {
    if (this.#planners === undefined) throw new RangeError("Nothing was planned yet");
    return this.#planners[family].table();
  }
}
