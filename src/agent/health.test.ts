import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";
import { Registry } from "prom-client";
import { startHealthServer } from "./health.ts";

const source = {
  unhealthy: () => undefined,
  notReady: () => "pods have to wait",
  collect: () => undefined,
  document: ({ pathname }: URL) => (pathname === "/mtu" ? { paths: [] } : undefined),
};

const start = async (address: string) => {
  const server = await startHealthServer(address, new Registry(), source);
  assert.ok(server !== undefined);
  return server;
};

for (const [host, authority] of [
  ["127.0.0.1", "127.0.0.1"],
  ["localhost", "localhost"],
  ["", "127.0.0.1"],
] as const) {
  test(`startHealthServer() answers on "${host}"`, async () => {
    const server = await start(`${host}:0`);
    const port = server.address.slice(server.address.lastIndexOf(":") + 1);
    const ask = async (path: string) => {
      const response = await fetch(`http://${authority}:${port}${path}`);
      return [response.status, await response.text()];
    };
    assert.deepEqual(await ask("/healthz"), [200, "ok\n"]);
    assert.deepEqual(await ask("/readyz"), [503, "pods have to wait\n"]);
    assert.deepEqual(await ask("/mtu"), [200, '{"paths":[]}\n']);
    assert.equal((await ask("/nothing"))[0], 404);
    await server.close();
  });
}

test("startHealthServer() says which address is taken, and what to do", async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const { port } = other.address() as { port: number };
  for (const host of ["127.0.0.1", "localhost"]) {
    await assert.rejects(start(`${host}:${port}`), {
      code: "BW_HEALTH_LISTEN",
      errno: "EADDRINUSE",
      message: `Cannot serve health and metrics on ${host}:${port}: EADDRINUSE`,
    });
  }
  await new Promise((resolve) => other.close(resolve));
});

test("startHealthServer() serves nothing where no address is given, and refuses what is none", async () => {
  assert.equal(await startHealthServer("", new Registry(), source), undefined);
  await assert.rejects(start("127.0.0.1"), { code: "BW_USAGE" });
});
