import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeHost, type OtherHand } from "../kernel/fake/host.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { isBreakwaterError } from "../model/errors.ts";
import type { LinkChange } from "../model/kernel-objects.ts";
import { DOOMED_GROUP, VXLAN_DEVICE } from "../model/marks.ts";
import { Mirror } from "./mirror.ts";

const NODE = "/run/netns/node";
const POD = "/run/netns/pod";
const POD_LINKS = ["bwh00000000001", "bwh00000000002"];

/** Numbers that are the same at every run. */
function randomNumbers(seed: number): (below: number) => number {
  let value = seed;
  return (below) => {
    value = (Math.imul(value, 1103515245) + 12345) & 0x7fffffff;
    return (value >> 8) % below;
  };
}

/** Everything of an observation, sorted; an absent field and one that is undefined are the same. */
function contents(mirror: Mirror): string {
  const { links, linksByIndex, addresses, routes, neighbours, fdb, nft } = mirror.observed({
    sysctls: [],
    features: [],
  });
  const sorted = [links, linksByIndex, addresses, routes, neighbours, fdb].map((map) =>
    [...map.entries()].map(([key, value]) => JSON.stringify([key, Object.entries(value).sort()])).sort(),
  );
  return JSON.stringify([...sorted, nft, mirror.interfaces()], undefined, 1);
}

function freshList(kernel: Kernel): string {
  const mirror = new Mirror(kernel);
  mirror.list();
  return contents(mirror);
}

/** Things that anybody may do to a node; many are refused, as they should be. */
function actions(host: FakeHost, other: OtherHand, random: (below: number) => number): (() => void)[] {
  const { routes } = other;
  const index = (name: string) => routes.link(name)?.index ?? 999;
  const any = <T>(values: readonly T[]): T => values[random(values.length)] as T;
  const device = () => index(any(["eth0", VXLAN_DEVICE, VXLAN_DEVICE, ...POD_LINKS, "cni0"]));
  const mac = () => any(["02:00:00:00:00:0a", "02:00:00:00:00:0b", "33:33:00:00:00:01", "00:00:00:00:00:00"]);
  const ip = () => any(["10.244.2.0", "10.244.3.0", "fd00:10:244:2::", "fe80::5"]);
  const destination = () => any(["10.244.2.0/24", "10.244.3.0/24", "10.244.1.5/32", "fd00:10:244:2::/64"]);
  const protocol = () => any([98, 98, 98, 3]);
  const onlink = (to: string) => (to.includes(":") ? "fe80::5" : "10.244.2.0");
  return [
    () =>
      routes.createLink({
        name: VXLAN_DEVICE,
        mac: mac(),
        up: random(4) > 0,
        kind: {
          type: "vxlan",
          vxlan: {
            vni: any([7, 8]),
            local: "192.168.1.1",
            port: 4789,
            underlayIndex: index("eth0"),
            learning: false,
            udpChecksum: false,
          },
        },
      }),
    () => {
      using pod = host.kernel(NODE).openPod(POD);
      const name = any(POD_LINKS);
      const peer = { name: `p${name.slice(-1)}`, mac: mac(), mtuBytes: 1450, namespaceFd: pod.fd };
      routes.createLink({ name, mac: mac(), up: random(2) === 0, kind: { type: "veth", peer } });
    },
    () => {
      const inside = host.otherHand(POD).routes;
      inside.changeLink(inside.link(any(["p1", "p2"]))?.index ?? 999, { up: random(2) === 0 });
    },
    () => routes.createLink({ name: "cni0", kind: { type: "bridge" } }),
    () => other.deleteLink(any([VXLAN_DEVICE, ...POD_LINKS, "cni0"])),
    () => routes.changeLink(device(), { up: random(3) > 0 }),
    () => routes.changeLink(device(), { mtuBytes: 1280 + random(170) }),
    () => routes.changeLink(device(), { mac: mac(), group: any([0, 5]) }),
    () => routes.setRoute({ destination: destination(), oif: device(), protocol: protocol() }),
    () => {
      const to = destination();
      const mtuBytes = any([undefined, 1400]);
      routes.setRoute({
        destination: to,
        gateway: onlink(to),
        oif: device(),
        onlink: true,
        protocol: protocol(),
        mtuBytes,
      });
    },
    () => routes.deleteRoute({ destination: destination(), protocol: protocol() }),
    () => routes.setNeighbour({ index: device(), ip: ip(), mac: mac() }),
    () => other.learnNeighbour(device(), ip(), mac()),
    () => routes.deleteNeighbour({ index: device(), ip: ip() }),
    () => routes.setFdb({ index: index(VXLAN_DEVICE), mac: mac(), destination: any(["192.168.2.2", "192.168.2.3"]) }),
    () =>
      routes.deleteFdb({ index: index(VXLAN_DEVICE), mac: mac(), destination: any(["192.168.2.2", "192.168.2.3"]) }),
    () => routes.addAddress({ index: device(), address: any(["10.9.0.1", "fd00:9::1"]), length: 24 }),
    () => routes.deleteAddress({ index: device(), address: any(["10.9.0.1", "fd00:9::1", "192.168.1.1"]), length: 24 }),
    () => routes.addAddress({ index: index("eth0"), address: "192.168.1.1", length: 24 }),
  ];
}

for (const seed of [1, 2, 3, 4, 5, 6]) {
  test(`Mirror that follows events equals a fresh list, after every burst of 700 random acts (${seed})`, async () => {
    const host = new FakeHost();
    const other = host.addNamespace(NODE);
    host.addNamespace(POD);
    other.addHardware({ name: "eth0", mac: "02:00:00:00:00:01", addresses: ["192.168.1.1/24", "fd00:1::1/64"] });
    const kernel = host.kernel(NODE);
    const mirror = new Mirror(kernel);
    using _watch = kernel.watch((events) => mirror.apply(events));
    mirror.list();
    const random = randomNumbers(seed);
    const acts = actions(host, other, random);
    let done = 0;
    for (let step = 0; step < 700; step++) {
      try {
        acts[random(acts.length)]?.();
        done++;
      } catch (error) {
        if (!isBreakwaterError(error)) throw error;
      }
      if (random(60) === 0) other.loseEvents();
      // What is listed while events are on their way is newer than those; they must not turn it back for good.
      if (random(40) === 0) mirror.list();
      if (random(4) > 0) continue;
      await host.settled();
      assert.equal(contents(mirror), freshList(kernel), `step ${step}`);
    }
    assert.ok(done > 250, `${done} acts were carried out`);
  });
}

test("Mirror.apply() says whether a plan or a diff may change", async () => {
  const host = new FakeHost();
  const other = host.addNamespace(NODE);
  other.addHardware({ name: "eth0", mac: "02:00:00:00:00:01", addresses: ["192.168.1.1/24"] });
  const kernel = host.kernel(NODE);
  const mirror = new Mirror(kernel);
  let told = 0;
  using _watch = kernel.watch((events) => {
    if (mirror.apply(events)) told++;
  });
  mirror.list();
  const eth0 = other.routes.link("eth0")?.index ?? 0;
  const pod = "bwh0123456789a";
  const forwarding = (name: string) => other.sysctl.write(`net/ipv4/conf/${name}/forwarding`, "0");
  const onPod = (change: LinkChange) => other.routes.changeLink(other.routes.link(pod)?.index ?? 0, change);
  const ours = { destination: "10.244.2.0/24", gateway: "192.168.1.2", oif: eth0, protocol: 98 };
  const cases: [string, () => void, boolean][] = [
    ["a foreign route", () => other.routes.setRoute({ ...ours, destination: "10.9.0.0/16", protocol: 3 }), false],
    ["our route", () => other.routes.setRoute(ours), true],
    ["the same again", () => other.routes.setRoute(ours), false],
    ["another metric of a foreign route", () => other.routes.setRoute({ ...ours, protocol: 3, metric: 9 }), false],
    ["a foreign route in the place of ours", () => other.routes.setRoute({ ...ours, protocol: 3 }), true],
    ["a foreign neighbour", () => other.learnNeighbour(eth0, "192.168.1.2", "02:00:00:00:00:02"), false],
    ["an address", () => other.routes.addAddress({ index: eth0, address: "192.168.1.9", length: 24 }), true],
    ["the MTU", () => other.routes.changeLink(eth0, { mtuBytes: 1400 }), true],
    ["nothing at all of a link", () => other.routes.changeLink(eth0, { mtuBytes: 1400 }), false],
    ["forwarding", () => other.sysctl.write("net/ipv4/ip_forward", "1"), true],
    ["forwarding of a device", () => forwarding("eth0"), true],
    ["a pod's link", () => other.routes.createLink({ name: pod, kind: { type: "bridge" }, up: true }), true],
    ["forwarding of a pod's link", () => forwarding(pod), false],
    ["a pod's link is given up", () => onPod({ group: DOOMED_GROUP }), true],
    ["a pod's link that was given up goes down", () => onPod({ up: false }), false],
    ["a pod's link that was given up is deleted", () => other.deleteLink(pod), false],
    ["lost events", () => other.loseEvents(), true],
  ];
  for (const [name, act, expected] of cases) {
    told = 0;
    act();
    await host.settled();
    assert.equal(told > 0, expected, name);
  }
});

test("Mirror.list() that fails leaves what it had", () => {
  const host = new FakeHost();
  const other = host.addNamespace(NODE);
  other.addHardware({ name: "eth0", mac: "02:00:00:00:00:01", addresses: ["192.168.1.1/24"] });
  const mirror = new Mirror(host.kernel(NODE));
  mirror.list();
  const before = contents(mirror);
  other.routes.changeLink(other.routes.link("eth0")?.index ?? 0, { mtuBytes: 1300 });
  for (const operation of ["links", "addresses", "routes", "neighbours", "fdb", "table"] as const) {
    host.failures.fail({ operation, errno: "EPERM" });
    assert.throws(() => mirror.list(), /EPERM/, operation);
    assert.equal(contents(mirror), before, operation);
  }
  mirror.list();
  assert.notEqual(contents(mirror), before);
});
