/** Policies with real sockets in a kernel that has SCTP: the cases that speak of it. */
import assert from "node:assert/strict";
import { after, afterEach, before, suite, test } from "node:test";
import { tierCases } from "../conformance/cluster-network-policy/cases.ts";
import { policyCases } from "../conformance/netpol/cases.ts";
import { ClusterPolicyLab, testTierCases } from "../e2e/cluster-policies-fixture.ts";
import { testPolicyCases } from "../e2e/network-policy-cases.ts";
import { PolicyLab } from "../e2e/policies-fixture.ts";

suite("NetworkPolicies", () => {
  const lab = new PolicyLab("sctp");
  before(() => lab.start());
  afterEach(() => lab.deletePolicies());
  after(() => lab.close());

  test("this kernel has SCTP", () => assert.ok(lab.hasSctp));
  const isAboutSctp = ({ steps }: (typeof policyCases)[number]) =>
    steps.some(({ probes }) => probes.some(({ protocol }) => protocol === "SCTP"));
  testPolicyCases(lab, policyCases.filter(isAboutSctp));
});

suite("ClusterNetworkPolicies", () => {
  const lab = new ClusterPolicyLab("sctp-tiers");
  before(() => lab.start());
  afterEach(() => lab.setPolicies([]));
  after(() => lab.close());

  test("this kernel has SCTP", () => assert.ok(lab.hasSctp));
  testTierCases(
    lab,
    tierCases.filter(({ steps }) => steps.some(({ probes }) => probes.some((probe) => / SCTP /.test(probe)))),
  );
});
