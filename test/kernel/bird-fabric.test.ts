/** Nodes of two racks behind a router that speaks BGP, a router that falls silent, and one that is too far away. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { birdPid, startBird } from "../../src/agent/bgp/bird-process.ts";
import { writeFileAtomic } from "../../src/cni/atomic-file.ts";
import { openNamespace } from "../../src/kernel/netns.ts";
import { formatBirdConfig } from "../../src/plan/bgp/config-text.ts";
import { planBgp } from "../../src/plan/bgp/plan.ts";
import { bgpInput, peer } from "../../src/plan/bgp/testing/scenarios.ts";
import { eth0, node } from "../../src/plan/testing/scenarios.ts";
import { eventually } from "../e2e/lab-fixture.ts";
import {
  destinations,
  isEstablished,
  nodeConfig,
  protocol,
  routerConfig,
  runBird,
  stateFolder,
  tcpCounter,
  wire,
} from "./bird-place.ts";
import { linkOf, type TestNamespace, testNamespace } from "./namespaces.ts";

/** A node on a wire of its own to the router. */
function rack(t: TestContext, router: TestNamespace, number: number): TestNamespace {
  const host = testNamespace(t, `node${number}`);
  using far = openNamespace(router.path);
  const end = { name: `rack${number}`, mac: `02:00:00:00:00:f${number}`, mtuBytes: 1500, namespaceFd: far.fd };
  host.routes.createLink({ name: "eth0", mtuBytes: 1500, up: true, kind: { type: "veth", peer: end } });
  const index = linkOf(router, `rack${number}`).index;
  router.routes.changeLink(index, { up: true });
  router.routes.addAddress({ index, address: `192.168.${number}.254`, length: 24 });
  host.routes.addAddress({ index: linkOf(host, "eth0").index, address: `192.168.${number}.1`, length: 24 });
  return host;
}

/** What the node of a rack is configured with: itself, the other one, the router of its rack. */
function rackConfig(own: number, other: number, log: string): string {
  const address = `192.168.${own}.1`;
  const input = bgpInput({
    // The scenarios' own node is node1, whatever its rack.
    nodes: [node(1, [address], [`10.244.${own}.0/24`]), node(2, [`192.168.${other}.1`], [`10.244.${other}.0/24`])],
    interfaces: [eth0({ addresses: [{ address, length: 24 }] })],
    peers: [peer("tor", { address: `192.168.${own}.254`, allowOwnAs: 1 })],
  });
  return formatBirdConfig(planBgp(input), { log });
}

test("nodes of two racks reach each other's pods through a router that speaks BGP", async (t) => {
  const router = testNamespace(t, "router");
  const hosts = [rack(t, router, 1), rack(t, router, 2)] as const;
  const session = (number: number) => `protocol bgp rack${number} {
  local 192.168.${number}.254 as 65001; neighbor 192.168.${number}.1 as 64512; direct;
  connect delay time 1; ipv4 { import all; export all; };
}`;
  await runBird(t, router, ({ log }) =>
    [
      `log "${log}" all; router id 192.168.1.254;`,
      "protocol device { } protocol kernel { ipv4 { export all; import none; }; }",
      session(1),
      session(2),
      "",
    ].join("\n"),
  );
  const birds = [
    await runBird(t, hosts[0], ({ log }) => rackConfig(1, 2, log)),
    await runBird(t, hosts[1], ({ log }) => rackConfig(2, 1, log)),
  ];
  for (const bird of birds) await isEstablished(bird, "peer-tor");
  const gateway = (place: TestNamespace, ip: string) => place.routes.lookupRoute(ip)?.gateway;
  await eventually(10_000, async () => {
    assert.deepEqual(
      [
        gateway(hosts[0], "10.244.2.5"),
        gateway(router, "10.244.2.5"),
        gateway(hosts[1], "10.244.1.5"),
        gateway(router, "10.244.1.5"),
      ],
      ["192.168.1.254", "192.168.2.1", "192.168.2.254", "192.168.1.1"],
    );
  });
  assert.equal(hosts[0].routes.lookupRoute("10.244.1.77"), undefined, "an address that no pod has ends on its node");
});

/** Milliseconds from a router's silence to the end of what it announced; undefined when it does not end in time. */
async function silence(t: TestContext, withBfd: boolean, patienceMs: number): Promise<number | undefined> {
  const { node: host, router } = wire(t);
  const paths = stateFolder(t);
  writeFileAtomic(
    paths.config,
    `${routerConfig(paths, ["10.244.2.0/24"], withBfd ? "bfd yes;" : "")}protocol bfd { interface "*"; }\n`,
    0o600,
  );
  const far = await router.run(() => startBird(paths, false));
  t.after(() => far.close());
  const bird = await runBird(t, host, (at) => nodeConfig(at, { bfd: withBfd }));
  await isEstablished(bird, "peer-tor");
  await eventually(5000, async () => assert.deepEqual(destinations(host), ["10.244.2.0/24"]));
  if (withBfd) {
    await eventually(10_000, async () => {
      const { lines } = await bird.command("show bfd sessions");
      assert.ok(lines.some(({ text }) => /192\.168\.1\.254 .*\bUp\b/.test(text)));
    });
  }
  const pid = birdPid(paths);
  assert.ok(pid);
  process.kill(pid, "SIGSTOP");
  const since = performance.now();
  try {
    await eventually(patienceMs, async () => assert.deepEqual(destinations(host), []));
    return performance.now() - since;
  } catch {
    assert.equal((await protocol(bird, "peer-tor")).bgpState, "Established");
    return undefined;
  }
}

test("a router that falls silent loses its routes within two seconds with BFD", async (t) => {
  const ms = await silence(t, true, 10_000);
  assert.ok(ms !== undefined && ms < 2000, `${ms} ms`);
  t.diagnostic(`the route was gone after ${ms.toFixed(0)} ms`);
});

test("without BFD its routes stay for the hold time: a pause of five seconds costs nothing", async (t) => {
  assert.equal(await silence(t, false, 5000), undefined);
});

test("TTL security: a session comes only with a router that sends from next door", async (t) => {
  const { node: host, router } = wire(t);
  const paths = stateFolder(t);
  const configure = (more: string) =>
    writeFileAtomic(paths.config, routerConfig(paths, ["10.244.2.0/24"], more), 0o600);
  configure("");
  const far = await router.run(() => startBird(paths, false));
  t.after(() => far.close());
  const bird = await runBird(t, host, (at) => nodeConfig(at, { ttlSecurity: true }));
  // BIRD's own TTL for a neighbour is 1: as good as from far away. Several segments have come, and were dropped for that.
  await eventually(30_000, async () => assert.ok(tcpCounter(host, "TCPMinTTLDrop") >= 3));
  assert.notEqual((await protocol(bird, "peer-tor")).bgpState, "Established");
  assert.deepEqual(destinations(host), []);
  configure("ttl security yes;");
  await far.command("configure");
  // The half of a session that came so far would wait for its hold time.
  await bird.command("restart 'peer-tor'");
  await isEstablished(bird, "peer-tor");
});
