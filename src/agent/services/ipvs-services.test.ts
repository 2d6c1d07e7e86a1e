/** Services through IPVS over the kernel in memory: what is asked of it, what waits, what is left when it refuses. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { IPVS_DEVICE } from "../../model/marks.ts";
import type { IpvsConfig } from "../../model/node-config.ts";
import { aService, aSlice, tcp80 } from "../../plan/services/testing/objects.ts";
import { podOn } from "../../plan/services/testing/service-cluster.ts";
import { NO_SERVICES, ProxyRig, type ServiceState } from "./testing/proxy-rig.ts";

const KEY = "10.96.0.10 . tcp . 80";
const ipvs: IpvsConfig = { scheduler: "rr", drainSeconds: 60 };
const [A, B, C] = [podOn(1, 5), podOn(2, 6), podOn(3, 7)];
const web = (...endpoints: (typeof A)[]): ServiceState => ({ services: [aService()], slices: [aSlice(endpoints)] });
const udp: ServiceState = {
  services: [aService({ ports: [{ name: "dns", protocol: "UDP", port: 53 }] })],
  slices: [aSlice([A], { ports: [{ name: "dns", protocol: "UDP", port: 53 }] })],
};

function rigOf(config: Partial<IpvsConfig> = {}, before?: ProxyRig): ProxyRig {
  const rig = new ProxyRig({ ipvs: { ...ipvs, ...config } }, before);
  rig.context = { ...rig.context, nodePortAddresses: [] };
  return rig;
}

async function serving(state: ServiceState): Promise<ProxyRig> {
  const rig = rigOf();
  rig.start(state);
  await rig.settle();
  assert.equal(rig.proxy.failure, undefined);
  rig.operations();
  return rig;
}

/** Changes of IPVS and of addresses, and commits. */
const steps = (rig: ProxyRig) => rig.operations().filter((line) => !line.startsWith("writeSysctl"));

test("a Service is made before the rules lead to it: server, destinations, address, element", async () => {
  using rig = rigOf();
  rig.start(web(A));
  await rig.settle();
  const lines = steps(rig);
  const at = (text: string) => lines.findIndex((line) => line.includes(text));
  const order = [
    "add virtual server TCP 10.96.0.10:80",
    "add destination 10.244.1.5:8080",
    "addAddress 10.96.0.10/32",
    "commit ip breakwater",
  ];
  assert.deepEqual(
    order.map(at).toSorted((a, b) => a - b),
    order.map(at),
  );
  assert.ok(
    order.every((text) => at(text) >= 0),
    lines.join("\n"),
  );
  assert.deepEqual(rig.other.ipvs.lines(), ["TCP 10.96.0.10:80 rr 32 0: 10.244.1.5 . 8080 weight 1"]);
  assert.deepEqual(rig.elements("services"), [`${KEY} comment "ClusterIP default/web:http" : accept`]);
  assert.deepEqual(rig.elements("endpoints"), []);
  assert.deepEqual(rig.bound(), ["10.96.0.10"]);
});

test("one endpoint more is one step, one less is one and its deletion; the table does not change", async () => {
  using rig = await serving(web(A, B));
  rig.set(web(A, B, C));
  await rig.elapse(10);
  const key = "of destination 10.244.3.7:8080";
  assert.deepEqual(steps(rig), [
    "ipvsChange add destination 10.244.3.7:8080 weight 1 to virtual server TCP 10.96.0.10:80",
  ]);
  rig.set(web(A, B));
  await rig.elapse(10);
  assert.deepEqual(steps(rig), [`ipvsChange set weight 0 ${key} of virtual server TCP 10.96.0.10:80`]);
  await rig.settle();
  assert.deepEqual(steps(rig), ["ipvsChange delete destination 10.244.3.7:8080 from virtual server TCP 10.96.0.10:80"]);
});

test("nothing changed: nothing is asked, by an agent that starts anew neither", async () => {
  using rig = await serving(web(A, B));
  rig.set(web(A, B));
  await rig.settle();
  assert.deepEqual(steps(rig), []);
  rig.restart();
  await rig.settle();
  const known = ["add virtual server TCP 192.0.2.9", "delete virtual server TCP 192.0.2.9"];
  assert.deepEqual(
    steps(rig).filter((line) => !known.some((probe) => line.includes(probe.slice(0, 24)))),
    [],
  );
});

test("an endpoint with connections waits for their end; nobody is sent there meanwhile", async () => {
  using rig = await serving(web(A, B));
  rig.other.ipvs.connect(KEY, "10.244.1.5 . 8080", 3);
  rig.set(web(B));
  await rig.elapse(30_000);
  assert.deepEqual(rig.other.ipvs.lines(), [
    "TCP 10.96.0.10:80 rr 32 0: 10.244.1.5 . 8080 weight 0, 10.244.2.6 . 8080 weight 1",
  ]);
  assert.deepEqual((await rig.proxy.verify()).differences, [], "what waits is no difference");
  rig.other.ipvs.connect(KEY, "10.244.1.5 . 8080", 0);
  await rig.elapse(2000);
  assert.deepEqual(rig.other.ipvs.lines(), ["TCP 10.96.0.10:80 rr 32 0: 10.244.2.6 . 8080 weight 1"]);
});

test("no endpoint waits for ever: at the limit it goes with its connections, and so do server and address", async () => {
  using rig = await serving(web(A));
  rig.other.ipvs.connect(KEY, "10.244.1.5 . 8080", 3);
  rig.set(NO_SERVICES);
  await rig.elapse(58_000);
  assert.deepEqual([rig.other.ipvs.lines().length, rig.bound()], [1, ["10.96.0.10"]]);
  await rig.elapse(4000);
  assert.deepEqual([rig.other.ipvs.lines(), rig.bound()], [[], []]);
});

test("an endpoint that comes back while it waits is used again, and its connections went on", async () => {
  using rig = await serving(web(A, B));
  rig.other.ipvs.connect(KEY, "10.244.1.5 . 8080", 1);
  rig.set(web(B));
  await rig.elapse(50_000);
  rig.set(web(A, B));
  await rig.elapse(30_000);
  rig.set(web(B));
  await rig.elapse(50_000);
  assert.match(rig.other.ipvs.lines()[0] ?? "", /10\.244\.1\.5 \. 8080 weight 0/, "its time begins anew");
});

test("an agent that starts goes on waiting for what the one before it gave up", async () => {
  using rig = await serving(web(A, B));
  rig.other.ipvs.connect(KEY, "10.244.1.5 . 8080", 1);
  rig.set(web(B));
  await rig.elapse(10);
  rig.restart();
  await rig.elapse(5000);
  assert.match(rig.other.ipvs.lines()[0] ?? "", /10\.244\.1\.5 \. 8080 weight 0/);
  rig.other.ipvs.connect(KEY, "10.244.1.5 . 8080", 0);
  await rig.elapse(2000);
  assert.deepEqual(rig.other.ipvs.lines(), ["TCP 10.96.0.10:80 rr 32 0: 10.244.2.6 . 8080 weight 1"]);
});

test("UDP does not wait: its destination is deleted at once, and flows to it are", async () => {
  using rig = await serving(udp);
  rig.conntrack.track("udp 10.244.1.9:4000 > 10.96.0.10:53, 10.244.1.5:53 > 10.244.1.9:4000");
  rig.set({ ...udp, slices: [] });
  await rig.elapse(10);
  assert.deepEqual(rig.other.ipvs.lines(), []);
  assert.deepEqual(rig.conntrack.flows(), []);
});

test("settings are put right at the start, by the kernel's version, and for devices that are not ours", async () => {
  using rig = rigOf();
  rig.other.addHardware({ name: "eth0", mac: "02:00:00:00:00:01", addresses: ["192.168.1.11/24"] });
  rig.start(web(A));
  await rig.settle();
  const { sysctl } = rig.other;
  const read = (name: string) => sysctl.read(`net/ipv4/${name}`);
  assert.deepEqual(
    [
      "vs/conntrack",
      "vs/conn_reuse_mode",
      "vs/expire_nodest_conn",
      "conf/eth0/arp_ignore",
      "conf/eth0/arp_announce",
    ].map(read),
    ["1", "1", "1", "1", "2"],
  );
  sysctl.write("net/ipv4/conf/eth0/arp_ignore", "8");
  sysctl.write("net/ipv4/vs/conntrack", "0");
  const { differences } = await rig.proxy.verify();
  assert.deepEqual(
    differences.map(({ kernel }) => kernel),
    ["net/ipv4/vs/conntrack 0"],
    "a stricter value is none",
  );
  assert.equal(read("vs/conntrack"), "1");
});

test("silent connections are remembered as long as connection tracking does, and a longer time is left alone", async () => {
  using rig = await serving(web(A));
  const { ipvs: kernel } = rig.other;
  assert.equal(kernel.tcpTimeoutSeconds, 432_000);
  kernel.tcpTimeoutSeconds = 900;
  const { differences } = await rig.proxy.verify();
  assert.deepEqual(
    differences.map((each) => [each.api, each.kernel]),
    [["timeout tcp 432000", "timeout tcp 900"]],
  );
  assert.equal(kernel.tcpTimeoutSeconds, 432_000);
  kernel.tcpTimeoutSeconds = 1_000_000;
  assert.deepEqual((await rig.proxy.verify()).differences, []);
});

test("a kernel without IPVS is named, and the node is not ready", () => {
  using rig = rigOf();
  rig.other.ipvs.hasModule = false;
  rig.start(web(A));
  assert.match(rig.proxy.failure ?? "", /no generic netlink family "IPVS"/);
});

test("a scheduler that the kernel lacks is named before the first Service needs it", () => {
  using rig = rigOf({ scheduler: "twos" });
  rig.start(NO_SERVICES);
  assert.match(rig.proxy.failure ?? "", /no IPVS scheduler "twos"/);
  assert.deepEqual(rig.other.ipvs.lines(), []);
});

test("another scheduler changes servers in place: no destination is touched", async () => {
  using rig = await serving(web(A, B));
  rig.proxy[Symbol.dispose]();
  using next = rigOf({ scheduler: "wlc" }, rig);
  next.start(web(A, B));
  await next.settle();
  assert.deepEqual(
    steps(next).filter((line) => line.includes("10.96.0.10")),
    ["ipvsChange change virtual server TCP 10.96.0.10:80 to wlc"],
  );
});

test("servers of others are left alone, also where one has a Service's address; told of", async () => {
  using rig = rigOf();
  rig.other.ipvs.isLoaded = true;
  const foreign = { key: KEY, scheduler: "wrr", flags: 0, timeoutSeconds: 0 };
  rig.other.ipvs.servers.set(KEY, { server: foreign, destinations: new Map() });
  rig.start(web(A));
  await rig.settle();
  assert.deepEqual(rig.other.ipvs.lines(), ["TCP 10.96.0.10:80 wrr 0 0: "]);
  assert.ok(rig.problems.some((line) => line.includes("somebody else's virtual servers")));
  rig.set(NO_SERVICES);
  await rig.settle();
  assert.deepEqual(rig.other.ipvs.lines(), ["TCP 10.96.0.10:80 wrr 0 0: "]);
});

test("where kube-proxy is replaced its virtual servers become ours, and what they have goes on", async () => {
  using rig = rigOf({ adopt: true });
  rig.other.ipvs.isLoaded = true;
  const foreign = { key: KEY, scheduler: "wrr", flags: 0, timeoutSeconds: 0 };
  const destinations = new Map([["10.244.1.5 . 8080", { weight: 1, connections: 2 }]]);
  rig.other.ipvs.servers.set(KEY, { server: foreign, destinations });
  rig.start(web(A));
  await rig.settle();
  assert.deepEqual(rig.other.ipvs.lines(), ["TCP 10.96.0.10:80 rr 32 0: 10.244.1.5 . 8080 weight 1"]);
  assert.equal(destinations.get("10.244.1.5 . 8080")?.connections, 2);
});

test("from the maps to IPVS and back: new connections first, then what the other has, once it is not used", async () => {
  using maps = new ProxyRig();
  maps.context = { ...maps.context, nodePortAddresses: [] };
  maps.start(web(A, B));
  await maps.settle();
  const before = maps.tables();
  maps.proxy[Symbol.dispose]();
  using virtual = rigOf({}, maps);
  virtual.start(web(A, B));
  await virtual.settle();
  assert.deepEqual(virtual.elements("endpoints"), [], "slots that no verdict leads to are swept");
  virtual.other.ipvs.connect(KEY, "10.244.1.5 . 8080", 1);
  virtual.proxy[Symbol.dispose]();
  using again = new ProxyRig({}, virtual);
  again.context = { ...again.context, nodePortAddresses: [] };
  again.start(web(A, B));
  await again.elapse(30_000);
  assert.deepEqual(again.other.ipvs.lines(), ["TCP 10.96.0.10:80 rr 32 0: 10.244.1.5 . 8080 weight 0"]);
  assert.deepEqual(again.bound(), ["10.96.0.10"], "connections ask for the address");
  again.other.ipvs.connect(KEY, "10.244.1.5 . 8080", 0);
  await again.settle();
  assert.deepEqual(again.tables(), before);
  assert.equal(again.other.routes.link(IPVS_DEVICE), undefined);
});

test("an address that two frontends have leaves with the second", async () => {
  const two = aService({ ports: [tcp80, { name: "admin", protocol: "TCP", port: 81 }] });
  using rig = await serving({ services: [two], slices: [aSlice([A])] });
  rig.set(web(A));
  await rig.settle();
  assert.deepEqual(rig.bound(), ["10.96.0.10"]);
  rig.set(NO_SERVICES);
  await rig.settle();
  assert.deepEqual(rig.bound(), []);
});

test("an endpoint that IPVS does not take keeps no other from being served, and is tried again", async () => {
  using rig = rigOf();
  const failure = { operation: "ipvsChange", errno: "EINVAL", object: "add destination 10.244.1.5:8080" } as const;
  rig.host.failures.fail({ ...failure, times: Number.POSITIVE_INFINITY });
  rig.start(web(A, B));
  await rig.settle();
  assert.equal(rig.proxy.failure, undefined);
  assert.deepEqual(rig.other.ipvs.lines(), ["TCP 10.96.0.10:80 rr 32 0: 10.244.2.6 . 8080 weight 1"]);
  assert.deepEqual(rig.problems, [
    "IPVS does not take an endpoint, a broadcast address for one: the Service is served without it",
  ]);
  assert.deepEqual(rig.proxy.problems("default/web"), ["IPVS does not take endpoint 10.244.1.5 port 8080"]);
  assert.deepEqual((await rig.proxy.verify()).differences, []);
  rig.set(web(A, B, C));
  await rig.settle();
  assert.equal(rig.problems.length, 1, "said once");
  rig.host.failures.clear();
  rig.restart();
  await rig.settle();
  assert.match(rig.other.ipvs.lines()[0] ?? "", /10\.244\.1\.5 \. 8080 weight 1/);
});
