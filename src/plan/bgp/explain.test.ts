/** Each reason for which a prefix is refused or announced, beside the filter that BIRD has. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { BgpSession } from "../../model/bgp.ts";
import { node } from "../testing/scenarios.ts";
import { Explainer } from "./explain.ts";
import { planBgp } from "./plan.ts";
import { bgpInput, peer } from "./testing/scenarios.ts";

const nodes = [
  node(1, ["192.168.1.1"]),
  node(2, ["192.168.1.2"]),
  { ...node(3, ["192.168.1.3"]), routing: "auto" as const },
];
const plan = planBgp(
  bgpInput({
    nodes,
    peers: [peer("tor", { importAllow: ["172.16.0.0/12"], exportAllow: ["172.20.0.0/16"], maxPrefixes: 5 })],
    serviceAddresses: ["192.0.2.1/32"],
  }),
);
const session = (name: string): BgpSession => {
  const found = plan.sessions.find(({ protocol }) => protocol === name);
  assert.ok(found, name);
  return found;
};
const services = new Map([["192.0.2.1/32", [{ service: "default/web", kind: "LoadBalancer" }]]]);
const explainer = new Explainer(plan, services);

const REFUSED: readonly (readonly [session: string, prefix: string, why: RegExp])[] = [
  ["peer-tor", "0.0.0.0/0", /^it is a default route/],
  ["peer-tor", "::/0", /^it is a default route/],
  ["peer-tor", "10.244.1.0/24", /^it is inside 10\.244\.1\.0\/24, where this node's own pods are$/],
  ["peer-tor", "10.244.1.128/25", /^it is inside 10\.244\.1\.0\/24, where this node's own pods are$/],
  ["peer-tor", "10.244.3.7/32", /^it is inside 10\.244\.3\.0\/24, to which this node has a route of its own$/],
  ["peer-tor", "10.244.2.0/24", /^the limit of 5 prefixes is reached$/],
  ["peer-tor", "172.31.0.0/16", /^the limit of 5 prefixes is reached$/],
  ["peer-tor", "10.244.2.0/25", /^it is no other node's pod CIDR, and not inside importAllow of BGPPeer tor$/],
  ["peer-tor", "172.0.0.0/8", /^it is no other node's pod CIDR, and not inside importAllow of BGPPeer tor$/],
  ["mesh-node2", "10.244.2.0/24", /^the limit of 1 prefixes is reached$/],
  ["mesh-node2", "172.16.0.0/12", /^it is none of node node2's own pod CIDRs \(10\.244\.2\.0\/24\)$/],
];
for (const [name, prefix, why] of REFUSED) {
  test(`Explainer.whyRefused() says why ${prefix} is not taken from ${name}`, () => {
    assert.match(explainer.whyRefused(session(name), prefix), why);
  });
}

test("Explainer.whyRefused() says it of a reflector, too", () => {
  const reflector = { ...session("mesh-node2"), import: { pods: true, exact: [], within: [] } };
  assert.equal(explainer.whyRefused(reflector, "172.16.0.0/12"), "it is no other node's pod CIDR");
});

test("Explainer.whyAnnounced() names the Services, the pods, or what lets a learned prefix through", () => {
  const why = (name: string, prefix: string) => explainer.whyAnnounced(session(name), prefix);
  assert.equal(why("peer-tor", "10.244.1.0/24"), "pods of this node");
  assert.equal(why("peer-tor", "192.0.2.1/32"), "default/web (LoadBalancer)");
  assert.equal(why("peer-tor", "172.20.5.0/24"), "learned by BGP, and inside exportAllow of BGPPeer tor");
  assert.equal(why("mesh-node2", "10.99.0.0/16"), "nothing asks for it any more");
  const reflecting = { ...session("mesh-node2"), export: { pods: true, exact: [], within: [] } };
  assert.match(explainer.whyAnnounced(reflecting, "10.244.9.0/24"), /this node reflects routes/);
});
