/** What a restart of BIRD, a silent node and a flood leave of a node's routes. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { bgpRoutes, deleteBgpRoute } from "../../src/agent/bgp/bird-cleanup.ts";
import { birdPid, killBird, startBird } from "../../src/agent/bgp/bird-process.ts";
import { isRefusal } from "../../src/agent/bgp/reply-reader.ts";
import { writeFileAtomic } from "../../src/cni/atomic-file.ts";
import { watchRoutes } from "../../src/kernel/rtnetlink/route-events.ts";
import type { BgpClusterConfig } from "../../src/model/bgp.ts";
import { BIRD_PROTOCOL } from "../../src/model/marks.ts";
import { formatBirdConfig } from "../../src/plan/bgp/config-text.ts";
import { planBgp } from "../../src/plan/bgp/plan.ts";
import { bgpInput } from "../../src/plan/bgp/testing/scenarios.ts";
import { eth0, node } from "../../src/plan/testing/scenarios.ts";
import { eventually } from "../e2e/lab-fixture.ts";
import {
  destinations,
  isEstablished,
  NODE,
  nodeConfig,
  protocol,
  ROUTER,
  routerConfig,
  stateFolder,
  supervised,
  wire,
} from "./bird-place.ts";
import { linkOf, type TestNamespace } from "./namespaces.ts";

const V6 = { [NODE.address]: "fd00:1::1", [ROUTER.address]: "fd00:1::fe" };

/** Two nodes on a wire: each is node1 of its own plan. */
function meshConfig(own: string, other: string, log: string, settings: Partial<BgpClusterConfig>): string {
  const cidrs = (ip: string) =>
    ip === NODE.address ? ["10.244.1.0/24", "fd00:10:244:1::/64"] : ["10.244.2.0/24", "fd00:10:244:2::/64"];
  const both = (ip: string) => [ip, V6[ip] ?? ""];
  const addresses = [
    { address: own, length: 24 },
    { address: V6[own] ?? "", length: 64 },
  ];
  const input = bgpInput({
    nodes: [node(1, both(own), cidrs(own)), node(2, both(other), cidrs(other))],
    interfaces: [eth0({ addresses })],
    settings,
  });
  return formatBirdConfig(planBgp(input), { log });
}

/** Two nodes on a wire, with addresses of both families. */
function meshWire(t: TestContext): { host: TestNamespace; second: TestNamespace } {
  const { node: host, router: second } = wire(t);
  for (const [place, address] of [
    [host, V6[NODE.address] ?? ""],
    [second, V6[ROUTER.address] ?? ""],
  ] as const) {
    place.routes.addAddress({ index: linkOf(place, "eth0").index, address, length: 64, noDad: true });
  }
  return { host, second };
}

async function mesh(t: TestContext, settings: Partial<BgpClusterConfig> = {}) {
  const { host, second } = meshWire(t);
  const start = async (place: TestNamespace, own: string, other: string) => {
    const paths = stateFolder(t);
    writeFileAtomic(paths.config, meshConfig(own, other, paths.log, settings), 0o600);
    const control = await place.run(() => startBird(paths, false));
    t.after(() => control.close());
    return { paths, control };
  };
  const one = await start(host, NODE.address, ROUTER.address);
  const other = await start(second, ROUTER.address, NODE.address);
  await isEstablished(one.control, "mesh-node2");
  await isEstablished(other.control, "mesh-node2");
  return { host, second, one, other };
}

/** Notes what becomes of BIRD's routes. */
function watched(place: TestNamespace, name: string, changes: string[]): Disposable {
  return place.run(() =>
    watchRoutes((events) => {
      for (const event of events) {
        if (event.type !== "route" || event.route.protocol !== BIRD_PROTOCOL) continue;
        changes.push(`${name}: ${event.deleted ? "deleted" : "set"} ${event.route.type} ${event.route.destination}`);
      }
    }),
  );
}

/** What each learns of the other. */
const HERE = ["10.244.2.0/24", "fd00:10:244:2::/64"];
const THERE = ["10.244.1.0/24", "fd00:10:244:1::/64"];

test("a BIRD that is killed and comes back takes no route away for a moment, of either family, on its node and on the other", async (t) => {
  const { host, second, one, other } = await mesh(t);
  const learned = () => assert.deepEqual([destinations(host), destinations(second)], [HERE, THERE]);
  await eventually(10_000, async () => learned());
  const changes: string[] = [];
  using _here = watched(host, "here", changes);
  using _there = watched(second, "there", changes);
  killBird(one.paths);
  await eventually(5000, async () => assert.equal(birdPid(one.paths), undefined));
  const again = await host.run(() => startBird(one.paths, true));
  t.after(() => again.close());
  await isEstablished(again, "mesh-node2");
  // When peers have told their routes again, BIRD gives the kernel all of IPv6 anew: each takes its own place.
  await eventually(30_000, async () => assert.ok(changes.includes(`here: set unicast ${HERE[1]}`), changes.join()));
  learned();
  assert.deepEqual(
    changes.filter((change) => !/: set unicast fd00:/.test(change)),
    [],
  );
  assert.ok(other.control.version);
});

test("BIRDs of both nodes that are killed at the same moment, again and again, take no route away", async (t) => {
  const { host, second } = meshWire(t);
  const [here, there] = [
    { place: host, own: NODE.address, other: ROUTER.address },
    { place: second, own: ROUTER.address, other: NODE.address },
  ].map(({ place, own, other }) => {
    const paths = stateFolder(t);
    const { supervisor } = supervised(place, paths);
    supervisor.configure(meshConfig(own, other, paths.log, {}));
    return { paths, supervisor };
  });
  assert.ok(here && there);
  await eventually(15_000, async () => assert.deepEqual([destinations(host), destinations(second)], [HERE, THERE]));
  const changes: string[] = [];
  using _here = watched(host, "here", changes);
  using _there = watched(second, "there", changes);
  for (let times = 1; times <= 3; times++) {
    for (const { paths } of [here, there]) killBird(paths);
    await eventually(30_000, async () => {
      for (const { supervisor } of [here, there]) {
        assert.deepEqual([supervisor.restarts, supervisor.isRecovering], [times, false]);
        const kernels = (await supervisor.protocols()).filter(({ kind }) => kind === "Kernel");
        assert.deepEqual(
          kernels.map(({ state }) => state),
          ["up", "up"],
        );
      }
    });
    // BIRD looks at the kernel's routes as soon as it may, and finds them right.
    await eventually(5000, async () => assert.deepEqual([destinations(host), destinations(second)], [HERE, THERE]));
  }
  assert.deepEqual(
    changes.filter((change) => change.includes("deleted")),
    [],
  );
});

test("a BIRD that comes back deletes no route that its router tells only after it said that it had told all: 3 times", async (t) => {
  const { node: host, router } = wire(t);
  const far = stateFolder(t);
  const routes = ["10.244.2.0/24", "10.244.3.0/24"];
  const startRouter = async (told: readonly string[]) => {
    writeFileAtomic(far.config, routerConfig(far, told, "graceful restart yes;"), 0o600);
    const control = await router.run(() => startBird(far, false));
    t.after(() => control.close());
    return control;
  };
  await startRouter(routes);
  const own = stateFolder(t);
  const { supervisor } = supervised(host, own);
  supervisor.configure(nodeConfig(own, {}, 2));
  await eventually(15_000, async () => assert.deepEqual(destinations(host), routes));
  const changes: string[] = [];
  using _here = watched(host, "here", changes);
  for (let times = 1; times <= 3; times++) {
    for (const paths of [own, far]) killBird(paths);
    await eventually(5000, async () => assert.equal(birdPid(far), undefined));
    const again = await startRouter([]);
    // BIRD waits for nobody any more: what FRR says of its first two minutes has the same effect.
    await eventually(30_000, async () => {
      assert.equal(supervisor.restarts, times);
      const session = (await supervisor.protocols()).find(({ name }) => name === "peer-tor");
      assert.equal(session?.bgpState, "Established");
      const { lines = [] } = (await supervisor.ask("show status")) ?? {};
      assert.ok(lines.length > 0 && !lines.some(({ text }) => /restart recovery/i.test(text)));
    });
    writeFileAtomic(far.config, routerConfig(far, routes, "graceful restart yes;"), 0o600);
    assert.ok(!isRefusal(await again.command("configure")));
    await eventually(15_000, async () => assert.equal(supervisor.isRecovering, false));
    await eventually(5000, async () => {
      const kernel = (await supervisor.protocols()).find(({ name }) => name === "kernel4");
      assert.deepEqual([kernel?.state, kernel?.channels[0]?.exported], ["up", routes.length]);
    });
  }
  assert.deepEqual(changes, []);
  // What nobody tells any more goes, when the peer had its time.
  killBird(own);
  writeFileAtomic(far.config, routerConfig(far, routes.slice(0, 1), "graceful restart yes;"), 0o600);
  killBird(far);
  await eventually(5000, async () => assert.equal(birdPid(far), undefined));
  await startRouter(routes.slice(0, 1));
  await eventually(30_000, async () => assert.deepEqual(destinations(host), routes.slice(0, 1)));
});

test("BIRD gives the kernel its routes anew when it is told to, without taking one away: a route that is missing is back", async (t) => {
  const { host, one } = await mesh(t);
  await eventually(10_000, async () => assert.deepEqual(destinations(host), HERE));
  const changes: string[] = [];
  using _watch = watched(host, "here", changes);
  for (const route of bgpRoutes(host.routes)) {
    if (route.destination === HERE[0]) deleteBgpRoute(host.routes, route);
  }
  for (const family of [4, 6]) assert.ok(!isRefusal(await one.control.command(`restart kernel${family}`)));
  await eventually(5000, async () => assert.deepEqual(destinations(host), HERE));
  assert.deepEqual(
    changes.filter((change) => change.includes("deleted")),
    [`here: deleted unicast ${HERE[0]}`],
    "nothing but what was deleted by hand",
  );
});

test("a node that falls silent loses its routes within two seconds where nodes watch each other by BFD", async (t) => {
  const { host, one, other } = await mesh(t, { nodeMeshBfd: true });
  await eventually(10_000, async () => assert.deepEqual(destinations(host), HERE));
  await eventually(10_000, async () => {
    const { lines } = await one.control.command("show bfd sessions");
    assert.ok(lines.some(({ text }) => new RegExp(`^${ROUTER.address} .*\\bUp\\b`).test(text.trim())));
  });
  const pid = birdPid(other.paths);
  assert.ok(pid);
  process.kill(pid, "SIGSTOP");
  const since = performance.now();
  await eventually(10_000, async () => assert.deepEqual(destinations(host), []));
  const tookMs = performance.now() - since;
  assert.ok(tookMs < 2000, `${tookMs} ms`);
  t.diagnostic(`the routes were gone after ${tookMs.toFixed(0)} ms`);
});

/** Resident memory of a process, MiB. */
function memoryMib(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

test("a flood of refused prefixes is remembered up to a limit, and what was there before stays", async (t) => {
  const { node: host, router } = wire(t);
  const paths = stateFolder(t);
  const configure = (routes: readonly string[]) => writeFileAtomic(paths.config, routerConfig(paths, routes), 0o600);
  configure(["10.244.2.0/24"]);
  const far = await router.run(() => startBird(paths, false));
  t.after(() => far.close());
  const own = stateFolder(t);
  writeFileAtomic(own.config, nodeConfig(own), 0o600);
  const bird = await host.run(() => startBird(own, false));
  t.after(() => bird.close());
  await isEstablished(bird, "peer-tor");
  await eventually(5000, async () => assert.deepEqual(destinations(host), ["10.244.2.0/24"]));
  const pid = birdPid(own);
  assert.ok(pid);
  const before = memoryMib(pid);
  const flood = Array.from({ length: 250_000 }, (_, i) => `11.${i >> 16}.${(i >> 8) & 255}.${i & 255}/32`);
  configure(["10.244.2.0/24", ...flood]);
  await far.command("configure");
  await eventually(60_000, async () => {
    const { channels, bgpState } = await protocol(bird, "peer-tor");
    assert.equal(bgpState, "Established");
    assert.deepEqual([channels[0]?.imported, channels[0]?.floodStopped], [1, true]);
    // The limit of what is remembered, less the one that is taken; what is beyond is not looked at.
    assert.equal(channels[0]?.refused, 99_999);
  });
  const grownMib = memoryMib(pid) - before;
  t.diagnostic(`BIRD grew by ${grownMib.toFixed(0)} MiB`);
  assert.ok(grownMib < 64, `${grownMib} MiB`);
  assert.deepEqual(destinations(host), ["10.244.2.0/24"]);
  assert.equal(bgpRoutes(host.routes).length, 1);
});
