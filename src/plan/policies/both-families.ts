/** The planners of both families, which are told of the same cluster: what changed in it is found once. */
import type { Family } from "../../model/ip.ts";
import type { NftTable } from "../../model/nft.ts";
import type { PolicyPod } from "../../model/policy.ts";
import { exchanged, PolicyPlanner, type PolicySteps } from "./planner.ts";
import type { PolicyInput } from "./policy-input.ts";

export class PolicyPlanners {
  #planners: Readonly<Record<Family, PolicyPlanner>> = fresh();
  #pods: readonly PolicyPod[] = [];

  /** By the chain that drops ("ingress-denied-…"): the policies that deny, as policyName() names them. */
  get denials(): ReadonlyMap<string, readonly string[]> {
    return new Map([...this.#planners[4].denials, ...this.#planners[6].denials]);
  }

  /** Follows the cluster: see {@link PolicyPlanner.update}. */
  update(input: PolicyInput): Readonly<Record<Family, PolicySteps>> {
    try {
      const change = exchanged(this.#pods, input.pods);
      this.#pods = input.pods;
      return { 4: this.#planners[4].update(input, change), 6: this.#planners[6].update(input, change) };
    } catch (error) {
      // One of them may have followed, and the other not.
      this.#planners = fresh();
      this.#pods = [];
      throw error;
    }
  }

  /** All of the last input's table. */
  table(family: Family): NftTable {
    return this.#planners[family].table();
  }
}

function fresh(): Readonly<Record<Family, PolicyPlanner>> {
  return { 4: new PolicyPlanner(4), 6: new PolicyPlanner(6) };
}
