/** The cases of test/conformance/netpol as tests with real sockets, here and in a kernel that has SCTP. */
import { test } from "node:test";
import type { PolicyCase } from "../conformance/netpol/cases.ts";
import type { PolicyLab } from "./policies-fixture.ts";

export function testPolicyCases(lab: PolicyLab, cases: readonly PolicyCase[]): void {
  for (const theCase of cases) {
    test(`${theCase.id} ${theCase.title}`, async (t) => {
      await lab.prepare(theCase);
      for (const { actions, probes } of theCase.steps) {
        for (const action of actions) await lab.act(action);
        await lab.fence();
        const possible = probes.filter(({ protocol }) => lab.hasSctp || protocol !== "SCTP");
        await lab.settlesTo(lab.rows(theCase, possible));
        if (possible.length < probes.length)
          t.skip("this kernel has no SCTP: its probes are left out, and made by npm run test:vm");
      }
    });
  }
}
