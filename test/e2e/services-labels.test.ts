/** Services that are not ours, or not any more: labels that leave them to others, and types that change. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { eventually } from "./lab-fixture.ts";
import { type Expectation, responder, SETTLED_MS, ServiceLab, service } from "./services-fixture.ts";

const lab = new ServiceLab("labels");
const HEADLESS = "service.kubernetes.io/headless";
const PROXY_NAME = "service.kubernetes.io/service-proxy-name";
const CLIENTS = ["default/client", "default/far", "node/node2"];

before(() =>
  lab.up(
    [
      responder("client", "client", "node1"),
      responder("far", "client", "node2"),
      responder("server", "server", "node1"),
    ],
    ["--nodes", "2", "--subnets", "2"],
  ),
);
after(() => lab.close());

const nodePortService = (name: string, label?: Record<string, string>) =>
  service(name, { type: "NodePort", selector: { app: "server" } }, label === undefined ? {} : { labels: label });

/** Dials of the Service's ClusterIPs and of its NodePort on both nodes. */
async function dials(name: string, gets: { readonly clusterIp: string; readonly nodePort: string }) {
  const port = Number(await lab.kubectl("get", "service", name, "-o", "jsonpath={.spec.ports[0].nodePort}"));
  const nodes = [...lab.addresses("node1"), ...lab.addresses("node2")];
  const rows = (clients: readonly string[], ips: readonly string[], to: number, what: string): Expectation[] =>
    clients.flatMap((from) => ips.map((ip) => ({ from, to: ip, port: to, gets: what })));
  return [
    ...rows(CLIENTS, await lab.clusterIps(name), 80, gets.clusterIp),
    ...rows(["node/outside", "default/far"], nodes, port, gets.nodePort),
  ];
}
const served = (name: string) => dials(name, { clusterIp: "default/server", nodePort: "default/server" });
/** An address that nobody serves is silent; a node's port that nobody listens on is refused by the node. */
const notServed = (name: string) => dials(name, { clusterIp: "ETIMEDOUT", nodePort: "ECONNREFUSED" });

/** The label comes and goes at runtime; its twin has had it from the start. */
async function comesAndGoes(app: string, label: string, value: string): Promise<void> {
  const [name, twin] = [`${app}-toggled`, `${app}-twin`];
  await lab.apply(nodePortService(twin, { [label]: value }), nodePortService(name));
  const up = await served(name);
  const down = [...(await notServed(name)), ...(await notServed(twin))];
  await lab.settles(up);
  await lab.kubectl("label", "service", name, `${label}=${value}`);
  await lab.settles(down);
  await lab.kubectl("label", "service", name, `${label}-`);
  await lab.settles(up);
  await lab.gone(twin);
  await lab.kubectl("delete", "service", name, twin);
}

test("svc-45 a Service with the label service.kubernetes.io/headless is left alone for as long as it has it", () =>
  comesAndGoes("headless", HEADLESS, ""));

test("svc-46 a Service with another proxy's name is left alone for as long as it has it", () =>
  comesAndGoes("proxy", PROXY_NAME, "another"));

/** What of a Service's address, or of a node port, is in the kernel of node1. */
async function inKernel(what: string): Promise<string[]> {
  const rules = await lab.exec("node/node1", "nft", "list", "ruleset");
  return rules.split("\n").filter((line) => line.includes(what));
}

const portOf = (name: string) => lab.kubectl("get", "service", name, "-o", "jsonpath={.spec.ports[0].nodePort}");

test("svc-47 rules appear and vanish with the type: ExternalName, ClusterIP, NodePort and back", async () => {
  const name = "typed";
  const spec = { type: "ExternalName", externalName: "example.com", ipFamilyPolicy: null, selector: null, ports: null };
  await lab.apply({ apiVersion: "v1", kind: "Service", metadata: { name, namespace: "default" }, spec });
  await lab.gone(name);

  const ports = [{ port: 80, targetPort: 80 }];
  await lab.patch(name, { type: "ClusterIP", externalName: null, selector: { app: "server" }, ports });
  const [ip = ""] = await lab.clusterIps(name);
  const dial = (to: string, port: number, gets: string) => CLIENTS.map((from) => ({ from, to, port, gets }));
  await lab.settles(dial(ip, 80, "default/server"));
  await lab.expect(dial("typed.default", 80, "default/server"));

  await lab.patch(name, { type: "NodePort" });
  assert.deepEqual(await lab.clusterIps(name), [ip], "the address stays");
  const port = Number(await portOf(name));
  const [node = ""] = lab.addresses("node2");
  await lab.settles([...dial(node, port, "default/server"), ...dial(ip, 80, "default/server")]);

  await lab.patch(name, { type: "ClusterIP" });
  await lab.settles(dial(node, port, "ECONNREFUSED"));
  await lab.expect(dial(ip, 80, "default/server"));
  assert.equal(await portOf(name), "", "released");
  await lab.apply(
    service("heir", { type: "NodePort", selector: { app: "server" }, ports: [{ port: 80, nodePort: port }] }),
  );
  await lab.settles(dial(node, port, "default/server"));
  await lab.kubectl("delete", "service", "heir");

  await lab.patch(name, { type: "ExternalName", externalName: "example.com" });
  await lab.gone(name);
  await lab.expect([...dial(ip, 80, "ETIMEDOUT"), ...dial(node, port, "ECONNREFUSED")]);
  // Slots go a second after what led to them.
  await eventually(SETTLED_MS, async () => {
    for (const what of [`${ip} `, `. ${port} `]) assert.deepEqual(await inKernel(what), [], what);
  });
});
