/** Settings of connection tracking that a node serving Services has. Row "tcp". */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_SERVICE_CONFIG } from "../../model/node-config.ts";
import { planNode } from "../plan.ts";
import { config, input, node } from "../testing/scenarios.ts";

function planned(services: typeof DEFAULT_SERVICE_CONFIG | undefined): Record<string, string> {
  const given = input({
    nodes: [node(1, ["192.168.1.1"])],
    config: { ...config, ...(services && { services }) },
  });
  const result = planNode(given);
  assert.ok("state" in result);
  const tracking = result.state.sysctls.filter(({ name }) => name.includes("conntrack"));
  return Object.fromEntries(tracking.map(({ name, value }) => [name.split("/").at(-1), value]));
}

test("svc-54 half-closed connections are tracked for an hour, as with kube-proxy", () => {
  assert.equal(planned(DEFAULT_SERVICE_CONFIG)["nf_conntrack_tcp_timeout_close_wait"], "3600");
  assert.deepEqual(planned(undefined), {});
});

test("where invalid packets pass, connection tracking is told to take them for valid", () => {
  assert.equal(planned(DEFAULT_SERVICE_CONFIG)["nf_conntrack_tcp_be_liberal"], undefined);
  assert.equal(planned({ ...DEFAULT_SERVICE_CONFIG, dropInvalid: false })["nf_conntrack_tcp_be_liberal"], "1");
});
