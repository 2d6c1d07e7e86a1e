import assert from "node:assert/strict";
import { test } from "node:test";
import type { IpvsScheduler } from "../../model/ipvs.ts";
import { DEFAULT_SERVICE_CONFIG } from "../../model/node-config.ts";
import { type HostSettings, modulesLoadFile, neededFeatures, planFeatures, planModules } from "./features.ts";
import { moduleFacts } from "./module-facts.ts";
import { type HostTexts, planHostReport } from "./report.ts";
import { DEBIAN, withModprobe } from "./testing/module-facts.ts";

const SETTINGS: HostSettings = { routing: "auto", masquerade: false, services: undefined };
const TEXTS: HostTexts = { modules: DEBIAN, requests: [], sysctls: [], unread: undefined };
const FORWARD = { name: "net/ipv4/ip_forward", value: "1", cause: "pods are routed by the node" };

function report(texts: Partial<HostTexts> = {}, current: string | undefined = "1") {
  return planHostReport({
    texts: { ...TEXTS, ...texts },
    features: neededFeatures(SETTINGS),
    required: [FORWARD],
    read: () => current,
  });
}

test("neededFeatures() goes by the settings", () => {
  assert.deepEqual([...neededFeatures(SETTINGS)], ["pods", "vxlan"]);
  assert.deepEqual([...neededFeatures({ ...SETTINGS, routing: "bgp" })], ["pods"]);
  const services = { ...DEFAULT_SERVICE_CONFIG, ipvs: { scheduler: "wrr", drainSeconds: 1 } } as const;
  const ipvs = neededFeatures({ ...SETTINGS, routing: "direct", services });
  assert.deepEqual([...ipvs], ["pods", "services", "ipvs", "ip_vs_wrr"]);
});

test("planFeatures() calls IPVS off for the scheduler that was chosen, not for others", () => {
  const services = (scheduler: IpvsScheduler) => ({ ...DEFAULT_SERVICE_CONFIG, ipvs: { scheduler, drainSeconds: 1 } });
  const off = (scheduler: IpvsScheduler) => {
    const needs = neededFeatures({ ...SETTINGS, services: services(scheduler) });
    const rows = planModules(moduleFacts(DEBIAN), needs);
    const found = planFeatures(rows, needs).find(({ feature }) => feature === "ipvs");
    return found?.off.map(({ module }) => module).filter((name) => name.startsWith("ip_vs"));
  };
  assert.deepEqual(off("rr"), []);
  assert.deepEqual(off("mh"), ["ip_vs_mh"]);
});

test("planHostReport() says which feature is off, and because of whom", () => {
  const { features } = report({ modules: withModprobe("blacklist vxlan\n") });
  const vxlan = features.find(({ feature }) => feature === "vxlan");
  assert.equal(vxlan?.needed, true);
  assert.equal(vxlan?.off[0]?.detail, "/etc/modprobe.d/local.conf:1 blacklists it");
});

test("planHostReport() finds what old guides left in modules-load.d", () => {
  const text = "# IPVS\nip_vs\nnf_conntrack_ipv4\nveth options=1\n";
  const { staleRequests } = report({ requests: [{ path: "/etc/modules-load.d/ipvs.conf", text }] });
  assert.equal(staleRequests.length, 1);
  assert.equal(staleRequests[0]?.where, "/etc/modules-load.d/ipvs.conf:3");
  assert.match(staleRequests[0]?.detail ?? "", /gone since Linux 4\.19/);
});

test("planHostReport() names the file that sets a required sysctl otherwise at boot", () => {
  const sysctls = [{ path: "/etc/sysctl.d/99-hard.conf", text: "net.ipv4.ip_forward = 0\nwhat is this\n" }];
  const unread = { path: "/etc/sysctl.conf", text: "net.core.rmem_max=1\n" };
  const { sysctls: rows, sysctlMistakes } = report({ sysctls, unread }, "0");
  assert.deepEqual(rows[0]?.conflicts, [{ value: "0", where: "/etc/sysctl.d/99-hard.conf:1" }]);
  assert.equal(rows[0]?.fine, false);
  assert.deepEqual(
    sysctlMistakes.map(({ where }) => where),
    ["/etc/sysctl.d/99-hard.conf:2", "/etc/sysctl.conf:1"],
  );
  assert.match(sysctlMistakes[1]?.why ?? "", /systemd-sysctl does not read this file/);
});

test("modulesLoadFile() names what is needed and can be loaded, and nothing that is built in", () => {
  const rows = planModules(moduleFacts(DEBIAN), neededFeatures({ ...SETTINGS, masquerade: true }));
  const lines = modulesLoadFile(rows).split("\n");
  assert.deepEqual(
    lines.filter((line) => line !== "" && !line.startsWith("#")),
    ["veth", "vxlan", "nf_conntrack"],
  );
  assert.match(lines[0] ?? "", /modules-load\.d\(5\)/);
});
