/** Peers whose passwords cannot be read have no session, and say why. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { node } from "../testing/scenarios.ts";
import { planBgp } from "./plan.ts";
import { bgpInput, peer } from "./testing/scenarios.ts";

const guarded = bgpInput({
  nodes: [node(1, ["192.168.1.1"])],
  peers: [peer("tor", { passwordSecret: { name: "bgp", key: "tor" } })],
});

test("planBgp() has no session with a peer whose password nobody could read, and hands on the reason", () => {
  const withoutPassword = new Map([["tor", "there is no Secret kube-system/bgp"]]);
  const { sessions, problems } = planBgp({ ...guarded, withoutPassword });
  assert.deepEqual(sessions, []);
  assert.deepEqual(
    problems.map(({ code, message }) => [code, message]),
    [["BW_BGP_PASSWORD", "BGPPeer tor has no session: there is no Secret kube-system/bgp"]],
  );
});

test("planBgp() begins the session with the password as it is now", () => {
  const passwords = (word: string) => planBgp({ ...guarded, passwords: new Map([["tor", word]]) });
  assert.deepEqual(
    passwords("one").sessions.map(({ password }) => password),
    ["one"],
  );
  assert.deepEqual(
    passwords("two").sessions.map(({ password }) => password),
    ["two"],
  );
});
