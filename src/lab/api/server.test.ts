import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { test } from "node:test";
import { isBreakwaterError } from "../../model/errors.ts";
import { at, listOf } from "./object/object.ts";
import { createApiServer } from "./server.ts";
import { startServer } from "./test-server.ts";

const OPTIONS = { clusterCidrs: ["10.244.0.0/16"], serviceCidrs: ["10.96.0.0/16"] };

test("createApiServer().listen() serves several sockets", async (context) => {
  const server = createApiServer(OPTIONS);
  context.after(() => server.close());
  for (const host of ["127.0.0.1", "127.0.0.2"]) {
    const { port } = await server.listen({ port: 0, host });
    assert.equal((await fetch(`http://${host}:${port}/healthz`)).status, 200);
  }
});

/** A program that serves the listening socket it inherits as file descriptor 3, until its standard input ends. */
const HEIR = `
  import { createApiServer } from ${JSON.stringify(new URL("./server.ts", import.meta.url).href)};
  const server = createApiServer(${JSON.stringify(OPTIONS)});
  const { port } = await server.listen({ fd: 3 });
  console.log(port);
  process.stdin.on("end", () => server.close()).resume();
`;

test("createApiServer().listen() serves an inherited listening socket", async (context) => {
  const socket = createTcpServer();
  await new Promise<void>((resolve) => socket.listen(0, "127.0.0.1", resolve));
  context.after(() => socket.close());
  const { port } = socket.address() as AddressInfo;
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
  const heir = spawn(process.execPath, ["--input-type=module", "-e", HEIR], { stdio: ["pipe", "pipe", "inherit", fd] });
  context.after(() => heir.stdin?.end());
  assert.ok(heir.stdout);
  const [line] = await once(heir.stdout.setEncoding("utf8"), "data");
  assert.equal(Number(line), port);
  // This process does not accept any more; the heir does.
  socket.close();
  assert.equal((await fetch(`http://127.0.0.1:${port}/healthz`)).status, 200);
});

test("createApiServer().listen() names the address that is taken", async (context) => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  context.after(() => taken.close());
  const { port } = taken.address() as AddressInfo;
  const server = createApiServer(OPTIONS);
  context.after(() => server.close());
  await assert.rejects(server.listen({ port, host: "127.0.0.1" }), (error) => {
    assert.ok(isBreakwaterError(error, "BW_API_LISTEN"));
    assert.deepEqual([error.errno, error.object], ["EADDRINUSE", `127.0.0.1:${port}`]);
    return true;
  });
});

test("createApiServer().close() ends watches and connections", async (context) => {
  const server = await startServer(context);
  const watch = await server.watch("/api/v1/pods?watch=1");
  await server.close();
  assert.equal(await watch.next(), undefined);
  await assert.rejects(fetch(`http://127.0.0.1:${server.port}/healthz`));
});

test("default/kubernetes leads to the API's own endpoints", async (context) => {
  const server = await startServer(context, { apiEndpoints: () => [{ ip: "192.168.1.1", port: 6443 }] });
  const slice = server.store.get("endpointslices", "default", "kubernetes");
  assert.deepEqual(at(listOf(slice?.["endpoints"])[0], "addresses"), ["192.168.1.1"]);
  assert.deepEqual(slice?.["ports"], [{ name: "https", port: 6443, protocol: "TCP" }]);
  assert.equal(slice?.metadata.labels?.["kubernetes.io/service-name"], "kubernetes");
});

test("versions of a former life of the server are expired, not something else", async (context) => {
  const first = createApiServer(OPTIONS);
  const old = first.store.resourceVersion;
  await first.close();
  const server = await startServer(context, { now: () => new Date(Date.now() + 60_000) });
  assert.equal((await server.request("GET", `/api/v1/pods?watch=1&resourceVersion=${old}`)).code, 410);
});

test("Store.modify() changes a copy: what is stored is frozen", async (context) => {
  const server = await startServer(context);
  const { store } = server;
  const stored = store.create({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "a", namespace: "default" },
    data: { x: "1" },
  });
  assert.throws(() => Object.assign(stored, { data: {} }), TypeError);
  store.modify("configmaps", "default", "a", (draft) => Object.assign(draft, { data: { x: "2" } }));
  assert.deepEqual([stored["data"], store.get("configmaps", "default", "a")?.["data"]], [{ x: "1" }, { x: "2" }]);
  assert.equal(store.delete("configmaps", "default", "none"), false);
});
