/** NetworkPolicies with real sockets: the 65 cases of test/conformance/netpol, and what no table of probes shows. */
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { policyCases } from "../conformance/netpol/cases.ts";
import { PolicyLab } from "./policies-fixture.ts";

const lab = new PolicyLab("netpol");

before(() => lab.start());
afterEach(() => lab.deletePolicies());
after(() => lab.close());

for (const theCase of policyCases) {
  test(`${theCase.id} ${theCase.title}`, async (t) => {
    await lab.prepare(theCase);
    for (const { actions, probes } of theCase.steps) {
      for (const action of actions) await lab.act(action);
      await lab.fence();
      const possible = probes.filter(({ protocol }) => lab.hasSctp || protocol !== "SCTP");
      await lab.settlesTo(lab.rows(theCase, possible));
      if (possible.length < probes.length) t.skip("this kernel has no SCTP: its probes are left out");
    }
  });
}

test("there are 65 cases", () => assert.equal(policyCases.length, 65));
