import assert from "node:assert/strict";
import * as fs from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { findRunning, processes } from "./running.ts";

interface Process {
  readonly comm?: string;
  readonly namespace?: string;
}

/** A folder like /proc; our own namespace is net:[1]. */
function procFolder(t: TestContext, entries: Readonly<Record<string, Process>>): string {
  const folder = fs.mkdtempSync(join(tmpdir(), "breakwater-test-"));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const self: Process = { namespace: "net:[1]" };
  for (const [pid, { comm, namespace }] of Object.entries({ "thread-self": self, ...entries })) {
    fs.mkdirSync(join(folder, pid, "ns"), { recursive: true });
    if (comm !== undefined) fs.writeFileSync(join(folder, pid, "comm"), `${comm}\n`);
    if (namespace !== undefined) fs.symlinkSync(namespace, join(folder, pid, "ns", "net"));
  }
  return folder;
}

test("processes() finds kube-proxy in our network namespace, whatever else is called so", (t) => {
  const proc = procFolder(t, {
    "1": { comm: "systemd", namespace: "net:[1]" },
    "1200": { comm: "kube-proxy", namespace: "net:[1]" },
    "900": { comm: "kube-proxy", namespace: "net:[1]" },
    "77": { comm: "kube-proxy", namespace: "net:[2]" },
    "78": { comm: "kube-proxy-mock", namespace: "net:[1]" },
    sys: { comm: "kube-proxy", namespace: "net:[1]" },
  });
  assert.deepEqual(processes(proc), [900, 1200]);
});

test("processes() passes over those that ended, are dead, or are not ours to look into", (t) => {
  const proc = procFolder(t, {
    "10": { namespace: "net:[1]" },
    "11": { comm: "kube-proxy" },
    "12": { comm: "kube-proxy", namespace: "net:[1]" },
  });
  assert.deepEqual(processes(proc), [12]);
});

test("processes() finds nothing where our own namespace cannot be told", (t) => {
  const proc = procFolder(t, { "12": { comm: "kube-proxy", namespace: "net:[1]" } });
  fs.rmSync(join(proc, "thread-self"), { recursive: true });
  assert.deepEqual(processes(proc), []);
});

test("processes() reads this machine's /proc", () => {
  assert.ok(!processes().includes(process.pid));
});

/** A health server on loopback, and whether it passes for kube-proxy's. */
async function asksHealthz(t: TestContext, answer: RequestListener): Promise<string | undefined> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const { healthz } = await findRunning({ host: "127.0.0.1", port })();
  assert.ok(healthz === undefined || healthz === `127.0.0.1:${port}`);
  return healthz;
}

/** As kube-proxy 1.31 answers. */
const BODY = `{"lastUpdated": "2026-01-01 10:00:00 +0000 UTC m=+1.0","currentTime": "2026-01-01 10:00:01 +0000 UTC m=+2.0", "nodeEligible": true}`;

test("findRunning() takes an answer like kube-proxy's for one, healthy or not", async (t) => {
  assert.notEqual(await asksHealthz(t, (_, response) => response.end(BODY)), undefined);
  const ill: RequestListener = (_, response) => response.writeHead(503).end(BODY);
  assert.notEqual(await asksHealthz(t, ill), undefined);
});

test("findRunning() asks for /healthz", async (t) => {
  const paths: (string | undefined)[] = [];
  await asksHealthz(t, (request, response) => {
    paths.push(request.url);
    response.end("ok");
  });
  assert.deepEqual(paths, ["/healthz"]);
});

test("findRunning() takes no other program for kube-proxy", async (t) => {
  const others: RequestListener[] = [
    (_, response) => response.end("ok"),
    (_, response) => response.writeHead(404).end(),
    (_, response) => response.end(`${" ".repeat(10_000)}${BODY}`),
    (request) => request.socket.destroy(),
    (_, response) => {
      response.write(BODY);
      response.destroy();
    },
  ];
  for (const other of others) assert.equal(await asksHealthz(t, other), undefined);
});

test("findRunning() gives up on who never answers", { timeout: 5000 }, async (t) => {
  assert.equal(await asksHealthz(t, () => undefined), undefined);
});

test("findRunning() finds nobody where nobody listens", async () => {
  const { healthz } = await findRunning({ host: "127.0.0.1", port: 1 })();
  assert.equal(healthz, undefined);
});
