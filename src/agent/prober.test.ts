/** Probers against a network in memory, on a clock that the tests move: minutes pass in milliseconds. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { FakeProbeNetwork, type PacketFate } from "../kernel/fake/probe-network.ts";
import { ManualClock } from "../kube/testing/manual-clock.ts";
import { encodeAcknowledgement, encodeProbe } from "../model/probe-packet.ts";
import type { ProbeTarget, ProofState } from "../model/proof.ts";
import { Prober } from "./prober.ts";

const address = (i: number) => `10.0.${i >> 8}.${i & 255}`;
const inner = (i: number) => `10.244.${i}.0`;

/** A cluster of `count` nodes, the first `real` of them with a prober; the others only answer. */
class Cluster {
  readonly clock = new ManualClock();
  readonly network = new FakeProbeNetwork({ schedule: this.clock.schedule });
  readonly probers: Prober[] = [];
  readonly settled: { node: number; target: ProbeTarget; state: ProofState; before: ProofState }[] = [];
  plans = 0;
  readonly count: number;

  constructor(count: number, real = count, overlay = false, adopted = new Map<string, number>()) {
    this.count = count;
    const names = new Map(Array.from({ length: count }, (_, i) => [address(i), `node${i}`] as const));
    for (let i = 0; i < count; i++) {
      const open = this.network.addNode(`node${i}`, overlay ? [address(i), inner(i)] : [address(i)]);
      const prober = new Prober({
        open,
        port: 8474,
        clock: this.clock,
        peerAt: (ip) => names.get(ip),
        onSettled: (target, state, before) => this.settled.push({ node: i, target, state, before }),
        onProven: () => this.plans++,
        onError: (peer, error) => assert.fail(`${peer}: ${error}`),
        adopted: (peer) => adopted.get(peer),
      });
      this.probers.push(prober);
      if (i < real) prober.setTargets(this.targets(i, overlay));
    }
  }

  targets(of: number, overlay: boolean, bytes = 1500): Map<string, ProbeTarget[]> {
    const targets = new Map<string, ProbeTarget[]>();
    for (let i = 0; i < this.count; i++) {
      if (i === of) continue;
      const peer = `node${i}`;
      const overheadBytes = overlay ? 50 : 0;
      const underlay: ProbeTarget = { peer, layer: "underlay", family: 4, address: address(i), bytes, overheadBytes };
      const inside: ProbeTarget = {
        ...underlay,
        layer: "overlay",
        address: inner(i),
        bytes: bytes - 50,
        overheadBytes: 0,
      };
      targets.set(peer, overlay ? [underlay, inside] : [underlay]);
    }
    return targets;
  }

  prober(i: number): Prober {
    return this.probers[i] as Prober;
  }

  async pass(ms: number): Promise<void> {
    const end = this.clock.now() + ms;
    for (;;) {
      // What a timer woke runs on behind promises.
      await nextTurn();
      const next = this.clock.delays()[0] ?? Number.POSITIVE_INFINITY;
      if (this.clock.now() + next > end) break;
      this.clock.advance(Math.max(0, next));
    }
    this.clock.advance(end - this.clock.now());
    await nextTurn();
  }

  proven(i = 0): Record<string, number> {
    return Object.fromEntries(this.prober(i).proven());
  }

  verdicts(i = 0): Record<string, string> {
    const states = this.prober(i).states();
    return Object.fromEntries(states.map(({ target, state }) => [`${target.peer} ${target.layer}`, state.verdict]));
  }

  stop(): void {
    for (const prober of this.probers) prober[Symbol.dispose]();
  }
}

/** The cluster is stopped whatever the test does. */
function scenario(name: string, cluster: () => Cluster, body: (cluster: Cluster) => Promise<void>): void {
  test(name, async () => {
    const made = cluster();
    try {
      await body(made);
    } finally {
      made.stop();
    }
  });
}

const above = (bytes: number, limit: number, otherwise: PacketFate): PacketFate =>
  bytes > limit ? otherwise : "arrives";
const tooBig = (mtuBytes: number) => ({ from: "10.9.9.9", mtuBytes });

scenario(
  "all paths are proven at once when they appear",
  () => new Cluster(3),
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
    () => new Cluster(3, 3, true),
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
  () => new Cluster(2),
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
  () => new Cluster(3),
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
  () => new Cluster(3),
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
  () => new Cluster(2),
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
  () => new Cluster(2),
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
  () => new Cluster(2),
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
  () => new Cluster(2),
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
  () => new Cluster(2),
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
  () => new Cluster(2, 2, true),
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
    new Cluster(
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
  () => new Cluster(2),
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
  () => new Cluster(2, 1),
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
  () => new Cluster(3),
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
  () => new Cluster(5),
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

test("200 peers behind a router that shrinks are right within 10 s", async () => {
  const cluster = new Cluster(201, 1);
  try {
    await cluster.pass(20_000);
    assert.equal(Object.keys(cluster.proven(0)).length, 200);
    cluster.network.fate = ({ bytes }) => above(bytes, 1300, tooBig(1300));
    await cluster.pass(10_000);
    assert.deepEqual(new Set(Object.values(cluster.proven(0))), new Set([1300]));
  } finally {
    cluster.stop();
  }
});

test("at 1,000 nodes fewer than ten packets a second leave a node, and every path is proven within ten minutes", async () => {
  const cluster = new Cluster(1000, 1, true);
  try {
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
  } finally {
    cluster.stop();
  }
});
