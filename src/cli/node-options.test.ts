import assert from "node:assert/strict";
import { test } from "node:test";
import { chainOption, nodeConfig, nodeOptions } from "./node-options.ts";
import { type CommandSpec, parseOptions } from "./options.ts";

const spec = { usage: "breakwater agent [options]", summary: "", options: nodeOptions } as const satisfies CommandSpec;

function config(...args: string[]) {
  const parsed = parseOptions(spec, args);
  assert.ok(parsed);
  return nodeConfig(spec, parsed.values);
}

test("nodeConfig() has the defaults of the documents", () => {
  assert.deepEqual(config("--node-name", "n1"), {
    nodeName: "n1",
    routing: "auto",
    vni: 4098,
    vxlanPort: 4789,
    probePort: 8474,
    masquerade: true,
    masqueradeExceptions: [],
    services: { nodePortAddresses: [], serviceCidrs: [], dropInvalid: true, counters: false },
    networkPolicy: true,
    forbiddenConnections: "cut",
  });
});

test("nodeConfig() reads how Services are to be served", () => {
  const args = ["--nodeport-addresses", "10.1.2.3/8", "--service-cidr", "10.96.0.0/16", "--conntrack-tcp-be-liberal"];
  assert.deepEqual(config("--node-name", "n1", ...args, "--service-counters").services, {
    nodePortAddresses: ["10.0.0.0/8"],
    serviceCidrs: ["10.96.0.0/16"],
    dropInvalid: false,
    counters: true,
  });
  assert.equal(config("--node-name", "n1", "--service-proxy", "none").services, undefined);
});

test("nodeConfig() leaves ClusterNetworkPolicies alone unless they are asked for", () => {
  assert.equal(config("--node-name", "n1").clusterNetworkPolicies, undefined);
  assert.equal(config("--node-name", "n1", "--cluster-network-policies").clusterNetworkPolicies, true);
});

test("nodeConfig() clears the host bits of exceptions", () => {
  const args = ["--masquerade-except", "10.1.2.3/8", "--masquerade-except", "fd00::1/64"];
  assert.deepEqual(config("--node-name", "n1", ...args).masqueradeExceptions, ["10.0.0.0/8", "fd00::/64"]);
});

for (const [args, message] of [
  [[], /--node-name is missing/],
  [["--node-name", "n", "--vni", "0"], /--vni "0"/],
  [["--node-name", "n", "--vni", "16777216"], /--vni/],
  [["--node-name", "n", "--vxlan-port", "65536"], /--vxlan-port/],
  [["--node-name", "n", "--mtu", "1279"], /--mtu "1279" is no whole number from 1280/],
  [["--node-name", "n", "--masquerade-except", "10.0.0.0"], /Cannot parse CIDR "10\.0\.0\.0"/],
  [["--node-name", "n", "--service-proxy", "iptables"], /"iptables" is none of nftables, ipvs, none/],
  [["--node-name", "n", "--service-proxy", "ipvs", "--flowtable"], /contradict/],
  [["--node-name", "n", "--service-proxy", "ipvs", "--ipvs-scheduler", "best"], /"best" is none of rr, wrr/],
  [["--node-name", "n", "--service-proxy", "ipvs", "--ipvs-drain-seconds", "0"], /1/],
  [["--node-name", "n", "--ipvs-scheduler", "rr"], /is for --service-proxy ipvs/],
  [["--node-name", "n", "--service-proxy", "none", "--ipvs-drain-seconds", "9"], /contradict/],
  [["--node-name", "n", "--service-proxy", "none", "--service-counters"], /contradict/],
  [
    ["--node-name", "n", "--replace-kube-proxy", "--keep-kube-proxy"],
    /replace-kube-proxy and --keep-kube-proxy contradict/,
  ],
  [["--node-name", "n", "--replace-kube-proxy", "--service-proxy", "none"], /contradict each other: who would serve/],
  [
    ["--node-name", "n", "--keep-kube-proxy", "--service-counters"],
    /keep-kube-proxy and --service-counters contradict/,
  ],
  [["--node-name", "n", "--service-proxy", "none", "--service-cidr", "10.96.0.0/16"], /contradict/],
  [["--node-name", "n", "--nodeport-addresses", "127.0.0.0/8"], /localhost safely/],
  [["--node-name", "n", "--nodeport-addresses", "::1/128"], /localhost safely/],
  [["--node-name", "n", "--nodeport-addresses", "10.0.0.0"], /--nodeport-addresses: .*"10\.0\.0\.0"/],
  [["--node-name", "n", "--no-network-policy", "--cluster-network-policies"], /contradict each other/],
  [["--node-name", "n", "--no-network-policy", "--log-denied", "5"], /contradict each other/],
  [["--node-name", "n", "--log-denied", "0"], /--log-denied/],
  [["--node-name", "n", "--log-denied", "1001"], /--log-denied/],
  [["--node-name", "n", "--no-masquerade", "--masquerade-except", "10.0.0.0/8"], /contradict/],
] as const) {
  test(`nodeConfig() refuses ${args.join(" ") || "no name"}`, () => {
    assert.throws(() => config(...args), message);
  });
}

test("nodeConfig() takes how many lines a second tell of denied packets", () => {
  assert.equal(config("--node-name", "n", "--log-denied", "10").logDenied, 10);
});

test("nodeConfig() leaves Services to kube-proxy with --keep-kube-proxy, and serves them with --replace-kube-proxy", () => {
  const kept = config("--node-name", "n1", "--keep-kube-proxy");
  assert.deepEqual([kept.kubeProxy, kept.services], ["keep", undefined]);
  assert.equal(config("--node-name", "n1", "--keep-kube-proxy", "--service-proxy", "none").kubeProxy, "keep");
  const replaced = config("--node-name", "n1", "--replace-kube-proxy");
  assert.deepEqual([replaced.kubeProxy, replaced.services !== undefined], ["replace", true]);
});

test("chainOption() takes both plugins in any order, none, and nothing else", () => {
  assert.deepEqual(chainOption(spec, "bandwidth,portmap"), ["bandwidth", "portmap"]);
  assert.deepEqual([chainOption(spec, "none"), chainOption(spec, "")], [[], []]);
  assert.throws(() => chainOption(spec, "portmap,firewall"), /"firewall" is none of portmap, bandwidth/);
});
