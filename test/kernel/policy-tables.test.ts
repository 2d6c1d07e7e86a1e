/** Tables of policies in the real kernel: it takes every step from one random cluster to the next, and holds what was planned. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { diffNft } from "../../src/diff/nft.ts";
import { openNftables } from "../../src/kernel/nfnetlink/nft-socket.ts";
import { POLICY_TABLES } from "../../src/model/marks.ts";
import { PolicyPlanner } from "../../src/plan/policies/planner.ts";
import { randomNumbers, randomRawCluster } from "../conformance/netpol/random-objects.ts";
import { inputOf } from "../conformance/netpol/traced-cluster.ts";
import { testNamespace } from "./namespaces.ts";

const STEPS = 150;

for (const family of [4, 6] as const) {
  test(`the kernel takes every step between tables of IPv${family}'s policies`, (t) => {
    const ns = testNamespace(t);
    using nft = ns.run(() => openNftables());
    const random = randomNumbers(family);
    const planner = new PolicyPlanner(family);
    let isolating = 0;
    for (let step = 0; step < STEPS; step++) {
      const { wanted, before } = planner.update(inputOf("node1", randomRawCluster(random)));
      const changes = diffNft(wanted, before);
      if (changes.length > 0) nft.commit(POLICY_TABLES[family], changes);
      const whole = planner.table();
      // What is in the kernel needs no further step.
      assert.deepEqual(diffNft(whole, nft.table(POLICY_TABLES[family])), [], `step ${step}`);
      if (whole.chains.length > 0) isolating++;
    }
    assert.ok(isolating > STEPS / 3, `${isolating} tables isolated anybody`);
  });
}
