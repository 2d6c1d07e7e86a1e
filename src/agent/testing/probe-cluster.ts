/** Probers against a network in memory, on a clock that the tests move: minutes pass in milliseconds. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { FakeProbeNetwork, type PacketFate } from "../../kernel/fake/probe-network.ts";
import { ManualClock } from "../../kube/testing/manual-clock.ts";
import type { ProbeTarget, ProofState } from "../../model/proof.ts";
import { Prober } from "../prober.ts";

export const address = (i: number) => `10.0.${i >> 8}.${i & 255}`;
const inner = (i: number) => `10.244.${i}.0`;

/** A cluster of `count` nodes, the first `real` of them with a prober; the others only answer. */
export class ProbeCluster {
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
export function scenario(
  name: string,
  cluster: () => ProbeCluster,
  body: (cluster: ProbeCluster) => Promise<void>,
): void {
  test(name, async () => {
    const made = cluster();
    try {
      await body(made);
    } finally {
      made.stop();
    }
  });
}

export const above = (bytes: number, limit: number, otherwise: PacketFate): PacketFate =>
  bytes > limit ? otherwise : "arrives";
export const tooBig = (mtuBytes: number) => ({ from: "10.9.9.9", mtuBytes });
