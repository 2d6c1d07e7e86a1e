/** Denied packets as log lines: names, limits, losses, and kernels that cannot. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Registry } from "prom-client";
import { FakePacketLog } from "../../kernel/fake/packet-log.ts";
import type { LoggedPacket } from "../../kernel/nflog/types.ts";
import { ManualClock } from "../../kube/testing/manual-clock.ts";
import type { ClusterNode } from "../../model/cluster.ts";
import type { PacketHeaders } from "../../model/packet-headers.ts";
import type { PolicyPod } from "../../model/policy.ts";
import type { LocalPod } from "../../model/state.ts";
import { AddressNames } from "./address-names.ts";
import { DeniedLog } from "./denied-log.ts";
import { createPolicyMetrics } from "./policy-metrics.ts";

const GROUP = 8474;
const WEB = "ingress-denied-0123456789";
const OUT = "egress-denied-9876543210";

class Rig {
  readonly kernel = new FakePacketLog();
  readonly clock = new ManualClock();
  readonly registry = new Registry();
  readonly metrics = createPolicyMetrics(this.registry);
  readonly lines: string[] = [];
  readonly fields: object[] = [];
  readonly pods = new Map<string, PolicyPod>();
  readonly nodes = new Map<string, ClusterNode>();
  attached: LocalPod[] = [];
  rulesCanLog = true;
  denials = new Map([
    [WEB, ["db/deny-all", "db/web"]],
    [OUT, ["default/no-way-out"]],
  ]);
  readonly names = new AddressNames({
    pods: () => this.pods,
    attached: () => this.attached,
    nodes: () => this.nodes,
  });

  constructor() {
    this.addPod("default/web", "node1", "10.244.1.5", "fd00:10:244:1::5");
    this.addPod("db/postgres", "node2", "10.244.2.6", "fd00:10:244:2::6");
    this.nodes.set("node2", {
      name: "node2",
      internalIps: ["192.168.1.12"],
      podCidrs: ["10.244.2.0/24"],
      labels: {},
    });
  }

  addPod(key: string, nodeName: string, ...ips: string[]): void {
    const [namespace = "", name = ""] = key.split("/");
    this.pods.set(key, { namespace, name, labels: {}, nodeName, ips, ports: [] });
  }

  open(perSecond = 100): DeniedLog {
    const say = (level: string) => (fields: object, message: string) => {
      this.lines.push(level === "info" ? message : `${level}: ${message}`);
      this.fields.push(fields);
    };
    return new DeniedLog({
      open: this.kernel.open,
      rulesCanLog: () => this.rulesCanLog,
      group: GROUP,
      perSecond,
      denials: () => this.denials,
      names: this.names,
      log: { debug: say("debug"), info: say("info"), warn: say("warn"), error: say("error") },
      clock: this.clock,
      metrics: this.metrics,
    });
  }

  async logged(): Promise<Record<string, number>> {
    const { values } = await this.metrics.logged.get();
    return Object.fromEntries(values.map(({ labels, value }) => [labels.result, value]));
  }
}

function packet(prefix: string, headers: Partial<PacketHeaders>): LoggedPacket {
  const addresses = { family: 4, source: "10.244.1.5", destination: "10.244.2.6" } as const;
  return { prefix, inIndex: 3, outIndex: 4, headers: { ...addresses, protocol: 6, ...headers } };
}

const toPostgres = packet(WEB, { sourcePort: 40_000, destinationPort: 5432 });

const sentences: [string, LoggedPacket, string][] = [
  [
    "ingress",
    toPostgres,
    "denied: default/web -> db/postgres:5432/TCP, ingress of db/postgres, by db/deny-all, db/web",
  ],
  [
    "egress",
    packet(OUT, { protocol: 17, sourcePort: 1, destinationPort: 53 }),
    "denied: default/web -> db/postgres:53/UDP, egress of default/web, by default/no-way-out",
  ],
  [
    "IPv6",
    packet(WEB, {
      family: 6,
      source: "fd00:10:244:1::5",
      destination: "fd00:10:244:2::6",
      protocol: 132,
      sourcePort: 1,
      destinationPort: 7,
    }),
    "denied: default/web -> db/postgres:7/SCTP, ingress of db/postgres, by db/deny-all, db/web",
  ],
  [
    "a node",
    packet(WEB, { source: "192.168.1.12", destinationPort: 80 }),
    "denied: node node2 -> db/postgres:80/TCP, ingress of db/postgres, by db/deny-all, db/web",
  ],
  [
    "a node by its VXLAN device",
    packet(WEB, { source: "10.244.2.0", destinationPort: 80 }),
    "denied: node node2 -> db/postgres:80/TCP, ingress of db/postgres, by db/deny-all, db/web",
  ],
  [
    "a pod that the API does not tell of",
    packet(OUT, { destination: "10.244.2.77", destinationPort: 80 }),
    "denied: default/web -> a pod of node2 (10.244.2.77):80/TCP, egress of default/web, by default/no-way-out",
  ],
  [
    "the world",
    packet(OUT, { destination: "203.0.113.10", destinationPort: 443 }),
    "denied: default/web -> outside (203.0.113.10):443/TCP, egress of default/web, by default/no-way-out",
  ],
  [
    "a ping",
    packet(WEB, { protocol: 1, icmp: { type: 8, code: 0 } }),
    "denied: default/web -> db/postgres ICMP type 8 code 0, ingress of db/postgres, by db/deny-all, db/web",
  ],
  [
    "a fragment",
    packet(WEB, { protocol: 17 }),
    "denied: default/web -> db/postgres UDP, ingress of db/postgres, by db/deny-all, db/web",
  ],
  [
    "another protocol",
    packet(WEB, { protocol: 47 }),
    "denied: default/web -> db/postgres protocol 47, ingress of db/postgres, by db/deny-all, db/web",
  ],
  [
    "a chain that is gone",
    packet("ingress-denied-gone", { destinationPort: 1 }),
    "denied: default/web -> db/postgres:1/TCP, ingress of db/postgres, by policies that are gone",
  ],
];

for (const [name, logged, sentence] of sentences) {
  test(`DeniedLog says who was denied what, by names: ${name}`, () => {
    const rig = new Rig();
    using _ = rig.open();
    rig.kernel.log(GROUP, [logged]);
    assert.deepEqual(rig.lines, [sentence]);
  });
}

test("DeniedLog's fields are for machines", () => {
  const rig = new Rig();
  using _ = rig.open();
  rig.kernel.log(GROUP, [toPostgres]);
  assert.deepEqual(rig.fields, [
    {
      direction: "ingress",
      pod: "db/postgres",
      policies: ["db/deny-all", "db/web"],
      from: "default/web",
      to: "db/postgres",
      protocol: "TCP",
      port: 5432,
      sourcePort: 40_000,
    },
  ]);
});

test("DeniedLog knows the pods that are attached here best, and those that came later", () => {
  const rig = new Rig();
  using _ = rig.open();
  const local = { containerId: "c", ifname: "eth0", netns: "/run/netns/c" };
  rig.attached = [{ ...local, name: "default/new", ips: ["10.244.1.5"] }];
  rig.kernel.log(GROUP, [toPostgres]);
  rig.attached = [];
  rig.addPod("default/newer", "node1", "10.244.1.5");
  rig.pods.delete("default/web");
  rig.names.forget();
  rig.kernel.log(GROUP, [toPostgres]);
  assert.deepEqual(
    rig.lines.map((line) => line.split(" ")[1]),
    ["default/new", "default/newer"],
  );
});

test("DeniedLog writes no more lines a second than it may, over all chains, and counts the others", async () => {
  const rig = new Rig();
  using _ = rig.open(5);
  rig.kernel.log(GROUP, Array(20).fill(toPostgres));
  assert.equal(rig.lines.length, 5);
  rig.clock.advance(400);
  rig.kernel.log(GROUP, Array(20).fill(toPostgres));
  assert.equal(rig.lines.length, 7);
  rig.clock.advance(60_000);
  rig.kernel.log(GROUP, Array(20).fill(toPostgres));
  assert.equal(rig.lines.length, 12);
  assert.deepEqual(await rig.logged(), { written: 12, limited: 48 });
});

test("DeniedLog says that lines are missing, once in a while, and counts them", async () => {
  const rig = new Rig();
  using _ = rig.open();
  rig.kernel.overrun(GROUP, 700);
  rig.kernel.log(GROUP, [toPostgres]);
  rig.clock.advance(10_000);
  rig.kernel.overrun(GROUP, 3);
  rig.kernel.log(GROUP, [toPostgres]);
  const losses = rig.lines.filter((line) => line.startsWith("warn"));
  assert.equal(losses.length, 2);
  assert.match(losses[0] ?? "", /lines are missing/);
  assert.deepEqual(await rig.logged(), { lost: 703, written: 2 });
});

test("DeniedLog waits for a group that somebody else has", () => {
  const rig = new Rig();
  const other = rig.kernel.open(GROUP, () => undefined);
  using log = rig.open();
  assert.equal(log.isPossible, true);
  assert.match(rig.lines.join(), /warn: denied packets cannot be logged yet/);
  other[Symbol.dispose]();
  rig.clock.advance(10_000);
  rig.kernel.log(GROUP, [toPostgres]);
  assert.match(rig.lines.at(-1) ?? "", /^denied: /);
});

test("DeniedLog is not possible where the kernel has no nflog, and says so", () => {
  const rig = new Rig();
  rig.kernel.isThere = false;
  using log = rig.open();
  assert.equal(log.isPossible, false);
  assert.deepEqual(rig.lines, ["error: denied packets cannot be logged; they are counted"]);
  assert.deepEqual(rig.clock.delays(), []);
});

test("DeniedLog is not possible either where rules cannot log, although somebody could listen", () => {
  const rig = new Rig();
  rig.rulesCanLog = false;
  using log = rig.open();
  assert.equal(log.isPossible, false);
  assert.deepEqual(rig.kernel.groups, []);
  assert.match(JSON.stringify(rig.fields), /CONFIG_NFT_LIMIT/);
});

test("DeniedLog leaves its group when it ends, also while it waits for it", () => {
  const rig = new Rig();
  rig.open()[Symbol.dispose]();
  assert.deepEqual(rig.kernel.groups, []);
  const other = rig.kernel.open(GROUP, () => undefined);
  rig.open()[Symbol.dispose]();
  other[Symbol.dispose]();
  rig.clock.advance(60_000);
  assert.deepEqual(rig.kernel.groups, []);
});

test("DeniedLog tells nothing of what is no IP packet", async () => {
  const rig = new Rig();
  using _ = rig.open();
  rig.kernel.log(GROUP, [{ prefix: WEB, headers: undefined }]);
  assert.deepEqual(rig.lines, []);
  assert.deepEqual(await rig.logged(), {});
});
