import assert from "node:assert/strict";
import { test } from "node:test";
import { PASSWORDS_DIFFER, readMd5Drops, SessionErrors } from "./session-errors.ts";

const NETSTAT = `TcpExt: SyncookiesSent TCPMD5NotFound TCPMD5Unexpected TCPMD5Failure
TcpExt: 7 1 20 300
IpExt: InNoRoutes TCPMD5Failure
IpExt: 5 9
`;

/** Segments that were dropped so far, one number a look; then what the sessions of each look say. */
function errors(...drops: number[]) {
  return new SessionErrors(() => drops.shift() ?? 0);
}
const PEER = "peer-tor1";

test("readMd5Drops() adds up the three counters of TcpExt, and is 0 without them", () => {
  assert.equal(
    readMd5Drops(() => NETSTAT),
    321,
  );
  assert.equal(
    readMd5Drops(() => undefined),
    0,
  );
  assert.equal(
    readMd5Drops(() => "TcpExt: SyncookiesSent\nTcpExt: 7\n"),
    0,
  );
});

test("SessionErrors keeps what a NOTIFICATION said while sockets only tell that they were closed", () => {
  const said = errors(0, 0, 0, 0);
  said.look();
  assert.equal(said.explain(PEER, "Active", 1, "Received: Bad peer AS"), "Received: Bad peer AS");
  said.look();
  assert.equal(said.explain(PEER, "Active", 2, "Socket: Connection reset by peer"), "Received: Bad peer AS");
  said.look();
  assert.equal(said.explain(PEER, "Established", 3, null), null);
  said.look();
  const refused = "Socket: Connection refused";
  assert.equal(said.explain(PEER, "Connect", 4, refused), refused, "a session that was there begins anew");
});

test("SessionErrors tells of passwords while segments are dropped and the peer says nothing", () => {
  const said = errors(5, 5, 6, 6);
  said.look();
  assert.equal(said.explain(PEER, "Connect", 1, null), null, "what was dropped before tells nothing");
  said.look();
  assert.equal(
    said.explain(PEER, "Connect", 1, "Received: Other configuration change"),
    "Received: Other configuration change",
  );
  said.look();
  assert.equal(said.explain(PEER, "Connect", 1, "Received: Other configuration change"), PASSWORDS_DIFFER);
  assert.equal(said.explain("mesh-node2", "Established", 1, null), null, "another one is well");
  said.look();
  assert.equal(
    said.explain(PEER, "Connect", 1, "Received: Other configuration change"),
    PASSWORDS_DIFFER,
    "for a while",
  );
});

test("SessionErrors believes a peer that speaks more than segments that somebody else's are", () => {
  const said = errors(0, 1, 2);
  said.look();
  said.look();
  assert.equal(said.explain(PEER, "Active", 1, "Received: Bad peer AS"), "Received: Bad peer AS");
  said.look();
  assert.equal(said.explain(PEER, "Active", 2, "Received: Bad peer AS"), "Received: Bad peer AS", "it spoke again");
});

test("SessionErrors forgets dropped segments after two minutes", () => {
  const said = new SessionErrors(() => (looks > 0 ? 1 : 0));
  let looks = 0;
  for (; looks < 121; looks++) said.look();
  assert.equal(said.explain(PEER, "Connect", 1, null), PASSWORDS_DIFFER);
  said.look();
  assert.equal(said.explain(PEER, "Connect", 1, null), null);
});
