/** `breakwater plan` where IPVS is to serve: each step with the Service that asks for it, and nothing done. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatOperation } from "../../model/operation.ts";
import { aService, aSlice } from "../../plan/services/testing/objects.ts";
import { podOn } from "../../plan/services/testing/service-cluster.ts";
import { planServiceOperations } from "./dry-run.ts";
import { NO_SERVICES, ProxyRig, type ServiceState } from "./testing/proxy-rig.ts";

const ipvs = { ipvs: { scheduler: "rr", drainSeconds: 900 } } as const;
const web: ServiceState = { services: [aService()], slices: [aSlice([podOn(1, 5)])] };

function planned(rig: ProxyRig, state: ServiceState): string[] {
  const operations = planServiceOperations({
    ...state,
    ...{ nftables: rig.other.nftables, ipvs: rig.ipvsKernel(), context: rig.context, config: rig.config },
  });
  return operations.map((operation) => `${formatOperation(operation)} (${operation.cause})`);
}

/** Without what the tables are made of. */
const withoutTables = (steps: readonly string[]) => steps.filter((step) => !step.startsWith("change nftables"));

test("what would be made is shown, the module is not loaded, and nothing is there", () => {
  using rig = new ProxyRig(ipvs);
  const steps = planned(rig, web);
  assert.deepEqual(withoutTables(steps), [
    "add virtual server TCP 10.96.0.10:80 rr; add destination 10.244.1.5:8080 weight 1 to virtual server TCP 10.96.0.10:80 (Service default/web:http)",
    "create link bwipvs0 dummy (Services through IPVS)",
    "add address 10.96.0.10/32 dev bwipvs0 (Service default/web:http)",
  ]);
  assert.ok(steps.some((step) => step.includes("addElements services")));
  assert.deepEqual([rig.other.ipvs.isLoaded, rig.bound(), rig.operations()], [false, undefined, []]);
});

test("nothing is shown where all is as it should be", async () => {
  using rig = new ProxyRig(ipvs);
  rig.context = { ...rig.context, nodePortAddresses: [] };
  rig.start(web);
  await rig.settle();
  assert.deepEqual(planned(rig, web), []);
});

test("what differs is shown: a setting, a Service that is gone", async () => {
  using rig = new ProxyRig(ipvs);
  rig.context = { ...rig.context, nodePortAddresses: [] };
  rig.start(web);
  await rig.settle();
  rig.other.sysctl.write("net/ipv4/vs/conntrack", "0");
  rig.other.sysctl.write("net/netfilter/nf_conntrack_tcp_timeout_established", "864000");
  assert.deepEqual(withoutTables(planned(rig, web)), [
    "set sysctl net/ipv4/vs/conntrack to 1 (was 0) (Services through IPVS)",
    "set timeout of IPVS's silent TCP connections to 864000 s (was 432000 s) (Services through IPVS)",
  ]);
  assert.ok(
    planned(rig, NO_SERVICES).includes(
      "set weight 0 of destination 10.244.1.5:8080 of virtual server TCP 10.96.0.10:80 (no Service any more)",
    ),
  );
});
