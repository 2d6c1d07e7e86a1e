/** BIRDs on a wire, for tests: a node with the configuration that is planned for it, and a router that does what it likes. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { bgpRoutes } from "../../src/agent/bgp/bird-cleanup.ts";
import type { BirdControl } from "../../src/agent/bgp/bird-control.ts";
import { type BirdPaths, birdPaths, killBird, startBird } from "../../src/agent/bgp/bird-process.ts";
import { type BirdProtocol, parseProtocols } from "../../src/agent/bgp/bird-status.ts";
import { BirdSupervisor } from "../../src/agent/bgp/bird-supervisor.ts";
import { writeFileAtomic } from "../../src/cni/atomic-file.ts";
import { procNetFile } from "../../src/kernel/ip-counters.ts";
import { openNamespace } from "../../src/kernel/netns.ts";
import { systemClock } from "../../src/kube/clock.ts";
import type { BgpPeerSpec } from "../../src/model/bgp.ts";
import { formatBirdConfig } from "../../src/plan/bgp/config-text.ts";
import { planBgp } from "../../src/plan/bgp/plan.ts";
import { bgpInput, peer } from "../../src/plan/bgp/testing/scenarios.ts";
import { node } from "../../src/plan/testing/scenarios.ts";
import { eventually } from "../e2e/lab-fixture.ts";
import { linkOf, type TestNamespace, testNamespace } from "./namespaces.ts";

export const NODE = { address: "192.168.1.1", length: 24 };
export const ROUTER = { address: "192.168.1.254", length: 24 };

/** A node and a router on one wire. */
export function wire(t: TestContext): { node: TestNamespace; router: TestNamespace } {
  const [one, other] = [testNamespace(t, "node"), testNamespace(t, "router")];
  using far = openNamespace(other.path);
  const end = { name: "eth0", mac: "02:00:00:00:00:fe", mtuBytes: 1500, namespaceFd: far.fd };
  one.routes.createLink({ name: "eth0", mtuBytes: 1500, up: true, kind: { type: "veth", peer: end } });
  other.routes.changeLink(linkOf(other, "eth0").index, { up: true });
  one.routes.addAddress({ index: linkOf(one, "eth0").index, ...NODE });
  other.routes.addAddress({ index: linkOf(other, "eth0").index, ...ROUTER });
  return { node: one, router: other };
}

/** Who writes into a folder ends before it goes: hooks run in the order of their making, and the folder's is the first. */
const writers = new WeakMap<BirdPaths, BirdSupervisor[]>();

export function stateFolder(t: TestContext): BirdPaths {
  const folder = mkdtempSync(join(tmpdir(), "breakwater-bird-"));
  const paths = birdPaths(folder);
  writers.set(paths, []);
  t.after(async () => {
    await Promise.all((writers.get(paths) ?? []).map((supervisor) => supervisor.stop()));
    killBird(paths);
    rmSync(folder, { recursive: true, force: true });
  });
  return paths;
}

export async function runBird(
  t: TestContext,
  place: TestNamespace,
  config: (paths: BirdPaths) => string,
): Promise<BirdControl> {
  const paths = stateFolder(t);
  writeFileAtomic(paths.config, config(paths), 0o600);
  const control = await place.run(() => startBird(paths, false));
  t.after(() => control.close());
  return control;
}

/** node1's configuration with one peer, the router. */
export function nodeConfig(paths: BirdPaths, change: Partial<BgpPeerSpec> = {}, others = 1): string {
  const nodes = [node(1, [NODE.address])];
  for (let i = 2; i < 2 + others; i++) nodes.push(node(i, [`192.168.9.${i}`]));
  const input = bgpInput({ nodes, peers: [peer("tor", change)] });
  return formatBirdConfig(planBgp(input), paths);
}

/** A router of AS 65001 that announces what it likes. */
export function routerConfig(paths: BirdPaths, routes: readonly string[], more = ""): string {
  return `log "${paths.log}" all;
router id ${ROUTER.address};
protocol device { }
protocol static { ipv4; ${routes.map((route) => `route ${route} blackhole;`).join("\n")} }
protocol bgp tonode {
  local ${ROUTER.address} as 65001;
  neighbor ${NODE.address} as 64512;
  direct; ${more}
  connect delay time 1; error wait time 1, 2;
  ipv4 { import all; export all; };
}
`;
}

/** BIRD on a node as the agent runs it, until its folder goes. */
export function supervised(host: TestNamespace, paths: BirdPaths) {
  const said: string[] = [];
  const say = (_fields: object, message: string) => void said.push(message);
  const supervisor = new BirdSupervisor({
    paths,
    clock: systemClock,
    log: { debug: say, info: say, warn: say, error: say },
    routes: () => bgpRoutes(host.routes),
    start: (at, recovering) => host.run(() => startBird(at, recovering)),
  });
  writers.get(paths)?.push(supervisor);
  return { supervisor, said };
}

export const runs = (supervisor: BirdSupervisor) =>
  eventually(10_000, async () =>
    assert.deepEqual([supervisor.failure, supervisor.version?.slice(0, 6)], [undefined, "BIRD 2"]),
  );

export async function protocol(control: BirdControl, name: string): Promise<BirdProtocol> {
  const found = parseProtocols(await control.command("show protocols all")).find((each) => each.name === name);
  assert.ok(found, name);
  return found;
}

export const isEstablished = (control: BirdControl, name: string) =>
  eventually(15_000, async () => assert.equal((await protocol(control, name)).bgpState, "Established"));

/** A counter of a namespace's TCP (TcpExt of /proc/net/netstat); 0 where the kernel has none of that name. */
export function tcpCounter(place: TestNamespace, name: string): number {
  const text = place.run(() => procNetFile("netstat")) ?? "";
  const [names = [], values = []] = [...text.matchAll(/^TcpExt: (.*)$/gm)].map(([, line = ""]) => line.split(" "));
  return Number(values[names.indexOf(name)] ?? 0);
}

/** Destinations of BIRD's routes in the kernel, sorted. */
export const destinations = (place: TestNamespace) =>
  bgpRoutes(place.routes)
    .map(({ destination }) => destination)
    .sort();
