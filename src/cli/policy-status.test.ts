import assert from "node:assert/strict";
import { test } from "node:test";
import type { PoliciesReport } from "../model/policy-report.ts";
import { formatPolicies } from "./policy-status.ts";

const report: PoliciesReport = {
  node: "node2",
  failure: null,
  logDeniedPerSecond: 5,
  policies: [
    { policy: "db/deny-all", problems: [], denied: { ingress: { packets: 2004, bytes: 80_000 }, egress: null } },
    {
      policy: "db/odd",
      problems: ["spec.ingress[0]: it is no rule: it admits nothing"],
      denied: { ingress: null, egress: { packets: 0, bytes: 0 } },
    },
  ],
  denials: [{ direction: "ingress", policies: ["db/deny-all", "db/odd"], packets: 2004, bytes: 80_000 }],
};

test("formatPolicies() prints counts, sets of policies, and what is not understood", () => {
  assert.equal(
    formatPolicies(report),
    [
      "Node node2 enforces all policies.",
      "Denied packets are counted, and logged: 5 lines a second at most.",
      "",
      "POLICY        INGRESS DENIED   EGRESS DENIED",
      "db/deny-all   2004             -",
      "db/odd        -                0               not all of it is understood",
      "",
      "TOGETHER   PACKETS   BYTES   POLICIES",
      "ingress    2004      80000   db/deny-all, db/odd",
      "",
      "db/odd: spec.ingress[0]: it is no rule: it admits nothing",
      "",
    ].join("\n"),
  );
});

test("formatPolicies() of a node without policies, and of one that cannot enforce them", () => {
  const empty = { ...report, logDeniedPerSecond: null, policies: [], denials: [] };
  assert.equal(formatPolicies(empty), "Node node2 enforces all policies.\nDenied packets are counted.\n");
  assert.match(formatPolicies({ ...empty, failure: "ENOMEM" }), /^Node node2 does not: ENOMEM\n/);
});
