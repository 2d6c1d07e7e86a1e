/** The definition of ClusterNetworkPolicies: what the API takes by it, and that the parser understands all of that. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CLUSTER_NETWORK_POLICY_CRD } from "../../../kube/cluster-network-policy-crd.ts";
import { parseClusterNetworkPolicy } from "../../../kube/parse-cluster-network-policy.ts";
import { parseRun } from "../../../kube/testing/parse-run.ts";
import { UNDERSTOOD } from "../../../model/cluster-network-policy.ts";
import { at, type Fields, listOf } from "../object/object.ts";
import { startServer, type TestServer } from "../test-server.ts";

const POLICIES = "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies";
const PEER = { namespaces: {} };

const policy = (spec: Fields): Fields => ({
  apiVersion: "policy.networking.k8s.io/v1alpha2",
  kind: "ClusterNetworkPolicy",
  metadata: { name: "p" },
  spec: { tier: "Admin", priority: 10, subject: { namespaces: {} }, ...spec },
});
const ingress = (rule: Fields) => policy({ ingress: [{ action: "Deny", from: [PEER], ...rule }] });
const egress = (rule: Fields) => policy({ egress: [{ action: "Deny", to: [PEER], ...rule }] });
const many = (item: unknown) => Array.from({ length: 26 }, () => item);

async function withDefinition(server: TestServer): Promise<TestServer> {
  const body = structuredClone(CLUSTER_NETWORK_POLICY_CRD) as unknown as Fields;
  const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  const answer = await server.request("POST", definitions, { body });
  assert.equal(answer.code, 201, answer.text);
  return server;
}

test("the API keeps every field that the parser reads, and the parser understands it", async (context) => {
  const server = await withDefinition(await startServer(context));
  const selector = { matchLabels: { a: "b" }, matchExpressions: [{ key: "c", operator: "In", values: ["d"] }] };
  const pods = { pods: { namespaceSelector: selector, podSelector: selector } };
  const protocols = [
    { tcp: { destinationPort: { number: 1 } } },
    { udp: { destinationPort: { range: { start: 1, end: 65_535 } } } },
    { sctp: { destinationPort: { number: 65_535 } } },
  ];
  const spec = {
    subject: pods,
    ingress: [
      { name: "one", action: "Pass", from: [pods, { namespaces: selector }], protocols },
      { action: "Accept", from: [PEER], protocols: [{ destinationNamedPort: "http" }] },
    ],
    egress: [{ action: "Deny", to: [{ networks: ["10.0.0.0/8", "::/0"] }, { nodes: selector }, pods], protocols }],
  };
  const answer = await server.request("POST", POLICIES, { body: policy(spec) });
  assert.equal(answer.code, 201, answer.text);
  assert.deepEqual(answer.body["spec"], policy(spec)["spec"]);
  const { value, reports } = parseRun(parseClusterNetworkPolicy, answer.body);
  assert.deepEqual([reports, value.generation], [[], 1]);
  assert.deepEqual([value.ingress.length, value.egress[0]?.peers?.length, value.egress[0]?.ports?.length], [2, 4, 3]);
});

const REFUSED: readonly (readonly [string, Fields, RegExp])[] = [
  ["an unknown tier", policy({ tier: "Top" }), /supported values: "Admin", "Baseline"/],
  ["no tier", policy({ tier: undefined }), /spec\.tier: Required value/],
  ["priority 1001", policy({ priority: 1001 }), /less than or equal to 1000/],
  ["a negative priority", policy({ priority: -1 }), /greater than or equal to 0/],
  ["no priority", policy({ priority: undefined }), /spec\.priority: Required value/],
  ["no subject", policy({ subject: undefined }), /spec\.subject: Required value/],
  ["an empty subject", policy({ subject: {} }), /spec\.subject/],
  ["two subjects", policy({ subject: { namespaces: {}, pods: { podSelector: {} } } }), /spec\.subject/],
  ["26 rules", policy({ ingress: many({ action: "Deny", from: [PEER] }) }), /spec\.ingress.*25/],
  ["an unknown action", ingress({ action: "Allow" }), /supported values: "Accept", "Deny", "Pass"/],
  ["a long name", ingress({ name: "n".repeat(101) }), /Too long/],
  ["no peers", ingress({ from: [] }), /spec\.ingress\[0\]\.from/],
  ["26 peers", egress({ to: many(PEER) }), /spec\.egress\[0\]\.to.*25/],
  ["an empty peer", ingress({ from: [{}] }), /from\[0\]/],
  ["two peers in one", egress({ to: [{ ...PEER, nodes: {} }] }), /to\[0\]/],
  ["networks in ingress", ingress({ from: [{ networks: ["::/0"] }] }), /from\[0\]/],
  ["no networks", egress({ to: [{ networks: [] }] }), /networks/],
  ["pods without a podSelector", egress({ to: [{ pods: {} }] }), /podSelector: Required value/],
  ["no protocols", ingress({ protocols: [] }), /protocols/],
  ["an empty protocol", ingress({ protocols: [{}] }), /protocols\[0\]/],
  ["TCP without a port", ingress({ protocols: [{ tcp: {} }] }), /tcp/],
  ["port 0", ingress({ protocols: [{ tcp: { destinationPort: { number: 0 } } }] }), /greater than or equal to 1/],
  ["half a range", ingress({ protocols: [{ udp: { destinationPort: { range: { start: 1 } } } }] }), /range\.end/],
];

for (const [what, body, text] of REFUSED) {
  test(`the API refuses a ClusterNetworkPolicy with ${what}`, async (context) => {
    const server = await withDefinition(await startServer(context));
    const answer = await server.request("POST", POLICIES, { body });
    assert.equal(answer.code, 422, answer.text);
    assert.match(String(answer.body["message"]), text);
  });
}

test("what the API refuses is not understood by the parser either, but for what is too much or too long", () => {
  for (const [what, body] of REFUSED) {
    const isMuch = /^26 |long name/.test(what);
    const { reports } = parseRun(parseClusterNetworkPolicy, body);
    assert.equal(reports.length > 0, !isMuch, what);
  }
});

test("the condition of agents stands beside those of others, and tables show tier and priority", async (context) => {
  const server = await withDefinition(await startServer(context));
  await server.request("POST", POLICIES, { body: policy({}) });
  const condition = { status: "True", reason: "R", message: "", lastTransitionTime: "2026-01-01T00:00:00Z" };
  const apply = (type: string) => {
    const { spec: _, ...head } = policy({});
    const body = { ...head, status: { conditions: [{ ...condition, type }] } };
    return server.request("PATCH", `${POLICIES}/p/status?fieldManager=${type}&force=true`, {
      body,
      type: "application/apply-patch+yaml",
    });
  };
  await apply("other");
  const { body, code, text } = await apply(UNDERSTOOD);
  assert.equal(code, 200, text);
  const types = listOf(at(body, "status", "conditions")).map((each) => at(each, "type"));
  assert.deepEqual(types, ["other", UNDERSTOOD]);
  const table = await server.request("GET", POLICIES, {
    headers: { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" },
  });
  assert.deepEqual(listOf(at(listOf(table.body["rows"])[0], "cells")).slice(0, 3), ["p", "Admin", "10"]);
});
