/**
 * Debian's portmap and bandwidth behind us, on a real veth pair in namespaces of their own: they must find in our result
 * what they need. Needs root, iproute2 and containernetworking-plugins; says what is missing otherwise.
 */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { after, before, test } from "node:test";
import { hostPrefix } from "../model/prefix.ts";
import { FakePodNetwork } from "./fake-pod-network.ts";
import type { JsonObject } from "./network-config.ts";
import type { AttachedPod, PodAttachment } from "./pod-network.ts";
import { call, config, type Fixture, request, startFixture } from "./server-fixture.ts";

const PLUGINS = "/usr/lib/cni";
const NODE = `bwt-node-${process.pid}`;
const POD = `bwt-pod-${process.pid}`;
const CIDRS = ["10.244.1.0/24", "fd00:10:244:1::/64"];
const NETNS = `/run/netns/${POD}`;

const ip = (...args: string[]) => execFileSync("ip", args, { encoding: "utf8" });
const inNode = (...args: string[]) => execFileSync("ip", ["netns", "exec", NODE, ...args], { encoding: "utf8" });

/** The fake's book-keeping over a veth pair that is there. */
class VethPodNetwork extends FakePodNetwork {
  override async attach(attachment: PodAttachment): Promise<AttachedPod> {
    const attached = { ...(await super.attach(attachment)), hostIfname: "bwtest0" };
    const addresses = attachment.ips.map(hostPrefix);
    ip("-n", NODE, "link", "add", attached.hostIfname, "type", "veth", "peer", "name", "eth0", "netns", POD);
    for (const address of addresses) ip("-n", POD, "addr", "add", address, "dev", "eth0");
    ip("-n", POD, "link", "set", "eth0", "up");
    ip("-n", NODE, "link", "set", attached.hostIfname, "up");
    for (const address of addresses) ip("-n", NODE, "route", "add", address, "dev", attached.hostIfname);
    return attached;
  }
}

function missing(): string | false {
  if (process.getuid?.() !== 0) return "needs root";
  const absent = [`${PLUGINS}/portmap`, `${PLUGINS}/bandwidth`].find((path) => !existsSync(path));
  if (absent !== undefined) return `needs ${absent} (Debian: containernetworking-plugins)`;
  return spawnSync("ip", ["-V"]).status === 0 && spawnSync("iptables", ["-V"]).status === 0
    ? false
    : "needs iproute2, iptables";
}

let fixture: Fixture | undefined;
const skip = missing();
before(async () => {
  if (skip !== false) return;
  ip("netns", "add", NODE);
  ip("netns", "add", POD);
  ip("-n", NODE, "link", "set", "lo", "up");
  fixture = await startFixture({ network: new VethPodNetwork({ podCidrs: CIDRS }) });
});
after(async () => {
  await fixture?.close();
  for (const name of [NODE, POD]) spawnSync("ip", ["netns", "del", name]);
});

function chained(command: string, type: string, runtimeConfig: JsonObject, prevResult: JsonObject): JsonObject {
  const stdin = JSON.stringify({
    cniVersion: "1.0.0",
    name: "breakwater",
    type,
    snat: true,
    runtimeConfig,
    prevResult,
  });
  const names = {
    CNI_COMMAND: command,
    CNI_CONTAINERID: "c1",
    CNI_NETNS: NETNS,
    CNI_IFNAME: "eth0",
    CNI_PATH: PLUGINS,
  };
  const env = { ...process.env, ...names };
  const ran = spawnSync("ip", ["netns", "exec", NODE, `${PLUGINS}/${type}`], { env, input: stdin, encoding: "utf8" });
  assert.equal(ran.status, 0, `${type} ${command}: ${ran.stdout}${ran.stderr}`);
  return JSON.parse(ran.stdout || "{}") as JsonObject;
}

test("portmap and bandwidth work behind Breakwater: ADD, CHECK and DEL of the whole chain", { skip }, async () => {
  const socketPath = fixture?.socketPath ?? "";
  const ports = { portMappings: [{ hostPort: 18080, containerPort: 80, protocol: "tcp" }] };
  const rates = { bandwidth: { ingressRate: 8_000_000, ingressBurst: 8_000_000 } };
  const fields = { netns: NETNS, stdin: config({ cniVersion: "1.0.0" }) };
  const ours = await call(socketPath, request("ADD", fields));
  assert.equal(ours.exitStatus, 0, JSON.stringify(ours.body));

  const mapped = chained("ADD", "portmap", ports, ours.body);
  assert.match(inNode("iptables", "-t", "nat", "-S"), /--dport 18080 .*--to-destination 10\.244\.1\.1:80/);
  const shaped = chained("ADD", "bandwidth", rates, mapped);
  assert.match(ip("netns", "exec", NODE, "tc", "qdisc", "show", "dev", "bwtest0"), /tbf/);

  // portmap 1.1.1 fails its own CHECK with an ip6tables on the machine: it looks for the IPv4 rules in the IPv6 chain.
  chained("CHECK", "bandwidth", rates, shaped);
  const stdin = config({ cniVersion: "1.0.0", prevResult: shaped });
  const checked = await call(socketPath, request("CHECK", { ...fields, stdin }));
  assert.equal(checked.exitStatus, 0, JSON.stringify(checked.body));

  chained("DEL", "bandwidth", rates, shaped);
  chained("DEL", "portmap", ports, shaped);
  assert.equal((await call(socketPath, request("DEL", { ...fields, stdin }))).exitStatus, 0);
  assert.doesNotMatch(inNode("iptables", "-t", "nat", "-S"), /18080/);
});
