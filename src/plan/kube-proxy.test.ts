import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeProxyFinding, KubeProxyMode } from "../model/kube-proxy.ts";
import { decideKubeProxy, formatFound, type KubeProxyInput } from "./kube-proxy.ts";

const rules: KubeProxyFinding = {
  kind: "iptables-nft",
  counts: { chains: 312, rules: 914 },
  kept: [],
  fingerprint: "1",
};
const link: KubeProxyFinding = { kind: "ipvs", counts: { links: 1 }, kept: [], fingerprint: "2" };
/** All that is left of it has to stay. */
const kept: KubeProxyFinding = {
  kind: "ipset",
  counts: {},
  kept: ["ipset KUBE-LOOP-BACK, used by 1"],
  fingerprint: "3",
};
const process = { pids: [71], healthz: undefined };
const answer = { pids: [], healthz: "127.0.0.1:10256" };

function input(part: Partial<KubeProxyInput> = {}): KubeProxyInput {
  return {
    nodeName: "n1",
    mode: undefined,
    found: [],
    running: { pids: [], healthz: undefined },
    rewritten: [],
    servesAll: true,
    ...part,
  };
}

function decide(part: Partial<KubeProxyInput> = {}) {
  const { do: what, remove, problems } = decideKubeProxy(input(part));
  return [what, remove.join(" "), problems.map(({ code }) => code).join(" ")];
}

const RUNNING = "BW_KUBE_PROXY_RUNNING";
const STATE = "BW_KUBE_PROXY_STATE";
const ABSENT = "BW_KUBE_PROXY_ABSENT";

// mode, what is there -> what to do, which kinds go, which problems
const cases: readonly [string, Partial<KubeProxyInput>, readonly [string, string, string]][] = [
  ["no option, nothing there", {}, ["nothing", "", ""]],
  ["no option, rules left", { found: [rules] }, ["leave", "", STATE]],
  ["no option, rules left, ours does not serve yet", { found: [rules], servesAll: false }, ["leave", "", STATE]],
  ["no option, kube-proxy runs", { found: [rules], running: process }, ["leave", "", RUNNING]],
  ["no option, kube-proxy answers and wrote nothing yet", { running: answer }, ["leave", "", RUNNING]],
  [
    "no option, rules are written by nobody to be seen",
    { found: [rules], rewritten: ["iptables-nft"] },
    ["leave", "", RUNNING],
  ],
  ["no option, only what others need", { found: [kept] }, ["nothing", "", ""]],
  ["replace, nothing there", { mode: "replace" }, ["nothing", "", ""]],
  ["replace, ours serves", { mode: "replace", found: [rules, link] }, ["remove", "iptables-nft ipvs", ""]],
  ["replace, ours does not serve yet", { mode: "replace", found: [rules], servesAll: false }, ["wait", "", ""]],
  ["replace, only what others need", { mode: "replace", found: [kept] }, ["nothing", "", ""]],
  ["replace, some is needed by others", { mode: "replace", found: [rules, kept] }, ["remove", "iptables-nft", ""]],
  ["replace, kube-proxy runs", { mode: "replace", found: [rules], running: process }, ["leave", "", RUNNING]],
  ["replace, kube-proxy answers", { mode: "replace", found: [rules], running: answer }, ["leave", "", RUNNING]],
  [
    "replace, rules are written by nobody to be seen",
    { mode: "replace", found: [rules], rewritten: ["iptables-nft"] },
    ["remove", "iptables-nft", RUNNING],
  ],
  ["keep, kube-proxy runs", { mode: "keep", running: process }, ["nothing", "", ""]],
  [
    "keep, kube-proxy answers, its rules are there",
    { mode: "keep", running: answer, found: [rules] },
    ["leave", "", ""],
  ],
  ["keep, it restarts", { mode: "keep", found: [rules] }, ["leave", "", ""]],
  ["keep, there is none", { mode: "keep" }, ["nothing", "", ABSENT]],
  ["keep, there is none but what others need", { mode: "keep", found: [kept] }, ["nothing", "", ABSENT]],
];
for (const [name, part, expected] of cases) {
  test(`decideKubeProxy(): ${name}: ${expected.filter((word) => word !== "").join(", ")}`, () => {
    assert.deepEqual(decide(part), expected);
  });
}

test("decideKubeProxy() removes nothing while ours does not serve, while one runs, or without the option", () => {
  const modes: (KubeProxyMode | undefined)[] = ["replace", "keep", undefined];
  const runs = [{ pids: [], healthz: undefined }, process, answer];
  for (const mode of modes) {
    for (const running of runs) {
      for (const servesAll of [true, false]) {
        for (const rewritten of [[], ["iptables-nft"]] as const) {
          const may = mode === "replace" && servesAll && running === runs[0];
          const { remove } = decideKubeProxy(input({ mode, running, servesAll, rewritten, found: [rules] }));
          assert.equal(remove.length > 0, may, JSON.stringify({ mode, running, servesAll }));
        }
      }
    }
  }
});

test("decideKubeProxy() says what runs, where, and what to do", () => {
  const found = { running: { pids: [71, 72], healthz: "127.0.0.1:10256" }, found: [rules] };
  const [problem] = decideKubeProxy(input(found)).problems;
  assert.equal(
    problem?.message,
    "kube-proxy runs on node n1 (processes 71 and 72, an answer as its own at http://127.0.0.1:10256/healthz), and Breakwater serves Services too: both rewrite the same packets",
  );
  assert.match(problem?.remedy ?? "", /kubectl -n kube-system delete daemonset kube-proxy/);
  assert.match(problem?.remedy ?? "", /--keep-kube-proxy/);
  assert.match(problem?.remedy ?? "", /--disable-kube-proxy/);
  const [waits] = decideKubeProxy(input({ ...found, mode: "replace" })).problems;
  assert.match(waits?.message ?? "", /its rules stay until it is gone/);
});

test("decideKubeProxy() says what is left, with counts", () => {
  const [problem] = decideKubeProxy(input({ found: [rules, link, kept] })).problems;
  assert.equal(
    problem?.message,
    "kube-proxy left its rules on node n1, and Breakwater serves Services too: iptables-nft (312 chains, 914 rules), ipvs (1 link)",
  );
  assert.match(problem?.remedy ?? "", /--replace-kube-proxy/);
});

test("formatFound() lists kinds with their counts", () => {
  assert.equal(formatFound([]), "");
  assert.equal(formatFound([link]), "ipvs (1 link)");
});
