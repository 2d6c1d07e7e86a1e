/** What enforcing the cluster's policies would change in the kernel. */
import { diffNft } from "../../diff/nft.ts";
import type { Nftables } from "../../kernel/nfnetlink/types.ts";
import { POLICY_TABLES } from "../../model/marks.ts";
import type { Operation } from "../../model/operation.ts";
import type { PolicyInput } from "../../plan/policies/policy-input.ts";
import { planPolicyTable } from "../../plan/policies/table.ts";

export function planPolicyOperations(nftables: Pick<Nftables, "table">, input: PolicyInput): Operation[] {
  return ([4, 6] as const).flatMap((family) => {
    const table = POLICY_TABLES[family];
    const changes = diffNft(planPolicyTable(input, family), nftables.table(table));
    return changes.length === 0 ? [] : [{ do: "changeNft" as const, table, changes, cause: causeOf(input) }];
  });
}

function causeOf({ policies, clusterNetworkPolicies = [] }: PolicyInput): string {
  const count = policies.length + clusterNetworkPolicies.length;
  return count === 0 ? "no NetworkPolicy any more" : `the cluster's NetworkPolicies (${count})`;
}
