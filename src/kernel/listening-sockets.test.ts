import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { listeningPorts, parseListening } from "./listening-sockets.ts";

const TCP = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 0100007F:2382 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1
   2: 0B01A8C0:01BB 0C01A8C0:C350 01 00000000:00000000 00:00000000 00000000     0        0 3 1
`;
const TCP6 = `  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000000000000:75A0 00000000000000000000000000000000:0000 0A 00000000:00000000
   1: 00000000000000000000000001000000:75A1 00000000000000000000000000000000:0000 0A 00000000:00000000
`;

test("parseListening() finds who listens for others", () => {
  assert.deepEqual(parseListening(TCP, "0A"), [8080]);
  assert.deepEqual(parseListening(TCP6, "0A"), [30112]);
  assert.deepEqual(parseListening("", "0A"), []);
});

test("listeningPorts() sees this process's own sockets, but those on loopback", async (t) => {
  const server = createServer();
  const local = createServer();
  const udp = createSocket("udp4");
  t.after(() => [server.close(), local.close(), udp.close()]);
  server.listen(0, "0.0.0.0");
  local.listen(0, "127.0.0.1");
  udp.bind(0, "0.0.0.0");
  await Promise.all([once(server, "listening"), once(local, "listening"), once(udp, "listening")]);
  const portOf = (each: { address(): unknown }) => (each.address() as { port: number }).port;
  const ports = listeningPorts();
  assert.ok(ports.has(`tcp ${portOf(server)}`));
  assert.ok(ports.has(`udp ${portOf(udp)}`));
  assert.ok(!ports.has(`tcp ${portOf(local)}`));
});
