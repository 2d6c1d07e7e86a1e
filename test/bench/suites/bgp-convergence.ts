/** How long packets are lost when a node or a wire dies, with BFD and without; what restarts cost: nothing. */
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { inNamespaceAt } from "../../../src/kernel/netns.ts";
import { watchRoutes } from "../../../src/kernel/rtnetlink/route-events.ts";
import { openRouteTable } from "../../../src/kernel/rtnetlink/route-socket.ts";
import { filterTable, removeTable, replaceTable } from "../../../src/lab/faults/nft-table.ts";
import { MAIN_TABLE } from "../../../src/model/kernel-objects.ts";
import type { NftRule } from "../../../src/model/nft.ts";
import type { Bench } from "../bench.ts";
import { median } from "../statistics.ts";
import { BgpLab, benchError, SERVICE_IP, type Stream } from "./bgp-lab.ts";

/** RFC 4271, section 10: what both sides of the lab's sessions have. */
const HOLD_MS = 90_000;
/** Two FRRs keep each other's routes for so long behind the hold time: its end is no end of graceful restart (RFC 8538). */
const RESTART_MS = 120_000;
const WARM_UP_MS = 500;
/** Where nothing is lost nobody comes back. */
const QUICK_MS = 5000;
const SLOW_MS = HOLD_MS + RESTART_MS + 30_000;
const GOAL = 0.05;
/** Nodes of the first rack, by the number of their echo; then of the second. */
const RACK = [1, 3];
const NODES = [...RACK, 2, 4];

export async function measureConvergence(bench: Bench): Promise<void> {
  await using lab = await BgpLab.start("frr");
  const rounds = bench.options.quick ? 1 : 5;
  await settled(lab);
  const node = await repeated(bench, "a node dies, BFD", rounds, () => nodeDeath(lab, QUICK_MS));
  const wire = await repeated(bench, "a wire dies, BFD", rounds, () => wireDeath(lab, "silent", QUICK_MS));
  const carrier = await repeated(bench, "a wire loses its carrier", rounds, () => wireDeath(lab, "carrier", QUICK_MS));
  await withoutBfd(lab);
  const slow = bench.options.quick ? undefined : await slowly(bench, lab);
  const row = (name: string, ours: number, reference = HOLD_MS) => {
    const referenceName = slow === undefined ? "hold time" : "without BFD";
    bench.row(name, "ms", ours, { reference, referenceName, goal: GOAL });
  };
  row("a node dies, BFD: until the last lost packet", node, slow?.node);
  row("a wire dies silently, BFD: until the last lost packet", wire, slow?.wire);
  bench.row("a wire loses its carrier: until the last lost packet", "ms", carrier);
  await measureRestarts(bench, lab);
}

async function slowly(bench: Bench, lab: BgpLab): Promise<{ node: number; wire: number }> {
  const node = await repeated(bench, "a node dies, without BFD", 1, () => nodeDeath(lab, SLOW_MS));
  const wire = await repeated(bench, "a wire dies, without BFD", 1, () => wireDeath(lab, "silent", SLOW_MS));
  return { node, wire };
}

async function repeated(bench: Bench, what: string, rounds: number, once: () => Promise<number>): Promise<number> {
  const times: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    const ms = await once();
    if (ms === 0) throw benchError(`${what}: no packet is lost, so nothing died on the stream's way`);
    times.push(ms);
    bench.say(`${what}: ${ms.toFixed(0)} ms`);
  }
  return median(times);
}

/** The router knows both ways to the Service, and BFD watches what it is to watch. */
async function settled(lab: BgpLab, withBfd = true): Promise<void> {
  const route = `show bgp ipv4 unicast ${SERVICE_IP}/32 json`;
  await lab.until("both nodes announce the Service", async () => {
    const { paths = [] } = JSON.parse(await lab.vtysh("tor1", route)) as { paths?: unknown[] };
    return paths.length === RACK.length;
  });
  await lab.until("two ways between spine and rack", async () => {
    const { paths = [] } = JSON.parse(await lab.vtysh("spine", route)) as { paths?: unknown[] };
    return paths.length === 2;
  });
  await lab.until("routers know all pods", async () => {
    for (const router of ["tor1", "tor2", "spine"]) {
      for (const node of NODES) {
        const ways = router === homeOf(node) ? 1 : 2;
        const pods = `show bgp ipv4 unicast 10.244.${node}.0/24 json`;
        const { paths = [] } = JSON.parse(await lab.vtysh(router, pods)) as { paths?: { stale?: boolean }[] };
        if (paths.length !== ways || paths.some(({ stale }) => stale)) return false;
      }
    }
    return true;
  });
  if (!withBfd) return;
  await lab.until("BFD is up", async () => {
    const peers = await bfdPeers(lab, "tor1");
    return peers.length === RACK.length + 2 && peers.every(({ status }) => status === "up");
  });
}

const homeOf = (node: number) => (RACK.includes(node) ? "tor1" : "tor2");

let fromPort = 20_000;

/** The node that serves a stream falls silent: nothing of it passes its switch port any more. */
async function nodeDeath(lab: BgpLab, patienceMs: number): Promise<number> {
  const ms = await lossAfter(lab, patienceMs, async (stream) => {
    const node = `node${stream.server()}`;
    return () => lab.addFault("link-down", node);
  });
  await lab.clearFaults();
  await settled(lab, patienceMs === QUICK_MS);
  return ms;
}

/** The wire between spine and rack that carries a stream. */
async function wireDeath(lab: BgpLab, how: "silent" | "carrier", patienceMs: number): Promise<number> {
  const tor1 = await lab.netns("node/tor1");
  const undo = how === "silent" ? silence : unplug;
  let restore = () => {};
  const ms = await lossAfter(lab, patienceMs, async () => {
    const device = await carrierIn(tor1);
    return async () => {
      restore = undo(tor1, device);
    };
  });
  restore();
  await settled(lab, patienceMs === QUICK_MS);
  return ms;
}

/**
 * Milliseconds from what happens to the last packet that is lost of a stream.
 * @param choose looks at the stream while it runs, for routers may choose its way anew before: what is to happen to it
 */
async function lossAfter(
  lab: BgpLab,
  patienceMs: number,
  choose: (stream: Stream) => Promise<() => Promise<unknown>>,
): Promise<number> {
  const port = fromPort++;
  await lab.answers(SERVICE_IP, port);
  const stream = await lab.stream(SERVICE_IP, port);
  await pause(WARM_UP_MS);
  const happens = await choose(stream);
  const at = Number(process.hrtime.bigint());
  await happens();
  await stream.back(patienceMs);
  // A wire that flaps would lose more.
  await pause(WARM_UP_MS);
  const over = Number(process.hrtime.bigint());
  const { lost, lastLost } = await stream.end();
  // What is still lost has no end that could be told.
  if ((over - lastLost) / 1e6 < WARM_UP_MS / 2) {
    throw benchError(`packets are still lost ${((over - at) / 1e9).toFixed(0)} s later`);
  }
  return lost === 0 ? 0 : (lastLost - at) / 1e6;
}

/** The device by which the stream that runs comes in: the one that counts most. */
async function carrierIn(tor1: string): Promise<string> {
  const before = received(tor1);
  await pause(WARM_UP_MS);
  const after = received(tor1);
  const growth = ["spine-1", "spine-2"].map((name): [string, number] => [
    name,
    (after.get(name) ?? 0) - (before.get(name) ?? 0),
  ]);
  const [most] = growth.sort(([, a], [, b]) => b - a);
  if (most === undefined || most[1] < 100) throw benchError("no wire carries the stream");
  return most[0];
}

/** Packets that each device received. */
function received(netns: string): Map<string, number> {
  const text = inNamespaceAt(netns, () => readFileSync("/proc/thread-self/net/dev", "utf8"));
  return new Map(
    [...text.matchAll(/^\s*([^:\s]+):\s*\d+\s+(\d+)/gm)].map(([, name = "", packets]) => [name, Number(packets)]),
  );
}

/** Drops all that comes and goes by a device; its carrier stays. */
function silence(netns: string, device: string): () => void {
  const host = { run: <T>(body: () => T): T => inNamespaceAt(netns, body) };
  const drop = (match: "meta iifname" | "meta oifname"): NftRule => ({
    statements: [{ match, op: "==", value: device }, { verdict: "drop" }],
  });
  const chains = [
    ...filterTable("silence", "inet", "prerouting", [drop("meta iifname")]).chains,
    ...filterTable("silence", "inet", "forward", [drop("meta oifname")]).chains,
    ...filterTable("silence", "inet", "output", [drop("meta oifname")]).chains,
  ];
  const table = { family: "inet", name: "silence", sets: [], chains } as const;
  replaceTable(host, table);
  return () => removeTable(host, table);
}

function unplug(netns: string, device: string): () => void {
  const set = (up: boolean) =>
    inNamespaceAt(netns, () => {
      using routes = openRouteTable();
      const link = routes.link(device);
      if (link !== undefined) routes.changeLink(link.index, { up });
    });
  set(false);
  return () => set(true);
}

async function bfdPeers(lab: BgpLab, router: string): Promise<{ peer: string; status: string }[]> {
  return JSON.parse(await lab.vtysh(router, "show bfd peers json"));
}

/** With their AS numbers. */
const ROUTERS = [
  ["tor1", 65_001],
  ["tor2", 65_002],
  ["spine", 65_000],
] as const;

/** A peer with BFD cannot tell a BIRD that restarts from a node that died: restarts without loss are those without. */
async function withoutBfd(lab: BgpLab): Promise<void> {
  for (const tor of ["tor1", "tor2"]) {
    await lab.kubectl("patch", "bgppeer", tor, "--type=merge", "-p", '{"spec":{"bfd":false}}');
  }
  for (const [router, asNumber] of ROUTERS) {
    const off = (await bfdPeers(lab, router)).map(({ peer }) => `no neighbor ${peer} bfd`);
    await lab.vtysh(router, "configure terminal", `router bgp ${asNumber}`, ...off);
  }
  // Who missed the other's packets in between began its session anew: that is over when nobody watches, and all routes are there.
  await lab.until("nobody watches", async () => {
    for (const [router] of ROUTERS) if ((await bfdPeers(lab, router)).length > 0) return false;
    for (const node of NODES)
      if (/\b(?:Up|Init|Down)\b/.test(await lab.bird(`node${node}`, "show bfd sessions"))) return false;
    return true;
  });
  await settled(lab, false);
}

/** Of each restart several: a gap of milliseconds is not there every time. */
const RESTARTS = 5;
/** FRR's routes and BIRD's are neither of these: RTPROT_KERNEL, RTPROT_STATIC (linux/rtnetlink.h). */
const NOT_LEARNED: ReadonlySet<number> = new Set([2, 4]);

async function measureRestarts(bench: Bench, lab: BgpLab): Promise<void> {
  const ip = await lab.podIp("echo1");
  for (const [what, fault] of [
    ["BIRD is killed and started anew", "kill-bird"],
    ["the agent is killed and started anew", "kill-agent"],
  ] as const) {
    let [allSent, allLost] = [0, 0];
    const deleted: string[] = [];
    const watches = await watchDeletions(lab, (route) => deleted.push(route));
    for (let round = bench.options.quick ? RESTARTS : 1; round <= RESTARTS; round++) {
      bench.say(what);
      const { sent, lost, from, to } = await restart(lab, ip, fault);
      allSent += sent;
      allLost += lost;
      if (lost > 0) bench.problem(`${what}: ${lost} of ${sent} packets were lost, from ${from} to ${to} ms behind it`);
    }
    for (const watch of watches) watch[Symbol.dispose]();
    bench.row(`${what}: lost`, "packets", allLost, { reference: allSent, referenceName: "sent", goal: 0 });
    bench.row(`${what}: routes deleted on nodes and routers`, "routes", deleted.length);
    if (deleted.length > 0) bench.problem(`${what}: routes were deleted: ${[...new Set(deleted)].join(", ")}`);
  }
}

/** Learned routes that a node or a router loses, and be it for a moment. */
async function watchDeletions(lab: BgpLab, onDeleted: (route: string) => void): Promise<Disposable[]> {
  const machines = [...RACK.map((index) => `node${index}`), "node2", "tor1", "spine", "tor2"];
  return Promise.all(
    machines.map(async (machine) => {
      const netns = await lab.netns(`node/${machine}`);
      return inNamespaceAt(netns, () =>
        watchRoutes((events) => {
          for (const event of events) {
            if (event.type !== "route" || !event.deleted || event.route.table !== MAIN_TABLE) continue;
            if (!NOT_LEARNED.has(event.route.protocol)) onDeleted(`${event.route.destination} of ${machine}`);
          }
        }),
      );
    }),
  );
}

async function restart(lab: BgpLab, ip: string, fault: string) {
  await lab.answers(ip, fromPort);
  const stream = await lab.stream(ip, fromPort++);
  await pause(WARM_UP_MS);
  const at = Number(process.hrtime.bigint());
  await lab.addFault(fault, "node1");
  await pause(WARM_UP_MS);
  await lab.clearFaults();
  await established(lab);
  // Behind it a BIRD is given the kernel again; and one that ran for ten seconds is started anew at once.
  await pause(2 * QUICK_MS);
  const { sent, lost, firstLost, lastLost } = await stream.end();
  const [from, to] = [firstLost, lastLost].map((time) => ((time - at) / 1e6).toFixed(0));
  return { sent, lost, from, to };
}

async function established(lab: BgpLab): Promise<void> {
  await lab.until("node1's session", async () => {
    const { peers = {} } = JSON.parse(await lab.vtysh("tor1", "show bgp ipv4 unicast summary json")) as {
      peers?: Record<string, { state: string }>;
    };
    return peers["192.168.1.11"]?.state === "Established";
  });
}
