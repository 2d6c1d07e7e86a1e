/** --flowtable on whatever kernel this is: with flowtables or without, the rest of the node is the same. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { createMetrics } from "../../src/agent/metrics.ts";
import { Mirror } from "../../src/agent/mirror.ts";
import { createPodLinks } from "../../src/agent/pod-links.ts";
import { Reconciler } from "../../src/agent/reconciler.ts";
import { clusterNode, defaultConfig } from "../../src/agent/testing/node-rig.ts";
import { hasFlowtables } from "../../src/kernel/nfnetlink/flowtable-support.ts";
import { NFT_TABLE } from "../../src/model/marks.ts";
import { namespaceKernel } from "./namespace-kernel.ts";
import { testNamespace } from "./namespaces.ts";

test("--flowtable makes a flowtable, or says once that this kernel has none", async (t) => {
  const ns = testNamespace(t, "node");
  const script =
    "ip link add eth0 type veth peer name wire; ip link set eth0 up; ip address add 192.168.1.1/24 dev eth0";
  assert.equal(ns.run(() => spawnSync("sh", ["-ec", script], { encoding: "utf8" })).stderr, "");
  using kernel = namespaceKernel(ns);
  const mirror = new Mirror(kernel);
  const warnings: string[] = [];
  const metrics = createMetrics();
  using reconciler = new Reconciler({
    kernel,
    mirror,
    config: { ...defaultConfig, flowtable: true },
    nodes: () => new Map([1, 2].map((number) => [`node${number}`, clusterNode(number)] as const)),
    pods: () => [],
    podLinks: createPodLinks(kernel, mirror),
    log: {
      debug: () => undefined,
      info: () => undefined,
      warn: (_fields, message) => void warnings.push(message),
      error: (_fields, message) => void warnings.push(message),
    },
    metrics,
  });
  const statuses = [reconciler.run(), reconciler.run()];
  assert.deepEqual(
    statuses.flatMap(({ failures }) => failures),
    [],
  );
  const table = kernel.nftables.table(NFT_TABLE);
  assert.equal(table?.chains[0]?.name, "postrouting");
  const problem = /breakwater_problems\{code="BW_FLOWTABLE"\} 1/.test(await metrics.registry.metrics());
  const has = hasFlowtables(kernel.nftables);
  t.diagnostic(`this kernel has ${has ? "" : "no "}flowtables`);
  assert.deepEqual(
    table?.flowtables?.map(({ devices }) => devices),
    has ? [["eth0"]] : undefined,
  );
  assert.equal(problem, !has);
  const told = warnings.filter((line) => line.includes("NF_FLOW_TABLE (module nf_flow_table)"));
  assert.equal(told.length, has ? 0 : 1);
});
