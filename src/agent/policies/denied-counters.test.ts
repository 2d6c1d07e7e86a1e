/** What policies denied, on the kernel in memory: chains come, go and are made anew, and no count ever falls. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { diffNft } from "../../diff/nft.ts";
import { FakeHost } from "../../kernel/fake/host.ts";
import { POLICY_TABLES } from "../../model/marks.ts";
import type { NftChain, NftTable } from "../../model/nft.ts";
import { DeniedCounters } from "./denied-counters.ts";

const NODE = "/run/netns/node1";
const WEB = "ingress-denied-0123456789";
const OUT = "egress-denied-0123456789";

class Rig {
  readonly host = new FakeHost();
  readonly hand = this.host.addNamespace(NODE);
  denials = new Map<string, readonly string[]>();
  readonly warnings: string[] = [];
  counters = this.restart();

  /** A new agent on the same kernel. */
  restart(): DeniedCounters {
    this.counters = new DeniedCounters({
      nftables: this.host.kernel(NODE).nftables,
      denials: () => this.denials,
      log: { warn: (_, message) => this.warnings.push(message) },
    });
    return this.counters;
  }

  /** @param anew chains whose rules are made anew */
  plan(denials: Record<string, readonly string[]>, anew: readonly string[] = [], more: readonly NftChain[] = []): void {
    this.denials = new Map(Object.entries(denials));
    const nftables = this.counters.readBefore();
    for (const family of [4, 6] as const) {
      const chains = [...Object.keys(denials).map((name) => denying(name)), ...more];
      const table: NftTable = { ...POLICY_TABLES[family], sets: [], chains };
      nftables.commit(table, diffNft(table, nftables.table(table)));
      for (const chain of anew) {
        const rule = denying(chain).rules[0];
        if (rule === undefined) continue;
        nftables.commit(table, [
          { do: "flushChain", chain },
          { do: "addRule", chain, rule },
        ]);
      }
    }
  }

  deny(chain: string, packets: number, family: 4 | 6 = 4): void {
    this.hand.countPackets(POLICY_TABLES[family], chain, BigInt(packets), BigInt(packets * 60));
  }

  /** "db/deny ingress 5 300", sorted. */
  read(): string[] {
    this.counters.collect();
    return this.counters
      .byPolicy()
      .map(({ policy, direction, packets, bytes }) => `${policy} ${direction} ${packets} ${bytes}`)
      .sort();
  }
}

function denying(name: string): NftChain {
  return { name, rules: [{ statements: [{ counter: true }, { verdict: "drop" }] }] };
}

test("DeniedCounters counts a packet for each policy that selects the pod, in its direction, over both families", () => {
  const rig = new Rig();
  rig.plan({ [WEB]: ["db/deny", "db/web"], [OUT]: ["db/deny"] });
  assert.deepEqual(rig.read(), ["db/deny egress 0 0", "db/deny ingress 0 0", "db/web ingress 0 0"]);
  rig.deny(WEB, 3);
  rig.deny(WEB, 2, 6);
  rig.deny(OUT, 1);
  const expected = ["db/deny egress 1 60", "db/deny ingress 5 300", "db/web ingress 5 300"];
  assert.deepEqual(rig.read(), expected);
  assert.deepEqual(rig.read(), expected, "reading counts nothing twice");
  assert.deepEqual(rig.counters.together(), [
    { direction: "ingress", policies: ["db/deny", "db/web"], packets: 5, bytes: 300 },
    { direction: "egress", policies: ["db/deny"], packets: 1, bytes: 60 },
  ]);
});

test("DeniedCounters goes on where a chain is made anew, also when it has counted more than the one before", () => {
  const rig = new Rig();
  rig.plan({ [WEB]: ["db/deny"] });
  rig.deny(WEB, 5);
  assert.deepEqual(rig.read(), ["db/deny ingress 5 300"]);
  rig.plan({ [WEB]: ["db/deny"] }, [WEB]);
  rig.deny(WEB, 2);
  assert.deepEqual(rig.read(), ["db/deny ingress 7 420"]);
  rig.plan({ [WEB]: ["db/deny"] }, [WEB]);
  rig.deny(WEB, 9);
  assert.deepEqual(rig.read(), ["db/deny ingress 16 960"]);
});

test("DeniedCounters goes on where somebody else made the table anew", () => {
  const rig = new Rig();
  rig.plan({ [WEB]: ["db/deny"] });
  rig.deny(WEB, 5);
  rig.read();
  const table = POLICY_TABLES[4];
  rig.hand.nftables.commit(table, [{ do: "deleteTable" }]);
  assert.deepEqual(rig.read(), ["db/deny ingress 5 300"]);
  rig.plan({ [WEB]: ["db/deny"] });
  rig.deny(WEB, 1);
  assert.deepEqual(rig.read(), ["db/deny ingress 6 360"]);
});

test("DeniedCounters begins anew where a rule of another table has the number of an older one", () => {
  let now = { chain: WEB, handle: 4n, packets: 10n, bytes: 600n };
  const nothing = { table: () => undefined, commit: () => undefined, watch: () => ({ [Symbol.dispose]() {} }) };
  const counters = new DeniedCounters({
    nftables: { ...nothing, counters: ({ family }) => (family === "ip" ? [now] : []) },
    denials: () => new Map([[WEB, ["db/deny"]]]),
    log: { warn: () => undefined },
  });
  counters.collect();
  now = { ...now, packets: 3n, bytes: 180n };
  counters.collect();
  assert.deepEqual(counters.byPolicy(), [{ policy: "db/deny", direction: "ingress", packets: 13, bytes: 780 }]);
});

test("DeniedCounters reads what a chain counted before it goes", () => {
  const rig = new Rig();
  rig.plan({ [WEB]: ["db/deny"], [OUT]: ["db/out"] });
  rig.deny(WEB, 5);
  rig.deny(OUT, 2);
  rig.plan({ [WEB]: ["db/deny"] });
  rig.deny(WEB, 1);
  rig.plan({ [WEB]: ["db/deny"] }, [WEB]);
  rig.deny(WEB, 4, 6);
  rig.plan({});
  assert.deepEqual(rig.read(), ["db/deny ingress 10 600", "db/out egress 2 120"]);
});

test("DeniedCounters adds up both counters of segments without a connection, and those alone", () => {
  const rig = new Rig();
  const stray = denying("midstream").rules;
  rig.plan({ [WEB]: ["db/deny"] }, [], [{ name: "midstream", rules: [...stray, ...stray] }]);
  rig.deny("midstream", 100);
  rig.restart();
  rig.deny("midstream", 1);
  rig.deny("midstream", 2, 6);
  rig.deny(WEB, 1);
  assert.deepEqual(rig.read(), ["db/deny ingress 1 60"]);
  assert.equal(rig.counters.strayPackets, 6);
  rig.deny("midstream", 1);
  rig.plan({});
  rig.read();
  assert.equal(rig.counters.strayPackets, 8);
});

test("DeniedCounters lets a change be made also where it cannot read before", () => {
  const rig = new Rig();
  rig.plan({ [WEB]: ["db/deny"] });
  rig.host.failures.fail({ operation: "counters", errno: "ENOMEM", times: Number.POSITIVE_INFINITY });
  rig.plan({});
  assert.deepEqual(rig.hand.nftables.table(POLICY_TABLES[4])?.chains ?? [], []);
  assert.deepEqual([...new Set(rig.warnings)], ["cannot read how much was denied before a change"]);
});

test("DeniedCounters keeps what was counted for policies that select nobody any more, until they are gone", () => {
  const rig = new Rig();
  rig.plan({ [WEB]: ["db/deny", "db/web"] });
  rig.deny(WEB, 5);
  rig.read();
  rig.plan({});
  assert.deepEqual(rig.read(), ["db/deny ingress 5 300", "db/web ingress 5 300"]);
  assert.deepEqual(rig.counters.together(), []);
  rig.plan({ [WEB]: ["db/deny", "db/web"] });
  rig.deny(WEB, 1);
  assert.deepEqual(rig.read(), ["db/deny ingress 6 360", "db/web ingress 6 360"]);
  rig.counters.retain(() => false);
  assert.deepEqual(rig.read(), ["db/deny ingress 6 360", "db/web ingress 6 360"], "they select pods");
  rig.plan({ [WEB]: ["db/web"] });
  rig.read();
  rig.counters.retain((policy) => policy === "db/web");
  assert.deepEqual(rig.read(), ["db/web ingress 6 360"]);
});

test("DeniedCounters of a new agent counts from its start, whatever was asked before it knew the policies", () => {
  const rig = new Rig();
  rig.plan({ [WEB]: ["db/deny"] });
  rig.deny(WEB, 100);
  const { denials } = rig;
  rig.denials = new Map();
  rig.restart();
  assert.deepEqual(rig.read(), []);
  rig.denials = denials;
  assert.deepEqual(rig.read(), ["db/deny ingress 0 0"]);
  rig.deny(WEB, 2);
  assert.deepEqual(rig.read(), ["db/deny ingress 2 120"]);
});

test("DeniedCounters loses nothing when the kernel does not answer once", () => {
  const rig = new Rig();
  rig.plan({ [WEB]: ["db/deny"] });
  rig.deny(WEB, 1);
  rig.read();
  rig.deny(WEB, 2);
  rig.host.failures.fail({ operation: "counters", errno: "ENOMEM", object: "ip6" });
  assert.throws(() => rig.read(), /ENOMEM/);
  assert.deepEqual(rig.read(), ["db/deny ingress 3 180"]);
});
