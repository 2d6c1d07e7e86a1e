/** How the lab's pods live and end: what Services and their endpoints are tried with, seen from outside. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { eventually, LabHome, podManifest } from "./lab-fixture.ts";

const home = new LabHome();
const NAME = "pods";
const lab = (verb: string, ...args: string[]) => home.lab(NAME, verb, ...args);

before(async () => {
  const up = await lab("up", "--nodes", "3", "--zones", "2");
  assert.equal(up.code, 0, up.stderr);
});
after(() => home.close());

async function kubectl(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await home.kubectl(NAME, args);
  assert.equal(code, 0, `kubectl ${args.join(" ")}: ${stderr}`);
  return stdout;
}

async function apply(...items: object[]): Promise<void> {
  const list = JSON.stringify({ apiVersion: "v1", kind: "List", items });
  const { code, stderr } = await home.kubectl(NAME, ["apply", "-f", "-"], list);
  assert.equal(code, 0, stderr);
}

const ready = (pod: string) => kubectl("wait", `pod/${pod}`, "--for=condition=Ready", "--timeout=30s");
const service = (name: string, spec: object = {}) => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name },
  spec: { selector: { app: name }, ports: [{ port: 80 }], ...spec },
});
const pod = (name: string, spec: object, node = "node1") =>
  podManifest(name, { nodeName: node, ...spec }, { labels: { app: name } });
const responder = (more: object = {}) => ({
  containers: [{ name: "main", image: "responder", ports: [{ containerPort: 80 }], ...more }],
});

interface Endpoint {
  readonly addresses: string[];
  readonly conditions: Record<string, boolean>;
  readonly hints?: object;
}

async function endpoints(name: string): Promise<Endpoint[]> {
  const list = await kubectl("get", "endpointslices", "-l", `kubernetes.io/service-name=${name}`, "-o", "json");
  return JSON.parse(list).items.flatMap((slice: { endpoints: Endpoint[] | null }) => slice.endpoints ?? []);
}

/** [ready, serving, terminating] of the only endpoint. */
async function conditions(name: string): Promise<(boolean | undefined)[]> {
  const [endpoint, ...more] = await endpoints(name);
  assert.equal(more.length, 0);
  return ["ready", "serving", "terminating"].map((condition) => endpoint?.conditions[condition]);
}

async function dial(
  from: string,
  to: string,
): Promise<{ answer: string | null; error: string | null; clientIp?: string }> {
  const { stdout } = await lab("probe", "--from", from, "--to", to, "--port", "80", "--timeout", "1000", "-o", "json");
  return JSON.parse(stdout);
}

const addressOf = (name: string) => kubectl("get", "pod", name, "-o", "jsonpath={.status.podIP}");

test("--zones labels the nodes, and endpoints of a Service that prefers near ones have hints", async () => {
  const zones = await kubectl(
    "get",
    "nodes",
    "-o",
    "jsonpath={.items[*].metadata.labels.topology\\.kubernetes\\.io/zone}",
  );
  assert.equal(zones, "zone1 zone2 zone1");
  await apply(service("near", { trafficDistribution: "PreferSameNode" }), pod("near", responder(), "node2"));
  await ready("near");
  await eventually(5000, async () => {
    const [endpoint] = await endpoints("near");
    assert.deepEqual(endpoint?.hints, { forNodes: [{ name: "node2" }], forZones: [{ name: "zone2" }] });
  });
});

test("a probe says whom the responder saw: the machine outside, a pod, a node", async () => {
  await apply(pod("host", { hostNetwork: true, ...responder() }, "node3"), pod("far", responder(), "node3"));
  await ready("host");
  await ready("far");
  assert.equal((await dial("node/outside", "192.168.1.13")).clientIp, "203.0.113.10");
  assert.equal((await dial("default/near", "default/far")).clientIp, await addressOf("near"));
  assert.equal((await dial("node/node1", "default/near")).clientIp, "192.168.1.11");
});

test("a pod with a grace period of its own answers while it terminates; a second deletion shortens that", async () => {
  await apply(service("slow"), pod("slow", { terminationGracePeriodSeconds: 100, ...responder() }));
  await ready("slow");
  await kubectl("delete", "pod", "slow", "--wait=false");
  await eventually(5000, async () => assert.deepEqual(await conditions("slow"), [false, true, true]));
  assert.equal((await dial("node/node2", "default/slow")).answer, "default/slow");
  await kubectl("delete", "pod", "slow", "--grace-period=1", "--timeout=20s");
  assert.deepEqual(await endpoints("slow"), []);
});

test("readiness is watched on while a pod terminates", async () => {
  const readinessProbe = {
    exec: { command: ["sh", "-c", "ip -o addr | grep -q 192.0.2.1"] },
    periodSeconds: 1,
    failureThreshold: 1,
  };
  const spec = { terminationGracePeriodSeconds: 100, ...responder({ readinessProbe }) };
  await apply(
    service("unready"),
    service("published", { publishNotReadyAddresses: true, selector: { app: "unready" } }),
  );
  await apply(pod("unready", spec));
  await eventually(10_000, async () => assert.deepEqual(await conditions("unready"), [false, false, false]));
  assert.deepEqual(await conditions("published"), [true, false, false]);
  const address = (verb: string) =>
    lab("exec", "default/unready", "--", "ip", "addr", verb, "192.0.2.1/32", "dev", "lo");
  await address("add");
  await ready("unready");
  await kubectl("delete", "pod", "unready", "--wait=false");
  await eventually(5000, async () => assert.deepEqual(await conditions("unready"), [false, true, true]));
  await address("del");
  await eventually(5000, async () => assert.deepEqual(await conditions("unready"), [false, false, true]));
  assert.deepEqual(await conditions("published"), [true, false, true]);
  await kubectl("delete", "pod", "unready", "--now", "--timeout=20s");
});

test("init containers run first: the pod has its address and is an endpoint that is not ready", async () => {
  const init = (name: string, command: string) => ({ name, image: "x", command: ["sh", "-c", command] });
  const initContainers = [
    init("fails-once", "ip addr show lo | grep 192.0.2.3 || { ip addr add 192.0.2.3/32 dev lo; exit 1; }"),
    init("waits", "until ip addr show lo | grep 192.0.2.2; do sleep 0.1; done"),
  ];
  await apply(service("init"), pod("init", { initContainers, ...responder() }));
  await eventually(10_000, async () => assert.deepEqual(await conditions("init"), [false, false, false]));
  await eventually(10_000, async () => {
    const status = JSON.parse(await kubectl("get", "pod", "init", "-o", "json")).status;
    assert.equal(status.phase, "Pending");
    const [first, second] = status.initContainerStatuses;
    assert.deepEqual([first.state.terminated?.exitCode, first.restartCount], [0, 1]);
    assert.ok(second.state.running);
  });
  assert.equal((await dial("node/node1", "default/init")).error, "ECONNREFUSED");
  await lab("exec", "default/init", "--", "ip", "addr", "add", "192.0.2.2/32", "dev", "lo");
  await ready("init");
  assert.deepEqual(await conditions("init"), [true, true, false]);
  assert.equal((await dial("node/node1", "default/init")).answer, "default/init");
});

test("an evicted pod ends, gives back its network, and is no endpoint even where all are published", async () => {
  await apply(service("evicted", { publishNotReadyAddresses: true }), pod("evicted", responder()));
  await ready("evicted");
  const ip = await addressOf("evicted");
  const routed = async () => (await lab("exec", "node/node1", "--", "ip", "route", "show", ip)).stdout.trim();
  assert.notEqual(await routed(), "");
  await kubectl(
    ...["patch", "pod", "evicted", "--subresource=status", "--type=merge"],
    ...["-p", '{"status":{"phase":"Failed","reason":"Evicted"}}'],
  );
  await eventually(5000, async () => assert.deepEqual(await endpoints("evicted"), []));
  await eventually(5000, async () => assert.equal(await routed(), ""));
  assert.match(await kubectl("get", "pod", "evicted"), /Evicted/);
});

test("a pod that is through stays so, also under a new kubelet", async () => {
  const command = ["sh", "-c", "date +%N; sleep 0.2"];
  await apply(pod("once", { restartPolicy: "Never", containers: [{ name: "c", image: "x", command }] }, "node2"));
  const done = async () => assert.match(await kubectl("get", "pod", "once"), /Completed/);
  await eventually(10_000, done);
  const before = await kubectl("logs", "once");
  const killed = await lab("exec", "node/node2", "--", "pkill", "-9", "-f", "lab-kubele[t].*nodeName.:.node2");
  assert.equal(killed.code, 0);
  await apply(pod("behind", responder(), "node2"));
  await ready("behind");
  await done();
  assert.equal(await kubectl("logs", "once"), before);
});

test("a container whose liveness probe fails is restarted; one whose probes pass has no restarts", async () => {
  const probe = (port: number) => ({ tcpSocket: { port }, periodSeconds: 1, failureThreshold: 1 });
  await apply(
    pod("dying", responder({ livenessProbe: probe(81) })),
    pod("living", responder({ livenessProbe: probe(80), readinessProbe: probe(80) })),
  );
  const restarts = async (name: string) =>
    Number(await kubectl("get", "pod", name, "-o", "jsonpath={.status.containerStatuses[0].restartCount}"));
  await ready("living");
  await eventually(10_000, async () => assert.ok((await restarts("dying")) > 0));
  assert.equal(await restarts("living"), 0);
});

test("a load balancer reports its address through the status subresource", async () => {
  await apply(service("lb", { type: "LoadBalancer", externalTrafficPolicy: "Local" }));
  const patch = '{"status":{"loadBalancer":{"ingress":[{"ip":"198.51.100.1"}]}}}';
  await kubectl("patch", "service", "lb", "--subresource=status", "--type=merge", "-p", patch);
  assert.match(await kubectl("get", "service", "lb"), /LoadBalancer +10\.96\.\S+ +198\.51\.100\.1 /);
  assert.match(await kubectl("get", "service", "lb", "-o", "jsonpath={.spec.healthCheckNodePort}"), /^3\d{4}$/);
});

test("the API server goes away and comes back: pods live on, and what is asked for then happens", async () => {
  await lab("fault", "add", "api-down");
  assert.equal((await dial("node/node1", "default/near")).answer, "default/near", "the lab itself does not need it");
  await lab("fault", "clear");
  await apply(pod("later", responder(), "node3"));
  await ready("later");
  assert.equal((await dial("default/near", "default/later")).answer, "default/later");
});
