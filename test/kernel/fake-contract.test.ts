/** The kernel in memory does what the real one does: the same steps, the same answers, lists and events. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fakeMachine, type Machine, realMachine } from "./machine.ts";
import { Transcript } from "./transcript.ts";

const MAC = "02:62:77:00:00:02";
const OTHER_MAC = "02:62:77:00:00:05";
const PEER = "192.168.7.2";

type Scenario = (t: Transcript, machine: Machine) => Promise<void>;

/** A device with carrier that can stand for an underlay: one end of a pair that stays on the node. */
function addUnderlay(t: Transcript): void {
  t.try("create underlay", (k) => {
    const peer = { name: "u1", mac: "02:00:00:00:00:01", mtuBytes: 1500 };
    k.createLink({ name: "u0", mac: "02:00:00:00:00:02", mtuBytes: 1500, up: true, kind: { type: "veth", peer } });
    k.changeLink(t.index("u1"), { up: true });
  });
  t.try("address underlay", (k) => k.addAddress({ index: t.index("u0"), address: "192.168.7.1", length: 24 }));
}

function addVxlan(t: Transcript, name = "bwvxlan", vni = 4098, mtuBytes = 1450): void {
  const vxlan = {
    vni,
    local: "192.168.7.1",
    port: 4789,
    underlayIndex: t.index("u0"),
    learning: false,
    udpChecksum: false,
    sourcePorts: { first: 50_000, last: 50_001 },
  };
  t.try(`create ${name}`, (k) =>
    k.createLink({ name, mac: OTHER_MAC, mtuBytes, up: true, kind: { type: "vxlan", vxlan } }),
  );
}

function setVxlanEntries(t: Transcript): void {
  const index = t.index("bwvxlan");
  t.try("address", (k) => k.addAddress({ index, address: "10.244.1.0", length: 32 }));
  t.try("address 6", (k) => k.addAddress({ index, address: "fd00:10:244:1::", length: 128, noDad: true }));
  t.try("fdb", (k) => k.setFdb({ index, mac: MAC, destination: PEER }));
  t.try("neighbour", (k) => k.setNeighbour({ index, ip: "10.244.2.0", mac: MAC }));
  t.try("route", (k) =>
    k.setRoute({ destination: "10.244.2.0/24", gateway: "10.244.2.0", oif: index, onlink: true, protocol: 98 }),
  );
  t.try("route 6", (k) =>
    k.setRoute({ destination: "fd00:10:244:2::/64", gateway: "fe80::5", oif: index, onlink: true, protocol: 98 }),
  );
}

const scenarios: Record<string, Scenario> = {
  "vxlan devices: refusals and the largest MTU": async (t) => {
    addUnderlay(t);
    addVxlan(t);
    addVxlan(t);
    addVxlan(t, "bwother");
    addVxlan(t, "bwlarge", 7, 9000);
    await t.show("created");
    t.try("too large", (k) => k.changeLink(t.index("bwvxlan"), { mtuBytes: 1451 }));
    t.try("smaller", (k) => k.changeLink(t.index("bwvxlan"), { mtuBytes: 1400 }));
    t.try("no such link", (k) => k.changeLink(9999, { up: true }));
    t.try("delete no such link", (k) => k.deleteLink(9999));
    await t.show("changed");
  },
  "a device that goes down takes routes and neighbours along, but no forwarding entry": async (t) => {
    addUnderlay(t);
    addVxlan(t);
    setVxlanEntries(t);
    await t.show("set");
    t.try("down", (k) => k.changeLink(t.index("bwvxlan"), { up: false }));
    await t.show("down");
    t.try("route", (k) => k.setRoute({ destination: "10.9.0.0/16", oif: t.index("bwvxlan"), protocol: 98 }));
    t.try("up", (k) => k.changeLink(t.index("bwvxlan"), { up: true }));
    await t.show("up again");
  },
  "forwarding entries: one destination a MAC": async (t) => {
    addUnderlay(t);
    addVxlan(t);
    const entry = { index: t.index("bwvxlan"), mac: MAC, destination: PEER };
    t.try("set", (k) => k.setFdb(entry));
    t.try("set again", (k) => k.setFdb(entry));
    t.try("replace", (k) => k.setFdb({ ...entry, destination: "192.168.7.9" }));
    t.try("delete what is not there", (k) => k.deleteFdb(entry));
    await t.show("replaced");
    t.try("delete", (k) => k.deleteFdb({ ...entry, destination: "192.168.7.9" }));
    t.try("delete again", (k) => k.deleteFdb(entry));
    t.try("no such link", (k) => k.setFdb({ ...entry, index: 9999 }));
    const flood = { ...entry, mac: "00:00:00:00:00:00" };
    t.try("flood", (k) => k.setFdb(flood));
    t.try("flood elsewhere", (k) => k.setFdb({ ...flood, destination: "192.168.7.9" }));
    t.try("flood again", (k) => k.setFdb(flood));
    await t.show("deleted");
  },
  "routes: replaced by destination and metric, whoever made them": async (t) => {
    addUnderlay(t);
    const oif = t.index("u0");
    const route = { destination: "10.244.3.0/24", gateway: PEER, oif, protocol: 98 };
    t.try("set", (k) => k.setRoute(route));
    t.try("set again", (k) => k.setRoute(route));
    t.try("replaced by a foreign one", (k) => k.setRoute({ ...route, gateway: "192.168.7.9", protocol: 3 }));
    await t.show("replaced");
    t.try("delete ours, which is gone", (k) => k.deleteRoute(route));
    t.try("set with another metric", (k) => k.setRoute({ ...route, metric: 7 }));
    await t.show("two metrics");
    t.try("set back", (k) => k.setRoute({ ...route, mtuBytes: 1400 }));
    t.try("delete by protocol", (k) => k.deleteRoute({ destination: "10.244.3.0/24", protocol: 98 }));
    await t.show("back");
    t.try("gateway behind nothing", (k) => k.setRoute({ ...route, gateway: "10.99.0.1" }));
    t.try("no such device", (k) => k.setRoute({ destination: "10.8.0.0/16", oif: 9999, protocol: 98 }));
    t.try("unreachable", (k) =>
      k.setRoute({ destination: "10.7.0.0/16", protocol: 98, type: "unreachable", scope: "universe" }),
    );
    t.try("set 6", (k) => k.setRoute({ destination: "fd00:5::/64", oif, protocol: 98 }));
    t.try("replace 6", (k) => k.setRoute({ destination: "fd00:5::/64", oif: t.index("u1"), protocol: 3 }));
    await t.show("IPv6 replaced");
    t.try("gateway 6 that another device has a route to", (k) =>
      k.setRoute({ destination: "fd00:6::/64", gateway: "fd00:5::", oif, onlink: true, protocol: 98 }),
    );
    t.try("gateway 6 behind nothing", (k) =>
      k.setRoute({ destination: "fd00:6::/64", gateway: "fd00:9::1", oif, protocol: 98 }),
    );
    await t.show("refused");
  },
  "the last IPv4 address of a device takes its routes along": async (t) => {
    addUnderlay(t);
    const oif = t.index("u0");
    const route = { destination: "10.244.3.0/24", gateway: PEER, oif, protocol: 98 };
    t.try("second address", (k) => k.addAddress({ index: oif, address: "192.168.8.1", length: 24 }));
    t.try("route", (k) => k.setRoute(route));
    t.try("delete the first", (k) => k.deleteAddress({ index: oif, address: "192.168.7.1", length: 24 }));
    await t.show("one left");
    t.try("delete the last", (k) => k.deleteAddress({ index: oif, address: "192.168.8.1", length: 24 }));
    t.try("delete again", (k) => k.deleteAddress({ index: oif, address: "192.168.8.1", length: 24 }));
    await t.show("none left");
  },
  "a pair of links across namespaces lives and dies together": async (t, { pod, podFd }) => {
    const create = (name: string, inner: string) =>
      t.try(`create ${name} ${inner}`, (k) => {
        const peer = { name: inner, mac: MAC, mtuBytes: 1450, namespaceFd: podFd };
        k.createLink({ name, mac: OTHER_MAC, mtuBytes: 1450, up: true, kind: { type: "veth", peer } });
      });
    create("bwh1", "eth0");
    create("bwh1", "eth1");
    create("bwh2", "eth0");
    create("bwh0123456789abcdef", "eth2");
    await t.show("created");
    const inner = () => pod.link("eth0")?.index ?? 9999;
    t.try("pod up", () => pod.changeLink(inner(), { up: true }));
    t.try("pod address", () => pod.addAddress({ index: inner(), address: "10.244.1.5", length: 32, noDad: true }));
    t.try("default too early", () =>
      pod.setRoute({ destination: "0.0.0.0/0", gateway: "169.254.1.1", oif: inner(), protocol: 3 }),
    );
    t.try("way to the gateway", () =>
      pod.setRoute({ destination: "169.254.1.1/32", oif: inner(), scope: "link", protocol: 3 }),
    );
    t.try("default", () =>
      pod.setRoute({ destination: "0.0.0.0/0", gateway: "169.254.1.1", oif: inner(), protocol: 3 }),
    );
    t.try("neighbour", (k) => k.setNeighbour({ index: t.index("bwh1"), ip: "10.244.1.5", mac: MAC }));
    t.try("route", (k) => k.setRoute({ destination: "10.244.1.5/32", oif: t.index("bwh1"), protocol: 98 }));
    await t.show("attached");
    t.try("takes no more", (k) => k.changeLink(t.index("bwh1"), { group: 77, mac: "02:00:00:00:00:77" }));
    t.try("no way there", (k) => k.deleteRoute({ destination: "10.244.1.5/32", oif: t.index("bwh1"), protocol: 98 }));
    await t.show("given up");
    t.try("cut off", (k) => k.changeLink(t.index("bwh1"), { up: false, group: 77 }));
    await t.show("cut off");
    t.try("delete", (k) => k.deleteLink(t.index("bwh1")));
    await t.show("deleted");
  },
  "a pair gets the indexes that it is given, when both are free": async (t, { pod, podFd }) => {
    const create = (name: string, inner: string, index: number, innerIndex: number) =>
      t.try(`create ${name} ${inner}`, (k) => {
        const peer = { name: inner, index: innerIndex, mac: MAC, mtuBytes: 1450, namespaceFd: podFd };
        k.createLink({ name, index, mac: OTHER_MAC, mtuBytes: 1450, up: true, kind: { type: "veth", peer } });
      });
    create("bwh1", "eth0", 4000, 4001);
    t.lines.push(`indexes ${t.index("bwh1")} ${pod.link("eth0")?.index}`);
    create("bwh2", "eth2", 4000, 4003);
    create("bwh3", "eth3", 4002, 4001);
    await t.show("created");
    t.try("delete", (k) => k.deleteLink(t.index("bwh1")));
    create("bwh2", "eth2", 4000, 4001);
    await t.show("created again");
  },
  "the underlay takes its tunnels along": async (t) => {
    addUnderlay(t);
    addVxlan(t);
    setVxlanEntries(t);
    await t.show("set");
    t.try("delete underlay", (k) => k.deleteLink(t.index("u0")));
    await t.show("deleted");
  },
};

for (const [name, scenario] of Object.entries(scenarios)) {
  test(`fake kernel: ${name}`, async (t) => {
    const record = async (machine: Machine) => {
      const transcript = new Transcript(machine);
      await scenario(transcript, machine);
      return transcript.end();
    };
    const [real, fake] = [await record(realMachine(t)), await record(fakeMachine())];
    assert.match(real, /: done/);
    assert.equal(fake, real);
  });
}
