import assert from "node:assert/strict";
import { test } from "node:test";
import type { Finding } from "../plan/policies/audit.ts";
import { formatAudit } from "./policy-audit.ts";

const counts = { policies: 2, pods: 3 };

test("formatAudit() says what was looked at when it finds nothing", () => {
  assert.equal(
    formatAudit([], counts, []),
    "Nothing found in 2 policies and 3 pods (without those of the host network)\n",
  );
});

test("formatAudit() puts findings of one kind together, with their meaning, and marks hints", () => {
  const findings: Finding[] = [
    { kind: "not-isolated", namespace: "mail", direction: "ingress", message: "anybody may dial its only pod (smtp)" },
    {
      ...{ kind: "port-nowhere", namespace: "shop", policy: "web", direction: "ingress", rule: 2, hint: true },
      message: "its port TCP 81 is declared by no pod",
    },
  ];
  assert.equal(
    formatAudit(findings, counts, ["2 ClusterNetworkPolicies are left out"]),
    `2 findings in 2 policies and 3 pods (without those of the host network)

Not isolated: no policy selects them for the direction, so everything is allowed. A policy with podSelector {} and that policyType closes a namespace:
  namespace mail: anybody may dial its only pod (smtp)

Ports that no pod has:
  hint: shop/web ingress rule 2: its port TCP 81 is declared by no pod

Note: 2 ClusterNetworkPolicies are left out
`,
  );
});
