import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeKubeProxyPart } from "../kernel/fake/kube-proxy.ts";
import type { KubeProxyMode } from "../model/kube-proxy.ts";
import { DEFAULT_SERVICE_CONFIG, type NodeConfig } from "../model/node-config.ts";
import { planTakeover } from "./kube-proxy-dry-run.ts";

function config(kubeProxy: KubeProxyMode | undefined, serves = true): NodeConfig {
  return {
    nodeName: "n1",
    routing: "auto",
    vni: 1,
    vxlanPort: 4789,
    masquerade: true,
    masqueradeExceptions: [],
    ...(serves ? { services: DEFAULT_SERVICE_CONFIG } : {}),
    ...(kubeProxy === undefined ? {} : { kubeProxy }),
  };
}

function rig() {
  const calls: string[] = [];
  const nft = new FakeKubeProxyPart("iptables-nft", { chains: 138, rules: 348 }, calls);
  const ipset = new FakeKubeProxyPart("ipset", {}, calls);
  ipset.kept = ["ipset KUBE-LOOP-BACK, used by 1 rules or sets"];
  return { parts: [nft, ipset], calls, nobody: async () => ({ pids: [], healthz: undefined }) };
}

test("planTakeover() tells what --replace-kube-proxy would remove, and removes nothing", async () => {
  const { parts, calls, nobody } = rig();
  const { steps, problems } = await planTakeover(config("replace"), parts, nobody);
  assert.deepEqual(steps, [
    {
      text: "remove what kube-proxy left in iptables-nft: 138 chains, 348 rules",
      cause: "--replace-kube-proxy, once all Services are served",
    },
  ]);
  assert.deepEqual(problems, []);
  assert.deepEqual(calls, ["find iptables-nft", "find ipset"]);
});

test("planTakeover() without the option tells of what is there as a problem", async () => {
  const { parts, nobody } = rig();
  const { steps, problems } = await planTakeover(config(undefined), parts, nobody);
  assert.deepEqual([steps, problems.map(({ code }) => code)], [[], ["BW_KUBE_PROXY_STATE"]]);
});

test("planTakeover() tells of a kube-proxy that runs", async () => {
  const { parts } = rig();
  const running = async () => ({ pids: [71], healthz: undefined });
  const { steps, problems } = await planTakeover(config("replace"), parts, running);
  assert.deepEqual([steps, problems.map(({ code }) => code)], [[], ["BW_KUBE_PROXY_RUNNING"]]);
});

test("planTakeover() looks for nothing where Services are left to another proxy", async () => {
  const { parts, calls, nobody } = rig();
  assert.deepEqual(await planTakeover(config(undefined, false), parts, nobody), { steps: [], problems: [] });
  assert.deepEqual(calls, []);
  assert.deepEqual((await planTakeover(config("keep", false), parts, nobody)).problems, []);
});
