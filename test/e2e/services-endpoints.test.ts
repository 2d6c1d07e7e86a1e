/** Which pods a Service reaches while its pods and ports come and go, and what is refused: real sockets, both families. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { ProbeRequest } from "../../src/lab/control-protocol.ts";
import { peer, responder, ServiceLab, service } from "./services-fixture.ts";

const lab = new ServiceLab("endpoints");
const CLIENT = "default/client";
/** Who dials: a pod, a pod on another node, a node. */
const CLIENTS = [CLIENT, "default/far", "node/node2"];
const UDP = "UDP" as const;
const TALK_PORT = 9001;

before(() => lab.up([responder("client", "client", "node1"), responder("far", "far", "node2")]));
after(() => lab.close());

/** Everybody's dials to each ClusterIP of a Service. */
async function dials(name: string, port = 80, protocol: "TCP" | "UDP" = "TCP") {
  const ips = await lab.clusterIps(name);
  assert.equal(ips.length, 2, "both families");
  return to(ips, port, protocol);
}

function to(ips: readonly string[], port = 80, protocol: "TCP" | "UDP" = "TCP") {
  return ips.flatMap((ip) => CLIENTS.map((from) => ({ from, to: ip, port, protocol })));
}

const get = (gets: string, probes: readonly ProbeRequest[]) => probes.map((probe) => ({ ...probe, gets }));
/** Who sends datagrams on the node itself is told by send(): its kernel lets no rule drop or refuse them silently. */
const instead = (gets: string, probes: readonly ProbeRequest[]) =>
  probes.map((probe) => ({ ...probe, gets: isNodeDatagram(probe) ? "EPERM" : gets }));
const isNodeDatagram = ({ from, protocol }: ProbeRequest) => /^node\/node/.test(from) && protocol === UDP;
const refused = (probes: readonly ProbeRequest[]) => instead("ECONNREFUSED", probes);
const dropped = (probes: readonly ProbeRequest[]) => instead("ETIMEDOUT", probes);
const remove = (...pods: string[]) => lab.kubectl("delete", "pod", ...pods, "--timeout=30s");

test("svc-01 a Service is reachable on exactly the pods that it has", async () => {
  await lab.apply(service("basic"));
  await lab.endpoints("basic", 0);
  const probes = await dials("basic");
  await lab.expect(refused(probes));
  await lab.apply(responder("basic1", "basic", "node1"));
  await lab.endpoints("basic", 1);
  await lab.reachesAll(probes, ["basic1"]);
  await lab.apply(responder("basic2", "basic", "node2"));
  await lab.endpoints("basic", 2);
  await lab.reachesAll(probes, ["basic1", "basic2"]);
  await remove("basic1");
  await lab.endpoints("basic", 1);
  await lab.reachesAll(probes, ["basic2"]);
  await remove("basic2");
  await lab.endpoints("basic", 0);
  await lab.expect(refused(probes));
});

/** Waits until each port of a Service, at each of its addresses, has so many endpoints on every node. */
function portEndpoints(name: string, counts: Readonly<Record<number, number>>): Promise<void> {
  return lab.served(
    name,
    (frontends) =>
      frontends.length === 2 * Object.keys(counts).length &&
      frontends.every(({ port, endpoints }) => endpoints.length === counts[port]),
  );
}

test("svc-02 each port of a Service has the pods that serve it, and no others", async () => {
  const ports = [
    { name: "a", port: 80, targetPort: "svc-a" },
    { name: "b", port: 81, targetPort: "svc-b" },
  ];
  const named = (name: string, containerPort: number) => [{ name, containerPort }];
  await lab.apply(
    service("multi", { ports }),
    responder("multi1", "multi", "node1", {}, named("svc-a", 100)),
    responder("multi2", "multi", "node2", {}, named("svc-b", 101)),
  );
  await portEndpoints("multi", { 80: 1, 81: 1 });
  const [a, b] = [await dials("multi", 80), await dials("multi", 81)];
  await lab.expect([...get("default/multi1", a), ...get("default/multi2", b)]);
  await remove("multi1");
  await portEndpoints("multi", { 80: 0, 81: 1 });
  await lab.expect([...refused(a), ...get("default/multi2", b)]);
  await lab.apply(responder("multi3", "multi", "node3", {}, named("svc-a", 102)));
  await portEndpoints("multi", { 80: 1, 81: 1 });
  await lab.expect([...get("default/multi3", a), ...get("default/multi2", b)]);
});

test("svc-03 a named targetPort is each pod's own number", async () => {
  await lab.apply(
    service("named", { ports: [{ port: 80, targetPort: "web" }] }),
    responder("named1", "named", "node1", {}, [{ name: "web", containerPort: 8080 }]),
    responder("named2", "named", "node3", {}, [{ name: "web", containerPort: 9090 }]),
  );
  await lab.endpoints("named", 2);
  await lab.reachesAll(await dials("named"), ["named1", "named2"]);
});

test("svc-04 of two Services with one selector each works, also when the other is deleted", async () => {
  await lab.apply(
    service("left", { selector: { app: "twin" } }),
    service("right", { selector: { app: "twin" } }),
    responder("twin1", "twin", "node1"),
    responder("twin2", "twin", "node2"),
  );
  await Promise.all([lab.endpoints("left", 2), lab.endpoints("right", 2)]);
  const [left, right] = [await dials("left"), await dials("right")];
  await lab.reachesAll([...left, ...right], ["twin1", "twin2"]);
  await lab.kubectl("delete", "service", "left");
  await lab.gone("left");
  await lab.reachesAll(right, ["twin1", "twin2"]);
  // An address of the cluster's range that no Service has (any more).
  await lab.expect(dropped(left));
});

test("svc-05 TCP and UDP of one number are both forwarded, also at a load balancer's address", async () => {
  const ports = [
    { name: "tcp", port: 80 },
    { name: "udp", port: 80, protocol: UDP },
  ];
  await lab.apply(service("both", { type: "LoadBalancer", ports }), responder("both", "both", "node2"));
  const ips = ["198.51.100.5", "2001:db8:51::5"];
  await lab.reportLoadBalancer("both", ...ips);
  // A ClusterIP, a load balancer's address and a NodePort, for two protocols and families.
  await lab.served(
    "both",
    (frontends) => frontends.length === 12 && frontends.every(({ endpoints }) => endpoints.length === 1),
  );
  const all = [...(await lab.clusterIps("both")), ...ips];
  await lab.expect(get("default/both", [...to(all, 80), ...to(all, 80, UDP)]));
});

test("svc-06 ports come, change and go, and traffic on another port does not notice", async () => {
  const stays = { name: "stays", port: TALK_PORT };
  const echo = { name: "echo", image: "echo", command: peer("echo", String(TALK_PORT)) };
  const main = { name: "main", image: "responder", ports: [{ containerPort: 80 }, { containerPort: 8082 }] };
  await lab.apply(
    service("ports", { ports: [stays, { name: "goes", port: 81, targetPort: 80 }] }),
    responder("ports", "ports", "node2", { containers: [main, echo] }),
  );
  await lab.ready("ports");
  await portEndpoints("ports", { [TALK_PORT]: 1, 81: 1 });
  await lab.expect(get("default/ports", await dials("ports", 81)));
  const talks = (await lab.clusterIps("ports")).map((ip) => ({ to: ip, port: TALK_PORT, way: "talk" as const }));
  await lab.steadily(CLIENT, talks, async () => {
    // Nobody listens on 8083: the pod itself refuses.
    await lab.patch("ports", { ports: [stays, { name: "comes", port: 82, targetPort: 8083 }] });
    await portEndpoints("ports", { [TALK_PORT]: 1, 82: 1 });
    await lab.expect(refused([...(await dials("ports", 81)), ...(await dials("ports", 82))]));
    await lab.patch("ports", { ports: [stays, { name: "comes", port: 82, targetPort: 8082 }] });
    await lab.served("ports", (frontends) =>
      frontends.some(({ port, endpoints }) => port === 82 && endpoints.every((endpoint) => endpoint.endsWith(":8082"))),
    );
    await lab.expect(get("default/ports", await dials("ports", 82)));
  });
});

test("svc-07 without endpoints dials are refused at once, from pods, nodes and outside", async () => {
  const ports = [
    { name: "tcp", port: 80, nodePort: 30007 },
    { name: "udp", port: 80, nodePort: 30007, protocol: UDP },
  ];
  await lab.apply(service("empty", { type: "NodePort", ports }));
  await lab.endpoints("empty", 0);
  const nodePort = (from: string, protocol: "TCP" | "UDP") =>
    lab.addresses("node1").map((ip) => ({ from, to: ip, port: 30007, protocol }));
  await lab.expect(
    refused([
      ...(await dials("empty", 80)),
      ...(await dials("empty", 80, UDP)),
      ...[CLIENT, "default/far", "node/node1", "node/outside"].flatMap((from) => nodePort(from, "TCP")),
      ...[CLIENT, "node/node1", "node/outside"].flatMap((from) => nodePort(from, UDP)),
    ]),
  );
});

test("svc-07 a port that a Service does not have is refused; addresses of nobody and what a policy leaves out are dropped", async () => {
  await lab.apply(
    service("local", { internalTrafficPolicy: "Local" }),
    service("everywhere", { selector: { app: "local" } }),
    responder("local", "local", "node3"),
  );
  await lab.endpoints("everywhere", 1);
  await lab.served("local", (frontends, node) =>
    frontends.every(({ endpoints }) => endpoints.length === (node === "node3" ? 1 : 0)),
  );
  await lab.expect([
    ...get("default/local", await dials("everywhere")),
    ...refused(await dials("everywhere", 8080)),
    ...refused(await dials("everywhere", 8080, UDP)),
    ...refused(await dials("everywhere", 80, UDP)),
    ...dropped(await dials("local")),
    ...dropped(to(["10.96.255.250", "fd00:10:96::fffa"])),
    ...dropped(to(["10.96.255.250", "fd00:10:96::fffa"], 80, UDP)),
  ]);
});

test("svc-08 an evicted pod is no endpoint, also where pods that are not ready are published: refused", async () => {
  await lab.apply(service("evicted", { publishNotReadyAddresses: true }), responder("evicted", "evicted", "node2"));
  await lab.endpoints("evicted", 1);
  await lab.ready("evicted");
  const probes = await dials("evicted");
  await lab.expect(get("default/evicted", probes));
  const status = JSON.stringify({ status: { phase: "Failed", reason: "Evicted" } });
  await lab.kubectl("patch", "pod", "evicted", "--subresource=status", "--type=merge", "-p", status);
  await lab.endpoints("evicted", 0);
  await lab.expect(refused(probes));
  const slices = await lab.kubectl("get", "endpointslices", "-l", "kubernetes.io/service-name=evicted", "-o", "json");
  assert.deepEqual(
    JSON.parse(slices).items.flatMap((slice: { endpoints: object[] | null }) => slice.endpoints ?? []),
    [],
  );
});
