/** What is written into BGPPeers, how often, and which Events there are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { ManualClock } from "../../kube/testing/manual-clock.ts";
import type { BgpPeerObject } from "../../model/bgp-objects.ts";
import type { BgpSessionReport } from "../../model/bgp-report.ts";
import type { Problem } from "../../model/state.ts";
import { PeerStatus } from "./peer-status.ts";

const channel = {
  family: 4,
  up: true,
  preferred: 0,
  refused: 0,
  beyondLimit: 0,
  limitReached: false,
  floodStopped: false,
} as const;

function session(state: string, imported = 3, fields: Partial<BgpSessionReport> = {}): BgpSessionReport {
  return {
    protocol: "peer-tor",
    kind: "peer",
    peer: "tor",
    address: "192.168.1.1",
    asNumber: 64513,
    state,
    since: 1_767_225_600,
    channels: [
      { ...channel, imported, exported: 1 },
      { ...channel, family: 6, imported: 1, exported: 1 },
    ],
    lastError: state === "Established" ? null : "Socket: Connection refused",
    ...fields,
  };
}

class Rig {
  readonly clock = new ManualClock();
  readonly writes: unknown[] = [];
  readonly events: string[] = [];
  readonly peers = new Map<string, BgpPeerObject>([["tor", { name: "tor", uid: "u", generation: 1 }]]);
  isDown = false;
  readonly status = new PeerStatus({
    nodeName: "node1",
    client: {
      patch: async (address, patch, options) => {
        assert.deepEqual([address.name, address.subresource], ["tor", "status"]);
        assert.deepEqual(options, { type: "apply", fieldManager: "breakwater-agent-node1", force: true });
        this.writes.push((patch as { status: unknown }).status);
        if (this.isDown) throw new Error("down");
        return {};
      },
    },
    events: {
      record: ({ kind, name }, type, reason, message) =>
        this.events.push(`${kind} ${name} ${type} ${reason}: ${message}`),
    },
    clock: this.clock,
    log: { warn: () => undefined },
    peers: () => this.peers,
  });

  async follow(sessions: readonly BgpSessionReport[], problems: readonly Problem[] = []): Promise<number> {
    const before = this.writes.length;
    this.status.follow(sessions, problems);
    await setImmediate();
    return this.writes.length - before;
  }
}

const UP = {
  node: "node1",
  state: "Established",
  since: "2026-01-01T00:00:00Z",
  prefixesIn: 4,
  prefixesOut: 2,
  lastError: "",
};

test("PeerStatus writes how a session is, once", async () => {
  const rig = new Rig();
  assert.deepEqual([await rig.follow([session("Established")]), await rig.follow([session("Established")])], [1, 0]);
  assert.deepEqual(rig.writes, [{ sessions: [UP] }]);
});

test("PeerStatus writes a state at once, and counts once a minute", async () => {
  const rig = new Rig();
  await rig.follow([session("Established")]);
  assert.equal(await rig.follow([session("Established", 4)]), 0);
  rig.clock.advance(60_000);
  assert.equal(await rig.follow([session("Established", 5)]), 1);
  assert.equal(await rig.follow([session("Active")]), 1);
  assert.deepEqual(rig.writes.at(-1), {
    sessions: [{ ...UP, state: "Active", lastError: "Socket: Connection refused" }],
  });
});

test("PeerStatus says why there is no session, and takes back what is not any more", async () => {
  const rig = new Rig();
  const problem: Problem = { code: "BW_BGP_PASSWORD", object: "BGPPeer tor", message: "no Secret", remedy: "make it" };
  await rig.follow([], [problem]);
  assert.deepEqual(rig.writes, [{ sessions: [{ node: "node1", state: "Down", lastError: "no Secret" }] }]);
  assert.equal(await rig.follow([]), 1);
  assert.deepEqual(rig.writes.at(-1), {});
  assert.equal(await rig.follow([]), 0);
});

test("PeerStatus says nothing of peers of other nodes", async () => {
  const rig = new Rig();
  const mesh = session("Established", 1, { kind: "node", peer: "tor", protocol: "mesh-tor" });
  assert.equal(await rig.follow([mesh]), 0);
});

test("PeerStatus tries again later what could not be written", async () => {
  const rig = new Rig();
  rig.isDown = true;
  assert.equal(await rig.follow([session("Established")]), 1);
  assert.equal(await rig.follow([session("Established")]), 0);
  rig.isDown = false;
  rig.clock.advance(5000);
  assert.equal(await rig.follow([session("Established")]), 1);
});

test("PeerStatus takes back what an agent before it left of a peer that it has no session with", async () => {
  const rig = new Rig();
  rig.peers.set("tor", { name: "tor", uid: "u", generation: 1, reporters: ["node0", "node1"] });
  assert.deepEqual([await rig.follow([]), await rig.follow([])], [1, 0]);
  assert.deepEqual(rig.writes, [{}]);
});

test("PeerStatus writes its entry again where somebody took it away", async () => {
  const rig = new Rig();
  await rig.follow([session("Established")]);
  rig.peers.set("tor", { name: "tor", uid: "u", generation: 1, reporters: ["node1"] });
  rig.clock.advance(60_000);
  assert.equal(await rig.follow([session("Established")]), 0);
  rig.peers.set("tor", { name: "tor", uid: "u", generation: 1, reporters: ["node2"] });
  assert.equal(await rig.follow([session("Established")]), 1);
  assert.equal(await rig.follow([session("Established")]), 0, "the watch tells of it a moment later");
});

test("PeerStatus records that sessions come and go, on the peer or the node", async () => {
  const rig = new Rig();
  const mesh = (state: string) => session(state, 1, { kind: "node", peer: "node2", protocol: "mesh-node2" });
  await rig.follow([session("Active"), mesh("Connect")]);
  assert.deepEqual(rig.events, [], "what never was is not lost");
  await rig.follow([session("Established"), mesh("Established")]);
  await rig.follow([session("Established"), mesh("Established")]);
  await rig.follow([session("Idle"), mesh("Established")]);
  assert.deepEqual(rig.events, [
    "BGPPeer tor Normal BGPSessionEstablished: the session of node node1 with tor (192.168.1.1) is established",
    "Node node1 Normal BGPSessionEstablished: the session of node node1 with node node2 (192.168.1.1) is established",
    "BGPPeer tor Warning BGPSessionLost: the session of node node1 with tor (192.168.1.1) was lost: Socket: Connection refused",
  ]);
});
