/** What of a frontend IPVS serves, and the settings that it needs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { IPVS_FALLBACK, IPVS_MARK, IPVS_PERSISTENT } from "../../model/ipvs.ts";
import { planService } from "./frontends.ts";
import { arpSettings, connReuseMode, drains, ipvsManner, ipvsSettings, planIpvsServer } from "./ipvs.ts";
import { aService, aSlice, node1, tcp80 } from "./testing/objects.ts";
import { podOn, ServiceCluster } from "./testing/service-cluster.ts";

const context = { ...node1, ipvs: { elsewhere: ["192.168.1.12"] } };
const slices = [aSlice([podOn(1, 5), podOn(2, 6)])];
const everything = aService({
  type: "LoadBalancer",
  ports: [{ ...tcp80, nodePort: 30080 }],
  externalIps: ["198.51.100.7", "192.168.1.11", "192.168.1.12"],
  loadBalancerIps: ["203.0.113.9"],
});

function frontend(key: string, service = everything) {
  const found = planService(service, slices, context).frontends.find((one) => one.key === key);
  assert.ok(found, key);
  return found;
}

test("planService() lets IPVS serve every address but another node's, and binds what no device of the node has", () => {
  const manners = planService(everything, slices, context).frontends.map(({ key, ipvs }) => [key, ipvs]);
  assert.deepEqual(Object.fromEntries(manners), {
    "10.96.0.10 . tcp . 80": { bind: true },
    "203.0.113.9 . tcp . 80": { bind: true },
    "198.51.100.7 . tcp . 80": { bind: true },
    "192.168.1.11 . tcp . 80": { bind: false },
    "192.168.1.12 . tcp . 80": undefined,
    "192.168.1.11 . tcp . 30080": { bind: false },
  });
  assert.deepEqual(
    planService(everything, slices, node1).frontends.filter(({ ipvs }) => ipvs),
    [],
  );
});

test("an external IP that another node has is served by the maps: that node stays within reach", () => {
  const cluster = new ServiceCluster({ services: [everything], slices, backend: "ipvs" });
  assert.equal(cluster.virtualServers("node1")?.bound.includes("192.168.1.12"), false);
  assert.deepEqual(cluster.reached({ from: "10.244.1.9", to: "192.168.1.12", port: 80 }), [
    "10.244.1.5:8080",
    "10.244.2.6:8080",
  ]);
  assert.deepEqual(cluster.reached({ from: "10.244.1.9", to: "192.168.1.12", port: 22 }), ["192.168.1.12:22"]);
});

test("planIpvsServer() marks the server, and makes it persistent for session affinity", () => {
  const key = "10.96.0.10 . tcp . 80";
  const plain = { key, scheduler: "rr", flags: IPVS_MARK, timeoutSeconds: 0 };
  assert.deepEqual(planIpvsServer(frontend(key), "rr"), plain);
  const sticky = planIpvsServer(frontend(key, { ...everything, affinitySeconds: 10_800 }), "wlc");
  assert.deepEqual(sticky, {
    ...plain,
    scheduler: "wlc",
    flags: IPVS_MARK | IPVS_PERSISTENT,
    timeoutSeconds: 10_800,
  });
  for (const scheduler of ["sh", "mh"] as const) {
    assert.equal(planIpvsServer(frontend(key), scheduler)?.flags, IPVS_MARK | IPVS_FALLBACK, scheduler);
  }
});

test("planIpvsServer() makes none without endpoints, nor where the maps serve", () => {
  const key = "10.96.0.10 . tcp . 80";
  assert.equal(planIpvsServer({ ...frontend(key), endpoints: [] }, "rr"), undefined);
  assert.equal(planIpvsServer(frontend("192.168.1.12 . tcp . 80"), "rr"), undefined);
  assert.equal(planIpvsServer(undefined, "rr"), undefined);
});

test("ipvsManner() binds no NodePort's address", () => {
  assert.deepEqual(ipvsManner("NodePort", "192.168.1.99", [], { elsewhere: [] }), { bind: false });
});

test("drains() waits for connections of TCP and SCTP, not of UDP, and not where dh would go on choosing", () => {
  const of = (protocol: string, scheduler = "rr") => drains({ key: `10.96.0.10 . ${protocol} . 80`, scheduler });
  assert.deepEqual([of("tcp"), of("sctp"), of("udp"), of("tcp", "dh")], [true, true, false, false]);
});

test("connReuseMode() goes by the kernel's version", () => {
  const releases = ["6.1.0-50-amd64", "5.9.0", "5.9-rc1", "5.8.18", "5.10.0", "4.19.0-27", "4.1.0", "3.10.0-1160.el7"];
  assert.deepEqual(
    releases.map((release) => connReuseMode(release)),
    ["1", "1", "1", "0", "1", "0", "0", undefined],
  );
  assert.equal(connReuseMode("unknown"), undefined);
});

test("ipvsSettings() turns connection tracking on, on every kernel", () => {
  for (const release of ["6.1.0", "3.10.0"]) {
    const settings = Object.fromEntries(ipvsSettings(release).map(({ name, value }) => [name, value]));
    assert.equal(settings["net/ipv4/vs/conntrack"], "1");
    assert.equal(settings["net/ipv4/vs/expire_nodest_conn"], "1");
    assert.equal(settings["net/ipv4/vs/expire_quiescent_template"], "1");
  }
});

test("arpSettings() keeps each device from answering for addresses of Services", () => {
  const found = arpSettings(["eth0"]).map(({ name, value, alsoFine }) => [name, value, alsoFine]);
  assert.deepEqual(found, [
    ["net/ipv4/conf/eth0/arp_ignore", "1", ["2", "3", "8"]],
    ["net/ipv4/conf/eth0/arp_announce", "2", undefined],
  ]);
});
