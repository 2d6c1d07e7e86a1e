/** What goes wrong in a fabric, and what becomes of a cluster then: each fault, its outcome, and that all is well again. */
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { after, afterEach, before, test } from "node:test";
import type { BgpSessionReport } from "../../src/model/bgp-report.ts";
import { FabricTables } from "./fabric-fixture.ts";
import { eventually } from "./lab-fixture.ts";
import { responder, SETTLED_MS, ServiceLab } from "./services-fixture.ts";

const lab = new ServiceLab("bgp-faults");
const tables = new FabricTables(lab);
const NODES = ["node1", "node2", "node3", "node4"];
const PODS = ["a", "b", "c", "d"];
const OUTSIDE = "203.0.113.10";
/** A session that ended for an error is tried again after up to 30 s; a busy machine may take its time. */
const SESSION_MS = 90_000;
const BFD_MS = 15_000;
const ips = new Map<string, string>();

before(async () => {
  const shape = ["--nodes", "4", "--subnets", "2", "--routing", "bgp"];
  await lab.up(
    PODS.map((name, i) => responder(name, name, `node${i + 1}`)),
    shape,
  );
  for (const name of PODS) ips.set(name, (await lab.podIps(name))[0] ?? "");
  await well();
});
afterEach(async () => {
  await lab.lab("fault", "clear");
  await well();
});
after(() => lab.close());

const fault = async (name: string, ...options: string[]) => {
  const { code, stderr } = await lab.lab("fault", "add", name, ...options);
  assert.equal(code, 0, stderr);
};
const sessionOf = async (node: string, peer: string): Promise<BgpSessionReport> => {
  const found = (await tables.bgpOf(node)).sessions.find((session) => session.peer === peer);
  assert.ok(found, `${node} has a session with ${peer}`);
  return found;
};
const becomes = (node: string, peer: string, check: (session: BgpSessionReport) => void, deadlineMs = SESSION_MS) =>
  eventually(deadlineMs, async () => check(await sessionOf(node, peer)));
const isDown = ({ state }: BgpSessionReport) => assert.notEqual(state, "Established");
const isUp = ({ state }: BgpSessionReport) => assert.equal(state, "Established");

/**
 * All sessions are there and have brought their routes (a session is Established before the first of them comes, and
 * the fabric's default route leads packets to the same places); all pods reach each other, the host behind the fabric
 * reaches them.
 */
async function well(): Promise<void> {
  await eventually(SESSION_MS, async () => {
    for (const node of NODES) {
      const { sessions } = await tables.bgpOf(node);
      for (const { peer, state } of sessions) assert.equal(state, "Established", `${node} with ${peer}`);
      const routes = await lab.exec(`node/${node}`, "ip", "route");
      const pods = NODES.map((_, i) => `10.244.${i + 1}.0/24`);
      for (const to of [...pods, "203.0.113.0/24"]) assert.ok(routes.includes(to), `${node} has a route to ${to}`);
    }
  });
  await lab.settles([...PODS.map((pod) => `default/${pod}`), "node/outside"].flatMap((from) => reaches(from, PODS)));
}

const reaches = (from: string, pods: readonly string[]) =>
  pods.map((pod) => ({ from, to: ips.get(pod) ?? "", port: 80, gets: `default/${pod}` }));

/** What the BGPPeer's status says of a node. */
async function statusOf(peer: string, node: string): Promise<{ state: string; lastError?: string } | undefined> {
  const { status } = JSON.parse(await lab.kubectl("get", "bgppeer", peer, "-o", "json")) as {
    status?: { sessions?: { node: string; state: string; lastError?: string }[] };
  };
  return status?.sessions?.find((session) => session.node === node);
}

/** Packets of a pod to the host behind the fabric, one every 10 ms, while something happens. @returns those lost */
async function lostWhile(pod: string, happens: () => Promise<void>): Promise<number> {
  const words = ["ping", "-n", "-q", "-i", "0.01", "-c", "1500", "-W", "2", OUTSIDE];
  const stream = lab.exec(`default/${pod}`, ...words);
  await happens();
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(await stream) ?? [];
  assert.equal(sent, "1500");
  return Number(sent) - Number(received);
}

for (const [router, node] of [
  ["tor1", "node1"],
  ["tor2", "node2"],
] as const) {
  test(`session-reset: the session with ${router} comes back by itself, the node's others stay`, async () => {
    const [before, other] = [await sessionOf(node, router), node === "node1" ? "node3" : "node4"];
    const mesh = await sessionOf(node, other);
    await fault("session-reset", "--node", node);
    await becomes(node, router, (session) => {
      isUp(session);
      assert.ok((session.since ?? 0) > (before.since ?? 0), "it is another session");
    });
    assert.equal((await sessionOf(node, other)).since, mesh.since);
  });

  test(`wrong-as at ${router}: no session, the node and the BGPPeer say why, pods of the rack still reach each other`, async () => {
    await fault("wrong-as", "--node", node);
    await becomes(node, router, (session) => {
      isDown(session);
      assert.match(session.lastError ?? "", /Bad peer AS/i);
    });
    await eventually(SETTLED_MS, async () => {
      const status = await statusOf(router, node);
      assert.notEqual(status?.state, "Established");
      assert.match(status?.lastError ?? "", /Bad peer AS/i);
    });
    const { code, stdout } = await lab.lab("exec", `node/${node}`, "--", resolve("bin/breakwater"), "bgp");
    assert.equal(code, 1);
    assert.match(stdout, new RegExp(`^${router} .*Bad peer AS`, "im"));
    const [pod, neighbour] = node === "node1" ? ["a", "c"] : ["b", "d"];
    await lab.settles(reaches(`default/${pod}`, [neighbour ?? ""]));
  });

  test(`wrong-password at ${router}: no session, and the node and the BGPPeer say that passwords differ`, async () => {
    await fault("wrong-password", "--node", node);
    await becomes(node, router, (session) => {
      isDown(session);
      assert.match(session.lastError ?? "", /password/);
    });
    await eventually(SETTLED_MS, async () => {
      const status = await statusOf(router, node);
      assert.notEqual(status?.state, "Established");
      assert.match(status?.lastError ?? "", /password/);
    });
  });

  test(`default-route-leak from ${router}: refused and counted, no route changes, no packet is lost`, async () => {
    const routes = () => lab.exec(`node/${node}`, "ip", "route");
    const [before, refused] = [await routes(), (await sessionOf(node, router)).channels[0]?.refused ?? 0];
    const lost = await lostWhile(node === "node1" ? "a" : "b", async () => {
      await fault("default-route-leak", "--node", node);
      await becomes(node, router, ({ channels }) => assert.ok((channels[0]?.refused ?? 0) > refused));
    });
    assert.equal(lost, 0);
    isUp(await sessionOf(node, router));
    assert.equal(await routes(), before);
  });
}

test("prefix-flood: 20,000 prefixes are refused, sessions and traffic stay", async () => {
  const lost = await lostWhile("a", async () => {
    await fault("prefix-flood", "--node", "node1");
    await becomes("node1", "tor1", (session) => {
      isUp(session);
      assert.ok((session.channels[0]?.refused ?? 0) >= 20_000, JSON.stringify(session.channels));
    });
  });
  assert.equal(lost, 0);
  assert.doesNotMatch(await lab.exec("node/node1", "ip", "route"), /198\.1[89]\./);
});

test("prefix-flood where importAllow lets it in: it ends at the peer's limit, the node says so, and goes on", async () => {
  const allow = (spec: object) =>
    lab.kubectl("patch", "bgppeer", "tor1", "--type=merge", "-p", JSON.stringify({ spec }));
  await allow({ importAllow: ["203.0.113.0/24", "2001:db8:113::/64", "198.18.0.0/15"], maxPrefixes: 500 });
  await well();
  const lost = await lostWhile("a", async () => {
    await fault("prefix-flood", "--node", "node1", "--set", "prefixes=2000");
    await becomes("node1", "tor1", (session) => {
      isUp(session);
      assert.equal(session.channels[0]?.limitReached, true, JSON.stringify(session.channels));
    });
  });
  assert.equal(lost, 0);
  assert.ok(((await sessionOf("node1", "tor1")).channels[0]?.imported ?? 0) <= 500);
  await lab.settles(reaches("default/a", PODS));
  await lab.lab("fault", "clear");
  await allow({ importAllow: ["203.0.113.0/24", "2001:db8:113::/64"], maxPrefixes: 10_000 });
});

test("bfd-silence: the session ends within seconds though its packets pass, and comes back without BFD's watch", async () => {
  const before = await sessionOf("node1", "tor1");
  await fault("bfd-silence", "--node", "node1");
  await becomes(
    "node1",
    "tor1",
    (session) => assert.ok(session.state !== "Established" || (session.since ?? 0) > (before.since ?? 0)),
    BFD_MS,
  );
  await becomes("node1", "tor1", isUp);
  await lab.settles(reaches("default/a", PODS));
});

test("link-flap of a node's port: others stay untouched; link-flap of a wire to the spine: the other one carries on", async () => {
  const other = await sessionOf("node3", "tor1");
  await fault("link-flap", "--node", "node1");
  await becomes("node1", "tor1", isDown, SETTLED_MS);
  await lab.lab("fault", "clear");
  await becomes("node1", "tor1", isUp);
  assert.equal((await sessionOf("node3", "tor1")).since, other.since);
  await fault("link-flap", "--node", "node1", "--set", "link=spine", "--set", "downMs=5000", "--set", "upMs=600000");
  await eventually(SETTLED_MS, async () => {
    const summary = JSON.parse(await tables.vtysh("tor1", "show bgp ipv4 unicast summary json"));
    assert.notEqual(summary.peers["172.31.1.5"].state, "Established");
    assert.equal(summary.peers["172.31.1.9"].state, "Established");
  });
  await lab.settles([...reaches("default/a", PODS), ...reaches("node/outside", PODS)]);
});

test("router-kill: its rack is cut off within seconds and says so; the other rack goes on; all comes back with the router", async () => {
  await fault("router-kill", "--node", "node1");
  await becomes("node1", "tor1", isDown, BFD_MS);
  await lab.settles([
    ...reaches("default/a", ["c"]),
    ...reaches("default/b", ["d"]),
    ...reaches("node/outside", ["b", "d"]),
    { from: "node/outside", to: ips.get("a") ?? "", port: 80, gets: "ETIMEDOUT" },
  ]);
  assert.doesNotMatch(await lab.exec("node/node1", "ip", "route"), /203\.0\.113\.0|10\.244\.[24]\.0/);
  await lab.lab("fault", "clear");
  await well();
});

test("faults of a fabric are refused in a lab that has none, and for routers that it does not have", async () => {
  const unknown = await lab.lab("fault", "add", "router-kill", "--set", "router=tor9");
  assert.deepEqual([unknown.code, /no router "tor9"[\s\S]*spine, tor1, tor2/.test(unknown.stderr)], [1, true]);
  const mtu = await lab.lab("fault", "add", "router-mtu");
  assert.match(mtu.stderr, /BW_REFUSED/);
  const flood = await lab.lab("fault", "add", "prefix-flood", "--node", "node2");
  assert.match(flood.stderr, /GoBGP[\s\S]*router=spine/);
});
