/** A whole cluster through IPVS: `lab up --service-proxy ipvs`, real agents, sockets of pods, nodes and outside. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { OUTSIDE } from "../../src/lab/topology.ts";
import { type Expectation, responder, ServiceLab, service } from "../e2e/services-fixture.ts";

const lab = new ServiceLab("ipvs");

before(() =>
  lab.up(
    [
      responder("client", "client", "node1"),
      responder("web1", "web", "node1"),
      responder("web2", "web", "node2"),
      service("web", { type: "NodePort", ports: [{ port: 80, nodePort: 30080 }] }),
      service("none"),
    ],
    ["--nodes", "2", "--service-proxy", "ipvs", "--ipvs-scheduler", "lc"],
  ),
);
after(() => lab.close());

test("each node has a virtual server for each address, in ipvsadm's words", async () => {
  await lab.endpoints("web", 2);
  const [four = "", six = ""] = await lab.clusterIps("web");
  for (const node of lab.nodes) {
    const listed = await lab.exec(`node/${node}`, "ipvsadm", "-Ln");
    for (const where of [`${four}:80`, `[${six}]:80`, `${lab.addresses(node)[0]}:30080`]) {
      assert.ok(listed.includes(`TCP  ${where} lc`), `${where} in ${listed}`);
    }
    assert.ok(!listed.includes((await lab.clusterIps("none"))[0] ?? ""), "one without endpoints has none");
  }
});

test("pods, nodes and who is outside reach every endpoint; one without endpoints refuses", async () => {
  const [four = "", six = ""] = await lab.clusterIps("web");
  const node1 = lab.addresses("node1")[0] ?? "";
  const inside = ["default/client", "node/node2"].flatMap((from) => [
    { from, to: four, port: 80 },
    { from, to: six, port: 80 },
  ]);
  await lab.reachesAll([...inside, { from: "node/outside", to: node1, port: 30080 }], ["web1", "web2"]);
  const [none = ""] = await lab.clusterIps("none");
  const refused = ["default/client", "node/node1"].map((from): Expectation => {
    return { from, to: none, port: 80, gets: "ECONNREFUSED" };
  });
  await lab.expect(refused);
});

test("a load balancer's addresses that the router leads to one node are served there, from when that has heard of them", async () => {
  const ips = ["198.51.100.40", "2001:db8:51::40"];
  await lab.apply(service("balanced", { type: "LoadBalancer", selector: { app: "web" } }));
  await lab.lead(ips, "node1");
  const outside = ips.map((to) => ({ from: "node/outside", to, port: 80 }));
  // The node sends back by its default route what it knows nothing of, until a packet has gone round often enough.
  await lab.expect(outside.map((probe) => ({ ...probe, gets: "EHOSTUNREACH" })));
  await lab.reportLoadBalancer("balanced", ...ips);
  await lab.served("balanced", (frontends) =>
    ips.every((ip) => frontends.some(({ address, endpoints }) => address === ip && endpoints.length === 2)),
  );
  await lab.reachesAll(outside, ["web1", "web2"]);
  for (const [i, { answer, clientIp = "" }] of (await lab.dial(outside)).entries()) {
    assert.ok(answer !== null && clientIp !== "", ips[i]);
    assert.ok(!OUTSIDE.addresses.some(({ address }) => address === clientIp), `${ips[i]} shows ${clientIp}`);
  }
});

test("an endpoint that goes is left at once; the last one, and the Service refuses", async () => {
  const [four = ""] = await lab.clusterIps("web");
  await lab.kubectl("delete", "pod", "web2", "--wait=false");
  await lab.endpoints("web", 1);
  await lab.reachesAll([{ from: "default/client", to: four, port: 80 }], ["web1"]);
  await lab.kubectl("delete", "pod", "web1", "--wait=false");
  await lab.endpoints("web", 0);
  await lab.settles([{ from: "default/client", to: four, port: 80, gets: "ECONNREFUSED" }]);
});
