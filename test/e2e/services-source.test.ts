/** Whom a server sees behind a Service: pods keep their addresses, and pods reach themselves. Both families. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ipFamily } from "../../src/model/ip.ts";
import { responder, ServiceLab, service } from "./services-fixture.ts";

const lab = new ServiceLab("source");
const NODES = ["node1", "node2", "node3"] as const;
const PODS = ["a", "b", "c"] as const;
const PROTOCOLS = ["TCP", "UDP"] as const;
const both = [
  { name: "tcp", port: 80 },
  { name: "udp", port: 80, protocol: "UDP" },
];
const nodePorts = (nodePort: number) => both.map((port) => ({ ...port, nodePort }));

/** One pod a node, and a Service that has the first one alone. */
before(async () => {
  await lab.up([
    service("one", { ports: both }),
    responder("a", "one", "node1"),
    responder("b", "b", "node2"),
    responder("c", "c", "node3"),
  ]);
  await lab.endpoints("one", 1);
});
after(() => lab.close());

const podAddresses = async () =>
  new Map(await Promise.all(PODS.map(async (pod) => [pod, await lab.podIps(pod)] as const)));
const ofFamily = (ips: readonly string[], like: string) => ips.find((ip) => ipFamily(ip) === ipFamily(like)) ?? "";

test("svc-09 pod source address is kept through ClusterIP, on the server's node and on others", async () => {
  const ips = await podAddresses();
  const targets = await lab.clusterIps("one");
  assert.equal(targets.length, 2);
  // The pod itself is another matter: svc-11.
  await lab.expect(
    (["b", "c"] as const).flatMap((from) =>
      targets.flatMap((to) =>
        PROTOCOLS.map((protocol) => {
          const sees = ofFamily(ips.get(from) ?? [], to);
          return { from: `default/${from}`, to, port: 80, protocol, gets: "default/a", sees };
        }),
      ),
    ),
  );
  await lab.apply(responder("near", "near", "node1"));
  await lab.ready("near");
  const near = await lab.podIps("near");
  await lab.expect(
    targets.map((to) => ({ from: "default/near", to, port: 80, gets: "default/a", sees: ofFamily(near, to) })),
  );
});

test("svc-09 a node that dials a ClusterIP is seen by an address of its own, wherever the server is", async () => {
  const targets = await lab.clusterIps("one");
  for (const node of NODES) {
    const own = await lab.ownAddresses(node);
    const results = await lab.dial(targets.map((to) => ({ from: `node/${node}`, to, port: 80 })));
    for (const { answer, clientIp = "" } of results) {
      assert.equal(answer, "default/a");
      assert.ok(own.includes(clientIp), `${node} is seen as ${clientIp}, which is none of ${own.join(", ")}`);
    }
  }
});

test("svc-10 no source NAT between pods: every pair, directly", async () => {
  const ips = await podAddresses();
  const rows = PODS.flatMap((from) =>
    PODS.flatMap((to) =>
      (ips.get(to) ?? []).flatMap((ip) =>
        PROTOCOLS.map((protocol) => {
          const sees = ofFamily(ips.get(from) ?? [], ip);
          return { from: `default/${from}`, to: ip, port: 80, protocol, gets: `default/${to}`, sees };
        }),
      ),
    ),
  );
  assert.equal(rows.length, 36);
  await lab.expect(rows);
});

/** The Service's ClusterIPs, a load balancer's addresses, and the NodePort of the pod's own node. */
async function waysTo(name: string, node: string, external: readonly string[], nodePort: number) {
  return [
    ...(await lab.clusterIps(name)).map((to) => ({ to, port: 80 })),
    ...external.map((to) => ({ to, port: 80 })),
    ...lab.addresses(node).map((to) => ({ to, port: nodePort })),
  ];
}

test("svc-11 a pod reaches itself through its Service by each of its addresses, and sees another's address then", async () => {
  const external = ["198.51.100.11", "2001:db8:51::11"];
  await lab.apply(
    service("self", { type: "LoadBalancer", externalIPs: external, ports: nodePorts(30011) }),
    responder("self", "self", "node2"),
  );
  await lab.endpoints("self", 1);
  const own = await lab.podIps("self");
  const ofNode = await lab.ownAddresses("node2");
  const ways = (await waysTo("self", "node2", external, 30011)).flatMap((way) =>
    PROTOCOLS.map((protocol) => ({ ...way, from: "default/self", protocol })),
  );
  assert.equal(ways.length, 12);
  const results = await lab.dial(ways);
  for (const [i, { answer, error, clientIp = "" }] of results.entries()) {
    assert.equal(answer ?? error, "default/self", JSON.stringify(ways[i]));
    assert.ok(!own.includes(clientIp) && ofNode.includes(clientIp), `${JSON.stringify(ways[i])} saw ${clientIp}`);
  }
});

test("svc-11 of several endpoints only the one that dials itself hides its address", async () => {
  await lab.apply(
    service("pair", { type: "NodePort", ports: nodePorts(30111) }),
    responder("pair1", "pair", "node1"),
    responder("pair2", "pair", "node1"),
    responder("pair3", "pair", "node3"),
  );
  await lab.endpoints("pair", 3);
  const own = await lab.podIps("pair1");
  const ways = (await waysTo("pair", "node1", [], 30111)).map((way) => ({ ...way, from: "default/pair1" }));
  await lab.reachesAll(ways, ["pair1", "pair2", "pair3"]);
  const again = ways.flatMap((way) => Array.from({ length: 10 }, () => way));
  for (const [i, { answer, error, clientIp = "" }] of (await lab.dial(again)).entries()) {
    assert.ok(answer !== null, `${JSON.stringify(again[i])}: ${error}`);
    assert.equal(own.includes(clientIp), answer !== "default/pair1", `${answer} saw ${clientIp}`);
  }
});

test("svc-11 a pod in its node's network reaches itself through its Service", async () => {
  const ports = [{ containerPort: 8011 }];
  await lab.apply(
    service("host", { type: "NodePort", ports: [{ port: 80, targetPort: 8011, nodePort: 30211 }] }),
    responder("host", "host", "node3", { hostNetwork: true }, ports),
  );
  await lab.endpoints("host", 1);
  const ways = await waysTo("host", "node3", [], 30211);
  await lab.expect(
    ways.flatMap((way) =>
      ["default/host", "default/c", "default/a"].map((from) => ({ ...way, from, gets: "default/host" })),
    ),
  );
});
