/** Addresses from outside the cluster: external IPs, load balancers, who may come in, externalTrafficPolicy. Both families. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { OUTSIDE } from "../../src/lab/topology.ts";
import { ipFamily } from "../../src/model/ip.ts";
import { eventually } from "./lab-fixture.ts";
import { type Expectation, responder, SETTLED_MS, ServiceLab, service } from "./services-fixture.ts";

const lab = new ServiceLab("external");
const CLIENT = "default/client";
const PODS = [CLIENT, "default/far", "default/third"];
const NODES = ["node/node1", "node/node2", "node/node3"];
const MACHINE = "node/outside";
const [MACHINE4, MACHINE6] = OUTSIDE.addresses.map(({ address }) => address);

const podIps = new Map<string, readonly string[]>();

/** One client pod a node, and two servers: "web" on node2 for most, "spread" on node2 and node3. */
before(async () => {
  await lab.up([
    responder("client", "client", "node1"),
    responder("far", "client", "node2"),
    responder("third", "client", "node3"),
    responder("web", "web", "node2"),
    responder("spread2", "spread", "node2"),
    responder("spread3", "spread", "node3"),
  ]);
  for (const pod of PODS) podIps.set(pod, await lab.podIps(pod.replace("default/", "")));
});
after(() => lab.close());

const addressesFor = (number: number) => [`198.51.100.${number}`, `2001:db8:51::${number}`];
const web = (name: string, spec: object) => service(name, { selector: { app: "web" }, ...spec });
/** Each of the clients dials each of the addresses. */
const dials = (clients: readonly string[], ips: readonly string[], gets: string, port = 80): Expectation[] =>
  clients.flatMap((from) => ips.map((to) => ({ from, to, port, gets })));
const byUdp = (rows: readonly Expectation[]) => rows.map((row) => ({ ...row, protocol: "UDP" as const }));
const ofFamily = (ips: readonly (string | undefined)[], like: string) =>
  ips.find((ip) => ip !== undefined && ipFamily(ip) === ipFamily(like)) ?? "";
const machineAt = (to: string) => ofFamily([MACHINE4, MACHINE6], to);

/** The same, and servers have to see the pods' own addresses. */
const keeping = (rows: readonly Expectation[]) =>
  rows.map((row) => ({ ...row, sees: ofFamily(podIps.get(row.from) ?? [], row.to) }));

/** A Service at addresses that a load balancer has, led to one node. */
async function balanced(name: string, number: number, node: string, spec: object, endpoints = 1): Promise<string[]> {
  const ips = addressesFor(number);
  await lab.apply(web(name, { type: "LoadBalancer", ...spec }));
  await lab.reportLoadBalancer(name, ...ips);
  await lab.lead(ips, node);
  await served(name, "LoadBalancer", endpoints);
  return ips;
}

/** Waits until every node serves addresses of a kind with so many endpoints. */
const served = (name: string, kind: string, count = 1) =>
  lab.served(name, (frontends) => {
    const found = frontends.filter((frontend) => frontend.kind === kind);
    return found.length > 0 && found.every(({ endpoints }) => endpoints.length === count);
  });

test("svc-29 external IPs that no node has are answered by endpoints, wherever they are led in", async () => {
  const ips = addressesFor(29);
  const ports = [
    { name: "tcp", port: 80 },
    { name: "udp", port: 80, protocol: "UDP" },
  ];
  await lab.apply(web("external", { externalIPs: ips, ports }));
  await lab.lead(ips, "node1");
  await served("external", "ExternalIP");
  // Who comes from outside is seen as the node where it came in: the answer has to come back that way.
  const outside = ips.map((to) => ({ from: MACHINE, to, port: 80, gets: "default/web" }));
  await lab.expect([...outside, ...byUdp(outside), ...dials(NODES, ips, "default/web")]);
  for (const { clientIp } of await lab.dial(outside)) assert.ok(clientIp !== MACHINE4 && clientIp !== MACHINE6);
  const inside = keeping(dials(PODS, ips, "default/web"));
  await lab.expect([...inside, ...byUdp(inside)]);
  await lab.patch("external", { selector: { app: "nobody" } });
  await served("external", "ExternalIP", 0);
  await lab.expect(dials([MACHINE, ...PODS, ...NODES], ips, "ECONNREFUSED"));
});

test("svc-30 loadBalancerSourceRanges let in who is in them, at the load balancer's address alone", async () => {
  const podRange = ["10.244.1.0/24", "fd00:10:244:1::/64"];
  const machine = [`${MACHINE4}/32`, `${MACHINE6}/128`];
  const spec = { loadBalancerSourceRanges: [...podRange, ...machine], ports: [{ port: 80, nodePort: 30030 }] };
  const ips = await balanced("ranges", 30, "node2", spec);
  const everybody = [MACHINE, ...PODS, ...NODES];
  await lab.expect([
    ...dials([CLIENT, MACHINE], ips, "default/web"),
    ...dials(["default/far", "default/third", ...NODES], ips, "ETIMEDOUT"),
    ...dials(everybody, lab.addresses("node1"), "default/web", 30030),
    ...dials(PODS, await lab.clusterIps("ranges"), "default/web"),
  ]);
  await lab.patch("ranges", { loadBalancerSourceRanges: podRange });
  await lab.served("ranges", (frontends) => frontends.every(({ sourceRanges }) => sourceRanges?.length !== 2));
  await lab.expect([...dials([CLIENT], ips, "default/web"), ...dials([MACHINE], ips, "ETIMEDOUT")]);
  await lab.patch("ranges", { loadBalancerSourceRanges: null });
  await lab.served("ranges", (frontends) => frontends.every(({ sourceRanges }) => sourceRanges === null));
  await lab.expect(dials(everybody, ips, "default/web"));
});

test("svc-30 a node in the ranges is let in with the load balancer's address too, where a device has that", async () => {
  const ranges = lab.addresses("node1").map((ip) => `${ip}/${ipFamily(ip) === 4 ? 32 : 128}`);
  const ips = await balanced("node-range", 130, "node1", { loadBalancerSourceRanges: ranges });
  await lab.expect([...dials(["node/node1"], ips, "default/web"), ...dials(["node/node2"], ips, "ETIMEDOUT")]);
  for (const node of ["node/node1", "node/node2"])
    for (const ip of ips) await lab.exec(node, "ip", "address", "add", ip, "dev", "lo", "noprefixroute");
  // The kernel chooses the address itself as the source now.
  await lab.expect([...dials(["node/node1"], ips, "default/web"), ...dials(["node/node2"], ips, "ETIMEDOUT")]);
});

test("svc-31 externalTrafficPolicy Local: the node with the pod answers and shows it the client, others are silent", async () => {
  const ports = [
    { name: "tcp", port: 80, nodePort: 30031 },
    { name: "udp", port: 80, nodePort: 30031, protocol: "UDP" },
  ];
  await lab.apply(web("local-port", { type: "NodePort", externalTrafficPolicy: "Local", ports }));
  await served("local-port", "NodePort");
  const at = (node: string) => lab.addresses(node);
  const seenAs = (node: string, rows: readonly Expectation[]) =>
    rows.map((row) => ({ ...row, sees: ofFamily(at(node), row.to) }));
  const rows = [
    ...dials([MACHINE], at("node2"), "default/web", 30031).map((row) => ({ ...row, sees: machineAt(row.to) })),
    ...dials([MACHINE], [...at("node1"), ...at("node3")], "ETIMEDOUT", 30031),
    // Pods of other nodes are outside for a node, and come with their node's address, as to all that is no pod; its own
    // pods are not, and neither is the node itself.
    ...keeping(dials(["default/far"], at("node2"), "default/web", 30031)),
    ...seenAs("node1", dials([CLIENT], at("node2"), "default/web", 30031)),
    ...seenAs("node3", dials(["default/third"], at("node2"), "default/web", 30031)),
    ...dials(["default/far", "default/third"], at("node1"), "ETIMEDOUT", 30031),
    ...keeping(dials([CLIENT], at("node1"), "default/web", 30031)),
    ...dials(["node/node1"], [...at("node1"), ...at("node2")], "default/web", 30031),
  ];
  await lab.expect([...rows, ...byUdp(rows)]);
});

/** What each node answers to GET node:port/healthz: status and number of endpoints; both families have to agree. */
async function health(port: number): Promise<(string | undefined)[]> {
  const urls = lab.nodes.flatMap((node) =>
    lab.addresses(node).map((ip) => `http://${ip.includes(":") ? `[${ip}]` : ip}:${port}/healthz`),
  );
  const each = (await lab.httpGet(MACHINE, ...urls)).map(({ status, body, error }) =>
    status === undefined ? error : `${status} ${JSON.parse(body ?? "").localEndpoints}`,
  );
  return lab.nodes.map((_, i) => {
    assert.equal(each[2 * i], each[2 * i + 1], "IPv4 and IPv6");
    return each[2 * i];
  });
}

test("svc-32 the health check port says 200 where a ready endpoint is and 503 elsewhere; it goes with the policy", async () => {
  await balanced("health", 32, "node2", { externalTrafficPolicy: "Local", selector: { app: "nobody" } }, 0);
  const port = Number(await lab.kubectl("get", "service", "health", "-o", "jsonpath={.spec.healthCheckNodePort}"));
  assert.ok(port >= 30_000 && port <= 32_767, `${port}`);
  const says = (...wanted: string[]) =>
    eventually(SETTLED_MS, async () => assert.deepEqual(await health(port), wanted));
  await says("503 0", "503 0", "503 0");
  await lab.patch("health", { selector: { app: "spread" } });
  await says("503 0", "200 1", "200 1");
  await lab.kubectl("delete", "pod", "spread3", "--timeout=30s");
  await says("503 0", "200 1", "503 0");
  await lab.patch("health", { externalTrafficPolicy: "Cluster" });
  assert.equal(await lab.kubectl("get", "service", "health", "-o", "jsonpath={.spec.healthCheckNodePort}"), "");
  await says("ECONNREFUSED", "ECONNREFUSED", "ECONNREFUSED");
});

test("svc-33 externalTrafficPolicy Local: pods of every node reach the load balancer's address and keep theirs", async () => {
  const ips = await balanced("local", 33, "node2", { externalTrafficPolicy: "Local" });
  await lab.expect(keeping(dials(PODS, ips, "default/web")));
  // Nodes do too, wherever the pod is, and are seen by an address of theirs.
  for (const node of lab.nodes) {
    const own = await lab.ownAddresses(node);
    for (const { answer, clientIp = "" } of await lab.dial(ips.map((to) => ({ from: `node/${node}`, to, port: 80 })))) {
      assert.equal(answer, "default/web");
      assert.ok(own.includes(clientIp) && !ips.includes(clientIp), `${node} is seen as ${clientIp}`);
    }
  }
  await lab.expect(dials([MACHINE], ips, "default/web").map((row) => ({ ...row, sees: machineAt(row.to) })));
  await lab.lead(ips, "node1");
  await lab.expect(dials([MACHINE], ips, "ETIMEDOUT"));
  // It is no matter of the ClusterIP.
  await lab.expect(keeping(dials(PODS, await lab.clusterIps("local"), "default/web")));
});

test("svc-33 internalTrafficPolicy Local is no matter of the load balancer's address", async () => {
  const ips = await balanced("internal", 133, "node1", { internalTrafficPolicy: "Local" });
  await lab.expect([
    ...dials([MACHINE, ...PODS, ...NODES], ips, "default/web"),
    ...dials([CLIENT], await lab.clusterIps("internal"), "ETIMEDOUT"),
  ]);
});

test("svc-34 from Local to Cluster: every node answers from outside, and the health check port is gone", async () => {
  const ports = [{ port: 80, nodePort: 30034 }];
  const ips = await balanced("switch", 34, "node1", { externalTrafficPolicy: "Local", ports });
  const port = Number(await lab.kubectl("get", "service", "switch", "-o", "jsonpath={.spec.healthCheckNodePort}"));
  await eventually(SETTLED_MS, async () => assert.deepEqual(await health(port), ["503 0", "200 1", "503 0"]));
  await lab.expect([
    ...dials([MACHINE], ips, "ETIMEDOUT"),
    ...dials([MACHINE], lab.addresses("node3"), "ETIMEDOUT", 30034),
  ]);
  await lab.patch("switch", { externalTrafficPolicy: "Cluster" });
  await lab.served("switch", (frontends) => frontends.every(({ outside }) => outside === null));
  const everywhere = lab.nodes.flatMap((node) => lab.addresses(node));
  await lab.expect([
    ...dials([MACHINE], ips, "default/web"),
    ...dials([MACHINE, ...PODS], everywhere, "default/web", 30034),
  ]);
  const refused = ["ECONNREFUSED", "ECONNREFUSED", "ECONNREFUSED"];
  await eventually(SETTLED_MS, async () => assert.deepEqual(await health(port), refused));
  await lab.patch("switch", { externalTrafficPolicy: "Local" });
  await lab.served("switch", (frontends) =>
    frontends.every(({ kind, outside }) => kind === "ClusterIP" || outside !== null),
  );
  await lab.expect(dials([MACHINE], ips, "ETIMEDOUT"));
});
