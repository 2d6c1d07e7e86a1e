/**
 * The sysctls without which the node does not do its work, in the order in which they are to be set. They are set before
 * the first pod, and again whenever somebody changes them. Pods' own namespaces have their own, which are not touched.
 */
import { VXLAN_DEVICE } from "../../model/marks.ts";
import type { NodeConfig } from "../../model/node-config.ts";
import { type Prefix, prefixContains } from "../../model/prefix.ts";
import type { DesiredSysctl, NodeFacts, NodeInterface } from "../../model/state.ts";

export interface RequiredSysctlInput {
  /** This node's own pod CIDRs. */
  readonly podCidrs: readonly Prefix[];
  /** Name of the underlay's device; undefined where nobody knows it yet. */
  readonly underlay: string | undefined;
  readonly usesVxlan: boolean;
  readonly facts: Pick<NodeFacts, "interfaces" | "strictReversePath">;
  readonly services: NodeConfig["services"];
}

export function requiredSysctls(input: RequiredSysctlInput): DesiredSysctl[] {
  return [...forwarding(input), ...reversePath(input), ...bridges(input), ...conntrack(input)];
}

/**
 * The switch for all devices; that of the underlay and of devices to come, since each has one of its own besides. A node
 * that forwards IPv6 takes no router advertisement and forgets its default route, unless accept_ra is 2: that comes first.
 */
function forwarding({ podCidrs, underlay }: RequiredSysctlInput): DesiredSysctl[] {
  const cause = "pods are routed by the node";
  const keepsRoute = "a router's advertisements give the node its default route, also while it forwards";
  const v6 = podCidrs.some((prefix) => prefix.includes(":"));
  const on = (name: string): DesiredSysctl => ({ name, value: "1", cause });
  const advertisements: DesiredSysctl | undefined =
    v6 && underlay !== undefined
      ? { name: `net/ipv6/conf/${underlay}/accept_ra`, value: "2", alsoFine: ["0"], ifThere: true, cause: keepsRoute }
      : undefined;
  return [
    ...(advertisements === undefined ? [] : [advertisements]),
    on("net/ipv4/ip_forward"),
    on("net/ipv4/conf/default/forwarding"),
    ...(underlay === undefined ? [] : [on(`net/ipv4/conf/${underlay}/forwarding`)]),
    ...(v6 ? [on("net/ipv6/conf/all/forwarding")] : []),
  ];
}

/**
 * What comes through the tunnel may have a node's address on the underlay as its source: a strict filter takes it for
 * forged. The kernel goes by the larger of the device's value and that of "all" (IN_DEV_RPFILTER): 2 is loose, and larger
 * than 1. Where "all" is not strict, not to look at all costs a packet one look-up less.
 */
function reversePath({ usesVxlan, facts }: RequiredSysctlInput): DesiredSysctl[] {
  if (!usesVxlan) return [];
  const name = `net/ipv4/conf/${VXLAN_DEVICE}/rp_filter`;
  const cause = "packets of other nodes come through the tunnel with addresses of the underlay";
  if (facts.strictReversePath === true) return [{ name, value: "2", cause }];
  return [{ name, value: "0", alsoFine: ["2"], cause }];
}

/** A bridge of another network plugin, by its address: the pods on it reach each other past the rules of Services. */
export function foreignBridges(interfaces: readonly NodeInterface[], podCidrs: readonly Prefix[]): string[] {
  const isInside = ({ addresses }: NodeInterface) =>
    addresses.some(({ address }) => podCidrs.some((prefix) => prefixContains(prefix, address)));
  return interfaces.filter((device) => device.kind === "bridge" && isInside(device)).map(({ name }) => name);
}

function bridges({ facts, podCidrs, services }: RequiredSysctlInput): DesiredSysctl[] {
  const [bridge] = foreignBridges(facts.interfaces, podCidrs);
  if (bridge === undefined || services === undefined) return [];
  const cause = `pods on bridge ${bridge} reach each other through Services`;
  const v6 = podCidrs.some((prefix) => prefix.includes(":"));
  const names = ["bridge-nf-call-iptables", ...(v6 ? ["bridge-nf-call-ip6tables"] : [])];
  // Without br_netfilter they are not there: that is told of by its module, not by a round that fails.
  return names.map((name) => ({ name: `net/bridge/${name}`, value: "1", ifThere: true, cause }));
}

/**
 * As kube-proxy has them: a connection that its client half-closed is not forgotten after a minute, the kernel's default;
 * and where segments outside the window are not dropped, they must count as the connection's.
 */
function conntrack({ services }: RequiredSysctlInput): DesiredSysctl[] {
  if (services === undefined) return [];
  const cause = "connections through Services";
  return [
    { name: "net/netfilter/nf_conntrack_tcp_timeout_close_wait", value: "3600", cause },
    ...(services.dropInvalid ? [] : [{ name: "net/netfilter/nf_conntrack_tcp_be_liberal", value: "1", cause }]),
  ];
}
