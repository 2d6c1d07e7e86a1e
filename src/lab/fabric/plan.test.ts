import assert from "node:assert/strict";
import { test } from "node:test";
import { type LabOptions, planTopology } from "../topology.ts";
import { formatBgpdConfig, formatZebraConfig } from "./frr-config.ts";
import { formatGobgpConfig } from "./gobgp-config.ts";
import { fabricObjects, nodeSessions } from "./objects.ts";
import { planFabric, type RouterSoftware } from "./plan.ts";

const options: LabOptions = {
  name: "t",
  nodes: 3,
  subnets: 2,
  mtuBytes: 1500,
  routing: "bgp",
  dualStack: true,
  cniChain: [],
};
const PASSWORD = "correct-horse";
const BOTH: readonly RouterSoftware[] = ["frr", "gobgp"];
const fabric = (software: readonly RouterSoftware[] = BOTH, more: Partial<LabOptions> = {}) =>
  planFabric(planTopology({ ...options, ...more }), software, PASSWORD);

test("planFabric() gives each rack a router, an AS number and two wires to the spine", () => {
  const { racks, wires, spine } = fabric();
  assert.deepEqual(
    racks.map(({ name, software, asNumber, nodeAsNumber, routerId }) => [
      ...[name, software, asNumber, nodeAsNumber, routerId],
    ]),
    [
      ["tor1", "frr", 65001, 64601, "192.168.1.1"],
      ["tor2", "gobgp", 65002, 64602, "192.168.2.1"],
    ],
  );
  assert.deepEqual(
    wires.map(({ rackDevice, spineDevice, rackAddresses, spineAddresses }) => [
      ...[rackDevice, spineDevice, rackAddresses[0]?.address, spineAddresses[0]?.address, spineAddresses[1]?.address],
    ]),
    [
      ["spine-1", "tor1-1", "172.31.1.6", "172.31.1.5", "fd00:172:31:1:1::1"],
      ["spine-2", "tor1-2", "172.31.1.10", "172.31.1.9", "fd00:172:31:1:2::1"],
      ["spine-1", "tor2-1", "172.31.2.6", "172.31.2.5", "fd00:172:31:2:1::1"],
      ["spine-2", "tor2-2", "172.31.2.10", "172.31.2.9", "fd00:172:31:2:2::1"],
    ],
  );
  assert.deepEqual([spine.software, spine.asNumber], ["frr", 65000]);
});

test("planFabric() gives FRR one session for both families of a node, GoBGP one a family, and routers among each other one a family", () => {
  const { racks, spine } = fabric();
  const short = ({ name, address, families }: { name: string; address: string; families: readonly number[] }) =>
    `${name} ${address} ${families.join("+")}`;
  assert.deepEqual(racks[0]?.neighbors.map(short), [
    "node1 192.168.1.11 4+6",
    "node3 192.168.1.13 4+6",
    "spine 172.31.1.5 4",
    "spine fd00:172:31:1:1::1 6",
    "spine 172.31.1.9 4",
    "spine fd00:172:31:1:2::1 6",
  ]);
  assert.deepEqual(racks[1]?.neighbors.map(short), [
    "node2 192.168.2.12 4",
    "node2 fd00:192:168:2::c 6",
    "spine 172.31.2.5 4",
    "spine fd00:172:31:2:1::1 6",
    "spine 172.31.2.9 4",
    "spine fd00:172:31:2:2::1 6",
  ]);
  assert.deepEqual(spine.neighbors.map(short), [
    "tor1 172.31.1.6 4",
    "tor1 fd00:172:31:1:1::2 6",
    "tor1 172.31.1.10 4",
    "tor1 fd00:172:31:1:2::2 6",
    "tor2 172.31.2.6 4",
    "tor2 fd00:172:31:2:1::2 6",
    "tor2 172.31.2.10 4",
    "tor2 fd00:172:31:2:2::2 6",
  ]);
});

test("planFabric() gives racks their software round-robin", () => {
  const software = (list: readonly RouterSoftware[]) =>
    fabric(list, { nodes: 3, subnets: 3 }).racks.map((rack) => rack.software);
  assert.deepEqual(software(BOTH), ["frr", "gobgp", "frr"]);
  assert.deepEqual(software(["frr"]), ["frr", "frr", "frr"]);
});

test("nodes' sessions have the password, those between routers have none", () => {
  const { racks, spine } = fabric();
  const passwords = [...racks, spine].flatMap(({ neighbors }) =>
    neighbors.map(({ kind, password }) => [kind, password]),
  );
  for (const [kind, password] of passwords) assert.equal(password, kind === "node" ? PASSWORD : undefined);
});

test("formatBgpdConfig() names every neighbour once, and each family's neighbours in that family", () => {
  const [tor1] = fabric().racks;
  assert.ok(tor1 !== undefined);
  const lines = formatBgpdConfig(tor1).split("\n");
  const count = (line: string) => lines.filter((each) => each === line).length;
  assert.equal(count(" neighbor 192.168.1.11 remote-as 64601"), 1);
  assert.equal(count(` neighbor 192.168.1.11 password ${PASSWORD}`), 1);
  assert.equal(count(" neighbor 172.31.1.5 remote-as 65000"), 1);
  assert.equal(count("  neighbor 192.168.1.11 activate"), 2);
  assert.equal(count("  neighbor 172.31.1.9 activate"), 1);
  assert.equal(count("  neighbor fd00:172:31:1:2::1 activate"), 1);
  assert.equal(count("  neighbor 192.168.1.13 route-map via-fd00:192:168:1::1 out"), 1);
  assert.equal(count(" set ipv6 next-hop global fd00:192:168:1::1"), 1);
  assert.equal(lines.filter((line) => line.includes("password")).length, 2, "none between routers");
});

test("formatGobgpConfig() has a family a neighbour", () => {
  const tor2 = fabric().racks[1];
  assert.ok(tor2 !== undefined);
  const { neighbors } = JSON.parse(formatGobgpConfig(tor2));
  assert.deepEqual(
    neighbors.map((each: Record<string, Record<string, unknown>[] & Record<string, unknown>>) => [
      each["config"]?.["neighbor-address"],
      each["config"]?.["peer-as"],
      each["afi-safis"]?.map((family) => (family["config"] as Record<string, unknown>)["afi-safi-name"]),
    ]),
    [
      ["192.168.2.12", 64602, ["ipv4-unicast"]],
      ["fd00:192:168:2::c", 64602, ["ipv6-unicast"]],
      ["172.31.2.5", 65000, ["ipv4-unicast"]],
      ["fd00:172:31:2:1::1", 65000, ["ipv6-unicast"]],
      ["172.31.2.9", 65000, ["ipv4-unicast"]],
      ["fd00:172:31:2:2::1", 65000, ["ipv6-unicast"]],
    ],
  );
});

test("fabricObjects() makes a BGPPeer a session of a rack's nodes, chosen by the rack's label", () => {
  const objects = fabricObjects(fabric(), PASSWORD);
  const peers = objects.filter(({ kind }) => kind === "BGPPeer");
  assert.deepEqual(
    peers.map(({ metadata, spec }) => {
      const { address, asNumber, localASNumber, bfd = false, nodeSelector } = spec as Record<string, unknown>;
      return [metadata["name"], address, asNumber, localASNumber, bfd, nodeSelector];
    }),
    [
      ["tor1", "192.168.1.1", 65001, 64601, true, { matchLabels: { "breakwater.dev/rack": "rack1" } }],
      ["tor2", "192.168.2.1", 65002, 64602, false, { matchLabels: { "breakwater.dev/rack": "rack2" } }],
      ["tor2-ipv6", "fd00:192:168:2::1", 65002, 64602, false, { matchLabels: { "breakwater.dev/rack": "rack2" } }],
    ],
  );
  const secret = objects.find(({ kind }) => kind === "Secret");
  const data = secret?.["data"] as Record<string, string>;
  assert.equal(Buffer.from(data["password"] ?? "", "base64").toString(), PASSWORD);
});

test("nodeSessions() are those of one node", () => {
  const tor2 = fabric().racks[1];
  assert.ok(tor2 !== undefined);
  assert.deepEqual(
    nodeSessions(tor2, "node2").map(({ address }) => address),
    ["192.168.2.12", "fd00:192:168:2::c"],
  );
  assert.deepEqual(nodeSessions(tor2, "node1"), []);
});

test("formatZebraConfig() has routes carry their next hops themselves: FRR 8.4 loses track of those that are objects", () => {
  assert.match(formatZebraConfig(fabric().spine), /^no zebra nexthop kernel enable$/m);
});
