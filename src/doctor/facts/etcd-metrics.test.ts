/** What answers in place of etcd, and what does not answer; the real one is in test/slow-disk. */
import assert from "node:assert/strict";
import * as http from "node:http";
import * as https from "node:https";
import * as net from "node:net";
import { type TestContext, test } from "node:test";
import { makeAuthority } from "../../kube/testing/certificates.ts";
import { isBreakwaterError } from "../../model/errors.ts";
import { type EtcdAddress, readEtcdMetrics } from "./etcd-metrics.ts";

const METRICS = "etcd_server_has_leader 1\n";

async function listening(t: TestContext, server: net.Server): Promise<number> {
  const sockets = new Set<net.Socket>();
  server.on("connection", (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as net.AddressInfo).port;
}

const answering = (status: number, body: string): http.RequestListener => {
  return (_, response) => response.writeHead(status).end(body);
};

async function refused(address: EtcdAddress, says: RegExp, remedy: RegExp): Promise<void> {
  await assert.rejects(
    readEtcdMetrics(address),
    (error) => {
      assert.ok(isBreakwaterError(error, "BW_ETCD"), String(error));
      assert.match(error.message, says);
      assert.match(error.remedy ?? "", remedy);
      return true;
    },
    String(says),
  );
}

test("readEtcdMetrics() reads over http, and over https with a client certificate", async (t) => {
  const plain = await listening(t, http.createServer(answering(200, METRICS)));
  assert.ok((await readEtcdMetrics({ url: `http://127.0.0.1:${plain}` })).has("etcd_server_has_leader"));
  const authority = makeAuthority();
  const own = authority.serverForAddress("127.0.0.1");
  const options = { ...own, ca: authority.ca, requestCert: true, rejectUnauthorized: true };
  const secure = await listening(t, https.createServer(options, answering(200, METRICS)));
  const url = `https://127.0.0.1:${secure}`;
  const samples = await readEtcdMetrics({ url, ca: authority.ca, ...authority.client("healthcheck") });
  assert.ok(samples.has("etcd_server_has_leader"));
  await refused({ url, ca: authority.ca }, /wants a client certificate/, /--etcd-cert/);
  const stranger = makeAuthority().client("stranger");
  await refused(
    { url, ca: authority.ca, ...stranger },
    /does not accept this client certificate/,
    /--etcd-cert|trusted-ca-file/,
  );
  await refused({ url, ...authority.client("x") }, /certificate is not trusted/, /--etcd-ca/);
  await refused(
    { url: `http://127.0.0.1:${secure}`, timeoutMs: 2000 },
    /does not speak HTTP as etcd does/,
    /https:\/\//,
  );
  await refused({ url: `https://127.0.0.1:${plain}`, ca: authority.ca }, /does not speak TLS/, /http:\/\//);
  await refused({ url, ca: authority.ca, cert: "nonsense", key: "nonsense" }, /PEM|no start line/i, /certificates/);
});

test("readEtcdMetrics() tells what is not etcd from etcd", async (t) => {
  const other = await listening(t, http.createServer(answering(200, "node_load1 0.5\n")));
  await refused({ url: `http://127.0.0.1:${other}` }, /not etcd.*has no metric etcd_server_has_leader/, /2381/);
  const missing = await listening(t, http.createServer(answering(404, "no such page")));
  await refused(
    { url: `http://127.0.0.1:${missing}` },
    /not where it serves metrics: it answers 404/,
    /listen-metrics-urls/,
  );
  const forbidden = await listening(t, http.createServer(answering(403, "")));
  await refused({ url: `http://127.0.0.1:${forbidden}` }, /answers 403/, /client certificate/);
  const redis = await listening(
    t,
    net.createServer((socket) => socket.on("data", () => socket.end("-ERR unknown command\r\n"))),
  );
  await refused({ url: `http://127.0.0.1:${redis}` }, /does not speak HTTP as etcd does/, /ss -ltnp/);
});

test("readEtcdMetrics() says that nobody answers", async (t) => {
  const server = net.createServer();
  const port = await listening(t, server);
  await new Promise((resolve) => server.close(resolve));
  await refused({ url: `http://127.0.0.1:${port}` }, /nobody answers: ECONNREFUSED/, /whether etcd runs/);
  const silent = await listening(t, net.createServer());
  await refused({ url: `http://127.0.0.1:${silent}`, timeoutMs: 100 }, /does not answer in time/, /firewall/);
});

test("readEtcdMetrics() refuses what is no URL", async () => {
  for (const url of ["", "127.0.0.1:2379", "ftp://127.0.0.1"])
    await refused({ url }, /is no http or https URL/, /https:/);
});
