import assert from "node:assert/strict";
import { test } from "node:test";
import { NFT_TABLE, VXLAN_DEVICE } from "../model/marks.ts";
import { vtepMac } from "../plan/peers.ts";
import { hostIfname } from "../plan/pods.ts";
import { attachment, clusterNode, NodeRig } from "./testing/node-rig.ts";

const POD = hostIfname(attachment(1).containerId, "eth0");
const FOREIGN_MAC = "02:99:99:99:99:99";

/** Damage that somebody does to what is ours. */
const damages: Record<string, (rig: NodeRig) => void> = {
  "a direct route is deleted": ({ other }) => other.routes.deleteRoute({ destination: "10.244.2.0/24", protocol: 98 }),
  "a VXLAN route is deleted": ({ other }) => other.routes.deleteRoute({ destination: "10.244.3.0/24", protocol: 98 }),
  "an IPv6 route is deleted": ({ other }) =>
    other.routes.deleteRoute({ destination: "fd00:10:244:3::/64", protocol: 98 }),
  "a route is replaced by a foreign one": (rig) =>
    rig.other.routes.setRoute({
      destination: "10.244.2.0/24",
      gateway: "192.168.1.9",
      oif: rig.index("eth0"),
      protocol: 3,
    }),
  "an IPv6 VXLAN route is replaced by one over another device": (rig) =>
    rig.other.routes.setRoute({ destination: "fd00:10:244:3::/64", oif: rig.index("eth0"), protocol: 3 }),
  "a route loses its gateway": (rig) =>
    rig.other.routes.setRoute({ destination: "10.244.2.0/24", oif: rig.index("eth0"), protocol: 98 }),
  "a forwarding entry is deleted": (rig) =>
    rig.other.routes.deleteFdb({ index: rig.index(VXLAN_DEVICE), mac: vtepMac("node3"), destination: "192.168.2.3" }),
  "a forwarding entry leads elsewhere": (rig) =>
    rig.other.routes.setFdb({ index: rig.index(VXLAN_DEVICE), mac: vtepMac("node3"), destination: "192.168.2.99" }),
  "a forwarding entry is added": (rig) =>
    rig.other.routes.setFdb({ index: rig.index(VXLAN_DEVICE), mac: FOREIGN_MAC, destination: "192.168.2.99" }),
  "a neighbour is deleted": (rig) =>
    rig.other.routes.deleteNeighbour({ index: rig.index(VXLAN_DEVICE), ip: "10.244.3.0" }),
  "a neighbour has another MAC": (rig) =>
    rig.other.routes.setNeighbour({ index: rig.index(VXLAN_DEVICE), ip: "10.244.3.0", mac: FOREIGN_MAC }),
  "a neighbour becomes an ordinary one": (rig) =>
    rig.other.learnNeighbour(rig.index(VXLAN_DEVICE), "10.244.3.0", vtepMac("node3")),
  "a neighbour is added": (rig) =>
    rig.other.routes.setNeighbour({ index: rig.index(VXLAN_DEVICE), ip: "10.9.9.9", mac: FOREIGN_MAC }),
  "the VXLAN device is deleted": ({ other }) => other.deleteLink(VXLAN_DEVICE),
  "the VXLAN device goes down": (rig) => rig.other.routes.changeLink(rig.index(VXLAN_DEVICE), { up: false }),
  "the VXLAN device goes down and up": (rig) => {
    rig.other.routes.changeLink(rig.index(VXLAN_DEVICE), { up: false });
    rig.other.routes.changeLink(rig.index(VXLAN_DEVICE), { up: true });
  },
  "the VXLAN device's MTU is lowered": (rig) =>
    rig.other.routes.changeLink(rig.index(VXLAN_DEVICE), { mtuBytes: 1300 }),
  "the VXLAN device's MAC is changed": (rig) =>
    rig.other.routes.changeLink(rig.index(VXLAN_DEVICE), { mac: FOREIGN_MAC }),
  "the VXLAN device is made anew with other parameters": (rig) => {
    const underlayIndex = rig.index("eth0");
    rig.other.deleteLink(VXLAN_DEVICE);
    const vxlan = { vni: 7, port: 8472, local: "192.168.1.1", underlayIndex, learning: true, udpChecksum: false };
    rig.other.routes.createLink({ name: VXLAN_DEVICE, up: true, kind: { type: "vxlan", vxlan } });
  },
  "the VXLAN device's receive offload is switched on": ({ other }) =>
    other.features.write(VXLAN_DEVICE, "rx-gro", true),
  "the VTEP's address is deleted": (rig) =>
    rig.other.routes.deleteAddress({ index: rig.index(VXLAN_DEVICE), address: "10.244.1.0", length: 32 }),
  "the VTEP's IPv6 address is deleted": (rig) =>
    rig.other.routes.deleteAddress({ index: rig.index(VXLAN_DEVICE), address: "fd00:10:244:1::", length: 128 }),
  "an address is added to the VXLAN device": (rig) =>
    rig.other.routes.addAddress({ index: rig.index(VXLAN_DEVICE), address: "10.9.9.9", length: 24 }),
  "the nftables table is deleted": ({ other }) => other.nftables.commit(NFT_TABLE, [{ do: "deleteTable" }]),
  "a chain is emptied": ({ other }) => other.nftables.commit(NFT_TABLE, [{ do: "flushChain", chain: "postrouting" }]),
  "a rule is added to our chain": ({ other }) =>
    other.nftables.commit(NFT_TABLE, [
      { do: "addRule", chain: "postrouting", rule: { statements: [{ verdict: "drop" }] } },
    ]),
  "set elements are removed": ({ other }) => {
    const set = { name: "cluster4", key: "ipv4_addr", interval: true, elements: [] } as const;
    other.nftables.commit(NFT_TABLE, [{ do: "deleteElements", set, elements: ["10.244.2.0/24"] }]);
  },
  "a set is added": ({ other }) => {
    const set = { name: "stray", key: "inet_service", interval: false, elements: [] } as const;
    other.nftables.commit(NFT_TABLE, [{ do: "addSet", set }]);
  },
  "forwarding is switched off": ({ other }) => other.sysctl.write("net/ipv4/ip_forward", "0"),
  "IPv6 forwarding is switched off": ({ other }) => other.sysctl.write("net/ipv6/conf/all/forwarding", "0"),
  "a pod's link is deleted": ({ other }) => other.deleteLink(POD),
  "a pod's link goes down": (rig) => rig.other.routes.changeLink(rig.index(POD), { up: false }),
  "a pod's link has another MTU": (rig) => rig.other.routes.changeLink(rig.index(POD), { mtuBytes: 1300 }),
  "a pod's route is deleted": ({ other }) => other.routes.deleteRoute({ destination: "10.244.1.2/32", protocol: 98 }),
  "a pod's neighbour is deleted": (rig) =>
    rig.other.routes.deleteNeighbour({ index: rig.index(POD), ip: "10.244.1.2" }),
  "the underlay goes down and up": (rig) => {
    rig.other.routes.changeLink(rig.index("eth0"), { up: false });
    rig.other.routes.changeLink(rig.index("eth0"), { up: true });
    rig.other.routes.addAddress({ index: rig.index("eth0"), address: "fd00:1::1", length: 64 });
  },
  "the underlay's address is deleted and comes back": (rig) => {
    const address = { index: rig.index("eth0"), address: "192.168.1.1", length: 24 };
    rig.other.routes.deleteAddress(address);
    rig.other.routes.addAddress(address);
  },
  "everything goes, unseen: the events are lost": (rig) => {
    rig.other.deleteLink(VXLAN_DEVICE);
    rig.other.routes.deleteRoute({ destination: "10.244.2.0/24", protocol: 98 });
    rig.other.loseEvents();
  },
};

/** Failures that the repair meets; each passes. */
const failures = {
  "no failure": [],
  "setRoute is refused once": [{ operation: "setRoute", errno: "ENOMEM" }],
  "setFdb, setNeighbour and addAddress are refused once": [
    { operation: "setFdb", errno: "ENOMEM" },
    { operation: "setNeighbour", errno: "ENOBUFS" },
    { operation: "addAddress", errno: "EINVAL" },
  ],
  "links are refused twice": [
    { operation: "createLink", errno: "EBUSY", times: 2 },
    { operation: "changeLink", errno: "EBUSY" },
    { operation: "deleteLink", errno: "EBUSY", times: 2 },
  ],
  "the nftables commit is refused twice": [{ operation: "commit", errno: "ERESTART", times: 2 }],
  "sysctls are refused twice": [{ operation: "writeSysctl", errno: "EROFS", times: 2 }],
  "features are refused twice": [
    { operation: "writeFeature", errno: "EBUSY", times: 2 },
    { operation: "readFeature", errno: "ENOBUFS" },
  ],
  "answers are lost although the work was done": [
    { operation: "setRoute", errno: "ENOBUFS", applied: true },
    { operation: "setFdb", errno: "ENOBUFS", applied: true },
    { operation: "createLink", errno: "ENOBUFS", applied: true },
    { operation: "commit", errno: "ENOBUFS", applied: true },
  ],
  "the whole batch cannot be sent": [{ operation: "applyMany", errno: "ENOBUFS", times: 2 }],
  "lists are interrupted": [
    { operation: "links", errno: "EINTR", times: 3 },
    { operation: "routes", errno: "EINTR", times: 12 },
    { operation: "table", errno: "EINTR", times: 11 },
    { operation: "link", errno: "ENOBUFS" },
  ],
  "the pod's namespace cannot be entered twice": [{ operation: "openPod", errno: "EMFILE", times: 2 }],
} as const;

/** Three nodes, one of them behind a router, and a pod. */
async function wholeNode(rig: NodeRig): Promise<string> {
  await rig.start();
  await rig.attach(1);
  await rig.settle();
  rig.operations();
  return rig.text();
}

for (const [damage, act] of Object.entries(damages)) {
  for (const [failure, list] of Object.entries(failures)) {
    test(`Reconciler repairs: ${damage} (${failure})`, async (t) => {
      using rig = new NodeRig(t.mock.timers);
      const whole = await wholeNode(rig);
      for (const entry of list) rig.host.failures.fail(entry);
      act(rig);
      assert.notEqual(rig.text() + rig.host.failures.pending, whole, "the damage shows");
      const elapsedMs = await rig.settle();
      // Without failures one round is enough; with them the loop comes back by itself.
      if (list.length === 0) assert.ok(elapsedMs <= 1000, `repaired after ${elapsedMs} ms`);
      else await rig.elapse(3000);
      assert.equal(rig.text(), whole);
      assert.deepEqual(rig.reconciler.status.failures, []);
      rig.host.failures.clear();
      rig.operations();
      await rig.start();
      assert.deepEqual(rig.operations(), [], "a restart changes nothing");
      assert.equal(rig.host.openDescriptors, 0);
    });
  }
}

test("Reconciler asks the kernel for nothing while nothing differs", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  await wholeNode(rig);
  rig.reconciler.request("cluster");
  await rig.settle();
  const before = rig.rounds;
  await rig.elapse(60_000);
  assert.ok(rig.rounds > before, "everything was listed anew");
  assert.deepEqual(rig.operations(), []);
});

test("Reconciler's own changes cause no further round that changes something", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  await wholeNode(rig);
  rig.setNode(clusterNode(4));
  const before = rig.rounds;
  rig.reconciler.request("cluster");
  await rig.settle();
  assert.equal(rig.rounds, before + 1);
  assert.deepEqual(
    rig.operations().map((line) => line.split(" via ")[0]),
    ["commit inet breakwater: addElements, addElements", "setRoute 10.244.4.0/24", "setRoute fd00:10:244:4::/64"],
  );
});

test("Reconciler waits longer and longer between failures, and recovers when they end", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  const whole = await wholeNode(rig);
  rig.host.failures.fail({ operation: "setRoute", errno: "ENOMEM", times: Number.POSITIVE_INFINITY });
  rig.other.routes.deleteRoute({ destination: "10.244.2.0/24", protocol: 98 });
  await rig.elapse(10_000);
  const attempts = rig.operations();
  // 20 ms, then 100, 200, 400, 800, 1600, 3200: the next would be past ten seconds.
  assert.equal(attempts.length, 7);
  assert.ok(attempts.every((line) => line.endsWith(": ENOMEM")));
  assert.equal(rig.problems.filter((line) => line.includes("10.244.2.0/24")).length, 1, "reported once");
  assert.equal(rig.reconciler.status.failures.length, 1);
  rig.host.failures.clear();
  await rig.elapse(10_000);
  assert.equal(rig.text(), whole);
  assert.deepEqual(rig.reconciler.status.failures, []);
});

test("Reconciler outlives a kernel that cannot be listed, says so once, and lists when it can", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  const whole = await wholeNode(rig);
  rig.host.failures.fail({ operation: "routes", errno: "EPERM", times: Number.POSITIVE_INFINITY });
  rig.other.routes.deleteRoute({ destination: "10.244.2.0/24", protocol: 98 });
  rig.other.loseEvents();
  await rig.elapse(5000);
  assert.match(String(rig.reconciler.status.error), /EPERM/);
  assert.notEqual(rig.reconciler.status.state, undefined, "the last known state stands");
  assert.equal(rig.problems.filter((line) => line.includes("Cannot list IPv4 routes")).length, 1);
  rig.host.failures.clear();
  await rig.elapse(10_000);
  assert.equal(rig.reconciler.status.error, undefined);
  assert.equal(rig.text(), whole);
});

test("Reconciler lets the tunnel join segments while the underlay's device does not", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  const whole = await wholeNode(rig);
  const tunnelJoins = async (underlayJoins: boolean) => {
    rig.other.features.write("eth0", "rx-gro", underlayJoins);
    await rig.elapse(60_000);
    return rig.other.features.read(VXLAN_DEVICE, "rx-gro");
  };
  assert.equal(await tunnelJoins(false), true);
  assert.equal(await tunnelJoins(true), false);
  assert.equal(rig.text(), whole);
});

test("Reconciler does without ethtool netlink, and says so once", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  rig.other.loseFeatures();
  await wholeNode(rig);
  assert.deepEqual(rig.reconciler.status.failures, []);
  assert.equal(rig.other.routes.link(VXLAN_DEVICE)?.up, true);
  rig.other.deleteLink(VXLAN_DEVICE);
  await rig.elapse(60_000);
  assert.equal(rig.other.routes.link(VXLAN_DEVICE)?.up, true);
  assert.equal(rig.problems.length, 1);
  assert.match(rig.problems[0] ?? "", /no ethtool netlink/);
  assert.deepEqual(
    rig.operations().filter((line) => line.includes("Feature")),
    [],
  );
});

test("Reconciler leaves everything as it is while the node is unknown, and goes on when it is back", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  const whole = await wholeNode(rig);
  rig.nodes.delete("node1");
  rig.reconciler.request("cluster");
  await rig.settle();
  assert.equal(rig.reconciler.status.notReady?.code, "BW_NODE_UNKNOWN");
  assert.deepEqual(rig.operations(), []);
  assert.equal(rig.text(), whole);
  rig.setNode(clusterNode(1));
  rig.reconciler.request("cluster");
  await rig.settle();
  assert.equal(rig.reconciler.status.notReady, undefined);
  assert.deepEqual(rig.operations(), []);
});

test("Reconciler follows an underlay whose MTU changes, down to running pods", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  const whole = await wholeNode(rig);
  rig.other.routes.changeLink(rig.index("eth0"), { mtuBytes: 1400 });
  await rig.settle();
  const inside = rig.host.otherHand(attachment(1).netns).routes.link("eth0");
  const mtus = [VXLAN_DEVICE, POD].map((name) => rig.other.routes.link(name)?.mtuBytes);
  assert.deepEqual([...mtus, inside?.mtuBytes], [1350, 1350, 1350]);
  rig.other.routes.changeLink(rig.index("eth0"), { mtuBytes: 1500 });
  await rig.settle();
  assert.equal(rig.text(), whole);
});
