/** Clients of IPv6 go where their endpoint goes, and are forgotten with it; nobody else is touched. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Frontend } from "../model/frontend.ts";
import { disturbsClients, moveClients, type RememberedClient } from "./clients.ts";
import { changeFrontend, ElementBatch, type ObservedFrontend } from "./services.ts";

const KEY = "fd00:10:96::a . tcp . 80";
const at = (...numbers: number[]) => numbers.map((number) => `fd00:10:244:1::${number} . 8080`);
const POD = "fd00:10:244:1::9";
const OUTSIDE = "2001:db8::1";

function sticky(endpoints: readonly string[], fields: Partial<Frontend> = {}): Frontend {
  return {
    key: KEY,
    family: 6,
    address: "fd00:10:96::a",
    protocol: "tcp",
    port: 80,
    kind: "LoadBalancer",
    service: "default/web:http",
    endpoints,
    otherwise: "reject",
    keepsSource: false,
    affinitySeconds: 10,
    ...fields,
  };
}
const { affinitySeconds: _, ...plain } = sticky(at(1, 2));

/** What the kernel has after these, one behind the other. */
function having(...wanted: (Frontend | undefined)[]): ObservedFrontend | undefined {
  return wanted.reduce<ObservedFrontend | undefined>(
    (before, next) => changeFrontend(KEY, before, next, new ElementBatch()),
    undefined,
  );
}

const client = (ip: string, slot: number, set: RememberedClient["set"] = "clients-tcp"): RememberedClient => ({
  set,
  text: `${ip} . fd00:10:96::a . 80 . ${slot}`,
  endsInMs: 4300,
});

/** From one state to the next: "+ SET ELEMENT" for what comes, "- SET ELEMENT" for what goes. */
function moves(clients: readonly RememberedClient[], before: Frontend | undefined, after: Frontend | undefined) {
  const [from, to] = [having(before), having(before, after)];
  const only = (frontend: ObservedFrontend | undefined) => (key: string) => (key === KEY ? frontend : undefined);
  const { come, go } = moveClients(clients, only(from), only(to), (ip) => ip === POD);
  const lines = [
    ...come.map(({ set, element }) => `+ ${set} ${element}`),
    ...go.map(({ set, element }) => `- ${set} ${element}`),
  ];
  if (lines.length > 0) assert.equal(disturbsClients(from, to), true, "they have to be looked at");
  return lines;
}

test("moveClients() touches nobody where endpoints keep their slots", () => {
  const all = [client(POD, 0), client(OUTSIDE, 1)];
  for (const next of [sticky(at(1, 2)), sticky(at(0, 1, 2, 3)), sticky(at(1, 2), { affinitySeconds: 20 })]) {
    assert.deepEqual(moves(all, sticky(at(1, 2)), next), []);
  }
  assert.equal(disturbsClients(having(sticky(at(1, 2))), having(sticky(at(1, 2)), sticky(at(1, 2, 3)))), false);
});

test("moveClients() brings clients of the last slot into the hole that another endpoint leaves, with what is left of their time", () => {
  const all = [client(POD, 0), client(OUTSIDE, 1), client("2001:db8::2", 2)];
  assert.deepEqual(moves(all, sticky(at(1, 2, 3)), sticky(at(2, 3))), [
    "+ clients-tcp 2001:db8::2 . fd00:10:96::a . 80 . 0 timeout 10000ms expires 4300ms",
    `- clients-tcp ${POD} . fd00:10:96::a . 80 . 0`,
    "- clients-tcp 2001:db8::2 . fd00:10:96::a . 80 . 2",
  ]);
});

test("moveClients() keeps a client that comes to where one of the same name would go", () => {
  const twice = [client(POD, 0), client(POD, 2)];
  assert.deepEqual(moves(twice, sticky(at(1, 2, 3)), sticky(at(2, 3))), [
    `+ clients-tcp ${POD} . fd00:10:96::a . 80 . 0 timeout 10000ms expires 4300ms`,
    `- clients-tcp ${POD} . fd00:10:96::a . 80 . 2`,
  ]);
});

test("moveClients() gives nobody a time that the kernel would take for none", () => {
  const [line] = moves([{ ...client(POD, 1), endsInMs: 0 }], sticky(at(1, 2)), sticky(at(2)));
  assert.match(line ?? "", /^\+ .* timeout 10000ms expires 100ms$/);
});

test("moveClients() keeps what is left of a timeout that was longer", () => {
  const [line] = moves([client(POD, 1)], sticky(at(1, 2)), sticky(at(2), { affinitySeconds: 3 }));
  assert.match(line ?? "", /^\+ .* timeout 4300ms expires 4300ms$/);
});

test("moveClients() forgets clients of an endpoint that another one takes the place of", () => {
  const all = [client(POD, 0), client(OUTSIDE, 1)];
  assert.deepEqual(moves(all, sticky(at(1, 2)), sticky(at(1, 3))), [
    `- clients-tcp ${OUTSIDE} . fd00:10:96::a . 80 . 1`,
  ]);
});

test("moveClients() forgets all clients where there is no affinity, no endpoint or no frontend any more", () => {
  const all = [client(POD, 0), client(OUTSIDE, 1)];
  for (const next of [plain, sticky([]), undefined]) {
    assert.deepEqual(
      moves(all, sticky(at(1, 2)), next),
      all.map(({ set, text }) => `- ${set} ${text}`),
    );
  }
});

test("moveClients() forgets whom a process before us left in slots that nobody is looked up in", () => {
  const state = sticky(at(1, 2));
  const [stale, unknown] = [client(POD, 7), { ...client(POD, 0), text: `${POD} . fd00:10:96::b . 80 . 0` }];
  const other: RememberedClient = { ...client(POD, 0), set: "clients-udp" };
  const only = (key: string) => (key === KEY ? having(state) : undefined);
  const { come, go } = moveClients([stale, unknown, other, client(POD, 1)], only, only, () => true);
  assert.deepEqual([come, go.map(({ element }) => element)], [[], [stale.text, unknown.text, other.text]]);
});

test("from externalTrafficPolicy Cluster to Local and back clients keep endpoints that are there for them", () => {
  const [cluster, local] = [sticky(at(1, 2)), sticky(at(1, 2), { outside: at(2) })];
  const all = [client(POD, 1), client(OUTSIDE, 0), client("2001:db8::2", 1)];
  assert.deepEqual(moves(all, cluster, local), [
    "+ outside-clients-tcp 2001:db8::2 . fd00:10:96::a . 80 . 0 timeout 10000ms expires 4300ms",
    `- clients-tcp ${OUTSIDE} . fd00:10:96::a . 80 . 0`,
    "- clients-tcp 2001:db8::2 . fd00:10:96::a . 80 . 1",
  ]);
  assert.deepEqual(moves([client(POD, 0), client(OUTSIDE, 0, "outside-clients-tcp")], local, cluster), [
    `+ clients-tcp ${OUTSIDE} . fd00:10:96::a . 80 . 1 timeout 10000ms expires 4300ms`,
    `- outside-clients-tcp ${OUTSIDE} . fd00:10:96::a . 80 . 0`,
  ]);
});

test("slots of who is outside and of who is inside are apart", () => {
  const local = (inside: readonly string[], outside: readonly string[]) => sticky(inside, { outside });
  const all = [client(POD, 1), client(OUTSIDE, 1, "outside-clients-tcp")];
  assert.deepEqual(moves(all, local(at(1, 2), at(1, 2)), local(at(1, 2), at(2))), [
    `+ outside-clients-tcp ${OUTSIDE} . fd00:10:96::a . 80 . 0 timeout 10000ms expires 4300ms`,
    `- outside-clients-tcp ${OUTSIDE} . fd00:10:96::a . 80 . 1`,
  ]);
});
