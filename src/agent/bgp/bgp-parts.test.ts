/** BGP on a node where BIRD is not there, or peers may not be read: what becomes of the node, and what is said. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Registry } from "prom-client";
import type { BgpWanted } from "../../kube/bgp-source.ts";
import { type Clock, systemClock } from "../../kube/clock.ts";
import { ManualClock } from "../../kube/testing/manual-clock.ts";
import type { BgpReport, BgpSessionReport } from "../../model/bgp-report.ts";
import { BreakwaterError } from "../../model/errors.ts";
import type { RoutingMode } from "../../model/node-config.ts";
import type { Problem } from "../../model/state.ts";
import { bgpInput, peer } from "../../plan/bgp/testing/scenarios.ts";
import { node } from "../../plan/testing/scenarios.ts";
import type { BgpApi } from "./bgp-api.ts";
import { BgpParts } from "./bgp-parts.ts";
import { NO_WISHES } from "./bgp-planner.ts";
import { birdPaths, birdPid, findBird } from "./bird-process.ts";

const nodes = [node(1, ["192.168.1.1"]), node(2, ["192.168.1.2"])];
const REPORT = new URL("http://agent/bgp");

/** A BIRD that runs already, and whose session with a peer does not come. */
function fakeBird(t: TestContext, folder: string, name: string): Promise<void> {
  const paths = birdPaths(folder);
  mkdirSync(paths.folder, { recursive: true });
  const server = createServer((socket) => {
    socket.setEncoding("utf8");
    socket.write("0001 BIRD 2.0.12 ready.\n");
    socket.on("data", (text: string) => {
      const isAsked = text.startsWith("show protocols");
      socket.write(
        isAsked
          ? `1002-${name} BGP        ---        start  1767225600  Active        Socket: No route to host\n` +
              "1006-  BGP state:          Active\n    Last error:       Socket: No route to host\n \n0000 \n"
          : "0003 Reconfigured\n",
      );
    });
    t.after(() => socket.destroy());
  });
  t.after(() => server.close());
  return new Promise((listening) => server.listen(paths.socket, listening));
}

function rig(t: TestContext, routing: RoutingMode, wanted: Partial<BgpWanted> = {}, clock: Clock = systemClock) {
  const folder = mkdtempSync(join(tmpdir(), "breakwater-bgp-"));
  const given = bgpInput({ nodes, routing });
  const told: (readonly [readonly BgpSessionReport[], readonly Problem[]])[] = [];
  const said: string[] = [];
  const say = (_fields: object, message: string) => void said.push(message);
  const its = { wanted: { ...NO_WISHES, ...wanted } as BgpWanted | undefined, hasOwnRoutes: true, ready: 0 };
  const api = {
    source: { follow: () => undefined, wanted: () => its.wanted },
    tell: (sessions: readonly BgpSessionReport[], problems: readonly Problem[]) => told.push([sessions, problems]),
    record: () => undefined,
    stop: async () => undefined,
  } as unknown as BgpApi;
  const registry = new Registry();
  const parts = new BgpParts({
    ...{ nodeName: "node1", routing, stateDir: folder, api, registry, clock },
    routes: { routes: () => [], deleteRoute: () => undefined },
    nodes: () => given.nodes,
    facts: () => given.facts,
    state: () => given.state as never,
    hasOwnRoutes: () => its.hasOwnRoutes,
    log: { debug: say, info: say, warn: say, error: say },
    onChange: () => its.ready++,
    // As on a machine without the package.
    start: async () => {
      findBird("/nowhere", []);
      throw new BreakwaterError("BW_BGP_BIRD", "it was found", {});
    },
  });
  t.after(async () => {
    await parts.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const report = async () => (await parts.document(REPORT)) as BgpReport | undefined;
  return { folder, parts, its, told, said, report, registry };
}

async function until(check: () => boolean): Promise<void> {
  while (!check()) await new Promise((next) => setTimeout(next, 5));
}

test("with --routing bgp a node without BIRD is not ready, and says which package is missing", async (t) => {
  const { parts, report } = rig(t, "bgp");
  assert.match(parts.notReadyReason() ?? "", /BGP is not planned/);
  parts.follow();
  await until(() => /BIRD is not installed.*apt-get install bird2/s.test(parts.notReadyReason() ?? ""));
  const { failure, sessions } = (await report()) ?? {};
  assert.match(failure ?? "", /BIRD is not installed/);
  assert.deepEqual(
    sessions?.map(({ peer: name, state }) => [name, state]),
    [["node2", "Unknown"]],
  );
});

test("beside another mode a node without BIRD is ready; the peer's status says which package is missing", async (t) => {
  const { parts, report, told } = rig(t, "auto", { peers: [peer("tor")] });
  assert.equal(parts.notReadyReason(), undefined);
  parts.follow();
  await until(() => told.some(([sessions]) => /BIRD is not installed/.test(sessions[0]?.lastError ?? "")));
  assert.equal(parts.notReadyReason(), undefined);
  const { failure, sessions } = (await report()) ?? {};
  assert.match(failure ?? "", /BIRD is not installed.*apt-get install bird2/s);
  assert.deepEqual(
    sessions?.map(({ peer: name, state }) => [name, state]),
    [["tor", "Unknown"]],
  );
});

test("beside another mode nothing of BGP is there until a peer selects the node, and nothing when none does any more", async (t) => {
  const { parts, its, report, said } = rig(t, "auto");
  parts.follow();
  assert.deepEqual([await report(), parts.problems, said], [undefined, [], []]);
  its.wanted = { ...NO_WISHES, peers: [peer("tor")] };
  parts.follow();
  assert.notEqual(await report(), undefined);
  its.wanted = { ...NO_WISHES };
  parts.follow();
  await until(() => parts.document(REPORT) === undefined);
});

test("beside another mode a peer that cannot have a session is told of, without a BIRD", async (t) => {
  const { parts, report, told } = rig(t, "auto", { peers: [peer("far", { address: "10.9.9.9" })] });
  parts.follow();
  assert.deepEqual(
    (await report())?.problems.map(({ code, object }) => `${code} ${object}`),
    ["BW_BGP_PEER_ADDRESS BGPPeer far"],
  );
  assert.equal((await report())?.failure, null);
  await until(() => told.some(([, problems]) => problems.length === 1));
});

test("what an earlier BIRD does is not taken away before the node has its own routes", async (t) => {
  const { parts, its, report } = rig(t, "vxlan", { peers: [peer("tor")] });
  its.hasOwnRoutes = false;
  parts.follow();
  assert.equal(await report(), undefined);
  its.hasOwnRoutes = true;
  parts.follow();
  assert.notEqual(await report(), undefined);
});

const unread = ["Cannot list bgppeers.breakwater.dev: the API server answered 403 Forbidden"];

test("with --routing bgp nodes route among themselves while peers may not be read, and say so", async (t) => {
  const { parts, report, registry } = rig(t, "bgp", { unread });
  parts.follow();
  const { problems, sessions } = (await report()) ?? {};
  assert.deepEqual(
    problems?.map(({ code }) => code),
    ["BW_BGP_FORBIDDEN"],
  );
  assert.deepEqual(
    sessions?.map(({ peer: name }) => name),
    ["node2"],
  );
  parts.collect();
  assert.match(await registry.metrics(), /breakwater_bird_up 0/);
});

test("beside another mode it is no problem that peers may not be read: nobody asked for BGP", async (t) => {
  const { parts, report, said } = rig(t, "auto", { unread });
  parts.follow();
  assert.deepEqual([await report(), parts.problems, said], [undefined, [], []]);
});

test("of two peers with one address, and of a password that is missing, the node says so and goes on with the others", async (t) => {
  const secret = { name: "bgp", key: "tor" };
  const { parts, report } = rig(t, "bgp", {
    peers: [peer("a"), peer("b"), peer("c", { address: "192.168.1.253", passwordSecret: secret })],
    withoutPassword: new Map([["c", "there is no Secret kube-system/bgp"]]),
  });
  parts.follow();
  const { problems, sessions } = (await report()) ?? {};
  assert.deepEqual(problems?.map(({ code, object }) => `${code} ${object}`).sort(), [
    "BW_BGP_PASSWORD BGPPeer c",
    "BW_BGP_PEER_TAKEN BGPPeer b",
  ]);
  assert.deepEqual(sessions?.map(({ peer: name }) => name).sort(), ["a", "node2"]);
});

test("a peer that nobody can reach keeps the node from being ready for a while, not for ever, and is told of", async (t) => {
  const clock = new ManualClock();
  const wanted = { settings: { ...NO_WISHES.settings, nodeMesh: false }, peers: [peer("tor")] };
  const { folder, parts, its, told, report } = rig(t, "bgp", wanted, clock);
  await fakeBird(t, folder, "peer-tor");
  parts.follow();
  await until(() => parts.notReadyReason() === "BGP sessions are not established yet");
  await report();
  clock.advance(14_000);
  await report();
  assert.equal(parts.notReadyReason(), "BGP sessions are not established yet");
  clock.advance(2000);
  await report();
  assert.deepEqual([parts.notReadyReason(), its.ready], [undefined, 1]);
  const { state, lastError } = told.at(-1)?.[0][0] ?? {};
  assert.deepEqual([state, lastError], ["Active", "Socket: No route to host"]);
});

/** A process that passes for the BIRD of an earlier agent: it runs with our configuration. */
function formerBird(t: TestContext, folder: string, config: string): void {
  const paths = birdPaths(folder);
  mkdirSync(paths.folder, { recursive: true });
  writeFileSync(paths.config, config);
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)", paths.config], { stdio: "ignore" });
  t.after(() => child.kill("SIGKILL"));
  writeFileSync(paths.pid, `${child.pid}\n`);
}

for (const routing of ["bgp", "auto"] as const) {
  test(`a BIRD that runs keeps its peers while they may not be read, and gets them anew once they may: ${routing}`, async (t) => {
    const { folder, parts, its, told, report } = rig(t, routing, { unread });
    formerBird(t, folder, "# what was configured before\n");
    await fakeBird(t, folder, "peer-tor");
    await until(() => birdPid(birdPaths(folder)) !== undefined);
    parts.follow();
    await until(() => parts.problems.length === 1);
    const { problems, sessions } = (await report()) ?? {};
    assert.deepEqual([problems?.map(({ code }) => code), sessions], [["BW_BGP_FORBIDDEN"], []]);
    const config = () => readFileSync(birdPaths(folder).config, "utf8");
    assert.equal(config(), "# what was configured before\n");
    assert.deepEqual(told, [], "nothing is known of its sessions");
    // A node more, and still no right: nothing changes.
    its.wanted = { ...NO_WISHES, unread: [...unread, "Cannot list bgpconfigurations.breakwater.dev"] };
    parts.follow();
    assert.equal(config(), "# what was configured before\n");
    its.wanted = { ...NO_WISHES, peers: [peer("tor")] };
    parts.follow();
    await until(() => /protocol bgp 'peer-tor'/.test(config()));
    assert.deepEqual(parts.problems, []);
    await until(() => told.length > 0);
  });
}
