import assert from "node:assert/strict";
import { test } from "node:test";
import { DOOMED_GROUP } from "../model/marks.ts";
import type { Observed } from "../model/observed.ts";
import { formatOperation, type Operation } from "../model/operation.ts";
import type { DesiredState } from "../model/state.ts";
import { type PlanInput, planNode } from "../plan/plan.ts";
import { hostIfname } from "../plan/pods.ts";
import { eth0, node, pod, scenarios } from "../plan/testing/scenarios.ts";
import { diffNode } from "./diff.ts";
import { observedAs } from "./testing/observed-as.ts";

const given = scenarios["flowtable"] as PlanInput;

function planned(change: Partial<PlanInput> = {}): DesiredState {
  const result = planNode({ ...given, ...change });
  assert.ok("state" in result);
  return result.state;
}

const dualInterface = eth0({
  addresses: [
    { address: "192.168.1.1", length: 24 },
    { address: "fd00:1::1", length: 64 },
  ],
});
const dualNodes = (count: number) =>
  Array.from({ length: count }, (_, i) =>
    node(i + 1, [`192.168.1.${i + 1}`, `fd00:1::${i + 1}`], [`10.244.${i + 1}.0/24`, `fd00:10:244:${i + 1}::/64`]),
  );

const text = (operations: readonly Operation[]) => operations.map(formatOperation);
const link = (number: number) => hostIfname(pod(number).containerId, "eth0");
/** The kernel with one link in another group, or without it. */
function withLink(observed: Observed, name: string, group: number | undefined): Observed {
  const links = new Map(observed.links);
  const before = links.get(name);
  if (group === undefined || before === undefined) links.delete(name);
  else links.set(name, { ...before, group });
  return { ...observed, links };
}

test("diffNode() makes the fast path behind the table, in a transaction of its own that the node can do without", () => {
  const operations = diffNode(planned(), { ...observedAs(planned()), nft: undefined });
  assert.deepEqual(
    operations.map((operation) => [operation.do, "optional" in operation && operation.optional]),
    [
      ["changeNft", undefined],
      ["changeNft", true],
    ].map(([name, optional]) => [name, optional ?? false]),
  );
  const [others, fast] = text(operations);
  assert.doesNotMatch(others ?? "", /fast|Flowtable/);
  assert.match(fast ?? "", /addFlowtable fast-1450-1500 \{ bwh\w+, bwh\w+, bwvxlan, eth0 \}; addChain fast; /);
});

test("diffNode() adds one device for one pod more", () => {
  const state = planned({ pods: [pod(1), pod(2), pod(3)] });
  const kernel = { ...observedAs(state), nft: observedAs(planned()).nft };
  assert.deepEqual(text(diffNode(state, kernel)), [
    `change nftables table: addFlowtable fast-1450-1500 { ${link(3)} }`,
  ]);
});

test("diffNode() lets a device that is made in the same round join by itself", () => {
  const state = planned({ pods: [pod(1), pod(2), pod(3)] });
  const kernel = observedAs(planned({ pods: [pod(1)] }));
  const without = withLink(withLink(kernel, link(2), undefined), link(3), undefined);
  const joining = text(diffNode(state, without)).filter((line) => line.includes("Flowtable"));
  assert.deepEqual(
    joining.sort(),
    [2, 3].map((number) => `change nftables table: addFlowtable fast-1450-1500 { ${link(number)} }`).sort(),
  );
});

test("diffNode() takes a device out that no pod has, and leaves one that is about to be deleted", () => {
  const state = planned({ pods: [pod(1)] });
  const kernel = observedAs(planned());
  const lines = (observed: Observed) => text(diffNode(state, observed)).filter((line) => line.includes("Flowtable"));
  assert.deepEqual(lines(kernel), [`change nftables table: deleteFlowtableDevices fast-1450-1500 { ${link(2)} }`]);
  assert.deepEqual(lines(withLink(kernel, link(2), DOOMED_GROUP)), []);
});

test("diffNode() keeps IPv6 of a path that becomes narrow off the fast path before its route says so", () => {
  const nodes = new Map([...dualNodes(12)].map((each) => [each.name, each]));
  const facts = { nodeName: "node1", interfaces: [dualInterface], flowtables: true };
  const state = (provenMtuBytes: PlanInput["provenMtuBytes"]) => planned({ nodes, facts, provenMtuBytes });
  const lines = text(diffNode(state(new Map([["node2", 1400]])), observedAs(state(undefined))));
  const kept = lines.indexOf(
    "change nftables table: addSet fast-narrow6; addElements fast-narrow6 { fd00:10:244:2::/64 }; flushChain fast-offer; addRule fast-offer; addRule fast-offer; addRule fast-offer; addRule fast-offer",
  );
  const route = lines.findIndex((line) => line.startsWith("set route fd00:10:244:2::/64") && line.endsWith("mtu 1400"));
  assert.ok(kept >= 0 && kept < route, lines.join("\n"));
});

test("diffNode() removes the fast path and nothing else when it is switched off", () => {
  const state = planned({ config: { ...given.config, flowtable: false } });
  assert.deepEqual(text(diffNode(state, observedAs(planned()))), [
    "change nftables table: flushChain fast; flushChain fast-offer; deleteChain fast; deleteChain fast-offer; deleteFlowtable fast-1450-1500",
  ]);
});
