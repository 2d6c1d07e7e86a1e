import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_SERVICE_CONFIG } from "../../model/node-config.ts";
import type { NodeInterface } from "../../model/state.ts";
import { foreignBridges, type RequiredSysctlInput, requiredSysctls } from "./required-sysctls.ts";

const NODE: RequiredSysctlInput = {
  podCidrs: ["10.244.1.0/24"],
  underlay: "eth0",
  usesVxlan: false,
  facts: { interfaces: [] },
  services: undefined,
};
const set = (input: Partial<RequiredSysctlInput>) =>
  requiredSysctls({ ...NODE, ...input }).map(({ name, value }) => `${name}=${value}`);
const bridge = (name: string, address: string, kind = "bridge"): NodeInterface => ({
  name,
  index: 7,
  mtuBytes: 1500,
  up: true,
  kind,
  addresses: [{ address, length: 24 }],
});

test("requiredSysctls() has the node forward, on the underlay and on devices to come", () => {
  assert.deepEqual(set({}), [
    "net/ipv4/ip_forward=1",
    "net/ipv4/conf/default/forwarding=1",
    "net/ipv4/conf/eth0/forwarding=1",
  ]);
});

test("requiredSysctls() keeps router advertisements before it switches IPv6 forwarding on", () => {
  const names = set({ podCidrs: ["fd00:10:244:1::/64"] });
  assert.equal(names[0], "net/ipv6/conf/eth0/accept_ra=2");
  assert.equal(names.at(-1), "net/ipv6/conf/all/forwarding=1");
  const [first] = requiredSysctls({ ...NODE, podCidrs: ["fd00:10:244:1::/64"] });
  assert.deepEqual(first?.alsoFine, ["0"], "whoever takes none goes on taking none");
});

test("requiredSysctls() loosens the tunnel's reverse path filter where that of all devices is strict", () => {
  const tunnel = (strictReversePath?: boolean) =>
    requiredSysctls({ ...NODE, usesVxlan: true, facts: { interfaces: [], strictReversePath } }).find(({ name }) =>
      name.endsWith("bwvxlan/rp_filter"),
    );
  assert.equal(tunnel(true)?.value, "2");
  assert.equal(tunnel()?.value, "0");
  assert.deepEqual(tunnel()?.alsoFine, ["2"]);
});

test("requiredSysctls() shows a foreign bridge's packets to Services, and minds no other bridge", () => {
  const cni0 = bridge("cni0", "10.244.1.1");
  const services = DEFAULT_SERVICE_CONFIG;
  const of = (device: NodeInterface, rest = {}) =>
    set({ facts: { interfaces: [device] }, services, ...rest }).filter((text) => text.startsWith("net/bridge"));
  assert.deepEqual(of(cni0), ["net/bridge/bridge-nf-call-iptables=1"]);
  assert.deepEqual(of(bridge("docker0", "172.17.0.1")), []);
  assert.deepEqual(of(bridge("eth1", "10.244.1.1", "bond")), []);
  assert.deepEqual(of(cni0, { services: undefined }), [], "who serves no Services needs none");
  const v6 = ["10.244.1.0/24", "fd00:10:244:1::/64"];
  assert.deepEqual(of(cni0, { podCidrs: v6 }).at(-1), "net/bridge/bridge-nf-call-ip6tables=1");
  assert.deepEqual(foreignBridges([cni0], ["10.244.2.0/24"]), []);
});
