/** The fast path on a kernel that has flowtables: run by `npm run test:vm`, in a machine with Debian's stock kernel. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { diffNft } from "../../src/diff/nft.ts";
import { FakeHost } from "../../src/kernel/fake/host.ts";
import {
  openClientSocket,
  openServerSocket,
  receiveSocket,
  sendSocket,
  socketAddress,
} from "../../src/kernel/inet-socket.ts";
import * as libc from "../../src/kernel/libc.ts";
import { hasFlowtables } from "../../src/kernel/nfnetlink/flowtable-support.ts";
import { openNftables } from "../../src/kernel/nfnetlink/nft-socket.ts";
import type { Nftables, NftChange } from "../../src/kernel/nfnetlink/types.ts";
import { isBreakwaterError } from "../../src/model/errors.ts";
import { NFT_TABLE } from "../../src/model/marks.ts";
import type { NftSet, NftTable } from "../../src/model/nft.ts";
import { hostIfname } from "../../src/plan/pods.ts";
import { planService } from "../../src/plan/services/frontends.ts";
import { planServiceTable } from "../../src/plan/services/table.ts";
import { anEndpoint, aService, aSlice, node1 } from "../../src/plan/services/testing/objects.ts";
import { type TestNamespace, testNamespace } from "../kernel/namespaces.ts";
import { Connection } from "./connection.ts";
import { podAttachment, podIp, type RunningNode, run, twoNodes } from "./two-nodes.ts";

/** IPS_OFFLOAD of include/uapi/linux/netfilter/nf_conntrack_common.h. */
const IPS_OFFLOAD = 0x4000;
const PORT = 8080;
const CLUSTER_IP = { 4: "10.96.0.10", 6: "fd00:10:96::a" } as const;
/** The kernel looks for connections that left every second; the machine is emulated. */
const PATIENCE_MS = 20_000;

async function until(what: string, check: () => boolean, withinMs = PATIENCE_MS): Promise<number> {
  const started = performance.now();
  while (!check()) {
    assert.ok(performance.now() - started < withinMs, `${what} within ${withinMs} ms`);
    await sleep(50);
  }
  return performance.now() - started;
}

/** Counts what passes the hook forward: a packet on the fast path does not. */
function countForwarded(ns: TestNamespace): () => number {
  const nft = ns.run(() => openNftables());
  const set: NftSet = { name: "seen", key: "inet_proto", interval: false, counter: true, elements: ["tcp", "udp"] };
  const base = { type: "filter", hook: "forward", priority: -300, policy: "accept" } as const;
  const rules = [{ statements: [{ lookup: "meta l4proto", set: "seen" } as const] }];
  const table: NftTable = { family: "inet", name: "observer", sets: [set], chains: [{ name: "all", base, rules }] };
  nft.commit(table, diffNft(table, undefined));
  return () => nft.elements(table, set).reduce((sum, { packets }) => sum + Number(packets ?? 0n), 0);
}

function offloaded({ conntrack }: RunningNode, port = PORT): number {
  const entries = conntrack.entries().filter(({ reply }) => reply.protocol === 6 && reply.sourcePort === port);
  return entries.filter(({ status }) => (status & IPS_OFFLOAD) !== 0).length;
}

function serve(node: RunningNode, family: 4 | 6): void {
  const slices = [aSlice([anEndpoint(podIp(2, family), { nodeName: "node2" })])];
  const plan = planService(aService({ clusterIps: [CLUSTER_IP[family]] }), slices, node1);
  const table = planServiceTable({
    family,
    podCidrs: node1.podCidrs.filter((prefix) => prefix.includes(":") === (family === 6)),
    serviceCidrs: [],
    dropInvalid: true,
    counters: false,
    plans: [plan],
  });
  node.kernel.nftables.commit(table, diffNft(table, undefined));
}

async function pair(t: TestContext, config = {}): Promise<[RunningNode, RunningNode]> {
  const [one, two] = (await twoNodes(t, { flowtable: true, ...config })) as [RunningNode, RunningNode];
  for (const node of [one, two]) await joined(node);
  return [one, two];
}

async function joined(node: RunningNode): Promise<void> {
  const pods = () => node.network.pods().map(({ containerId, ifname }) => hostIfname(containerId, ifname));
  await until("every pod's link joins the flowtable", () =>
    pods().every((link) => node.flowtable()?.devices.includes(link)),
  );
}

for (const [way, config] of Object.entries({ direct: {}, "through VXLAN": { routing: "vxlan" } })) {
  for (const family of [4, 6] as const) {
    for (const to of ["a pod", "a Service"]) {
      test(`a TCP connection to ${to}, ${way}, IPv${family}, leaves the ordinary path of both nodes`, async (t) => {
        const [one, two] = await pair(t, config);
        serve(one, family);
        const pod = { ip: podIp(2, family), port: PORT };
        const dialled = to === "a pod" ? pod : { ip: CLUSTER_IP[family], port: 80 };
        const connection = new Connection(t, one.pod, two.pod, dialled, pod);
        assert.ok(connection.exchange(5));
        assert.deepEqual([offloaded(one), offloaded(two)], [1, 1]);
        const counters = [one, two].map(({ ns }) => countForwarded(ns));
        assert.ok(connection.exchange(200), "messages there and back");
        assert.ok(connection.stream(40), "a stream");
        const forwarded = counters.map((count) => count());
        t.diagnostic(`forwarded the ordinary way: ${forwarded.join(" and ")} packets`);
        // A route that changes sends a connection back for one packet, which is offered again.
        assert.ok(forwarded.every((packets) => packets <= 3));
        connection.close();
        await until("the connection's end is seen", () => offloaded(one) + offloaded(two) === 0);
      });
    }
  }
}

test("a UDP flow is taken once it has lasted, a question with its answer is not", async (t) => {
  const [one, two] = await pair(t);
  const server = two.pod.run(() => openServerSocket(podIp(2, 4), 5353, "UDP"));
  const client = one.pod.run(() => openClientSocket(podIp(2, 4), 5353, "UDP"));
  t.after(() => [server, client].map((fd) => libc.close(fd)));
  const entry = () => one.conntrack.entries().find(({ original }) => original.destinationPort === 5353);
  const isFast = () => ((entry()?.status ?? 0) & IPS_OFFLOAD) !== 0;
  const answered = async () => {
    sendSocket(client, Buffer.from("question"));
    await until("the question arrives", () => receiveSocket(server) !== "EAGAIN");
    const back = socketAddress(podIp(1, 4), entry()?.original.sourcePort ?? 0);
    libc.connect(server, back, back.length);
    sendSocket(server, Buffer.from("answer"));
    await until("the answer arrives", () => receiveSocket(client) !== "EAGAIN");
  };
  await answered();
  assert.equal(isFast(), false);
  for (const started = performance.now(); performance.now() - started < PATIENCE_MS && !isFast(); ) await answered();
  assert.equal(isFast(), true);
  const forwarded = countForwarded(one.ns);
  for (let i = 0; i < 10; i++) await answered();
  assert.equal(forwarded(), 0);
});

test("a deleted conntrack entry ends the fast path, and policy decides anew", async (t) => {
  const [one, two] = await pair(t);
  const pod = { ip: podIp(2, 4), port: PORT };
  const connection = new Connection(t, one.pod, two.pod, pod);
  assert.ok(connection.exchange(20));
  assert.equal(offloaded(two), 1);
  run(
    two.ns,
    `nft 'add table inet denied; add chain inet denied later { type filter hook forward priority 0; policy accept; }
       add rule inet denied later tcp dport ${PORT} drop; add rule inet denied later tcp sport ${PORT} drop'`,
  );
  assert.ok(connection.exchange(20), "the fast path passes no filter");
  const entry = two.conntrack.entries().find(({ original }) => original.destinationPort === PORT);
  assert.ok(entry !== undefined && two.conntrack.deleteEntry(entry));
  const deleted = performance.now();
  let last = deleted;
  // TCP sends again what was lost: what arrives at all arrives within this time.
  while (connection.send(4000) !== undefined) {
    last = performance.now();
    assert.ok(last - deleted < PATIENCE_MS, "the forbidden connection is cut");
  }
  t.diagnostic(`the last message arrived ${Math.round(last - deleted)} ms after the entry was deleted`);
});

test("a connection that was idle comes back to the ordinary path as an established one", async (t) => {
  const [one, two] = await pair(t);
  one.ns.run(() => one.kernel.sysctl.write("net/netfilter/nf_flowtable_tcp_timeout", "1"));
  const connection = new Connection(t, one.pod, two.pod, { ip: podIp(2, 4), port: PORT });
  assert.ok(connection.exchange(5));
  assert.equal(offloaded(one), 1);
  await until("it leaves the fast path", () => offloaded(one) === 0);
  const entry = one.conntrack.entries().find(({ reply }) => reply.sourcePort === PORT);
  const timeout = Number(one.kernel.sysctl.read("net/netfilter/nf_conntrack_tcp_timeout_established"));
  assert.ok((entry?.timeoutSeconds ?? 0) > timeout - 60, `${entry?.timeoutSeconds} s of ${timeout} s are left`);
  assert.ok(connection.exchange(5));
  assert.equal(offloaded(one), 1, "and goes back");
});

for (const family of [4, 6] as const) {
  test(`an IPv${family} connection on the fast path survives when pods get a smaller MTU`, async (t) => {
    const [one, two] = await pair(t);
    const connection = new Connection(t, one.pod, two.pod, { ip: podIp(2, family), port: PORT });
    assert.ok(connection.exchange(5, 4000));
    const before = two.flowtable()?.name;
    two.proven.set("node1", 1300);
    two.reconciler.request("proof");
    await until("the pod has the new MTU", () => two.pod.routes.link("eth0")?.mtuBytes === 1300);
    await joined(two);
    assert.notEqual(two.flowtable()?.name, before);
    assert.ok(connection.exchange(5, 4000), "large messages arrive");
    assert.ok(connection.stream(20), "a stream arrives");
    assert.equal(offloaded(two), 1);
  });
}

/** So many paths that one of them, when it is narrow, has no say in the pods' MTU. */
const OTHERS = Array.from({ length: 12 }, (_, i) => 2 * i + 4);

for (const family of [4, 6] as const) {
  for (const flowtable of [true, false]) {
    const name = flowtable ? "the fast path" : "the ordinary path";
    test(`a path that comes to carry less than its ends know, IPv${family}: ${name} lets the node say so`, async (t) => {
      const [one, two] = (await twoNodes(t, { flowtable }, OTHERS)) as [RunningNode, RunningNode];
      if (flowtable) for (const node of [one, two]) await joined(node);
      const connection = new Connection(t, one.pod, two.pod, { ip: podIp(2, family), port: PORT });
      assert.ok(connection.exchange(5, 4000));
      assert.equal(offloaded(one), flowtable ? 1 : 0);
      one.proven.set("node2", 1400);
      one.reconciler.request("proof");
      const destination = family === 4 ? "10.244.2.0/24" : "fd00:10:244:2::/64";
      const route = () => one.kernel.routes.routes().find((each) => each.destination === destination);
      await until("the route has the new size", () => route()?.mtuBytes === 1400);
      assert.equal(one.pod.routes.link("eth0")?.mtuBytes, 1500);
      assert.ok(connection.exchange(5, 4000), "large messages arrive");
      assert.match(run(one.pod, `ip -${family} route get ${podIp(2, family)}`), /mtu 1400/, "the sender was told");
      // For IPv6 the fast path would not look at the route.
      assert.equal(offloaded(one), flowtable && family === 4 ? 1 : 0);
    });
  }
}

test("the flowtable's devices follow the pods, and nothing is done where nothing changed", async (t) => {
  const [one] = await pair(t);
  const link = (host: number) => hostIfname(podAttachment(1, "", host).containerId, "eth0");
  assert.deepEqual(one.flowtable()?.devices, ["eth0", link(5)].sort());
  const more = testNamespace(t, "more");
  await one.network.attach(podAttachment(1, more.path, 6));
  await joined(one);
  assert.deepEqual(one.flowtable()?.devices, ["eth0", link(5), link(6)].sort());
  run(one.ns, `ip link del ${link(5)}`);
  await until("a link that somebody deleted is there again", () => one.kernel.routes.link(link(5)) !== undefined);
  await joined(one);
  await one.network.detach({ containerId: podAttachment(1, "", 6).containerId, ifname: "eth0" });
  await one.network.settled();
  await until("the deleted pod's link leaves", () => one.flowtable()?.devices.includes(link(6)) === false);
  assert.deepEqual(one.flowtable()?.devices, ["eth0", link(5)].sort());
  await sleep(500);
  one.said.length = 0;
  one.reconciler.request("resync");
  await sleep(500);
  assert.deepEqual(one.said, []);
  assert.deepEqual(one.reconciler.status.failures, []);
});

test("a node that is planned without it loses flowtable and chains, and no rule besides", async (t) => {
  const [one] = await pair(t);
  const table = one.kernel.nftables.table(NFT_TABLE);
  assert.ok(table !== undefined);
  const { flowtables: _, ...rest } = table;
  const without = { ...rest, chains: rest.chains.filter(({ name }) => !name.startsWith("fast")) };
  run(one.ns, "nft flush chain inet breakwater fast");
  await until("the chain is mended", () =>
    Boolean(one.kernel.nftables.table(NFT_TABLE)?.chains.find(({ name }) => name === "fast")?.fingerprints.length),
  );
  const wanted = one.reconciler.status.state?.nft;
  assert.ok(wanted !== undefined);
  const { flowtables: __, ...plain } = wanted;
  const off = { ...plain, chains: plain.chains.filter(({ name }) => !name.startsWith("fast")) };
  one.reconciler[Symbol.dispose]();
  one.kernel.nftables.commit(NFT_TABLE, diffNft(off, one.kernel.nftables.table(NFT_TABLE)));
  assert.deepEqual(one.kernel.nftables.table(NFT_TABLE), without);
});

test("the probe leaves nothing behind", (t) => {
  const ns = testNamespace(t);
  using nft = ns.run(() => openNftables());
  assert.equal(hasFlowtables(nft), true);
  assert.equal(run(ns, "nft list ruleset"), "");
});

test("nft(8) prints the flowtable and loads its own print", async (t) => {
  const [one] = await pair(t);
  one.reconciler[Symbol.dispose]();
  const printed = run(one.ns, "nft list table inet breakwater");
  assert.match(printed, /flowtable fast-1500-1500 \{\s+hook ingress priority filter\s+devices = \{ bwh/);
  assert.match(printed, /ct state established ct status assured goto fast-offer/);
  assert.match(printed, /meta l4proto tcp flow add @fast-1500-1500/);
  run(one.ns, "nft list table inet breakwater > /tmp/printed; nft delete table inet breakwater; nft -f /tmp/printed");
  assert.equal(run(one.ns, "nft list table inet breakwater"), printed);
});

/** Each step: done, or the errno of its refusal. */
function outcomes(nft: Nftables, steps: readonly NftChange[]): string[] {
  return steps.map((step) => {
    try {
      nft.commit(NFT_TABLE, [step]);
      return `${step.do}: done`;
    } catch (error) {
      return `${step.do}: ${isBreakwaterError(error) ? error.errno : error}`;
    }
  });
}

test("the fake kernel does with flowtables what the real one does", (t) => {
  const fast = (devices: readonly string[], name = "fast", priority = 0) => ({ name, priority, devices });
  const rule = { statements: [{ flowAdd: "fast" }] };
  const steps: NftChange[] = [
    { do: "addTable" },
    { do: "addFlowtable", flowtable: fast(["nosuch"]) },
    { do: "addFlowtable", flowtable: fast([], "empty") },
    { do: "addFlowtable", flowtable: fast(["lo"]) },
    { do: "addFlowtable", flowtable: fast(["lo"]) },
    { do: "addFlowtable", flowtable: fast(["lo"], "fast", 5) },
    { do: "addFlowtable", flowtable: fast(["lo"], "other") },
    { do: "addFlowtable", flowtable: fast(["d0"]) },
    { do: "addFlowtable", flowtable: fast(["d1", "nosuch"]) },
    { do: "addChain", chain: { name: "c" } },
    { do: "addRule", chain: "c", rule: { statements: [{ flowAdd: "nosuch" }] } },
    { do: "addRule", chain: "c", rule },
    { do: "deleteFlowtable", flowtable: "fast" },
    { do: "deleteFlowtableDevices", flowtable: fast(["d1"]) },
    { do: "deleteFlowtableDevices", flowtable: fast(["d0"]) },
    { do: "deleteFlowtableDevices", flowtable: fast(["d0"]) },
    { do: "deleteFlowtableDevices", flowtable: fast(["d0"], "nosuch") },
    { do: "addFlowtable", flowtable: fast(["d0", "d1"]) },
    { do: "deleteFlowtable", flowtable: "empty" },
    { do: "deleteFlowtable", flowtable: "empty" },
  ];
  const ns = testNamespace(t);
  run(ns, "ip link add d0 type veth peer name d1");
  const host = new FakeHost();
  const other = host.addNamespace("/run/netns/node");
  other.routes.createLink({
    name: "d0",
    up: false,
    kind: { type: "veth", peer: { name: "d1", mac: "02:00:00:00:00:d1", mtuBytes: 1500 } },
  });
  using real = ns.run(() => openNftables());
  const fake = host.kernel("/run/netns/node").nftables;
  assert.deepEqual(outcomes(fake, steps), outcomes(real, steps));
  assert.deepEqual(fake.table(NFT_TABLE), real.table(NFT_TABLE));
  run(ns, "ip link del d0");
  other.deleteLink("d0");
  assert.deepEqual(fake.table(NFT_TABLE), real.table(NFT_TABLE));
  const end: NftChange[] = [
    { do: "flushChain", chain: "c" },
    { do: "deleteFlowtable", flowtable: "fast" },
  ];
  assert.deepEqual(outcomes(fake, end), outcomes(real, end));
  assert.deepEqual(fake.table(NFT_TABLE), real.table(NFT_TABLE));
});
