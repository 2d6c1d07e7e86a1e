/** What probers find out about paths: on the rig of testing/probe-cluster.ts. */
import assert from "node:assert/strict";
import { encodeAcknowledgement, encodeProbe } from "../model/probe-packet.ts";
import { above, address, ProbeCluster, scenario, tooBig } from "./testing/probe-cluster.ts";

scenario(
  "all paths are proven at once when they appear",
  () => new ProbeCluster(3),
  async (cluster) => {
    await cluster.pass(500);
    assert.deepEqual(cluster.proven(0), { node1: 1500, node2: 1500 });
    assert.deepEqual(cluster.proven(2), { node0: 1500, node1: 1500 });
  },
);

for (const [name, fate] of [
  ["a router that answers", tooBig(1300)],
  ["a hop that is silent", "vanishes"],
] as const) {
  scenario(
    `${name}: every path follows within 10 s, down and up`,
    () => new ProbeCluster(3, 3, true),
    async (cluster) => {
      await cluster.pass(5000);
      cluster.network.fate = ({ bytes, to }) => (to.startsWith("10.244") ? "arrives" : above(bytes, 1300, fate));
      await cluster.pass(10_000);
      for (const i of [0, 1, 2]) assert.deepEqual(new Set(Object.values(cluster.proven(i))), new Set([1250]));
      cluster.network.fate = () => "arrives";
      await cluster.pass(10_000);
      for (const i of [0, 1, 2]) assert.deepEqual(new Set(Object.values(cluster.proven(i))), new Set([1450]));
    },
  );
}

scenario(
  "one direction alone is narrow: that one shrinks",
  () => new ProbeCluster(2),
  async (cluster) => {
    await cluster.pass(3000);
    cluster.network.fate = ({ node, bytes }) => (node === "node0" ? above(bytes, 1400, "vanishes") : "arrives");
    await cluster.pass(10_000);
    assert.deepEqual(cluster.proven(0), { node1: 1400 });
    assert.deepEqual(cluster.proven(1), { node0: 1500 });
  },
);

scenario(
  "two faults at once are two sizes",
  () => new ProbeCluster(3),
  async (cluster) => {
    await cluster.pass(3000);
    cluster.network.fate = ({ to, bytes }) =>
      to === address(1) ? above(bytes, 1300, tooBig(1300)) : above(bytes, 1450, "vanishes");
    await cluster.pass(10_000);
    assert.deepEqual(cluster.proven(0), { node1: 1300, node2: 1450 });
    assert.deepEqual(cluster.verdicts(0), { "node1 underlay": "too-big", "node2 underlay": "black-hole" });
  },
);

scenario(
  "a peer whose agent is down is unknown, and keeps what was proven",
  () => new ProbeCluster(3),
  async (cluster) => {
    cluster.network.fate = ({ bytes }) => above(bytes, 1400, "vanishes");
    await cluster.pass(10_000);
    assert.deepEqual(cluster.proven(0), { node1: 1400, node2: 1400 });
    cluster.prober(1)[Symbol.dispose]();
    await cluster.pass(10_000);
    assert.equal(cluster.verdicts(0)["node1 underlay"], "unknown");
    assert.deepEqual(cluster.proven(0), { node1: 1400, node2: 1400 });
  },
);

scenario(
  "a peer that never answered has no size",
  () => new ProbeCluster(2),
  async (cluster) => {
    cluster.network.fate = () => "vanishes";
    await cluster.pass(20_000);
    assert.deepEqual(cluster.proven(0), {});
    assert.deepEqual(cluster.verdicts(0), { "node1 underlay": "unknown" });
    cluster.network.fate = () => "EHOSTUNREACH";
    await cluster.pass(20_000);
    assert.deepEqual(cluster.verdicts(0), { "node1 underlay": "unreachable" });
  },
);

scenario(
  "what strangers send shrinks and proves nothing",
  () => new ProbeCluster(2),
  async (cluster) => {
    cluster.network.fate = ({ bytes }) => above(bytes, 1400, "vanishes");
    const forge = () => {
      for (const nonce of ["0000000000000000", "ffffffffffffffff"]) {
        cluster.network.inject("node0", address(1), encodeAcknowledgement([nonce]));
        const quoted = encodeProbe({ nonce, bytes: 1400, together: false, suspect: false }, 4);
        const error = { to: address(1), errno: "EMSGSIZE", origin: "icmp", from: "10.6.6.6", mtuBytes: 68 } as const;
        cluster.network.injectError("node0", { ...error, quoted });
        cluster.network.injectError("node0", { ...error, quoted: Buffer.alloc(0) });
      }
    };
    for (let i = 0; i < 100; i++) {
      forge();
      await cluster.pass(100);
    }
    assert.deepEqual(cluster.proven(0), { node1: 1400 });
    assert.equal(cluster.verdicts(0)["node1 underlay"], "black-hole");
  },
);

scenario(
  "a stranger's probes are answered a hundred times a second at most",
  () => new ProbeCluster(2),
  async (cluster) => {
    await cluster.pass(1000);
    const before = cluster.prober(0).counters.acknowledgementsSent;
    const probe = encodeProbe({ nonce: "00000000000000aa", bytes: 100, together: false, suspect: true }, 4);
    for (let i = 0; i < 1000; i++) cluster.network.inject("node0", "203.0.113.9", probe);
    assert.equal(cluster.prober(0).counters.acknowledgementsSent - before, 100);
    assert.equal(cluster.prober(0).counters.ignored, 900);
  },
);

scenario(
  "an interface of our own that became small is told from the network",
  () => new ProbeCluster(2),
  async (cluster) => {
    await cluster.pass(3000);
    cluster.network.fate = ({ node, bytes }) => (node === "node0" ? above(bytes, 1400, "EMSGSIZE") : "arrives");
    await cluster.pass(5000);
    assert.deepEqual(cluster.verdicts(0), { "node1 underlay": "local" });
    assert.deepEqual(cluster.proven(0), { node1: 1400 });
  },
);

scenario(
  "a new plan is proved at once, and a larger size only counts when it lasted",
  () => new ProbeCluster(2),
  async (cluster) => {
    await cluster.pass(3000);
    for (const i of [0, 1]) cluster.prober(i).setTargets(cluster.targets(i, false, 9000));
    assert.deepEqual(cluster.proven(0), { node1: 1500 });
    await cluster.pass(2500);
    assert.deepEqual(cluster.proven(0), { node1: 1500 });
    await cluster.pass(2500);
    assert.deepEqual(cluster.proven(0), { node1: 9000 });
    for (const i of [0, 1]) cluster.prober(i).setTargets(cluster.targets(i, false, 1400));
    await cluster.pass(1000);
    assert.deepEqual(cluster.proven(0), { node1: 1400 });
  },
);

scenario(
  "a wire that was narrow for a while is used whole again within 10 s, inside the tunnel too",
  () => new ProbeCluster(2, 2, true),
  async (cluster) => {
    await cluster.pass(3000);
    const plan = (bytes: number) => {
      for (const i of [0, 1]) cluster.prober(i).setTargets(cluster.targets(i, true, bytes));
    };
    plan(1400);
    await cluster.pass(3000);
    assert.deepEqual(cluster.proven(0), { node1: 1350 });
    plan(1500);
    await cluster.pass(2500);
    assert.deepEqual(cluster.proven(0), { node1: 1350 });
    await cluster.pass(2500);
    assert.deepEqual(cluster.proven(0), { node1: 1450 });
  },
);

scenario(
  "what an earlier agent proved holds from the start: it is confirmed without a change, or raised when it lasted",
  () =>
    new ProbeCluster(
      3,
      1,
      true,
      new Map([
        ["node1", 1250],
        ["node2", 1250],
      ]),
    ),
  async (cluster) => {
    cluster.network.fate = ({ to, bytes }) => (to === address(1) ? above(bytes, 1300, tooBig(1300)) : "arrives");
    assert.deepEqual(cluster.proven(0), { node1: 1250, node2: 1250 });
    await cluster.pass(2500);
    assert.deepEqual(cluster.proven(0), { node1: 1250, node2: 1250 });
    await cluster.pass(2500);
    assert.deepEqual(cluster.proven(0), { node1: 1250, node2: 1450 });
  },
);

scenario(
  "a path that has to wait long before it is raised is looked at once a second, not more and more often",
  () => new ProbeCluster(2),
  async (cluster) => {
    // It falls often enough to be trusted no more.
    for (let flap = 0; flap < 17; flap++) {
      cluster.network.fate = ({ bytes }) => above(bytes, 1400, "vanishes");
      await cluster.pass(4000);
      cluster.network.fate = () => "arrives";
      await cluster.pass(8000);
    }
    assert.deepEqual(cluster.proven(0), { node1: 1400 });
    const looks: number[] = [];
    for (let second = 0; second < 30; second++) {
      const before = cluster.prober(0).counters.probesSent;
      await cluster.pass(1000);
      looks.push(cluster.prober(0).counters.probesSent - before);
    }
    // Three packets a look: one look a second for the raise, and its turn every two seconds.
    assert.ok(Math.max(...looks) <= 6, `packets a second: ${looks}`);
  },
);

scenario(
  "a peer that asks in every packet is looked at once a second",
  () => new ProbeCluster(2, 1),
  async (cluster) => {
    await cluster.pass(1000);
    const before = cluster.prober(0).counters.probesSent;
    const probe = encodeProbe({ nonce: "00000000000000aa", bytes: 100, together: false, suspect: true }, 4);
    for (let i = 0; i < 1000; i++) {
      cluster.network.inject("node0", address(1), probe);
      await cluster.pass(10);
    }
    const sent = cluster.prober(0).counters.probesSent - before;
    assert.ok(sent >= 5 && sent <= 20, `${sent} probes in ten seconds`);
  },
);

scenario(
  "a peer that went is forgotten, one with another address is another path",
  () => new ProbeCluster(3),
  async (cluster) => {
    await cluster.pass(3000);
    const targets = cluster.targets(0, false);
    targets.delete("node2");
    const [moved] = targets.get("node1") ?? [];
    assert.ok(moved);
    targets.set("node1", [{ ...moved, address: "10.7.7.7" }]);
    cluster.prober(0).setTargets(targets);
    // What it had holds until the new path has been proven.
    assert.deepEqual(cluster.proven(0), { node1: 1500 });
    await cluster.pass(5000);
    assert.deepEqual(cluster.verdicts(0), { "node1 underlay": "unknown" });
  },
);

scenario(
  "losses of one in a hundred raise no alarm in ten minutes",
  () => new ProbeCluster(5),
  async (cluster) => {
    await cluster.pass(3000);
    let state = 42;
    cluster.network.fate = () => {
      state = (state * 48271) % 2147483647;
      return state / 2147483647 < 0.01 ? "vanishes" : "arrives";
    };
    cluster.settled.length = 0;
    await cluster.pass(600_000);
    assert.deepEqual(
      cluster.settled.filter(({ state: { verdict } }) => verdict !== "passes"),
      [],
    );
  },
);

scenario(
  "200 peers behind a router that shrinks are right within 10 s",
  () => new ProbeCluster(201, 1),
  async (cluster) => {
    await cluster.pass(20_000);
    assert.equal(Object.keys(cluster.proven(0)).length, 200);
    cluster.network.fate = ({ bytes }) => above(bytes, 1300, tooBig(1300));
    await cluster.pass(10_000);
    assert.deepEqual(new Set(Object.values(cluster.proven(0))), new Set([1300]));
  },
);

scenario(
  "at 1,000 nodes fewer than ten packets a second leave a node, and every path is proven within ten minutes",
  () => new ProbeCluster(1000, 1, true),
  async (cluster) => {
    await cluster.pass(60_000);
    assert.equal(Object.keys(cluster.proven(0)).length, 999);
    const { probesSent } = cluster.prober(0).counters;
    const answersBefore = cluster.probers.reduce((sum, prober) => sum + prober.counters.acknowledgementsSent, 0);
    const started = cluster.clock.now();
    await cluster.pass(600_000);
    const sent = cluster.prober(0).counters.probesSent - probesSent;
    // All others answer this one as it would answer all others.
    const answers =
      cluster.probers.reduce((sum, prober) => sum + prober.counters.acknowledgementsSent, 0) - answersBefore;
    assert.ok((sent + answers) / 600 < 10, `${(sent + answers) / 600} packets a second`);
    for (const { state } of cluster.prober(0).states()) assert.ok((state.checkedMs ?? 0) > started);
  },
);
