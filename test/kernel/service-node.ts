/** A node with two pods and what is beyond its device, wired as the agent wires them. */
import type { TestContext } from "node:test";
import { openNamespace } from "../../src/kernel/netns.ts";
import { procSysctl } from "../../src/kernel/sysctl.ts";
import { HOST_END_MAC, POD_GATEWAY } from "../../src/model/marks.ts";
import { linkOf, type TestNamespace, testNamespace } from "./namespaces.ts";

export interface ServiceNode {
  readonly node: TestNamespace;
  readonly paths: Readonly<Record<"a" | "b" | "far" | "node" | "outside", string>>;
}

/** The pod of the other node is beyond a device of its own, for it must answer under its address. */
const PODS = {
  a: { device: "bwha", mac: "02:00:00:00:00:0a", ips: ["10.244.1.5", "fd00:10:244:1::5"] },
  b: { device: "bwhb", mac: "02:00:00:00:00:0b", ips: ["10.244.1.9", "fd00:10:244:1::9"] },
  far: { device: "eth1", mac: "02:00:00:00:00:0c", ips: ["10.244.2.6", "fd00:10:244:2::6"] },
} as const;
const NODE = ["192.168.1.11", "fd00:192:168:1::11"] as const;
/** A router, and the client that it brings. */
const BEYOND = ["192.168.1.12", "fd00:192:168:1::12"] as const;
const CLIENT = ["198.51.100.200", "2001:db8:99::200"] as const;
/** What the client sends there has its address. */
const SERVED = [
  "10.96.0.0/16",
  "fd00:10:96::/112",
  "203.0.113.0/24",
  "2001:db8::/64",
  "192.168.1.11/32",
  "fd00:192:168:1::11/128",
];
const STATIC = 4;

export async function makeServiceNode(t: TestContext): Promise<ServiceNode> {
  const [node, outside] = [testNamespace(t, "node"), testNamespace(t, "outside")];
  forward(node);
  connect(node, outside, "eth0", "eth0", "02:00:00:00:00:12");
  for (const [i, ip] of NODE.entries()) addAddress(node, "eth0", ip, i === 0 ? 24 : 64);
  for (const [i, ip] of BEYOND.entries()) addAddress(outside, "eth0", ip, i === 0 ? 24 : 64);
  for (const ip of CLIENT) addAddress(outside, "lo", ip, ip.includes(":") ? 128 : 32);
  const pods = Object.entries(PODS).map(([name, { device, mac, ips }]) => {
    const pod = testNamespace(t, name);
    wirePod(node, pod, device, mac, ips);
    return [name, pod.path];
  });
  leadOn(node, outside);
  return { node, paths: { ...Object.fromEntries(pods), node: node.path, outside: outside.path } };
}

function forward(node: TestNamespace): void {
  node.run(() => {
    procSysctl.write("net/ipv4/ip_forward", "1");
    procSysctl.write("net/ipv6/conf/all/forwarding", "1");
    procSysctl.write("net/ipv4/conf/all/rp_filter", "0");
    // Each refusal is an ICMP message, and hundreds are counted.
    procSysctl.write("net/ipv4/icmp_ratemask", "0");
    procSysctl.write("net/ipv6/icmp/ratelimit", "0");
  });
}

/** A veth pair, both ends up. */
function connect(one: TestNamespace, other: TestNamespace, name: string, inner: string, mac: string): void {
  using namespace = openNamespace(other.path);
  const peer = { name: inner, mac, mtuBytes: 1500, namespaceFd: namespace.fd };
  one.routes.createLink({ name, mac: HOST_END_MAC, mtuBytes: 1500, up: true, kind: { type: "veth", peer } });
  other.routes.changeLink(linkOf(other, inner).index, { up: true });
  one.run(() => procSysctl.write(`net/ipv4/conf/${name}/rp_filter`, "0"));
}

function addAddress(namespace: TestNamespace, device: string, address: string, length: number): void {
  namespace.routes.addAddress({ index: linkOf(namespace, device).index, address, length, noDad: true });
}

function wirePod(node: TestNamespace, pod: TestNamespace, device: string, mac: string, ips: readonly string[]): void {
  connect(node, pod, device, "eth0", mac);
  const [host, inner] = [linkOf(node, device).index, linkOf(pod, "eth0").index];
  for (const ip of ips) {
    const [v6, gateway] = ip.includes(":") ? [true, POD_GATEWAY[6]] : [false, POD_GATEWAY[4]];
    addAddress(pod, "eth0", ip, v6 ? 128 : 32);
    pod.routes.setNeighbour({ index: inner, ip: gateway, mac: HOST_END_MAC });
    pod.routes.setRoute({
      destination: v6 ? "::/0" : "0.0.0.0/0",
      gateway,
      oif: inner,
      onlink: true,
      protocol: STATIC,
    });
    node.routes.setNeighbour({ index: host, ip, mac });
    node.routes.setRoute({ destination: `${ip}/${v6 ? 128 : 32}`, oif: host, protocol: STATIC });
  }
}

/** Routes between the node and what is beyond, both ways. */
function leadOn(node: TestNamespace, outside: TestNamespace): void {
  const [device, back] = [linkOf(node, "eth0").index, linkOf(outside, "eth0").index];
  for (const [i, destination] of ["0.0.0.0/0", "::/0"].entries()) {
    node.routes.setRoute({ destination, gateway: BEYOND[i] ?? "", oif: device, onlink: true, protocol: STATIC });
  }
  for (const destination of ["10.244.1.0/24", "fd00:10:244:1::/64"]) {
    const gateway = NODE[destination.includes(":") ? 1 : 0];
    outside.routes.setRoute({ destination, gateway, oif: back, onlink: true, protocol: STATIC });
  }
  for (const destination of SERVED) {
    const v6 = destination.includes(":");
    const [gateway, source] = [NODE[v6 ? 1 : 0], CLIENT[v6 ? 1 : 0]];
    const isOwn = destination.startsWith(`${gateway}/`);
    outside.routes.setRoute({
      destination,
      oif: back,
      protocol: STATIC,
      source,
      ...(isOwn ? {} : { gateway, onlink: true }),
    });
  }
}
