/**
 * UDP clients that never close their socket: each sends from one port for ever, and has to get to the endpoint that there
 * is now, whatever connection tracking remembers of the one before (kubernetes#105657, #126934).
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { eventually, PATIENCE } from "./lab-fixture.ts";
import { peer, responder, SETTLED_MS, ServiceLab, service } from "./services-fixture.ts";

const lab = new ServiceLab("udp");
const UDP = { ports: [{ port: 80, protocol: "UDP" }] };
const EXTERNAL = ["198.51.100.1", "2001:db8:51::1"];

const server = (name: string, app: string, node: string, spec: object = {}) =>
  responder(name, app, node, spec, [{ containerPort: 80, protocol: "UDP" }]);

before(() =>
  lab.up(
    [
      service("nodeport", { type: "NodePort", ...UDP }),
      service("cluster", UDP),
      service("local", { ...UDP, internalTrafficPolicy: "Local" }),
      service("host", UDP),
      service("late", UDP),
      service("external", { type: "NodePort", ...UDP, externalTrafficPolicy: "Local", externalIPs: EXTERNAL }),
      service("kept", UDP),
      service("gone", UDP),
      ...["nodeport", "cluster", "host"].map((name) => server(`${name}-1`, name, "node2")),
      server("local-here", "local", "node1"),
      server("local-there", "local", "node2"),
      ...["kept-1", "kept-2"].map((name) => server(name, "kept", "node2")),
      server("gone-1", "gone", "node2"),
    ],
    ["--nodes", "2", "--subnets", "2"],
  ),
);
after(() => lab.close());

interface Client {
  /** Who has answered each address so far, one after the other. */
  heard(): Promise<string[][]>;
  stop(): Promise<unknown>;
}

const heardOf = (output: string, addresses: readonly string[]): string[][] => {
  const lines = output.split("\n").map((line) => line.split(" "));
  return addresses.map((address) => lines.flatMap(([to, who = ""]) => (to === address ? [who] : [])));
};

const dialEach = (addresses: readonly string[], port: number) => addresses.map((address) => `${address},${port}`);

/** A pod on node1 that dials each address for ever. */
async function startClient(
  name: string,
  addresses: readonly string[],
  port: number,
  spec: object = {},
): Promise<Client> {
  const command = peer("udp-client", ...dialEach(addresses, port));
  const containers = [{ name: "main", image: "client", command }];
  await lab.apply(responder(name, "client", "node1", { containers, ...spec }));
  await lab.ready(name);
  return {
    heard: async () => heardOf(await lab.kubectl("logs", name), addresses),
    stop: () => lab.kubectl("delete", "pod", name, "--now", "--wait=false"),
  };
}

/** The same on the machine behind the router, until the lab is gone. */
function startOutside(targets: readonly string[]): Client {
  const output = lab.home.write("outside", "");
  const command = peer("udp-client", ...targets).join(" ");
  const ended = lab.lab(
    "exec",
    "node/outside",
    "--",
    "sh",
    "-c",
    `exec timeout ${PATIENCE * 60} ${command} >${output}`,
  );
  const addresses = targets.map((target) => target.split(",")[0] ?? "");
  return { heard: async () => heardOf(readFileSync(output, "utf8"), addresses), stop: () => ended };
}

/** The last one that each address' client heard of. */
function hears(client: Client, who: string): Promise<void> {
  return eventually(SETTLED_MS, async () => {
    for (const heard of await client.heard()) assert.equal(heard.at(-1), who, heard.join(", "));
  });
}

/** The pod that answers is replaced by another one. */
async function cycles(client: Client, app: string): Promise<void> {
  await hears(client, `default/${app}-1`);
  await lab.apply(server(`${app}-2`, app, "node2"));
  await lab.ready(`${app}-2`);
  await lab.kubectl("delete", "pod", `${app}-1`, "--timeout=30s");
  await hears(client, `default/${app}-2`);
  await client.stop();
}

test("svc-48 UDP conntrack: server pod cycles, NodePort", async () => {
  const port = Number(await lab.kubectl("get", "service", "nodeport", "-o", "jsonpath={.spec.ports[0].nodePort}"));
  await cycles(await startClient("nodeport", [...lab.addresses("node1"), ...lab.addresses("node2")], port), "nodeport");
});

test("svc-49 UDP conntrack: server pod cycles, ClusterIP", async () => {
  await cycles(await startClient("cluster", await lab.clusterIps("cluster"), 80), "cluster");
});

test("svc-50 UDP conntrack: ClusterIP, internalTrafficPolicy Local, a while without an endpoint here", async () => {
  const client = await startClient("local", await lab.clusterIps("local"), 80);
  await hears(client, "default/local-here");
  await lab.kubectl("delete", "pod", "local-here", "--timeout=30s");
  await hears(client, "nobody");
  await lab.apply(server("local-back", "local", "node1"));
  await hears(client, "default/local-back");
  await client.stop();
});

test("svc-51 UDP conntrack: client is hostNetwork", async () => {
  await cycles(await startClient("host", await lab.clusterIps("host"), 80, { hostNetwork: true }), "host");
});

test("svc-52 UDP: endpoint exists but is not ready yet", async () => {
  const client = await startClient("late", await lab.clusterIps("late"), 80);
  const waits = {
    name: "waits",
    image: "x",
    command: ["sh", "-c", "until ip addr show lo | grep 192.0.2.2; do sleep 0.1; done"],
  };
  await lab.apply(server("late-1", "late", "node2", { initContainers: [waits] }));
  await eventually(SETTLED_MS, async () => {
    const slices = await lab.kubectl("get", "endpointslices", "-l", "kubernetes.io/service-name=late", "-o", "json");
    assert.match(slices, /"ready": false/);
  });
  await hears(client, "nobody");
  await lab.exec("default/late-1", "ip", "addr", "add", "192.0.2.2/32", "dev", "lo");
  await hears(client, "default/late-1");
  await client.stop();
});

test("flows from outside to external addresses and NodePorts, begun while policy Local left no endpoint, are led to the new one", async () => {
  await lab.lead(EXTERNAL, "node1");
  const port = Number(await lab.kubectl("get", "service", "external", "-o", "jsonpath={.spec.ports[0].nodePort}"));
  const client = startOutside([...dialEach(EXTERNAL, 80), ...dialEach(lab.addresses("node1"), port)]);
  const all = (who: string) => hears(client, who);
  await all("nobody");
  await lab.apply(server("external-there", "external", "node2"));
  await lab.endpoints("external", 1);
  await all("nobody");
  await lab.apply(server("external-1", "external", "node1"));
  await all("default/external-1");
  await lab.kubectl("delete", "pod", "external-1", "--timeout=30s");
  await all("nobody");
  await lab.apply(server("external-2", "external", "node1"));
  await all("default/external-2");
});

/** Tracked flows of the client pods to an address, as conntrack(8) on node1 prints them, with their identity. */
async function flowsTo(address = ""): Promise<string[]> {
  const list = await lab.exec("node/node1", "conntrack", "-L", "-p", "udp", "--orig-dst", address, "-o", "id");
  return list.split("\n").filter((line) => line !== "");
}

test("a flow to an endpoint that stays is left alone when another one goes", async () => {
  const [ip = ""] = await lab.clusterIps("kept");
  const client = await startClient("keeper", [ip], 80);
  await eventually(SETTLED_MS, async () => assert.match((await client.heard())[0]?.at(-1) ?? "", /kept/));
  const before = await client.heard();
  const identity = async () => (await flowsTo(ip)).map((flow) => flow.match(/ id=\d+/)?.[0]);
  const flow = await identity();
  assert.equal(flow.length, 1);
  await lab.kubectl("delete", "pod", before[0]?.at(-1) === "default/kept-1" ? "kept-2" : "kept-1", "--timeout=30s");
  await lab.endpoints("kept", 1);
  assert.deepEqual([await identity(), await client.heard()], [flow, before]);
  await client.stop();
});

test("flows of a Service that is deleted are forgotten, and begin anew when it is back", async () => {
  const clusterIPs = await lab.clusterIps("gone");
  const client = await startClient("forgotten", clusterIPs, 80);
  await hears(client, "default/gone-1");
  await lab.kubectl("delete", "service", "gone");
  await hears(client, "nobody");
  assert.deepEqual(await flowsTo(clusterIPs[0]), []);
  await lab.apply(service("gone", { ...UDP, clusterIPs }));
  await hears(client, "default/gone-1");
  await client.stop();
});
