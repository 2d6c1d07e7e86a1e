/** BIRD beside other routing modes, and with peers some hops away, in a real kernel: what comes in, and where it leads. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { type TestContext, test } from "node:test";
import { parseRoutes } from "../../src/agent/bgp/bird-routes.ts";
import { announcedPrefixes, refusedPrefixes } from "../../src/agent/bgp/session-prefixes.ts";
import { openNamespace } from "../../src/kernel/netns.ts";
import type { RoutingMode } from "../../src/model/node-config.ts";
import { formatBirdConfig } from "../../src/plan/bgp/config-text.ts";
import { planBgp } from "../../src/plan/bgp/plan.ts";
import { bgpInput, peer } from "../../src/plan/bgp/testing/scenarios.ts";
import { node } from "../../src/plan/testing/scenarios.ts";
import { eventually } from "../e2e/lab-fixture.ts";
import { destinations, isEstablished, NODE, protocol, ROUTER, routerConfig, runBird, wire } from "./bird-place.ts";
import { addLoopbackAddresses, linkOf, type TestNamespace, testNamespace } from "./namespaces.ts";

/** node1 among two others; node2 behind a router. */
const others = (routing?: RoutingMode) => [
  node(1, [NODE.address]),
  { ...node(2, ["192.168.9.2"]), ...(routing === undefined ? {} : { routing }) },
  node(3, ["192.168.1.3"]),
];

test("beside another mode a router brings what is allowed, and nothing of other nodes' pods", async (t) => {
  const { node: host, router } = wire(t);
  const far = await runBird(t, router, (paths) =>
    routerConfig(paths, [
      "10.244.2.0/24",
      "10.244.3.128/25",
      "10.244.1.64/26",
      "10.9.0.0/16",
      "0.0.0.0/0",
      "172.16.0.0/12",
    ]),
  );
  const plan = planBgp(
    bgpInput({ routing: "auto", nodes: others(), peers: [peer("tor", { importAllow: ["10.0.0.0/8"] })] }),
  );
  const bird = await runBird(t, host, (paths) => formatBirdConfig(plan, paths));
  await isEstablished(bird, "peer-tor");
  await eventually(5000, async () => assert.deepEqual(destinations(host), ["10.9.0.0/16"]));
  const ask = (command: string) => bird.command(command);
  const asked = { nodeName: "node1", plan, services: new Map(), peer: "tor", ask };
  const [refused, announced] = [await refusedPrefixes(asked), await announcedPrefixes(asked)];
  assert.deepEqual(
    refused.sessions[0]?.prefixes.map(({ prefix, why }) => [prefix, why]),
    [
      ["0.0.0.0/0", "it is a default route: none is ever taken"],
      ["10.244.1.64/26", "it is inside 10.244.1.0/24, where this node's own pods are"],
      ["10.244.2.0/24", "it is inside 10.244.2.0/24, to which this node has a route of its own"],
      ["10.244.3.128/25", "it is inside 10.244.3.0/24, to which this node has a route of its own"],
      ["172.16.0.0/12", "it is no other node's pod CIDR, and not inside importAllow of BGPPeer tor"],
    ],
  );
  assert.deepEqual(announced.sessions[0]?.prefixes, [{ prefix: "10.244.1.0/24", why: "pods of this node" }]);
  const heard = parseRoutes(await far.command("show route protocol tonode"));
  assert.deepEqual([...heard], [["10.244.1.0/24", [NODE.address]]]);
});

test("beside another mode a router brings the pods of a node that routes by BGP", async (t) => {
  const { node: host, router } = wire(t);
  await runBird(t, router, (paths) => routerConfig(paths, ["10.244.2.0/24", "10.244.3.0/24"]));
  const plan = planBgp(bgpInput({ routing: "auto", nodes: others("bgp"), peers: [peer("tor")] }));
  assert.deepEqual(plan.problems, []);
  const bird = await runBird(t, host, (paths) => formatBirdConfig(plan, paths));
  await isEstablished(bird, "peer-tor");
  await eventually(5000, async () => assert.deepEqual(destinations(host), ["10.244.2.0/24"]));
});

const PEER = "10.0.0.9";

/** node ── router ── a route server whose address is its loopback's, and whose routes name it as next hop. */
async function routeServer(t: TestContext): Promise<{ host: TestNamespace; server: TestNamespace }> {
  const { node: host, router } = wire(t);
  const server = testNamespace(t, "server");
  using far = openNamespace(server.path);
  const end = { name: "eth0", mac: "02:00:00:00:00:f9", mtuBytes: 1500, namespaceFd: far.fd };
  router.routes.createLink({ name: "behind", mtuBytes: 1500, up: true, kind: { type: "veth", peer: end } });
  server.routes.changeLink(linkOf(server, "eth0").index, { up: true });
  router.routes.addAddress({ index: linkOf(router, "behind").index, address: "10.1.0.1", length: 24 });
  server.routes.addAddress({ index: linkOf(server, "eth0").index, address: "10.1.0.9", length: 24 });
  await addLoopbackAddresses(server, [PEER]);
  const via = (place: TestNamespace, destination: string, gateway: string, device: string) =>
    place.routes.setRoute({ destination, gateway, oif: linkOf(place, device).index, protocol: 4 });
  via(server, "192.168.1.0/24", "10.1.0.1", "eth0");
  via(router, `${PEER}/32`, "10.1.0.9", "behind");
  router.run(() => execFileSync("sysctl", ["-qw", "net.ipv4.ip_forward=1"]));
  return { host, server };
}

function serverConfig(log: string): string {
  return `log "${log}" all;
router id ${PEER};
protocol device { }
protocol static { ipv4; route 10.244.2.0/24 blackhole; route 172.16.0.0/12 blackhole; }
protocol bgp tonode {
  local ${PEER} as 65001; neighbor ${NODE.address} as 64512; multihop 3;
  connect delay time 1; error wait time 1, 2;
  ipv4 { import all; export all; next hop self; };
}
`;
}

for (const way of ["10.0.0.0/24", "0.0.0.0/0"]) {
  test(`a peer some hops away brings routes that lead where the node's own route to it does: ${way}`, async (t) => {
    const { host, server } = await routeServer(t);
    host.routes.setRoute({ destination: way, gateway: ROUTER.address, oif: linkOf(host, "eth0").index, protocol: 4 });
    // A route of the agent's to a pod is none by which peers are reached: BIRD need not know thousands of them.
    host.routes.setRoute({ destination: "10.244.1.5/32", oif: linkOf(host, "lo").index, protocol: 98 });
    await runBird(t, server, ({ log }) => serverConfig(log));
    const plan = planBgp(
      bgpInput({
        nodes: others(),
        peers: [peer("core", { address: PEER, multihop: 3, importAllow: ["172.16.0.0/12"] })],
        settings: { nodeMesh: false },
      }),
    );
    const bird = await runBird(t, host, (paths) => formatBirdConfig(plan, paths));
    await isEstablished(bird, "peer-core");
    await eventually(10_000, async () => assert.deepEqual(destinations(host), ["10.244.2.0/24", "172.16.0.0/12"]));
    assert.equal(host.routes.lookupRoute("10.244.2.5")?.gateway, ROUTER.address);
    const { channels } = await protocol(bird, "peer-core");
    assert.deepEqual([channels[0]?.exported, channels[0]?.imported], [1, 2], "nothing of the kernel's is announced");
    assert.deepEqual([...parseRoutes(await bird.command("show route protocol kernel4")).keys()], [way]);
  });
}
