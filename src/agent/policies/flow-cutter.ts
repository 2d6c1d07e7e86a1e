/** Deletes tracked flows that policies forbid, one by one: what follows of them is looked at as new, and dropped. */
import type { Conntrack } from "../../kernel/ctnetlink/types.ts";
import type { ConntrackEntry } from "../../model/conntrack.ts";
import type { Ip } from "../../model/ip.ts";
import type { PolicyPod } from "../../model/policy.ts";
import { prefixAddress } from "../../model/prefix.ts";
import type { ServiceProtocol } from "../../model/service.ts";
import { type JudgedFlow, judge } from "../../plan/policies/judge.ts";
import type { PolicyInput } from "../../plan/policies/table.ts";

const PROTOCOLS: Readonly<Record<number, ServiceProtocol>> = { 6: "TCP", 17: "UDP", 132: "SCTP" };

/**
 * A flow that the kernel does not let go keeps no other one from being cut.
 * @returns how many were cut
 * @throws BreakwaterError BW_NETLINK when one or more could not be cut: the first reason
 */
export function cutForbidden(conntrack: Pick<Conntrack, "entries" | "deleteEntry">, input: PolicyInput): number {
  const byIp = new Map<Ip, PolicyPod>();
  // Pods of this node come first: an address of theirs is theirs, whatever the API still tells of.
  for (const pod of input.pods) for (const ip of pod.ips) if (!byIp.has(ip)) byIp.set(ip, pod);
  const isHere = (ip: Ip) => byIp.get(ip)?.nodeName === input.nodeName;
  const ofNode = ownAddresses(input);
  const failures: unknown[] = [];
  let cut = 0;
  for (const entry of conntrack.entries()) {
    const flow = flowOf(entry, byIp);
    if (!isHere(flow.from.ip) && !isHere(flow.to.ip)) continue;
    // Between a pod and its node nothing is looked at; cut, what goes by a Service's address would lose its translation.
    if (ofNode.has(flow.from.ip) || ofNode.has(flow.to.ip)) continue;
    const forbidden = (["ingress", "egress"] as const).some((direction) => {
      const own = direction === "ingress" ? flow.to : flow.from;
      return isHere(own.ip) && !judge(direction, flow, input.policies, input).admitted;
    });
    if (!forbidden) continue;
    try {
      if (conntrack.deleteEntry(entry)) cut++;
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
  return cut;
}

/** Of this node: those that the API has, and the first one of each pod CIDR, on the VXLAN device. */
function ownAddresses({ nodes, nodeName }: PolicyInput): ReadonlySet<Ip> {
  const node = nodes?.get(nodeName);
  if (node === undefined) return new Set();
  return new Set([...node.internalIps, ...(node.externalIps ?? []), ...node.podCidrs.map(prefixAddress)]);
}

/**
 * Whom it was sent by, and who answers: behind a Service's address that is the endpoint. A ping that goes on is one flow, as
 * is what other protocols send.
 */
function flowOf({ original, reply }: ConntrackEntry, byIp: ReadonlyMap<Ip, PolicyPod>): JudgedFlow {
  const end = (ip: Ip) => ({ ip, pod: byIp.get(ip) });
  return {
    from: end(original.source),
    to: end(reply.source),
    protocol: PROTOCOLS[original.protocol],
    port: reply.sourcePort ?? 0,
  };
}
