/** The configuration that is planned, in a real BIRD beside a router that means no good: what its filters let through. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { verifyBgp } from "../../src/agent/bgp/bgp-verifier.ts";
import { bgpRoutes, deleteBgpRoute, endBird } from "../../src/agent/bgp/bird-cleanup.ts";
import { birdPid, findBird, killBird, startBird } from "../../src/agent/bgp/bird-process.ts";
import { parseRoutes } from "../../src/agent/bgp/bird-routes.ts";
import { isRefusal } from "../../src/agent/bgp/reply-reader.ts";
import { writeFileAtomic } from "../../src/cni/atomic-file.ts";
import { formatBirdConfig } from "../../src/plan/bgp/config-text.ts";
import { planBgp } from "../../src/plan/bgp/plan.ts";
import { bgpInput, peer } from "../../src/plan/bgp/testing/scenarios.ts";
import { node } from "../../src/plan/testing/scenarios.ts";
import { eventually } from "../e2e/lab-fixture.ts";
import {
  destinations,
  isEstablished,
  NODE,
  nodeConfig,
  protocol,
  ROUTER,
  routerConfig,
  runBird,
  runs,
  stateFolder,
  supervised,
  tcpCounter,
  wire,
} from "./bird-place.ts";
import { linkOf } from "./namespaces.ts";

test("a router that leaks a default route, our own pods and foreign networks brings only what is allowed", async (t) => {
  const { node: host, router } = wire(t);
  await runBird(t, router, (paths) =>
    routerConfig(paths, [
      "0.0.0.0/0",
      "10.244.1.0/24",
      "10.244.1.128/25",
      "10.244.2.0/24",
      "10.244.2.128/25",
      "10.9.0.0/16",
      "172.16.0.0/12",
      "172.16.5.0/24",
    ]),
  );
  const bird = await runBird(t, host, (paths) => nodeConfig(paths, { importAllow: ["172.16.0.0/12"] }));
  await isEstablished(bird, "peer-tor");
  await eventually(5000, async () =>
    assert.deepEqual(destinations(host), ["10.244.2.0/24", "172.16.0.0/12", "172.16.5.0/24"]),
  );
  const { channels } = await protocol(bird, "peer-tor");
  assert.deepEqual([channels[0]?.imported, channels[0]?.refused, channels[0]?.limitReached], [3, 5, false]);
});

test("an operator who allows everything still gets no default route, and keeps the node's own pods", async (t) => {
  const { node: host, router } = wire(t);
  await runBird(t, router, (paths) => routerConfig(paths, ["0.0.0.0/0", "10.244.1.128/25", "10.9.0.0/16"]));
  const bird = await runBird(t, host, (paths) => nodeConfig(paths, { importAllow: ["0.0.0.0/0"] }));
  await isEstablished(bird, "peer-tor");
  await eventually(5000, async () => assert.deepEqual(destinations(host), ["10.9.0.0/16"]));
});

test("a flood of prefixes stops at the peer's limit, and the session stays", async (t) => {
  const { node: host, router } = wire(t);
  const flood = Array.from({ length: 20_000 }, (_, i) => `172.16.${i >> 6}.${(i & 63) << 2}/30`).filter(
    (each) => !/\.(?:2[5-9]\d|[3-9]\d\d)\./.test(each),
  );
  await runBird(t, router, (paths) => routerConfig(paths, flood));
  const bird = await runBird(t, host, (paths) =>
    nodeConfig(paths, { importAllow: ["172.16.0.0/12"], maxPrefixes: 50 }),
  );
  await isEstablished(bird, "peer-tor");
  await eventually(10_000, async () => {
    const { channels, bgpState } = await protocol(bird, "peer-tor");
    assert.equal(bgpState, "Established");
    const { imported, beyondLimit, limitReached } = channels[0] ?? {};
    assert.deepEqual([imported, beyondLimit, limitReached], [50, flood.length - 50, true]);
  });
  assert.equal(destinations(host).length, 50);
});

test("the router hears the node's pod CIDR and nothing else, with the communities that were asked for", async (t) => {
  const { node: host, router } = wire(t);
  const far = await runBird(t, router, (paths) => routerConfig(paths, ["10.9.0.0/16"]));
  await runBird(t, host, (paths) =>
    nodeConfig(paths, {
      importAllow: ["10.0.0.0/8"],
      communities: [
        [64512, 7],
        [64512, 8, 9],
      ],
    }),
  );
  await isEstablished(far, "tonode");
  await eventually(5000, async () => {
    const { lines } = await far.command("show route all protocol tonode");
    const text = lines.map((line) => line.text).join("\n");
    assert.match(
      text,
      /10\.244\.1\.0\/24 .*\[AS64512i\][\s\S]*via 192\.168\.1\.1 on eth0[\s\S]*\(64512,7\)[\s\S]*\(64512, 8, 9\)/,
    );
    assert.doesNotMatch(text, /10\.9\.|10\.244\.2/);
  });
});

test("a wrong password and a wrong AS give no session, and BIRD says why", async (t) => {
  const { node: host, router } = wire(t);
  const far = await runBird(t, router, (paths) => routerConfig(paths, ["10.244.2.0/24"], 'password "other";'));
  const paths = stateFolder(t);
  const secret = { name: "bgp", key: "tor" };
  const given = (password: string) =>
    bgpInput({
      nodes: [node(1, [NODE.address]), node(2, ["192.168.9.2"])],
      peers: [peer("tor", { passwordSecret: secret })],
      passwords: [["tor", password]],
    });
  writeFileAtomic(paths.config, formatBirdConfig(planBgp(given("wrong")), paths), 0o600);
  const bird = await host.run(() => startBird(paths, false));
  t.after(() => bird.close());
  // Each side has tried twice, and was not heard.
  await eventually(30_000, async () => {
    for (const place of [host, router]) assert.ok(tcpCounter(place, "TCPMD5Failure") >= 2);
  });
  assert.notEqual((await protocol(bird, "peer-tor")).bgpState, "Established");
  writeFileAtomic(paths.config, formatBirdConfig(planBgp(given("other")), paths), 0o600);
  assert.ok(!isRefusal(await bird.command("configure")));
  await isEstablished(bird, "peer-tor");
  const wrongAs = nodeConfig(paths, { asNumber: 65009, passwordSecret: secret });
  assert.doesNotMatch(wrongAs, /65009/, "no session without its password");
  writeFileAtomic(
    paths.config,
    formatBirdConfig(
      planBgp({ ...given("other"), peers: [peer("tor", { asNumber: 65009, passwordSecret: secret })] }),
      paths,
    ),
    0o600,
  );
  await bird.command("configure");
  await eventually(15_000, async () => {
    const { bgpState, lastError } = await protocol(bird, "peer-tor");
    assert.notEqual(bgpState, "Established");
    assert.match(lastError ?? "", /Bad peer AS/);
  });
  assert.ok(far.version);
});

test("BirdSupervisor configures without a restart; one peer more costs the others nothing", async (t) => {
  const { node: host, router } = wire(t);
  await runBird(t, router, (paths) => routerConfig(paths, ["10.244.2.0/24"]));
  const paths = stateFolder(t);
  const { supervisor } = supervised(host, paths);
  supervisor.configure(nodeConfig(paths));
  await runs(supervisor);
  const session = async () => (await supervisor.protocols()).find(({ name }) => name === "peer-tor");
  await eventually(15_000, async () => assert.equal((await session())?.bgpState, "Established"));
  const [before, pid] = [await session(), supervisor.pid];
  const more = planBgp(
    bgpInput({
      nodes: [node(1, [NODE.address]), node(2, ["192.168.9.2"]), node(3, ["192.168.1.3"])],
      peers: [peer("tor", { importAllow: ["172.16.0.0/12"] }), peer("second", { address: "192.168.1.253" })],
    }),
  );
  supervisor.configure(formatBirdConfig(more, paths));
  await eventually(5000, async () =>
    assert.equal((await supervisor.protocols()).filter(({ kind }) => kind === "BGP").length, 3),
  );
  assert.deepEqual(
    [(await session())?.since, (await session())?.bgpState, supervisor.pid],
    [before?.since, "Established", pid],
  );
  assert.equal(supervisor.restarts, 0);
});

test("BirdSupervisor says what BIRD refuses, and the configuration before goes on", async (t) => {
  const { node: host } = wire(t);
  const paths = stateFolder(t);
  const { supervisor, said } = supervised(host, paths);
  supervisor.configure(nodeConfig(paths));
  await runs(supervisor);
  supervisor.configure(`${nodeConfig(paths)}\nnonsense;\n`);
  await eventually(5000, async () =>
    assert.match(supervisor.failure ?? "", /bird\.conf:\d+:\d+ syntax error.*BW_BGP_CONFIG/),
  );
  assert.ok((await supervisor.protocols()).some(({ name }) => name === "peer-tor"));
  supervisor.configure(nodeConfig(paths));
  await runs(supervisor);
  assert.ok(said.includes("BIRD refuses its configuration"));
});

test("BirdSupervisor starts a BIRD anew that is killed again and again; its routes stay all the time", async (t) => {
  const { node: host, router } = wire(t);
  await runBird(t, router, (at) => routerConfig(at, ["10.244.2.0/24"]));
  const paths = stateFolder(t);
  const { supervisor } = supervised(host, paths);
  supervisor.configure(nodeConfig(paths));
  await runs(supervisor);
  await eventually(15_000, async () => assert.deepEqual(destinations(host), ["10.244.2.0/24"]));
  for (let times = 1; times <= 4; times++) {
    killBird(paths);
    await eventually(10_000, async () => assert.equal(supervisor.restarts, times));
    assert.deepEqual(destinations(host), ["10.244.2.0/24"]);
    await runs(supervisor);
  }
});

test("a second BirdSupervisor finds the BIRD of the first, also one that left without a word", async (t) => {
  const { node: host } = wire(t);
  const paths = stateFolder(t);
  const first = supervised(host, paths);
  first.supervisor.configure(nodeConfig(paths));
  await runs(first.supervisor);
  const pid = birdPid(paths);
  await first.supervisor.stop();
  assert.equal(birdPid(paths), pid, "BIRD outlives its agent");
  const modes = [paths.folder, paths.config].map((path) => (statSync(path).mode & 0o777).toString(8));
  assert.deepEqual(modes, ["700", "600"], "passwords are in there");
  const second = supervised(host, paths);
  second.supervisor.configure(nodeConfig(paths, { importAllow: ["10.0.0.0/8"] }));
  await runs(second.supervisor);
  assert.deepEqual([birdPid(paths), second.said], [pid, ["BIRD runs already"]]);
});

test("a BIRD that somebody else runs on our socket, as in a container beside, is found, configured and ended", async (t) => {
  const { node: host } = wire(t);
  const paths = stateFolder(t);
  mkdirSync(paths.folder, { recursive: true });
  writeFileSync(paths.config, "router id 1.2.3.4; protocol device { }\n");
  const other = host.run(() => spawn(findBird(), ["-f", "-c", paths.config, "-s", paths.socket], { stdio: "ignore" }));
  t.after(() => other.kill("SIGKILL"));
  await eventually(5000, async () => assert.ok(existsSync(paths.socket)));
  const { supervisor, said } = supervised(host, paths);
  supervisor.configure(nodeConfig(paths));
  await runs(supervisor);
  assert.deepEqual([said, supervisor.pid, supervisor.restarts], [["BIRD runs already"], undefined, 0]);
  assert.ok((await supervisor.protocols()).some(({ name }) => name === "peer-tor"));
  await supervisor.stop();
  assert.equal(await endBird(join(paths.folder, "..")), "BIRD has ended");
  await eventually(5000, async () => assert.equal(other.exitCode, 0));
});

test("a BIRD that cannot start says why, and is tried again", async (t) => {
  const { node: host } = wire(t);
  const paths = stateFolder(t);
  const { supervisor } = supervised(host, paths);
  supervisor.configure("nonsense;");
  await eventually(5000, async () =>
    assert.match(supervisor.failure ?? "", /BIRD does not start: .*syntax error.*BW_BGP_BIRD/),
  );
  supervisor.configure(nodeConfig(paths));
  await runs(supervisor);
});

test("findBird() names the package where BIRD is not installed", () => {
  assert.throws(() => findBird("/nowhere", []), { code: "BW_BGP_BIRD", remedy: /apt-get install bird2/ });
  assert.ok(existsSync(findBird()));
});

test("endBird() and deleteBgpRoute() leave nothing of BIRD's, and another's routes alone", async (t) => {
  const { node: host, router } = wire(t);
  await runBird(t, router, (paths) => routerConfig(paths, ["10.244.2.0/24"]));
  const paths = stateFolder(t);
  writeFileAtomic(paths.config, nodeConfig(paths), 0o600);
  const control = await host.run(() => startBird(paths, false));
  await isEstablished(control, "peer-tor");
  await eventually(5000, async () => assert.deepEqual(destinations(host), ["10.244.2.0/24"]));
  host.routes.setRoute({
    destination: "10.99.0.0/16",
    gateway: ROUTER.address,
    oif: linkOf(host, "eth0").index,
    protocol: 12,
  });
  control.close();
  assert.equal(await endBird(join(paths.folder, "..")), "BIRD has ended");
  assert.deepEqual(destinations(host), ["10.244.2.0/24"], "routes outlive BIRD");
  for (const route of bgpRoutes(host.routes)) deleteBgpRoute(host.routes, route);
  assert.deepEqual(
    host.routes.routes({ protocol: 12 }).map(({ destination }) => destination),
    ["10.99.0.0/16"],
  );
  assert.equal(await endBird(join(paths.folder, "..")), undefined);
});

test("two routers that announce the same share the traffic, and BIRD's routes are those of the kernel", async (t) => {
  const { node: host, router } = wire(t);
  const second = "192.168.1.253";
  router.routes.addAddress({ index: linkOf(router, "eth0").index, address: second, length: 24 });
  for (const address of [ROUTER.address, second]) {
    await runBird(t, router, (paths) =>
      routerConfig(paths, ["10.244.2.0/24"])
        .replaceAll(ROUTER.address, address)
        .replace("direct;", "direct; strict bind yes;"),
    );
  }
  const nodes = [node(1, [NODE.address]), node(2, ["192.168.9.2"])];
  const input = bgpInput({ nodes, peers: [peer("a"), peer("b", { address: second })] });
  const plan = planBgp(input);
  const bird = await runBird(t, host, (paths) => formatBirdConfig(plan, paths));
  await isEstablished(bird, "peer-a");
  await isEstablished(bird, "peer-b");
  const verified = () =>
    verifyBgp({ nodeName: "node1", plan, state: input.state, routes: host.routes, ask: (text) => bird.command(text) });
  await eventually(5000, async () => {
    assert.deepEqual(await verified(), { node: "node1", failure: null, prefixes: 1, differences: [] });
    const held = parseRoutes(await bird.command("show route export kernel4"));
    assert.deepEqual(held.get("10.244.2.0/24"), [second, ROUTER.address]);
  });
  for (const route of bgpRoutes(host.routes)) deleteBgpRoute(host.routes, route);
  assert.deepEqual((await verified()).differences, [
    { prefix: "10.244.2.0/24", api: "Node node2", bird: `via ${second}, ${ROUTER.address}`, kernel: null },
  ]);
});
