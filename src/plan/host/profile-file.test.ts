import assert from "node:assert/strict";
import { test } from "node:test";
import { isBreakwaterError } from "../../model/errors.ts";
import { DEFAULT_SERVICE_CONFIG } from "../../model/node-config.ts";
import { arpSettings, ipvsSettings } from "../services/ipvs.ts";
import { readProfile } from "./profile-file.ts";
import { requiredSysctls } from "./required-sysctls.ts";

const PATH = "/etc/breakwater/mine.yaml";

test("readProfile() takes numbers, text, and values with a rule", () => {
  const profile = readProfile(
    {
      name: "mine",
      values: {
        "net.core.rmem_max": 33554432,
        "net.ipv4.tcp_rmem": "4096 131072 33554432",
        "net/ipv4/conf/eth0.7/arp_notify": true,
        "vm.swappiness": { value: 10, rule: "at-most", reason: "no swap for etcd" },
      },
    },
    PATH,
  );
  assert.equal(profile.name, "mine");
  assert.deepEqual(
    profile.values.map(({ name, value, rule }) => [name, value, rule]),
    [
      ["net/core/rmem_max", "33554432", undefined],
      ["net/ipv4/tcp_rmem", "4096 131072 33554432", undefined],
      ["net/ipv4/conf/eth0.7/arp_notify", "1", undefined],
      ["vm/swappiness", "10", "at-most"],
    ],
  );
});

const NOT_ITS = /not a profile's to set/;
const wrong: [name: string, document: unknown, says: RegExp, remedy: RegExp][] = [
  ["no mapping", [], /it is no mapping/, /Begin with name/],
  ["a wrong key", { name: "x", sysctl: {} }, /no key "sysctl"/, /keys of a profile are name and values/],
  ["no values", { name: "x" }, /values is missing/, /NAME: VALUE/],
  ["a key of a value", { values: { "net.core.rmem_max": { val: 1 } } }, /no key "val"/, /value, rule, reason/],
  ["a rule", { values: { "net.core.rmem_max": { value: 1, rule: "max" } } }, /"max" is no rule/, /at-least/],
  ["no sysctl", { values: { rmem_max: 1 } }, /"rmem_max" is no sysctl/, /as sysctl\(8\) does/],
  ["a way out", { values: { "net/../../etc/passwd": 1 } }, /is no sysctl/, /sysctl\(8\)/],
  ["a pattern", { values: { "net.ipv4.conf.*.rp_filter": 1 } }, /is a pattern/, /by itself/],
  ["forwarding", { values: { "net.ipv4.ip_forward": 0 } }, NOT_ITS, /Breakwater sets it/],
  [
    "what is kept",
    { values: { "net.netfilter.nf_conntrack_tcp_timeout_close_wait": 60 } },
    NOT_ITS,
    /Breakwater sets it/,
  ],
  ["what IPVS needs", { values: { "net.ipv4.vs.conntrack": 0 } }, NOT_ITS, /Breakwater sets it/],
  ["what bridges need", { values: { "net.bridge.bridge-nf-call-iptables": 0 } }, NOT_ITS, /Breakwater sets it/],
  ["the tunnel's filter", { values: { "net.ipv4.conf.bwvxlan.rp_filter": 1 } }, NOT_ITS, /Breakwater sets it/],
  ["a pod's link", { values: { "net.ipv4.conf.bwhc8417ac5f03.rp_filter": 1 } }, /one pod's link/, /never touched/],
  ["no value", { values: { "net.core.rmem_max": null } }, /no usable value/, /a number, or text/],
  ["a fraction", { values: { "net.core.rmem_max": 1.5 } }, /no usable value/, /a number, or text/],
  ["twice", { values: { "net.core.rmem_max": 1, "net/core/rmem_max": 2 } }, /is there twice/, /Keep one/],
];

for (const [name, document, says, remedy] of wrong) {
  test(`readProfile() refuses ${name}`, () => {
    assert.throws(
      () => readProfile(document, PATH),
      (error) =>
        isBreakwaterError(error, "BW_TUNING") &&
        error.message.startsWith(PATH) &&
        says.test(error.message) &&
        remedy.test(error.remedy ?? ""),
    );
  });
}

test("readProfile() refuses what nodes require, but for what only some values of undo", () => {
  const facts = {
    strictReversePath: true,
    interfaces: [
      {
        ...{ name: "cni0", index: 2, kind: "bridge", mtuBytes: 1500, up: true },
        addresses: [{ address: "10.244.1.1", length: 24 }],
      },
    ],
  };
  const services = { ...DEFAULT_SERVICE_CONFIG, dropInvalid: false };
  const podCidrs = ["10.244.1.0/24", "fd00:10:244:1::/64"];
  const required = requiredSysctls({ podCidrs, underlay: "eth0", usesVxlan: true, facts, services });
  const taken = [...required, ...ipvsSettings("6.1.0"), ...arpSettings(["eth0"])].filter(({ name, value }) => {
    try {
      return readProfile({ name: "x", values: { [name]: value } }, PATH);
    } catch (error) {
      assert.match(String(error), NOT_ITS, name);
      return false;
    }
  });
  assert.deepEqual(
    taken.map(({ name }) => name),
    [
      "net/ipv6/conf/eth0/accept_ra",
      "net/netfilter/nf_conntrack_tcp_be_liberal",
      "net/ipv4/conf/eth0/arp_ignore",
      "net/ipv4/conf/eth0/arp_announce",
    ],
  );
});
