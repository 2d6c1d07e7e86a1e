/** NodePorts: who reaches which pods through which node, and where they do not answer. Both families. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { ProbeRequest } from "../../src/lab/control-protocol.ts";
import { eventually, PATIENCE } from "./lab-fixture.ts";
import { responder, ServiceLab, service } from "./services-fixture.ts";

const lab = new ServiceLab("node-port");
const CLIENT = "default/client";
const OUTSIDE = "node/outside";
type Protocol = "TCP" | "UDP" | "SCTP";

/** Two servers behind most Services here; a pod, and a pod in its node's network, that are none. */
before(async () => {
  const ports = ["TCP", "UDP", "SCTP"].map((protocol) => ({ containerPort: 80, protocol }));
  await lab.up([
    responder("web1", "web", "node1", {}, ports),
    responder("web2", "web", "node2", {}, ports),
    responder("client", "client", "node1"),
    responder("host", "host", "node3", { hostNetwork: true }, []),
  ]);
});
after(() => lab.close());

const PODS = ["web1", "web2"];
/** A NodePort Service for the two servers. */
const web = (name: string, ports: object[], spec: object = {}) =>
  service(name, { type: "NodePort", selector: { app: "web" }, ports, ...spec });
const refused = (probes: readonly ProbeRequest[]) => probes.map((probe) => ({ ...probe, gets: "ECONNREFUSED" }));

/** Dials from everybody to every address of every node. */
function everyNode(clients: readonly string[], port: number, protocol: Protocol = "TCP"): ProbeRequest[] {
  const addresses = lab.nodes.flatMap((node) => lab.addresses(node));
  assert.equal(addresses.length, 6, "three nodes, two families");
  return clients.flatMap((from) => addresses.map((to) => ({ from, to, port, protocol })));
}

async function clusterDials(name: string, protocol: Protocol = "TCP"): Promise<ProbeRequest[]> {
  return (await lab.clusterIps(name)).map((to) => ({ from: CLIENT, to, port: 80, protocol }));
}

test("svc-16 a NodePort Service answers by name, at its ClusterIPs and on every node's addresses, with all its pods", async () => {
  await lab.apply(web("functioning", [{ port: 80, nodePort: 30016 }]));
  await lab.endpoints("functioning", 2);
  await lab.reachesAll(
    [
      { from: CLIENT, to: "functioning.default", port: 80 },
      ...(await clusterDials("functioning")),
      ...everyNode([CLIENT, OUTSIDE], 30016),
    ],
    PODS,
  );
});

test("svc-17 every node's NodePort leads nodes, pods in a node's network and endpoints to all pods, by TCP and UDP", async () => {
  await lab.apply(
    web("granular", [
      { name: "tcp", port: 80, nodePort: 30017 },
      { name: "udp", port: 80, nodePort: 30017, protocol: "UDP" },
    ]),
  );
  await lab.endpoints("granular", 2);
  const clients = ["node/node1", "node/node3", "default/host", "default/web1"];
  await lab.reachesAll([...everyNode(clients, 30017), ...everyNode(clients, 30017, "UDP")], PODS);
});

test("svc-17 the same by SCTP", async (t) => {
  const [direct] = await lab.dial([{ from: CLIENT, to: "default/web1", port: 80, protocol: "SCTP" }]);
  if (direct?.error === "EPROTONOSUPPORT") {
    t.skip("this kernel has no SCTP");
    return;
  }
  await lab.apply(web("sctp", [{ port: 80, nodePort: 30117, protocol: "SCTP" }]));
  await lab.endpoints("sctp", 2);
  const clients = ["node/node1", "node/node3", "default/host", "default/web1"];
  await lab.reachesAll(everyNode(clients, 30117, "SCTP"), PODS);
});

test("svc-18 a NodePort that was removed does not answer any more; the ClusterIP does", async () => {
  await lab.apply(web("update", [{ port: 80, nodePort: 30018 }]));
  await lab.endpoints("update", 2);
  const dials = everyNode([CLIENT, "node/node2", OUTSIDE], 30018);
  await lab.reachesAll(dials, PODS);
  await lab.patch("update", { type: "ClusterIP", ports: [{ port: 80 }] });
  await lab.served("update", (frontends) => frontends.every(({ kind }) => kind === "ClusterIP"));
  await lab.expect(refused(dials));
  await lab.reachesAll(await clusterDials("update"), PODS);
});

test("svc-19 one NodePort number serves TCP, and UDP when that is added", async () => {
  const tcp = { name: "tcp", port: 80, nodePort: 30019 };
  await lab.apply(web("number", [tcp]));
  await lab.endpoints("number", 2);
  const [byTcp, byUdp] = [everyNode([CLIENT, OUTSIDE], 30019), everyNode([CLIENT], 30019, "UDP")];
  await lab.reachesAll(byTcp, PODS);
  // Kernels limit how many ICMP errors one host gets, and redirects for the dials before count too: it may take a second.
  await eventually(PATIENCE * 10_000, () =>
    lab.expect(refused(byUdp.map((probe) => ({ ...probe, timeoutMs: PATIENCE * 500 })))),
  );
  await lab.patch("number", { ports: [tcp, { ...tcp, name: "udp", protocol: "UDP" }] });
  await lab.served("number", (frontends) => frontends.length === 8);
  await lab.reachesAll([...byTcp, ...byUdp, ...everyNode([OUTSIDE], 30019, "UDP")], PODS);
});

test("svc-20 a NodePort is refused to a second Service and out of range, and free when its Service is gone", async () => {
  await lab.apply(web("holder", [{ port: 80, nodePort: 30020 }]));
  await lab.endpoints("holder", 2);
  assert.match(await lab.refusal(web("second", [{ port: 80, nodePort: 30020 }])), /30020.*already allocated/s);
  assert.match(await lab.refusal(web("second", [{ port: 80, nodePort: 80 }])), /not in the valid range.*30000-32767/s);
  await lab.kubectl("delete", "service", "holder");
  await lab.gone("holder");
  const dials = everyNode([CLIENT, OUTSIDE], 30020);
  await lab.expect(refused(dials));
  await lab.apply(web("second", [{ port: 80, nodePort: 30020 }]));
  await lab.endpoints("second", 2);
  await lab.reachesAll(dials, PODS);
});

test("svc-21 NodePorts are not served on localhost, nor on addresses of a node that are not its InternalIPs", async () => {
  const others = ["198.18.0.21", "2001:db8:21::1"];
  await lab.apply(web("localhost", [{ port: 80, nodePort: 30021 }]));
  await lab.endpoints("localhost", 2);
  for (const ip of others) await lab.exec("node/node1", "ip", "address", "add", ip, "dev", "lo", "noprefixroute");
  const here = ["127.0.0.1", "::1", ...others].map((to) => ({ from: "node/node1", to, port: 30021 }));
  const fromPod = others.map((to) => ({ from: CLIENT, to, port: 30021 }));
  await lab.expect(refused([...here, ...fromPod]));
  await lab.reachesAll(everyNode(["node/node1"], 30021), PODS);
});

test("internalTrafficPolicy Local is no matter of NodePorts, nor externalTrafficPolicy Local one of ClusterIPs", async () => {
  const local = { selector: { app: "far" } };
  await lab.apply(
    web("internal", [{ port: 80, nodePort: 30022 }], { internalTrafficPolicy: "Local", ...local }),
    web("external", [{ port: 80, nodePort: 30023 }], { externalTrafficPolicy: "Local", ...local }),
    responder("far", "far", "node3"),
  );
  // ClusterIPs of the one have this node's endpoints only, NodePorts all.
  await lab.served(
    "internal",
    (frontends, node) =>
      frontends.length === 4 &&
      frontends.every(({ kind, endpoints }) => endpoints.length === (kind === "NodePort" || node === "node3" ? 1 : 0)),
  );
  await lab.endpoints("external", 1);
  const get = (probes: readonly ProbeRequest[], gets: string) => probes.map((probe) => ({ ...probe, gets }));
  await lab.expect([
    ...get(everyNode([CLIENT, OUTSIDE], 30022), "default/far"),
    ...get(await clusterDials("internal"), "ETIMEDOUT"),
    ...get(await clusterDials("external"), "default/far"),
  ]);
});
