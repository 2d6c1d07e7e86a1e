/**
 * The data path that Flannel makes, for comparison: its "bridge" delegate and its vxlan backend with nolearning, permanent
 * neighbour and forwarding entries, and the sysctls that Kubernetes asks for (bridged packets pass netfilter). Built with
 * iproute2 and nft, which are no part of Breakwater.
 */
import { execFileSync } from "node:child_process";
import type { LabHost } from "../../../src/lab/underlay/host.ts";

/** MTU of the wire less 50 bytes of VXLAN. */
const POD_MTU_BYTES = 1450;
const FLANNEL_PORT = 8472;

function run(host: LabHost, command: string): void {
  execFileSync("nsenter", [`--net=${host.netns}`, ...command.split(" ")], { stdio: ["ignore", "ignore", "pipe"] });
}

/** cni0 and a pod on it: 10.244.I.2, the bridge has .1. */
export function addFlannelPod(node: LabHost, pod: LabHost, index: number): void {
  run(node, `ip link add cni0 mtu ${POD_MTU_BYTES} type bridge`);
  run(node, "ip link set cni0 up");
  run(node, `ip addr add 10.244.${index}.1/24 dev cni0`);
  run(node, `ip link add veth0 mtu ${POD_MTU_BYTES} type veth peer name eth0 mtu ${POD_MTU_BYTES} netns ${pod.netns}`);
  run(node, "ip link set veth0 master cni0 up");
  run(pod, `ip addr add 10.244.${index}.2/24 dev eth0`);
  run(pod, "ip link set eth0 up");
  run(pod, `ip route add default via 10.244.${index}.1`);
}

/** flannel.1 on both nodes, and what each knows of the other. */
export function connectFlannel(nodes: readonly [LabHost, LabHost], ips: readonly [string, string]): void {
  for (const [i, node] of nodes.entries()) {
    const [own, other] = [i + 1, 2 - i];
    const mac = (index: number) => `02:00:00:00:00:0${index}`;
    const vxlan = `type vxlan id 1 dev eth0 local ${ips[i]} dstport ${FLANNEL_PORT} nolearning`;
    run(node, `ip link add flannel.1 mtu ${POD_MTU_BYTES} address ${mac(own)} ${vxlan}`);
    run(node, `ip addr add 10.244.${own}.0/32 dev flannel.1`);
    run(node, "ip link set flannel.1 up");
    run(node, `ip neigh replace 10.244.${other}.0 lladdr ${mac(other)} dev flannel.1 nud permanent`);
    run(node, `bridge fdb append ${mac(other)} dev flannel.1 dst ${ips[other - 1]}`);
    run(node, `ip route add 10.244.${other}.0/24 via 10.244.${other}.0 dev flannel.1 onlink`);
    node.sysctl("net/ipv4/ip_forward", "1");
    node.sysctl("net/bridge/bridge-nf-call-iptables", "1");
    masquerade(node, own);
  }
}

/** Flannel's --ip-masq, as its nftables backend writes it. */
function masquerade(node: LabHost, index: number): void {
  run(node, "nft add table ip flannel-ipv4");
  run(node, "nft add chain ip flannel-ipv4 postrtg { type nat hook postrouting priority srcnat ; }");
  const pods = `10.244.${index}.0/24`;
  run(node, `nft add rule ip flannel-ipv4 postrtg ip saddr ${pods} ip daddr 10.244.0.0/16 return`);
  run(node, `nft add rule ip flannel-ipv4 postrtg ip saddr ${pods} ip daddr != 224.0.0.0/4 masquerade fully-random`);
}
