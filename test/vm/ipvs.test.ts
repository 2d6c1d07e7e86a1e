/** Services through IPVS on a kernel that has it: run by `npm run test:vm`, in a machine with Debian's stock kernel. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { ServiceState } from "../../src/agent/services/testing/proxy-rig.ts";
import { FakeHost } from "../../src/kernel/fake/host.ts";
import { type Ipvs, loadIpvs } from "../../src/kernel/genetlink/ipvs.ts";
import { inNamespaceAt } from "../../src/kernel/netns.ts";
import {
  IPVS_FALLBACK,
  IPVS_MARK,
  IPVS_PERSISTENT,
  IPVS_SCHEDULERS,
  type IpvsChange,
  type IpvsScheduler,
} from "../../src/model/ipvs.ts";
import { aService, aSlice, node1 } from "../../src/plan/services/testing/objects.ts";
import { podOn } from "../../src/plan/services/testing/service-cluster.ts";
import { type TestNamespace, testNamespace } from "../kernel/namespaces.ts";
import { dialEverything, dialledCluster, nodeOfResponders, services, slices } from "../kernel/service-dials.ts";
import { makeServiceNode, type ServiceNode } from "../kernel/service-node.ts";
import { Connection } from "./connection.ts";
import { type NodeProxy, ROUND_ROBIN, startProxy } from "./ipvs-node.ts";
import { run } from "./two-nodes.ts";

const VIP = "10.96.0.10";
const context = { ...node1, ipvs: { elsewhere: [] } };
const A = podOn(1, 5);
const FAR = podOn(2, 6);
const web = (...endpoints: (typeof A)[]): ServiceState => ({ services: [aService()], slices: [aSlice(endpoints)] });
const PATIENCE_MS = 30_000;

async function until(what: string, check: () => boolean): Promise<void> {
  const started = performance.now();
  while (!check()) {
    assert.ok(performance.now() - started < PATIENCE_MS, `${what} within ${PATIENCE_MS} ms`);
    await sleep(50);
  }
}

function serve(t: TestContext, { node }: ServiceNode, state: ServiceState, ipvs = ROUND_ROBIN): NodeProxy {
  const proxy = startProxy(t, node, context, state, { ipvs });
  assert.deepEqual(proxy.problems, []);
  assert.equal(proxy.proxy.failure, undefined);
  return proxy;
}

/** As ipvsadm prints them, without its head. */
function listed({ node }: ServiceNode): string[] {
  return run(node, "ipvsadm -Ln")
    .trimEnd()
    .split("\n")
    .slice(3)
    .map((line) => line.trim().replaceAll(/\s+/g, " "));
}

function addresses({ node }: ServiceNode): string[] {
  const found = run(
    node,
    "ip -br address show dev bwipvs0 scope host; ip -br -6 address show dev bwipvs0 scope global",
  );
  return found
    .split(/\s+/)
    .filter((word) => /\/(32|128)$/.test(word))
    .sort();
}

function at(path: string): TestNamespace {
  return { path, run: (body) => inNamespaceAt(path, body) } as TestNamespace;
}

/** From pod b through the ClusterIP to pod a, or to the pod on the other node. */
function connect(t: TestContext, { paths }: ServiceNode, to: "a" | "far"): Connection {
  const served = { ip: to === "a" ? "10.244.1.5" : "10.244.2.6", port: 8080 };
  return new Connection(t, at(paths.b), at(paths[to]), { ip: VIP, port: 80 }, served);
}

test("the kernel loads IPVS and the scheduler when the first Service asks for them", async (t) => {
  const modules = () => readFileSync("/proc/modules", "utf8");
  assert.doesNotMatch(modules(), /^ip_vs/m);
  const node = await makeServiceNode(t);
  serve(t, node, web(A, FAR), { ...ROUND_ROBIN, scheduler: "wlc" });
  assert.match(modules(), /^ip_vs /m);
  assert.match(modules(), /^ip_vs_wlc /m);
  assert.deepEqual(listed(node), [
    "TCP 10.96.0.10:80 wlc (flag-3)",
    "-> 10.244.1.5:8080 Masq 1 0 0",
    "-> 10.244.2.6:8080 Masq 1 0 0",
  ]);
  assert.deepEqual(addresses(node), [`${VIP}/32`]);
});

test("IPVS does with real connections what the tracer says", async (t) => {
  const cluster = dialledCluster("ipvs");
  const node = await nodeOfResponders(t);
  const proxy = startProxy(t, node.node, cluster.context("node1"), { services, slices }, { ipvs: ROUND_ROBIN });
  assert.deepEqual(proxy.problems, []);
  // One after the other: with several at a time each may meet the same of two destinations again and again.
  assert.deepEqual(await dialEverything(t, node, cluster, { dialers: 1, timeoutMs: 1000 }), []);
  const { differences } = await proxy.proxy.verify();
  assert.deepEqual(differences, []);
});

test("a connection to an endpoint that goes is kept until it ends, and the endpoint gets no other", async (t) => {
  const node = await makeServiceNode(t);
  const proxy = serve(t, node, web(A));
  const connection = connect(t, node, "a");
  assert.ok(connection.exchange(3));
  proxy.set(web(FAR));
  assert.deepEqual(listed(node).slice(1), ["-> 10.244.1.5:8080 Masq 0 1 0", "-> 10.244.2.6:8080 Masq 1 0 0"]);
  const other = connect(t, node, "far");
  assert.ok(other.exchange(3));
  await sleep(3000);
  assert.ok(connection.exchange(3), "it goes on");
  proxy.set({ services: [], slices: [] });
  assert.ok(connection.exchange(3), "without the Service, too");
  assert.ok(other.exchange(3));
});

test("what waits longer than it may is cut, and nothing is left of it", async (t) => {
  const node = await makeServiceNode(t);
  const proxy = serve(t, node, web(A), { ...ROUND_ROBIN, drainSeconds: 2 });
  const connection = connect(t, node, "a");
  assert.ok(connection.exchange(3));
  proxy.set({ services: [], slices: [] });
  assert.ok(connection.exchange(3));
  await until("the virtual server is gone", () => listed(node).length === 0);
  assert.deepEqual(addresses(node), []);
  assert.deepEqual(proxy.problems, []);
});

test("another backend takes over on the living node, and back: connections go on, new ones go the new way", async (t) => {
  const node = await makeServiceNode(t);
  const maps = startProxy(t, node.node, node1, web(A));
  const first = connect(t, node, "a");
  assert.ok(first.exchange(3));
  maps[Symbol.dispose]();
  const ipvs = serve(t, node, web(A));
  assert.ok(first.exchange(3), "translated by nftables, and IPVS serves");
  const second = connect(t, node, "a");
  assert.ok(second.exchange(3));
  assert.deepEqual(listed(node).slice(1), ["-> 10.244.1.5:8080 Masq 1 1 0"]);
  ipvs[Symbol.dispose]();
  const again = startProxy(t, node.node, node1, web(A));
  assert.deepEqual(again.problems, []);
  assert.ok(second.exchange(3), "translated by IPVS, and nftables serve");
  const third = connect(t, node, "a");
  assert.ok(third.exchange(3));
  assert.deepEqual(listed(node).slice(1), ["-> 10.244.1.5:8080 Masq 0 1 0"], "the third is not among them");
  assert.ok(first.exchange(3));
});

test("the other backend's state is gone when nothing needs it any more", async (t) => {
  const node = await makeServiceNode(t);
  const ipvs = serve(t, node, web(A, FAR));
  ipvs[Symbol.dispose]();
  startProxy(t, node.node, node1, web(A, FAR));
  await until("the virtual server is gone", () => listed(node).length === 0);
  await until("the device is gone", () => node.node.routes.link("bwipvs0") === undefined);
  assert.match(run(node.node, "nft list map ip breakwater services"), /goto lb-2/);
});

test("verify() finds and repairs what somebody else did, and nothing of others is touched", async (t) => {
  const node = await makeServiceNode(t);
  const { proxy } = serve(t, node, web(A, FAR));
  const before = listed(node);
  run(
    node.node,
    `ipvsadm -A -t 192.0.2.77:80 -s rr
     ipvsadm -e -t ${VIP}:80 -r 10.244.1.5:8080 -m -w 7
     ipvsadm -d -t ${VIP}:80 -r 10.244.2.6:8080
     ipvsadm -a -t ${VIP}:80 -r 10.244.9.9:8080 -m
     ip address del ${VIP}/32 dev bwipvs0
     sysctl -qw net.ipv4.vs.conntrack=0 net.ipv4.conf.eth0.arp_ignore=0
     ipvsadm --set 900 0 0`,
  );
  const { differences } = await proxy.verify();
  assert.deepEqual(differences.map(({ set, api, kernel }) => `${set}: ${api} / ${kernel}`).sort(), [
    `ipvs addresses: ${VIP} / null`,
    `ipvs destinations: ${VIP} . tcp . 80 : 10.244.1.5 . 8080 weight 1 / ${VIP} . tcp . 80 : 10.244.1.5 . 8080 weight 7`,
    `ipvs destinations: ${VIP} . tcp . 80 : 10.244.2.6 . 8080 weight 1 / null`,
    `ipvs destinations: null / ${VIP} . tcp . 80 : 10.244.9.9 . 8080 weight 1`,
    "ipvs settings: net/ipv4/conf/eth0/arp_ignore 1 / net/ipv4/conf/eth0/arp_ignore 0",
    "ipvs settings: net/ipv4/vs/conntrack 1 / net/ipv4/vs/conntrack 0",
    "ipvs settings: timeout tcp 432000 / timeout tcp 900",
  ]);
  await until("all is as before", () => {
    const now = listed(node).filter((line) => !line.includes("192.0.2.77"));
    return JSON.stringify(now) === JSON.stringify(before);
  });
  assert.deepEqual((await proxy.verify()).differences, []);
  assert.match(run(node.node, "ipvsadm -L --timeout"), /: 432000 120 300$/m);
  assert.match(run(node.node, "ipvsadm -Ln"), /TCP {2}192\.0\.2\.77:80 rr\n/);
});

test("settings: connection tracking on, conn_reuse_mode by the kernel's version, devices that are not ours stay silent", async (t) => {
  const node = await makeServiceNode(t);
  serve(t, node, web(A));
  const names =
    "net.ipv4.vs.conntrack net.ipv4.vs.conn_reuse_mode net.ipv4.vs.expire_nodest_conn net.ipv4.conf.eth0.arp_ignore net.ipv4.conf.eth0.arp_announce";
  assert.equal(run(node.node, `sysctl -n ${names}`), "1\n1\n1\n1\n2\n");
  // A neighbour that takes the address for one of its own link gets no answer to its question who has it.
  const outside = at(node.paths.outside);
  run(outside, `ip route replace ${VIP}/32 dev eth0; ping -c 1 -W 1 ${VIP} || true`);
  assert.match(run(outside, `ip neigh show to ${VIP}`), /FAILED|INCOMPLETE/);
});

test("every scheduler that the kernel has serves; one that it has not is named, with what brings it", async (t) => {
  const node = await makeServiceNode(t);
  const served: string[] = [];
  for (const scheduler of IPVS_SCHEDULERS) {
    const proxy = startProxy(t, node.node, context, web(A), { ipvs: { ...ROUND_ROBIN, scheduler } });
    if (proxy.proxy.failure === undefined) {
      assert.match(listed(node)[0] ?? "", new RegExp(`^TCP 10\\.96\\.0\\.10:80 ${scheduler} `));
      served.push(scheduler);
    } else assert.match(proxy.proxy.failure, new RegExp(`The kernel has no IPVS scheduler "${scheduler}"`));
    proxy[Symbol.dispose]();
  }
  t.diagnostic(`served: ${served.join(", ")}`);
  for (const usual of ["rr", "wrr", "lc", "wlc", "sh", "mh"] satisfies IpvsScheduler[]) {
    assert.ok(served.includes(usual), usual);
  }
});

/** Each step: done, or the errno of its refusal. */
function outcomes(ipvs: Ipvs, steps: readonly IpvsChange[]): string[] {
  return ipvs.applyMany(steps).map((error, i) => `${steps[i]?.do}: ${error === undefined ? "done" : error.errno}`);
}

test("the fake kernel does with virtual servers what the real one does", (t) => {
  const key = "10.96.0.10 . tcp . 80";
  const server = (fields = {}) => ({ key, scheduler: "rr", flags: IPVS_MARK, timeoutSeconds: 0, ...fields });
  const six = server({ key: "fd00:10:96::a . udp . 53", flags: IPVS_MARK | IPVS_PERSISTENT, timeoutSeconds: 10_800 });
  const destination = (weight: number, endpoint = "10.244.1.5 . 8080") => ({ key, destination: { endpoint, weight } });
  const steps: IpvsChange[] = [
    { do: "deleteServer", key },
    { do: "changeServer", server: server() },
    { do: "addDestination", ...destination(1) },
    { do: "addServer", server: server({ scheduler: "nosuch" }) },
    { do: "addServer", server: server() },
    { do: "addServer", server: server() },
    { do: "changeServer", server: server({ scheduler: "nosuch" }) },
    { do: "changeServer", server: server({ scheduler: "sh", flags: IPVS_MARK | IPVS_FALLBACK }) },
    { do: "changeDestination", ...destination(0) },
    { do: "deleteDestination", ...destination(0) },
    { do: "addDestination", ...destination(1) },
    { do: "addDestination", ...destination(1) },
    { do: "addDestination", ...destination(1, "10.244.2.6 . 8080") },
    { do: "changeDestination", ...destination(0) },
    { do: "deleteDestination", ...destination(1, "10.244.2.6 . 8080") },
    { do: "addServer", server: six },
    { do: "addDestination", key: six.key, destination: { endpoint: "fd00:10:244:1::5 . 5353", weight: 1 } },
  ];
  const ns = testNamespace(t);
  const host = new FakeHost();
  host.addNamespace(ns.path);
  using fake = host.ipvs(ns.path).loadIpvs();
  using real = ns.run(() => loadIpvs());
  const timeouts = [fake, real].map((ipvs) => {
    const before = ipvs.tcpTimeout();
    ipvs.setTcpTimeout(1000);
    return [before, ipvs.tcpTimeout()];
  });
  assert.deepEqual(timeouts, [
    [900, 1000],
    [900, 1000],
  ]);
  assert.deepEqual(outcomes(fake, steps), outcomes(real, steps));
  const all = (ipvs: Ipvs) =>
    ipvs
      .virtualServers()
      .map((one) => ({ ...one, destinations: ipvs.destinations(one.server?.key ?? "") }))
      .sort((a, b) => (a.address ?? "").localeCompare(b.address ?? ""));
  assert.deepEqual(all(fake), all(real));
  assert.equal(all(real).length, 2);
  assert.deepEqual([fake.destinations("10.96.0.99 . tcp . 1"), real.destinations("10.96.0.99 . tcp . 1")], [[], []]);
});
