/** Health checks of load balancers, over real sockets on loopback. Rows svc-32, svc-34 and svc-35. */
import assert from "node:assert/strict";
import { createServer, get, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { anEndpoint, aService, aSlice, node1, tcp80 } from "../../plan/services/testing/objects.ts";
import { HealthChecks } from "./health-checks.ts";
import { ProxyRig, type ServiceState } from "./testing/proxy-rig.ts";

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** @throws Error with code ECONNREFUSED where nobody listens */
function ask(port: number, path = "/healthz", host = "127.0.0.1"): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = get({ host, port, path, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => {
        body += text;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    request.on("error", reject);
  });
}

const refused = (error: unknown) => error instanceof Error && "code" in error && error.code === "ECONNREFUSED";

/** Asks until somebody listens: that begins on a later turn. */
async function askSoon(port: number, host?: string): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await ask(port, "/healthz", host);
    } catch (error) {
      if (!refused(error) || attempt === 100) throw error;
      await sleep(10);
    }
  }
}

/** A port that nobody has. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function occupy(port: number, host = "127.0.0.1"): Promise<Server> {
  const server = createServer((_, response) => response.end("somebody else"));
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  return server;
}

interface Rig {
  readonly checks: HealthChecks;
  readonly errors: string[];
  healthy: boolean;
}

function open(t: TestContext): Rig {
  const rig: Rig = {
    healthy: true,
    errors: [],
    checks: new HealthChecks({
      healthy: () => rig.healthy,
      onError: ({ service }, error) => void rig.errors.push(`${service}: ${error.message}`),
    }),
  };
  t.after(() => rig.checks.stop());
  return rig;
}

const HOSTS = ["127.0.0.1"];

test("svc-32 HealthChecks answers 200 with a ready endpoint here and 503 without, in kube-proxy's words", async (t) => {
  const { checks } = open(t);
  const port = await freePort();
  checks.set([{ service: "shop/web", port, localEndpoints: 2 }], HOSTS);
  const yes = await askSoon(port);
  assert.equal(yes.status, 200);
  assert.equal(yes.headers["content-type"], "application/json");
  assert.equal(yes.headers["x-content-type-options"], "nosniff");
  assert.equal(yes.headers["x-load-balancing-endpoint-weight"], "2");
  assert.deepEqual(JSON.parse(yes.body), {
    service: { namespace: "shop", name: "web" },
    localEndpoints: 2,
    serviceProxyHealthy: true,
  });
  checks.set([{ service: "shop/web", port, localEndpoints: 0 }], HOSTS);
  const no = await ask(port, "/");
  assert.equal(no.status, 503);
  assert.equal(no.headers["x-load-balancing-endpoint-weight"], "0");
  assert.deepEqual(JSON.parse(no.body).localEndpoints, 0);
});

test("HealthChecks answers 503 while the rules cannot be brought up to date", async (t) => {
  const rig = open(t);
  const port = await freePort();
  rig.checks.set([{ service: "shop/web", port, localEndpoints: 1 }], HOSTS);
  assert.equal((await askSoon(port)).status, 200);
  rig.healthy = false;
  const answer = await ask(port);
  assert.equal(answer.status, 503);
  assert.equal(JSON.parse(answer.body).serviceProxyHealthy, false);
});

test("svc-34 HealthChecks gives a port back when its Service goes, and takes it again at once", async (t) => {
  const { checks, errors } = open(t);
  const port = await freePort();
  checks.set([{ service: "shop/web", port, localEndpoints: 1 }], HOSTS);
  await askSoon(port);
  checks.set([], HOSTS);
  assert.deepEqual(checks.ports(), []);
  await assert.rejects(ask(port), refused);
  checks.set([{ service: "shop/other", port, localEndpoints: 1 }], HOSTS);
  assert.equal(JSON.parse((await askSoon(port)).body).service.name, "other");
  assert.deepEqual(errors, []);
});

test("HealthChecks moves with the node's addresses, and a port that changes hands answers for its new Service", async (t) => {
  const { checks, errors } = open(t);
  const port = await freePort();
  checks.set([{ service: "shop/web", port, localEndpoints: 1 }], ["127.0.0.2"]);
  await askSoon(port, "127.0.0.2");
  await assert.rejects(ask(port), refused);
  checks.set([{ service: "shop/web", port, localEndpoints: 1 }], ["127.0.0.1", "127.0.0.2"]);
  for (const host of ["127.0.0.1", "127.0.0.2"]) assert.equal((await askSoon(port, host)).status, 200);
  checks.set([{ service: "shop/new", port, localEndpoints: 1 }], ["127.0.0.1", "127.0.0.2"]);
  assert.equal(JSON.parse((await ask(port)).body).service.name, "new");
  assert.deepEqual(errors, []);
});

test("HealthChecks says when a port is taken, gives its other addresses up, and tries all again with the next call", async (t) => {
  const { checks, errors } = open(t);
  const port = await freePort();
  const other = await occupy(port, "127.0.0.2");
  const check = { service: "shop/web", port, localEndpoints: 1 };
  checks.set([check], ["127.0.0.1", "127.0.0.2"]);
  while (errors.length === 0) await sleep(5);
  assert.match(errors[0] ?? "", /^shop\/web: .*EADDRINUSE/);
  assert.deepEqual(checks.ports(), []);
  await assert.rejects(ask(port), refused);
  await new Promise((resolve) => other.close(resolve));
  checks.set([check], ["127.0.0.1", "127.0.0.2"]);
  for (const host of ["127.0.0.1", "127.0.0.2"]) assert.equal((await askSoon(port, host)).status, 200);
  assert.equal(errors.length, 1);
});

test("HealthChecks ends connections that are open when it stops", async (t) => {
  const { checks } = open(t);
  const port = await freePort();
  checks.set([{ service: "shop/web", port, localEndpoints: 1 }], HOSTS);
  await askSoon(port);
  checks.stop();
  await assert.rejects(ask(port), refused);
});

const local = (port: number, ...endpoints: readonly ReturnType<typeof anEndpoint>[]): ServiceState => ({
  services: [
    aService({
      type: "LoadBalancer",
      ports: [{ ...tcp80, nodePort: 30080 }],
      externalPolicy: "Local",
      healthCheckNodePort: port,
    }),
  ],
  slices: [aSlice(endpoints)],
});
const here = (fields = {}) => anEndpoint("10.244.1.5", { nodeName: "node1", ...fields });

test("svc-32 svc-35 the proxy answers by what it serves: ready here, terminating here, elsewhere", async () => {
  const port = await freePort();
  using rig = new ProxyRig();
  rig.context = { ...node1, nodePortAddresses: HOSTS };
  rig.start(local(port, here()));
  assert.equal((await askSoon(port)).status, 200);
  rig.clock.advance(10);
  rig.set(local(port, here({ ready: false, serving: true, terminating: true })));
  assert.equal((await ask(port)).status, 503, "it gets traffic still");
  assert.ok(rig.elements("outside").some((element) => element.endsWith("goto outside-1")));
  rig.clock.advance(10);
  rig.set(local(port, anEndpoint("10.244.2.6", { nodeName: "node2" })));
  assert.equal((await ask(port)).status, 503);
  rig.clock.advance(10);
  const { healthCheckNodePort: _, ...cluster } = local(port).services[0] ?? aService();
  rig.set({ services: [{ ...cluster, externalPolicy: "Cluster" }], slices: [aSlice([here()])] });
  await assert.rejects(ask(port), refused);
});

test("the proxy answers 503 while the kernel refuses its rules, and comes back", async () => {
  const port = await freePort();
  using rig = new ProxyRig();
  rig.context = { ...node1, nodePortAddresses: HOSTS };
  rig.start(local(port, here()));
  assert.equal((await askSoon(port)).status, 200);
  rig.clock.advance(10);
  rig.host.failures.fail({ operation: "commit", errno: "ENOMEM", times: 2 });
  rig.set(local(port, here(), anEndpoint("10.244.1.6", { nodeName: "node1" })));
  assert.equal((await ask(port)).status, 503);
  await rig.settle();
  assert.equal((await ask(port)).headers["x-load-balancing-endpoint-weight"], "2");
});

test("the proxy tries a port that was taken again by itself, as after a restart", async () => {
  const port = await freePort();
  const predecessor = await occupy(port);
  using rig = new ProxyRig();
  rig.context = { ...node1, nodePortAddresses: HOSTS };
  rig.start(local(port, here()));
  while (rig.problems.length === 0) await sleep(5);
  await new Promise((resolve) => {
    predecessor.close(resolve);
    predecessor.closeAllConnections();
  });
  await rig.elapse(10_000);
  assert.equal(JSON.parse((await askSoon(port)).body).service.name, "web");
});
