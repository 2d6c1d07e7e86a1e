import assert from "node:assert/strict";
import { test } from "node:test";
import { isBreakwaterError } from "../model/errors.ts";
import { DOOMED_GROUP, GIVEN_UP_MAC, HOST_END_MAC, ROUTE_PROTOCOL } from "../model/marks.ts";
import { hostIfname } from "../plan/pods.ts";
import { attachment, clusterNode, NodeRig } from "./testing/node-rig.ts";

const first = attachment(1);
const POD = hostIfname(first.containerId, first.ifname);

/** A node that runs, and the namespace of a pod that is not attached yet. */
async function node(rig: NodeRig): Promise<string> {
  rig.host.addNamespace(first.netns);
  await rig.start();
  rig.operations();
  return rig.text();
}

const inside = (rig: NodeRig) => rig.host.otherHand(first.netns).routes;

test("attach() gives the pod its link, addresses, routes and neighbours, and says what it made", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  await node(rig);
  const made = await rig.network.attach(first);
  const host = rig.other.routes.link(POD);
  const pod = inside(rig).link("eth0");
  assert.ok(host && pod);
  assert.deepEqual(made, { hostIfname: POD, hostMac: HOST_END_MAC, podMac: pod.mac, mtuBytes: 1450 });
  assert.deepEqual(
    [host.up, host.carrier, host.mtuBytes, host.mac, host.peerIndex],
    [true, true, 1450, HOST_END_MAC, pod.index],
  );
  const defaults = inside(rig)
    .routes()
    .filter((route) => route.destination.endsWith("/0"));
  assert.deepEqual(
    defaults.map(({ gateway, oif }) => [gateway, oif]),
    [
      ["169.254.1.1", pod.index],
      ["fe80::1", pod.index],
    ],
  );
  for (const ip of first.ips) assert.equal(rig.network.addressInUse(ip), true, ip);
  assert.equal(rig.network.addressInUse("10.244.1.77"), false);
  assert.equal(rig.network.exists(first), true);
  assert.deepEqual(await rig.network.check(first), []);
  assert.equal(rig.host.openDescriptors, 0);
  rig.operations();
  await rig.settle();
  assert.deepEqual(rig.operations(), [], "the loop finds nothing to add");
});

test("attach() leaves nothing behind, whatever step is refused, and works the next time", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  const before = await node(rig);
  await rig.network.attach(first);
  const steps = rig.host.log.take().filter(({ errno }) => errno === undefined);
  await rig.network.detach(first);
  await rig.network.settled();
  await rig.settle();
  assert.equal(rig.text(), before);
  assert.ok(steps.length >= 12, `${steps.length} steps`);
  for (const { operation, object } of steps) {
    for (const applied of [false, true]) {
      rig.host.failures.fail({ operation, errno: "ENOMEM", object: object.split(/ (?:on|to|dev) /)[0], applied });
      await assert.rejects(
        rig.network.attach(first),
        (error: unknown) => isBreakwaterError(error),
        `${operation} ${object}`,
      );
      assert.equal(rig.host.failures.pending, 0, `${operation} ${object} was met`);
      await rig.settle();
      await rig.network.settled();
      await rig.settle();
      assert.equal(rig.text(), before, `${operation} ${object}${applied ? " although done" : ""}`);
      assert.deepEqual([rig.network.pods(), rig.host.openDescriptors], [[], 0]);
      assert.deepEqual(
        inside(rig)
          .links()
          .map(({ name }) => name),
        ["lo"],
      );
    }
  }
  await rig.attach(1);
  assert.deepEqual(await rig.network.check(first), []);
});

test("attach() marks a link that it cannot take away again, and the next one begins anew", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  await node(rig);
  rig.host.failures.fail({ operation: "addAddress", errno: "ENOMEM" });
  rig.host.failures.fail({ operation: "deleteLink", errno: "EBUSY" });
  await assert.rejects(rig.network.attach(first), /ENOMEM.*could not be taken away again.*EBUSY/);
  assert.deepEqual([rig.other.routes.link(POD)?.group, rig.network.exists(first)], [DOOMED_GROUP, false]);
  await rig.attach(1);
  assert.deepEqual(await rig.network.check(first), []);
});

test("attach() leaves the indexes to the kernel when somebody was quicker with them", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  await node(rig);
  for (const errno of ["EBUSY", "EEXIST"]) {
    rig.host.failures.fail({ operation: "createLink", errno });
    await rig.attach(1);
    assert.equal(rig.host.failures.pending, 0);
    assert.deepEqual(await rig.network.check(first), []);
    assert.equal(rig.other.routes.link(POD)?.peerIndex, inside(rig).link("eth0")?.index);
    await rig.detach(1);
  }
  rig.host.addNamespace(attachment(2).netns);
  await rig.attach(2);
  const second = rig.other.routes.link(hostIfname(attachment(2).containerId, "eth0"));
  assert.notEqual(second?.index, second?.peerIndex);
});

for (const [family, ips] of [
  ["two families", first.ips],
  ["IPv4", first.ips.slice(0, 1)],
] as const) {
  test(`detach() cuts a pod off at once, before its link is deleted: ${family}`, async (t) => {
    using rig = new NodeRig(t.mock.timers);
    const before = await node(rig);
    await rig.network.attach({ ...first, ips });
    await rig.network.detach(first);
    const link = rig.other.routes.link(POD);
    assert.deepEqual([link?.group, link?.mac], [DOOMED_GROUP, GIVEN_UP_MAC]);
    const routes = rig.other.routes.routes({ protocol: ROUTE_PROTOCOL });
    assert.deepEqual(
      routes.filter(({ oif }) => oif === link?.index),
      [],
    );
    for (const ip of ips) assert.equal(rig.network.addressInUse(ip), false, ip);
    rig.operations();
    await rig.network.settled();
    await rig.settle();
    assert.deepEqual(rig.operations(), [`deleteGroup links of group ${DOOMED_GROUP}`], "the loop finds nothing to do");
    assert.equal(rig.text(), before);
  });
}

test("links are deleted when no pod came or went for 25 ms, or when 32 wait", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  await node(rig);
  rig.host.addNamespace(attachment(2).netns);
  const deletions = () => rig.host.log.take().filter(({ operation }) => operation === "deleteGroup").length;
  const tick = async (ms: number) => {
    t.mock.timers.tick(ms);
    await rig.host.settled();
  };
  await rig.network.attach(first);
  await rig.network.detach(first);
  await tick(20);
  await rig.network.attach(attachment(2));
  await tick(20);
  assert.equal(deletions(), 0, "a pod came meanwhile");
  await tick(10);
  assert.equal(deletions(), 1);
  for (let i = 0; i < 31; i++) await rig.network.detach(attachment(2));
  await rig.host.settled();
  assert.equal(deletions(), 0);
  await rig.network.detach(attachment(2));
  await rig.host.settled();
  assert.equal(deletions(), 1);
});

test("attach() refuses a pod that has its link already, and leaves that alone", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  await node(rig);
  await rig.attach(1);
  const whole = rig.text();
  await assert.rejects(rig.network.attach(first), (error: unknown) =>
    isBreakwaterError(error, "BW_POD_INTERFACE_EXISTS"),
  );
  await rig.settle();
  assert.equal(rig.text(), whole);
});

test("attach() takes the place of a link that waits for its deletion", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  await node(rig);
  await rig.attach(1);
  const whole = rig.text();
  await rig.detach(1);
  await rig.attach(1);
  await rig.network.settled();
  await rig.settle();
  assert.equal(rig.text(), whole);
});

test("attach() says which namespace is missing, and what the node waits for", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  rig.nodes.delete("node1");
  await rig.start();
  assert.match(rig.network.notReadyReason() ?? "", /no Node node1/);
  await assert.rejects(rig.network.attach(first), (error: unknown) => isBreakwaterError(error, "BW_NOT_READY"));
  rig.setNode(clusterNode(1));
  rig.reconciler.run();
  assert.equal(rig.network.notReadyReason(), undefined);
  assert.deepEqual(rig.network.podCidrs(), clusterNode(1).podCidrs);
  await assert.rejects(
    rig.network.attach(first),
    (error: unknown) => isBreakwaterError(error, "BW_CNI_NETNS") && error.object === first.netns,
  );
  assert.deepEqual(rig.network.pods(), []);
});

test("notReadyReason() names what keeps every pod from working, and nothing less", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  for (const operation of ["createLink", "commit", "writeSysctl"] as const) {
    rig.host.failures.fail({ operation, errno: "EPERM", times: Number.POSITIVE_INFINITY });
    await rig.start();
    assert.match(rig.network.notReadyReason() ?? "", /EPERM/, operation);
    rig.host.failures.clear();
    await rig.elapse(2000);
    assert.equal(rig.network.notReadyReason(), undefined);
    rig.other.deleteLink("bwvxlan");
    rig.other.nftables.commit({ family: "inet", name: "breakwater" }, [{ do: "deleteTable" }]);
    rig.other.sysctl.write("net/ipv4/ip_forward", "0");
    rig.reconciler[Symbol.dispose]();
  }
  rig.host.failures.fail({ operation: "setRoute", errno: "EPERM", object: "10.244.2.0/24" });
  await rig.start();
  assert.equal(rig.network.notReadyReason(), undefined, "one peer less is no reason");
});

test("detach() cuts the pod off at once and deletes its link behind that", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  const before = await node(rig);
  await rig.attach(1);
  await rig.detach(1);
  assert.deepEqual([rig.other.routes.link(POD)?.mac, rig.network.exists(first)], [GIVEN_UP_MAC, false]);
  for (const ip of first.ips) assert.equal(rig.network.addressInUse(ip), false, ip);
  await rig.settle();
  await rig.network.settled();
  await rig.settle();
  assert.equal(rig.text(), before);
  assert.deepEqual(
    inside(rig)
      .links()
      .map(({ name }) => name),
    ["lo"],
  );
});

test("detach() has nothing against what is gone: the link, the namespace, the pod", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  const before = await node(rig);
  await rig.network.detach(attachment(7));
  await rig.attach(1);
  rig.other.deleteLink(POD);
  await rig.detach(1);
  await rig.detach(1);
  await rig.attach(1);
  rig.host.removeNamespace(first.netns);
  await rig.detach(1);
  await rig.network.settled();
  await rig.settle();
  assert.equal(rig.text(), before);
  assert.deepEqual(rig.problems, []);
});

test("detach() rejects when the kernel refuses, and the loop deletes the link", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  const before = await node(rig);
  await rig.attach(1);
  rig.host.failures.fail({ operation: "changeLink", errno: "EBUSY" });
  await assert.rejects(rig.detach(1), /EBUSY/);
  rig.reconciler.request("pod");
  await rig.settle();
  assert.equal(rig.text(), before);
});

test("links that could not be deleted are tried again, and by the next agent", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  const before = await node(rig);
  rig.host.failures.fail({ operation: "deleteGroup", errno: "EBUSY" });
  await rig.attach(1);
  await rig.detach(1);
  await rig.settle();
  assert.equal(rig.other.routes.link(POD)?.group, DOOMED_GROUP);
  assert.match(rig.problems.join(), /EBUSY/);
  await rig.elapse(1100);
  assert.equal(rig.text(), before);
  await rig.attach(1);
  await rig.detach(1);
  // Killed in the moment between.
  await rig.start();
  await rig.settle();
  assert.equal(rig.text(), before);
});

test("check() says what is not as attach() made it", async (t) => {
  const damages: [(rig: NodeRig) => void, RegExp][] = [
    [({ other }) => other.deleteLink(POD), /is not on the node/],
    [(rig) => rig.other.routes.changeLink(rig.index(POD), { up: false }), /is down.*no route 10\.244\.1\.2\/32/],
    [(rig) => rig.other.routes.changeLink(rig.index(POD), { mtuBytes: 1300 }), /has MTU 1300, not 1450/],
    [
      ({ other }) => other.routes.deleteRoute({ destination: "10.244.1.2/32", protocol: 98 }),
      /no route 10\.244\.1\.2\/32/,
    ],
    [(rig) => inside(rig).changeLink(inside(rig).link("eth0")?.index ?? 0, { up: false }), /eth0 is down/],
    [(rig) => inside(rig).changeLink(inside(rig).link("eth0")?.index ?? 0, { name: "eth1" }), /eth0 is not in/],
    [
      (rig) =>
        inside(rig).deleteAddress({ index: inside(rig).link("eth0")?.index ?? 0, address: "10.244.1.2", length: 32 }),
      /does not have 10\.244\.1\.2/,
    ],
    [(rig) => inside(rig).deleteRoute({ destination: "::/0", protocol: 3 }), /no IPv6 default route/],
  ];
  for (const [damage, expected] of damages) {
    using rig = new NodeRig(t.mock.timers);
    await node(rig);
    await rig.attach(1);
    damage(rig);
    await rig.host.settled();
    assert.match((await rig.network.check(first)).join("; "), expected);
    t.mock.timers.reset();
  }
});

test("a hundred pods come and go without a trace", async (t) => {
  using rig = new NodeRig(t.mock.timers);
  await rig.start();
  const numbers = Array.from({ length: 100 }, (_, i) => i + 1);
  for (const number of numbers) rig.host.addNamespace(attachment(number).netns);
  const before = rig.text();
  await Promise.all(numbers.map((number) => rig.attach(number)));
  await rig.settle();
  assert.equal(rig.network.pods().length, 100);
  await Promise.all(numbers.map((number) => rig.detach(number)));
  await rig.network.settled();
  await rig.settle();
  assert.equal(rig.text(), before);
  assert.equal(rig.host.openDescriptors, 0);
});
