/** Endpoints that terminate or are not ready: who still gets there, and what a load balancer is told (KEP-1669). */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { eventually } from "./lab-fixture.ts";
import { type Expectation, responder, SETTLED_MS, ServiceLab, service } from "./services-fixture.ts";

const lab = new ServiceLab("terminating");
/** Pods answer until they are over, which is later than the tests are. */
const LINGERS = { terminationGracePeriodSeconds: 100 };
const NEAR = "default/near";
const FAR = "default/far";
const ROWS = ["health", "cluster", "local", "nodeport", "outside"];

before(() =>
  lab.up(
    [
      responder("near", "client", "node1"),
      responder("far", "client", "node2"),
      ...[...ROWS, "last"].map((name) => responder(name, name, "node1", LINGERS)),
      service("health", { type: "LoadBalancer", externalTrafficPolicy: "Local" }),
      service("cluster"),
      service("local", { internalTrafficPolicy: "Local" }),
      service("nodeport", { type: "NodePort" }),
      service("outside", { type: "NodePort", externalTrafficPolicy: "Local" }),
      service("last", { type: "LoadBalancer", externalTrafficPolicy: "Local" }),
    ],
    ["--nodes", "2", "--subnets", "2"],
  ),
);
after(() => lab.close());

const field = (name: string, path: string) => lab.kubectl("get", "service", name, "-o", `jsonpath={${path}}`);
const nodePort = async (name: string) => Number(await field(name, ".spec.ports[0].nodePort"));

/** ready, serving and terminating of each endpoint of the first family. */
async function conditions(name: string): Promise<string[]> {
  const wanted = ["get", "endpointslices", "-l", `kubernetes.io/service-name=${name}`, "-o", "json"];
  const { items } = JSON.parse(await lab.kubectl(...wanted));
  const [first] = items as { endpoints: { conditions: Record<string, boolean> }[] | null }[];
  const names = ["ready", "serving", "terminating"];
  return (first?.endpoints ?? []).map(({ conditions: each }) => names.filter((name) => each[name]).join(" "));
}

/** The pod is told to go, and goes on answering. */
async function terminate(name: string): Promise<void> {
  await lab.kubectl("delete", "pod", name, "--wait=false");
  await eventually(SETTLED_MS, async () => assert.ok((await conditions(name)).includes("serving terminating")));
}

/** Each client's dials of each address. */
function dials(clients: readonly string[], addresses: readonly string[], port: number, gets: string): Expectation[] {
  return clients.flatMap((from) => addresses.map((to) => ({ from, to, port, gets })));
}
const fiveTimes = (rows: readonly Expectation[]) => Array.from({ length: 5 }, () => rows).flat();

/** Status codes of a load balancer's health check on node1 and node2, over both families. */
async function health(name: string): Promise<(number | undefined)[]> {
  const port = await field(name, ".spec.healthCheckNodePort");
  const hosts = ["node1", "node2"].flatMap((node) =>
    lab.addresses(node).map((ip) => (ip.includes(":") ? `[${ip}]` : ip)),
  );
  const outcomes = await lab.httpGet("node/outside", ...hosts.map((host) => `http://${host}:${port}/healthz`));
  return outcomes.map(({ status }) => status);
}

test("svc-35 the health check fails with only terminating endpoints, and traffic still gets to them", async () => {
  const port = await nodePort("health");
  await eventually(SETTLED_MS, async () => assert.deepEqual(await health("health"), [200, 200, 503, 503]));
  await terminate("health");
  await eventually(SETTLED_MS, async () => assert.deepEqual(await health("health"), [503, 503, 503, 503]));
  await lab.expect([
    ...fiveTimes(dials(["node/outside", NEAR], lab.addresses("node1"), port, "default/health")),
    ...dials(["node/outside"], lab.addresses("node2"), port, "ETIMEDOUT"),
  ]);
});

/** What holds while the pod is ready holds from the moment on in which it terminates. */
async function holdsOn(name: string, rows: readonly Expectation[]): Promise<void> {
  await lab.settles(rows);
  await terminate(name);
  await lab.expect(rows);
}

test("svc-36 fallback to terminating endpoints, internalTrafficPolicy Cluster", async () => {
  const ips = await lab.clusterIps("cluster");
  const everybody = [NEAR, FAR, "node/node1", "node/node2"];
  await holdsOn("cluster", fiveTimes(dials(everybody, ips, 80, "default/cluster")));
});

test("svc-37 fallback to terminating endpoints, internalTrafficPolicy Local", async () => {
  const ips = await lab.clusterIps("local");
  await holdsOn("local", [
    ...fiveTimes(dials([NEAR, "node/node1"], ips, 80, "default/local")),
    ...dials([FAR, "node/node2"], ips, 80, "ETIMEDOUT"),
  ]);
});

test("svc-38 fallback to terminating endpoints, externalTrafficPolicy Cluster", async () => {
  const everybody = [NEAR, FAR, "node/node1", "node/node2", "node/outside"];
  const addresses = [...lab.addresses("node1"), ...lab.addresses("node2")];
  const rows = dials(everybody, addresses, await nodePort("nodeport"), "default/nodeport");
  await holdsOn("nodeport", fiveTimes(rows));
});

test("svc-39 fallback to terminating endpoints, externalTrafficPolicy Local", async () => {
  const port = await nodePort("outside");
  await holdsOn("outside", [
    ...fiveTimes(dials([NEAR, FAR, "node/outside"], lab.addresses("node1"), port, "default/outside")),
    // Upstream leaves open what node2 and its own pods get there.
    ...dials([NEAR, "node/outside"], lab.addresses("node2"), port, "ETIMEDOUT"),
  ]);
});

test("terminating endpoints serve only where no ready one is in the set that the policy allows", async () => {
  const port = await nodePort("last");
  await terminate("last");
  await lab.apply(responder("fresh", "last", "node2"));
  await lab.ready("fresh");
  await lab.settles([
    // Node and pods of node1 are let to all nodes' endpoints: the ready one.
    ...fiveTimes(dials(["node/node1", NEAR], lab.addresses("node1"), port, "default/fresh")),
    // Who comes from outside is not, and on node1 there is only the one that goes.
    ...fiveTimes(dials(["node/outside", FAR], lab.addresses("node1"), port, "default/last")),
    ...fiveTimes(dials(["node/outside"], lab.addresses("node2"), port, "default/fresh")),
  ]);
  assert.deepEqual(await health("last"), [503, 503, 200, 200]);
  const ips = await lab.clusterIps("last");
  await lab.expect(fiveTimes(dials([NEAR, FAR, "node/node1"], ips, 80, "default/fresh")));
});

/** A pod that is ready while the address is on its loopback; it terminates for long. */
function switched(name: string, app: string): object {
  const readinessProbe = {
    exec: { command: ["sh", "-c", "ip -o addr | grep -q 192.0.2.1"] },
    periodSeconds: 1,
    failureThreshold: 1,
  };
  const container = { name: "main", image: "responder", ports: [{ containerPort: 80 }], readinessProbe };
  return responder(name, app, "node1", { ...LINGERS, containers: [container] });
}
const setReady = (name: string, verb: "add" | "del") =>
  lab.exec(`default/${name}`, "ip", "addr", verb, "192.0.2.1/32", "dev", "lo");

/** Dials of a Service's ClusterIPs and of both nodes' ports, from everywhere. */
async function everyDial(name: string, gets: string): Promise<Expectation[]> {
  const nodes = [...lab.addresses("node1"), ...lab.addresses("node2")];
  return [
    ...dials([NEAR, FAR, "node/node1", "node/node2"], await lab.clusterIps(name), 80, gets),
    ...dials([NEAR, FAR, "node/outside"], nodes, await nodePort(name), gets),
  ];
}

test("svc-40 publishNotReadyAddresses: a pod that is not ready and terminates is served", async () => {
  await lab.apply(
    service("published", { type: "NodePort", publishNotReadyAddresses: true }),
    switched("published", "published"),
  );
  const served = await everyDial("published", "default/published");
  await lab.settles(served);
  assert.deepEqual(await conditions("published"), ["ready"], "ready by name alone");
  await lab.kubectl("delete", "pod", "published", "--wait=false");
  await eventually(SETTLED_MS, async () => assert.deepEqual(await conditions("published"), ["ready terminating"]));
  await lab.endpoints("published", 1);
  await lab.expect(fiveTimes(served));
});

test("svc-41 without publishNotReadyAddresses a pod that is not ready and terminates is not served", async () => {
  await lab.apply(service("unready", { type: "NodePort" }), switched("unready", "unready"));
  await eventually(SETTLED_MS, () => setReady("unready", "add").then(() => undefined));
  await lab.ready("unready");
  const served = await everyDial("unready", "default/unready");
  await lab.settles(served);
  await terminate("unready");
  await setReady("unready", "del");
  await eventually(SETTLED_MS, async () => assert.deepEqual(await conditions("unready"), ["terminating"]));
  await lab.endpoints("unready", 0);
  await lab.expect(await everyDial("unready", "ECONNREFUSED"));
});
