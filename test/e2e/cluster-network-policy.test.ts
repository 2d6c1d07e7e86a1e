/** ClusterNetworkPolicies with real sockets: the cases of test/conformance/cluster-network-policy, and what agents tell. */
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { clusterNetworkPolicies, events } from "../../src/kube/resource.ts";
import { UNDERSTOOD } from "../../src/model/cluster-network-policy.ts";
import { POLICY_TABLES } from "../../src/model/marks.ts";
import { parseProbe, tierCases } from "../conformance/cluster-network-policy/cases.ts";
import { clusterPolicy, ofHouse, type Rule, rule } from "../conformance/cluster-network-policy/manifests.ts";
import { ClusterPolicyLab, testTierCases } from "./cluster-policies-fixture.ts";
import { eventually } from "./lab-fixture.ts";
import { ANSWER_MS } from "./policies-fixture.ts";
import { SETTLED_MS } from "./services-fixture.ts";

/** A definition that came back is found by then. */
const LOOKED_AGAIN_MS = 60_000;

const lab = new ClusterPolicyLab("cnp");

before(() => lab.start());
afterEach(() => lab.setPolicies([]));
after(() => lab.close());

testTierCases(lab, tierCases);

const denying = (name: string, ...egress: readonly Rule[]) =>
  clusterPolicy({ name, tier: "Admin", priority: 1, subject: ofHouse("gryffindor"), egress });

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly message: string;
}

async function understood(name: string): Promise<Condition | undefined> {
  const { status } = await lab.api.get({ resource: clusterNetworkPolicies, name });
  const { conditions = [] } = (status ?? {}) as { conditions?: Condition[] };
  return conditions.find(({ type }) => type === UNDERSTOOD);
}

test("what is not supported is closed, and the policy says so by its condition and an Event", async () => {
  const open = parseProbe("gryffindor-0 > ravenclaw-0 TCP 80: allowed");
  const shut = { ...open, allowed: false };
  await lab.setPolicies([
    denying("names", rule("Accept", { domainNames: ["example.com"] }), rule("Deny", ofHouse("slytherin"))),
  ]);
  await eventually(SETTLED_MS, async () => {
    const condition = await understood("names");
    assert.equal(condition?.status, "False");
    assert.match(condition.message, /domainNames: peers by domain name are not supported: the rule matches nothing/);
  });
  await eventually(SETTLED_MS, async () => {
    const found = await lab.api.list(events, { fieldSelector: "involvedObject.name=names" });
    const reasons = found.map((event) => [event["reason"], (event["involvedObject"] as { kind?: string }).kind]);
    assert.deepEqual(reasons, [["PolicyNotUnderstood", "ClusterNetworkPolicy"]]);
  });
  await lab.holds([open, parseProbe("gryffindor-0 > slytherin-0 TCP 80: denied")]);
  const row = await lab.kubectl("get", "cnp", "names", "--no-headers");
  assert.match(row, /^names\s+Admin\s+1\s/);
  await lab.setPolicies([denying("names", rule("Deny", { domainNames: ["example.com"] }))]);
  await eventually(SETTLED_MS, () => lab.holds([shut]));
  await lab.setPolicies([denying("names", rule("Deny", ofHouse("slytherin")))]);
  await eventually(SETTLED_MS, () => lab.holds([open]));
  await eventually(SETTLED_MS, async () => assert.equal((await understood("names"))?.status, "True"));
});

test("what a pod's own node dials arrives, and a pod reaches itself, whatever the Admin tier denies", async () => {
  const everybody = rule("Deny", { networks: ["0.0.0.0/0", "::/0"] });
  const anyPod = rule("Deny", { namespaces: {} });
  const subject = ofHouse("gryffindor");
  await lab.setPolicies([
    clusterPolicy({ name: "all", tier: "Admin", priority: 0, subject, ingress: [anyPod], egress: [everybody] }),
  ]);
  await eventually(SETTLED_MS, () => lab.holds(lab.possible(["ravenclaw-0 > gryffindor-0 TCP 80: denied"])));
  const [from4 = "", from6 = ""] = lab.addressesOf("gryffindor-0");
  const results = await lab.dial([
    ...[from4, from6].map((to) => ({ from: "node/node1", to, port: 80, timeoutMs: ANSWER_MS })),
    ...[from4, from6].map((to) => ({ from: "gryffindor/gryffindor-0", to, port: 80, timeoutMs: ANSWER_MS })),
  ]);
  assert.deepEqual(
    results.map(({ answer }) => answer),
    Array(4).fill("gryffindor/gryffindor-0"),
  );
});

test("with the last policy its tables are gone, with the definition the policies, and both come back", async () => {
  const tables = (expected: RegExp, isThere: boolean) =>
    eventually(SETTLED_MS, async () => {
      for (const node of lab.nodes) {
        const text = await lab.exec(`node/${node}`, "nft", "list", "tables");
        assert.equal(expected.test(text), isThere, `${node}: ${text}`);
      }
    });
  const ours = new RegExp(POLICY_TABLES[4].name);
  const everywhere = clusterPolicy({
    ...{ name: "everywhere", tier: "Baseline", priority: 1, subject: { namespaces: {} } },
    ingress: [rule("Deny", ofHouse("durmstrang"))],
  });
  await lab.setPolicies([everywhere]);
  await tables(ours, true);
  await lab.setPolicies([]);
  await tables(ours, false);
  await lab.setPolicies([everywhere]);
  await tables(ours, true);
  await lab.kubectl("delete", "crd", "clusternetworkpolicies.policy.networking.k8s.io");
  lab.forgetPolicies();
  await tables(ours, false);
  await lab.holds(lab.possible(["durmstrang-0 > gryffindor-0 TCP 80: allowed"]));
  await lab.kubectl("apply", "-f", "deploy/crds/clusternetworkpolicies.policy.networking.k8s.io.yaml");
  await lab.setPolicies([everywhere]);
  const denied = lab.possible(["durmstrang-0 > gryffindor-0 TCP 80: denied"]);
  await eventually(LOOKED_AGAIN_MS, () => lab.holds(denied));
});
