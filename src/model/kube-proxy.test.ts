import assert from "node:assert/strict";
import { test } from "node:test";
import {
  countObjects,
  formatCounts,
  isKubeProxyChain,
  isKubeProxyEntry,
  isKubeProxyIpset,
  isNodePortIpset,
} from "./kube-proxy.ts";

test("isKubeProxyChain() knows the chains of every mode", () => {
  const own = [
    "KUBE-SERVICES KUBE-EXTERNAL-SERVICES KUBE-NODEPORTS KUBE-POSTROUTING KUBE-MARK-MASQ KUBE-FORWARD KUBE-PROXY-FIREWALL",
    "KUBE-SVC-ERIFXISQEP7F7OF4 KUBE-SVL-ERIFXISQEP7F7OF4 KUBE-SEP-6E7XQMQ4RAYOWTTM KUBE-FW-ERIFXISQEP7F7OF4",
    "KUBE-EXT-ERIFXISQEP7F7OF4 KUBE-XLB-ERIFXISQEP7F7OF4 KUBE-SOURCE-RANGES-FIREWALL KUBE-LOAD-BALANCER",
    "KUBE-NODE-PORT KUBE-PROXY-CANARY KUBE-IPVS-FILTER KUBE-IPVS-OUT-FILTER KUBE-FIRE-WALL",
  ].flatMap((line) => line.split(" "));
  assert.deepEqual(
    own.filter((name) => !isKubeProxyChain(name)),
    [],
  );
});

test("isKubeProxyChain() leaves the kubelet's, the runtime's, kube-router's and everybody else's chains", () => {
  const others = [
    "KUBE-FIREWALL KUBE-MARK-DROP KUBE-KUBELET-CANARY KUBE-IPTABLES-HINT KUBE-HOSTPORTS KUBE-HP-5WYVLTB27BC6BAIE",
    "KUBE-ROUTER-SERVICES KUBE-ROUTER-INPUT KUBE-POD-FW-5WYVLTB27BC6BAIE KUBE-NWPLCY-5WYVLTB27BC6BAIE",
    "CNI-HOSTPORT-DNAT CNI-DN-4a6f3 DOCKER DOCKER-USER PREROUTING kube-services KUBE- KUBE-SVC",
  ].flatMap((line) => line.split(" "));
  assert.deepEqual(others.filter(isKubeProxyChain), []);
});

test("isKubeProxyEntry() is true for what built-in chains jump to, not for what lies behind", () => {
  assert.ok(isKubeProxyEntry("KUBE-SERVICES"));
  assert.ok(isKubeProxyEntry("KUBE-IPVS-OUT-FILTER"));
  assert.ok(!isKubeProxyEntry("KUBE-MARK-MASQ"));
  assert.ok(!isKubeProxyEntry("KUBE-SVC-ERIFXISQEP7F7OF4"));
  assert.ok(!isKubeProxyEntry("KUBE-FIREWALL"));
});

test("isKubeProxyIpset() knows both families' names, cut as kube-proxy cuts them", () => {
  for (const name of ["KUBE-LOOP-BACK", "KUBE-6-LOOP-BACK", "KUBE-IPVS-IPS", "KUBE-NODE-PORT-LOCAL-SCTP-HASH"]) {
    assert.ok(isKubeProxyIpset(name), name);
  }
  assert.ok(isKubeProxyIpset("KUBE-6-LOAD-BALANCER-SOURCE-CID"));
  assert.ok(!isKubeProxyIpset("KUBE-6-LOAD-BALANCER-SOURCE-CIDR"), "32 characters are no name of a set");
  for (const name of ["KUBE-SRC-5WYVLTB27BC6BAIE", "cali40s:abc", "KUBE-SERVICES"]) assert.ok(!isKubeProxyIpset(name));
});

test("isNodePortIpset() is true for the sets of ports alone", () => {
  for (const name of ["KUBE-NODE-PORT-TCP", "KUBE-6-NODE-PORT-UDP", "KUBE-NODE-PORT-SCTP-HASH"]) {
    assert.ok(isNodePortIpset(name), name);
  }
  for (const name of ["KUBE-CLUSTER-IP", "KUBE-HEALTH-CHECK-NODE-PORT", "KUBE-NODE-PORT-FOO"]) {
    assert.ok(!isNodePortIpset(name), name);
  }
});

test("formatCounts() and countObjects() leave out what there is none of", () => {
  assert.equal(formatCounts({ chains: 312, rules: 1 }), "312 chains, 1 rule");
  assert.equal(formatCounts({ chains: 0, links: 1, "virtual servers": 2 }), "1 link, 2 virtual servers");
  assert.equal(formatCounts({}), "");
  assert.equal(countObjects({ chains: 3, rules: 4 }), 7);
});
