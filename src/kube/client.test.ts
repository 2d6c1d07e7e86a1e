import assert from "node:assert/strict";
import { once } from "node:events";
import http, { type IncomingMessage, type ServerResponse } from "node:http";
import https from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { afterEach, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { isConflict, isExpired, isNotFound, KubeApiError } from "./api-error.ts";
import { KubeClient } from "./client.ts";
import type { ApiConnection } from "./connection.ts";
import { nodes, pods, type ResourceType } from "./resource.ts";
import { makeAuthority } from "./testing/certificates.ts";
import { ScriptedApi } from "./testing/scripted-api.ts";
import { statusObject } from "./testing/status-object.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

type Answer = (request: IncomingMessage, response: ServerResponse, body: string) => void;

/** A server that answers as told, and a client of it. */
async function serve(answer: Answer, connection: Partial<ApiConnection> = {}, tls?: https.ServerOptions) {
  const listener = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    answer(request, response, Buffer.concat(chunks).toString("utf8"));
  };
  const server = tls === undefined ? http.createServer(listener) : https.createServer(tls, listener);
  const sockets = new Set<Socket>();
  server.on(tls === undefined ? "connection" : "secureConnection", (socket: Socket) => sockets.add(socket));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const client = new KubeClient({
    origin: "a test",
    server: new URL(`${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`),
    insecureSkipTlsVerify: false,
    namespace: "default",
    credentialSource: { credentials: () => Promise.resolve({}), invalidate: () => {} },
    ...connection,
  });
  cleanups.push(() => {
    client.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { client, port, sockets };
}

const json = (response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}) =>
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));

const ok: Answer = (_request, response) => json(response, 200, {});

const policies: ResourceType = {
  group: "networking.k8s.io",
  version: "v1",
  plural: "networkpolicies",
  namespaced: true,
};

test("KubeClient sends each verb to the path, with the media type, that the API has for it", async () => {
  const seen: string[] = [];
  const { client } = await serve((request, response, body) => {
    seen.push([request.method, request.url, request.headers["content-type"] ?? "-", body].join(" "));
    json(response, 200, { ok: true });
  });
  const p = { resource: pods, namespace: "shop", name: "web" };
  assert.deepEqual(await client.get({ resource: nodes, name: "node1" }), { ok: true });
  await client.get({ resource: policies, namespace: "shop", name: "deny all" });
  await client.create(pods, "shop", { metadata: { name: "web" } }, { fieldManager: "me" });
  await client.update({ ...p, subresource: "status" }, { a: 1 });
  await client.patch(p, { a: 2 }, { type: "merge" });
  await client.patch(p, { a: 3 }, { type: "strategic" });
  await client.patch(p, [], { type: "json" });
  await client.patch(p, { a: 4 }, { type: "apply", fieldManager: "me", force: true });
  await client.delete(p, { gracePeriodSeconds: 0, uid: "u" });
  assert.deepEqual(seen, [
    "GET /api/v1/nodes/node1 - ",
    "GET /apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/deny%20all - ",
    'POST /api/v1/namespaces/shop/pods?fieldManager=me application/json {"metadata":{"name":"web"}}',
    'PUT /api/v1/namespaces/shop/pods/web/status application/json {"a":1}',
    'PATCH /api/v1/namespaces/shop/pods/web application/merge-patch+json {"a":2}',
    'PATCH /api/v1/namespaces/shop/pods/web application/strategic-merge-patch+json {"a":3}',
    "PATCH /api/v1/namespaces/shop/pods/web application/json-patch+json []",
    'PATCH /api/v1/namespaces/shop/pods/web?fieldManager=me&force=true application/apply-patch+yaml {"a":4}',
    'DELETE /api/v1/namespaces/shop/pods/web application/json {"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":0,"preconditions":{"uid":"u"}}',
  ]);
});

test("KubeClient refuses an address that would mean a whole collection", async () => {
  const { client } = await serve((_request, response) => json(response, 200, {}));
  assert.throws(() => client.delete({ resource: nodes, name: "" }), RangeError);
  assert.throws(() => client.get({ resource: pods, name: "web" }), RangeError);
});

test("KubeClient.list() follows the pages to the end", async () => {
  const api = await ScriptedApi.start();
  cleanups.push(() => api.close());
  for (const name of ["a", "b", "c"]) api.put("nodes", { metadata: { name } });
  const client = new KubeClient(api.connection());
  cleanups.push(() => client.close());
  const items = await client.list(nodes, { limit: 1 });
  assert.deepEqual(
    items.map((item) => (item["metadata"] as { name: string }).name),
    ["a", "b", "c"],
  );
  assert.equal(api.count("list"), 3);
});

test("KubeClient keeps the path of a server that stands behind a prefix", async () => {
  const { client, port } = await serve((request, response) => json(response, 200, { url: request.url }));
  for (const base of ["/k8s/clusters/c-1", "/k8s/clusters/c-1/"]) {
    const behind = new KubeClient({ ...client.connection, server: new URL(`http://127.0.0.1:${port}${base}`) });
    cleanups.push(() => behind.close());
    assert.deepEqual(await behind.get({ resource: nodes, name: "n" }), { url: "/k8s/clusters/c-1/api/v1/nodes/n" });
  }
});

const REFUSALS: readonly (readonly [number, string, string])[] = [
  [400, "BadRequest", "BW_KUBE_INVALID"],
  [401, "Unauthorized", "BW_KUBE_UNAUTHORIZED"],
  [403, "Forbidden", "BW_KUBE_FORBIDDEN"],
  [404, "NotFound", "BW_KUBE_NOT_FOUND"],
  [409, "Conflict", "BW_KUBE_CONFLICT"],
  [410, "Expired", "BW_KUBE_GONE"],
  [418, "Teapot", "BW_KUBE_REJECTED"],
  [422, "Invalid", "BW_KUBE_INVALID"],
  [429, "TooManyRequests", "BW_KUBE_OVERLOADED"],
  [500, "InternalError", "BW_KUBE_SERVER"],
  [504, "Timeout", "BW_KUBE_SERVER"],
];

for (const [status, reason, code] of REFUSALS) {
  test(`KubeClient turns ${status} ${reason} into ${code}, with the verb, the object and the server's words`, async () => {
    const { client } = await serve((_request, response) => json(response, status, statusObject(status, reason)));
    await assert.rejects(client.get({ resource: pods, namespace: "shop", name: "web" }), (error) => {
      assert.ok(error instanceof KubeApiError);
      assert.deepEqual([error.code, error.status, error.reason], [code, status, reason]);
      assert.equal(
        error.message,
        `Cannot get pods shop/web: the API server answered ${status} ${reason} scripted ${status}`,
      );
      assert.deepEqual(
        [isNotFound(error), isConflict(error), isExpired(error)],
        [status === 404, status === 409, status === 410],
      );
      return true;
    });
  });
}

test("KubeClient keeps the first line of a refusal that is no Status, and Retry-After", async () => {
  const { client } = await serve((_request, response) => {
    response.writeHead(503, { "retry-after": "9" }).end("<html>busy</html>\nmore");
  });
  await assert.rejects(client.get({ resource: nodes, name: "n" }), {
    message: "Cannot get nodes n: the API server answered 503 <html>busy</html>",
    retryAfterSeconds: 9,
  });
});

for (const [what, body] of [
  ["no JSON", "<html>"],
  ["no object", "[1]"],
  ["nothing", ""],
] as const) {
  test(`KubeClient says what is wrong with an answer that is ${what}`, async () => {
    const { client } = await serve((_request, response) => response.writeHead(200).end(body));
    await assert.rejects(client.get({ resource: nodes, name: "n" }), { code: "BW_KUBE_RESPONSE" });
    await assert.rejects(client.list(nodes), { code: "BW_KUBE_RESPONSE" });
  });
}

test("KubeClient refuses a list without a version: there would be nowhere to watch from", async () => {
  const { client } = await serve((_request, response) => json(response, 200, { items: [], metadata: {} }));
  await assert.rejects(client.list(nodes), { code: "BW_KUBE_RESPONSE", message: /has no resourceVersion/ });
});

test("KubeClient names a server that is not there, with the errno", async () => {
  const { client, port } = await serve(() => {});
  const nowhere = new KubeClient({ ...client.connection, server: new URL(`http://127.0.0.1:${port === 9 ? 10 : 9}`) });
  cleanups.push(() => nowhere.close());
  await assert.rejects(nowhere.get({ resource: nodes, name: "n" }), {
    code: "BW_KUBE_CONNECTION",
    errno: "ECONNREFUSED",
  });
});

test("KubeClient gives a server that says nothing its timeout, before the headers and inside the body", async () => {
  const { client } = await serve((request, response) => {
    if (request.url?.endsWith("/half")) response.writeHead(200).write('{"a":');
  });
  for (const name of ["none", "half"])
    await assert.rejects(client.get({ resource: nodes, name }, { timeoutMs: 40 }), {
      code: "BW_KUBE_TIMEOUT",
      message: `Cannot get nodes ${name}: no answer within 40 ms`,
    });
});

test("KubeClient waits for an answer that is slow as a whole but never silent for the timeout", async () => {
  const { client } = await serve((_request, response) => {
    response.writeHead(200);
    // Longer than the timeout in all, and each wait a small part of it: a busy machine makes no silence of it.
    const parts = ['{"a":', ...Array.from({ length: 40 }, () => " "), "1}"];
    const next = () => {
      const part = parts.shift();
      if (part === undefined) return response.end();
      response.write(part);
      return setTimeout(next, 20);
    };
    next();
  });
  assert.deepEqual(await client.get({ resource: nodes, name: "n" }, { timeoutMs: 600 }), { a: 1 });
});

test("KubeClient rejects with the signal's reason when aborted, before and during", async () => {
  const { client } = await serve(() => {});
  const reason = new Error("enough");
  await assert.rejects(client.get({ resource: nodes, name: "n" }, { signal: AbortSignal.abort(reason) }), reason);
  const controller = new AbortController();
  const pending = client.get({ resource: nodes, name: "n" }, { signal: controller.signal });
  setImmediate(() => controller.abort(reason));
  await assert.rejects(pending, reason);
});

test("KubeClient uses one connection for requests in a row, and a new one when the server closed that", async () => {
  const { client, sockets } = await serve((_request, response) => json(response, 200, {}));
  await client.get({ resource: nodes, name: "n" });
  await client.get({ resource: nodes, name: "n" });
  assert.equal(sockets.size, 1);
  // No turn of the event loop between the reset and the request: the client cannot know yet.
  for (const socket of sockets) socket.resetAndDestroy();
  await client.get({ resource: nodes, name: "n" });
  assert.equal(sockets.size, 2);
});

test("KubeClient asks for credentials on every request and has them renewed after 401", async () => {
  const tokens: (string | undefined)[] = [];
  let generation = 1;
  const { client } = await serve(
    (request, response) => {
      tokens.push(request.headers.authorization);
      if (request.headers.authorization === "Bearer 1") json(response, 401, statusObject(401, "Unauthorized"));
      else json(response, 200, {});
    },
    {
      credentialSource: {
        credentials: () => Promise.resolve({ authorization: `Bearer ${generation}` }),
        invalidate: () => generation++,
      },
    },
  );
  await assert.rejects(client.get({ resource: nodes, name: "n" }), { code: "BW_KUBE_UNAUTHORIZED" });
  await client.get({ resource: nodes, name: "n" });
  assert.deepEqual(tokens, ["Bearer 1", "Bearer 2"]);
});

test("KubeClient sends the headers of impersonation", async () => {
  const impersonation = { user: "eve", uid: "7", groups: ["a", "b"], extra: { "example.com/scope": ["x"] } };
  const { client } = await serve((request, response) => json(response, 200, { ...request.headers }), { impersonation });
  const headers = await client.get({ resource: nodes, name: "n" });
  assert.equal(headers["impersonate-user"], "eve");
  assert.equal(headers["impersonate-uid"], "7");
  assert.equal(headers["impersonate-group"], "a, b");
  assert.equal(headers["impersonate-extra-example.com%2fscope"], "x");
});

test("KubeClient sends requests through the proxy of the kubeconfig", async () => {
  const asked: (string | undefined)[] = [];
  const proxy = http.createServer((request, response) => {
    asked.push(request.url);
    json(response, 200, { through: "proxy" });
  });
  await once(proxy.listen(0, "127.0.0.1"), "listening");
  cleanups.push(() => proxy.close());
  const proxyUrl = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const { client } = await serve(() => {}, { proxyUrl, server: new URL("http://api.example:6443") });
  assert.deepEqual(await client.get({ resource: nodes, name: "n" }), { through: "proxy" });
  assert.deepEqual(asked, ["http://api.example:6443/api/v1/nodes/n"]);
});

test("KubeClient verifies the server and shows its own certificate", async () => {
  const authority = makeAuthority();
  const server = authority.serverForAddress("127.0.0.1");
  const mine = authority.client("breakwater-node1");
  const credentialSource = { credentials: () => Promise.resolve(mine), invalidate: () => {} };
  const whoAmI: Answer = (request, response) =>
    json(response, 200, { user: (request.socket as TLSSocket).getPeerCertificate().subject.CN });
  const tls = { ...server, ca: authority.ca, requestCert: true };
  const { client } = await serve(whoAmI, { ca: authority.ca, credentialSource }, tls);
  assert.deepEqual(await client.get({ resource: nodes, name: "n" }), { user: "breakwater-node1" });

  const stranger = makeAuthority();
  const { client: deceived } = await serve(whoAmI, { ca: stranger.ca }, server);
  await assert.rejects(deceived.get({ resource: nodes, name: "n" }), { code: "BW_KUBE_CONNECTION" });
  const { client: careless } = await serve(ok, { insecureSkipTlsVerify: true }, server);
  assert.deepEqual(await careless.get({ resource: nodes, name: "n" }), {});
});

test("KubeClient verifies the name it was told to in place of the host", async () => {
  const authority = makeAuthority();
  const server = authority.serverForName("kubernetes.default");
  const { client: misled } = await serve(ok, { ca: authority.ca }, server);
  await assert.rejects(misled.get({ resource: nodes, name: "n" }), { errno: "ERR_TLS_CERT_ALTNAME_INVALID" });
  const { client } = await serve(ok, { ca: authority.ca, tlsServerName: "kubernetes.default" }, server);
  await client.get({ resource: nodes, name: "n" });
});

test("KubeClient.watch() resolves at the server's end and rejects at a broken one", async () => {
  const line = `${JSON.stringify({ type: "ADDED", object: { metadata: { name: "n1" } } })}\n`;
  const { client } = await serve((request, response) => {
    response.writeHead(200);
    if (request.url?.includes("resourceVersion=1&")) response.end(line);
    else if (request.url?.includes("resourceVersion=2&")) response.end(line.slice(0, -5));
    else response.write(line, () => request.socket.destroy());
  });
  const names: unknown[] = [];
  const watch = (resourceVersion: string) =>
    client.watch(nodes, {
      resourceVersion,
      timeoutSeconds: 60,
      onEvent: ({ object }) => names.push(object["metadata"]),
    });
  await watch("1");
  await assert.rejects(watch("2"), { code: "BW_KUBE_CONNECTION", message: /inside a line/ });
  await assert.rejects(watch("3"), { code: "BW_KUBE_CONNECTION" });
  assert.deepEqual(names, [{ name: "n1" }, { name: "n1" }]);
});

test("KubeClient.watch() waits without end between events, but not for the beginning", async () => {
  const { client } = await serve(() => {});
  const options = { resourceVersion: "1", timeoutSeconds: 60, openTimeoutMs: 40, onEvent: () => {} };
  await assert.rejects(client.watch(nodes, options), { code: "BW_KUBE_TIMEOUT" });

  const later = JSON.stringify({ type: "ADDED", object: { metadata: { name: "late" } } });
  const { client: patient } = await serve((_request, response) => {
    response.writeHead(200).flushHeaders();
    setTimeout(() => response.end(`${later}\n`), 120);
  });
  let events = 0;
  await patient.watch(nodes, { ...options, onEvent: () => events++ });
  assert.equal(events, 1);
});
