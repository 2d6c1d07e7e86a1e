/** Only the change is sent: what comes before the rules, what goes behind them, what waits for its connections. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatIpvsChange, type IpvsChange, type ObservedServer } from "../model/ipvs.ts";
import { closeServer, draining, drainServer, openServer, serverBehind, type WantedServer } from "./ipvs.ts";

const KEY = "10.96.0.10 . tcp . 80";
const [A, B, C] = ["10.244.1.5 . 8080", "10.244.2.6 . 8080", "10.244.3.7 . 8080"];
const server = { key: KEY, scheduler: "rr", flags: 0x20, timeoutSeconds: 0 };
const wants = (...endpoints: string[]): WantedServer => ({ server, endpoints });
const has = (destinations: Record<string, number>, fields = {}): ObservedServer => ({
  server: { ...server, ...fields },
  destinations: new Map(Object.entries(destinations)),
});
const texts = (changes: readonly IpvsChange[]) => changes.map(formatIpvsChange);

function behind(observed: ObservedServer | undefined, ...lists: readonly IpvsChange[][]): ObservedServer | undefined {
  return lists.flat().reduce(serverBehind, observed);
}

test("openServer() makes a server and its destinations", () => {
  assert.deepEqual(texts(openServer(undefined, wants(A, B))), [
    "add virtual server TCP 10.96.0.10:80 rr",
    "add destination 10.244.1.5:8080 weight 1 to virtual server TCP 10.96.0.10:80",
    "add destination 10.244.2.6:8080 weight 1 to virtual server TCP 10.96.0.10:80",
  ]);
});

test("nothing is sent for what is right", () => {
  const observed = has({ [A]: 1, [B]: 1 });
  assert.deepEqual([...openServer(observed, wants(B, A)), ...closeServer(observed, wants(B, A))], []);
  assert.deepEqual([...openServer(undefined, undefined), ...closeServer(undefined, undefined)], []);
});

test("one endpoint more is one step, and one less is one: its weight becomes 0", () => {
  const observed = has({ [A]: 1, [B]: 1 });
  assert.equal(openServer(observed, wants(A, B, C)).length, 1);
  assert.deepEqual(closeServer(observed, wants(A, B, C)), []);
  assert.deepEqual(openServer(observed, wants(A)), []);
  assert.deepEqual(texts(closeServer(observed, wants(A))), [
    "set weight 0 of destination 10.244.2.6:8080 of virtual server TCP 10.96.0.10:80",
  ]);
});

test("an endpoint that comes back while it waits gets its weight back", () => {
  const observed = has({ [A]: 1, [B]: 0 });
  assert.deepEqual(texts(openServer(observed, wants(A, B))), [
    "set weight 1 of destination 10.244.2.6:8080 of virtual server TCP 10.96.0.10:80",
  ]);
  assert.deepEqual(closeServer(observed, wants(A)), [], "one that waits is left alone");
});

test("another scheduler or another timeout changes the server in place", () => {
  for (const fields of [{ scheduler: "sh" }, { timeoutSeconds: 10 }, { flags: 0 }]) {
    const observed = has({ [A]: 1 }, fields);
    assert.deepEqual(openServer(observed, wants(A)), [{ do: "changeServer", server }]);
  }
});

test("a server that nobody wants waits for its connections, and is deleted with its last destination", () => {
  const observed = has({ [A]: 1, [B]: 1 });
  const closed = behind(observed, closeServer(observed, undefined)) as ObservedServer;
  assert.deepEqual(draining(closed, undefined), [A, B]);
  const found = (connections: number) => [
    { endpoint: A as string, weight: 0, connections: 0 },
    { endpoint: B as string, weight: 0, connections },
  ];
  const none = new Set<string>();
  assert.deepEqual(texts(drainServer(closed, undefined, found(3), none)), [
    "delete destination 10.244.1.5:8080 from virtual server TCP 10.96.0.10:80",
  ]);
  assert.deepEqual(texts(drainServer(closed, undefined, found(0), none)), [
    "delete destination 10.244.1.5:8080 from virtual server TCP 10.96.0.10:80",
    "delete destination 10.244.2.6:8080 from virtual server TCP 10.96.0.10:80",
    "delete virtual server TCP 10.96.0.10:80",
  ]);
  assert.equal(behind(closed, drainServer(closed, undefined, found(3), new Set([B as string]))), undefined, "overdue");
});

test("what is used is not drained, whatever connections it has", () => {
  const observed = has({ [A]: 1, [B]: 0 });
  const found = [
    { endpoint: A as string, weight: 1, connections: 0 },
    { endpoint: B as string, weight: 0, connections: 0 },
  ];
  assert.deepEqual(texts(drainServer(observed, wants(A), found, new Set([A as string]))), [
    "delete destination 10.244.2.6:8080 from virtual server TCP 10.96.0.10:80",
  ]);
});

test("UDP has no end to wait for: its destination goes at once, and the server with its last one", () => {
  const udp = { ...server, key: "10.96.0.10 . udp . 53" };
  const observed: ObservedServer = { server: udp, destinations: new Map([[A as string, 1]]) };
  assert.deepEqual(texts(closeServer(observed, undefined)), [
    "delete destination 10.244.1.5:8080 from virtual server UDP 10.96.0.10:53",
    "delete virtual server UDP 10.96.0.10:53",
  ]);
  const moved = closeServer(observed, undefined, [A as string]);
  assert.deepEqual(texts(moved), ["set weight 0 of destination 10.244.1.5:8080 of virtual server UDP 10.96.0.10:53"]);
});

test("a server without destinations that nobody wants is deleted", () => {
  assert.deepEqual(texts(closeServer(has({}), undefined)), ["delete virtual server TCP 10.96.0.10:80"]);
});

test("whatever the kernel has, opened and closed it is as wanted, and asked again nothing is left to do", () => {
  const states = [undefined, has({}), has({ [A]: 1 }), has({ [A]: 0, [B]: 5 }), has({ [B]: 1, [C]: 0 }, { flags: 3 })];
  for (const observed of states) {
    for (const wanted of [wants(A, B), wants(C), undefined]) {
      const opened = openServer(observed, wanted);
      const closed = closeServer(behind(observed, opened), wanted);
      const end = behind(observed, opened, closed);
      for (const endpoint of wanted?.endpoints ?? []) assert.equal(end?.destinations.get(endpoint), 1);
      const used = [...(end?.destinations ?? [])].filter(([, weight]) => weight > 0).map(([endpoint]) => endpoint);
      assert.deepEqual(used.sort(), [...(wanted?.endpoints ?? [])].sort());
      assert.deepEqual([...openServer(end, wanted), ...closeServer(end, wanted)], []);
    }
  }
});
