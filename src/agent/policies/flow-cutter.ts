/** Deletes tracked flows that policies forbid, one by one: what follows of them is looked at as new, and dropped. */
import type { Conntrack } from "../../kernel/ctnetlink/types.ts";
import type { ConntrackEntry } from "../../model/conntrack.ts";
import { type Ip, ipFamily } from "../../model/ip.ts";
import type { PolicyPod } from "../../model/policy.ts";
import type { ServiceProtocol } from "../../model/service.ts";
import { type JudgedFlow, judge } from "../../plan/policies/judge.ts";
import type { PolicyInput } from "../../plan/policies/table.ts";

const PROTOCOLS: Readonly<Record<number, ServiceProtocol>> = { 6: "TCP", 17: "UDP", 132: "SCTP" };

/** @returns how many were cut @throws BreakwaterError BW_NETLINK */
export function cutForbidden(conntrack: Conntrack, input: PolicyInput): number {
  const byIp = new Map<Ip, PolicyPod>();
  for (const pod of input.pods) for (const ip of pod.ips) byIp.set(ip, pod);
  const isHere = (ip: Ip) => byIp.get(ip)?.nodeName === input.nodeName;
  let cut = 0;
  for (const entry of conntrack.entries()) {
    const flow = flowOf(entry, byIp);
    if (flow === undefined || (!isHere(flow.from.ip) && !isHere(flow.to.ip))) continue;
    const forbidden = (["ingress", "egress"] as const).some((direction) => {
      const own = direction === "ingress" ? flow.to : flow.from;
      return isHere(own.ip) && !judge(direction, flow, input.policies, input).admitted;
    });
    if (forbidden && conntrack.deleteEntry(entry)) cut++;
  }
  return cut;
}

/**
 * Deletes what is tracked of addresses that a new pod is given: flows of a pod that had them before would pass as established,
 * whatever the policies of the new one say. Both directions; behind a Service's address the endpoint is who answers.
 * @throws BreakwaterError BW_NETLINK
 */
export function cutFormer(conntrack: Conntrack, ips: readonly Ip[]): void {
  for (const source of ips) {
    const family = ipFamily(source);
    conntrack.deleteMatching({ family, original: { source } });
    conntrack.deleteMatching({ family, reply: { source } });
  }
}

/** Whom it was sent by, and who answers: behind a Service's address that is the endpoint. */
function flowOf({ original, reply }: ConntrackEntry, byIp: ReadonlyMap<Ip, PolicyPod>): JudgedFlow | undefined {
  const protocol = PROTOCOLS[original.protocol];
  if (protocol === undefined || reply.sourcePort === undefined) return undefined;
  const end = (ip: Ip) => ({ ip, pod: byIp.get(ip) });
  return { from: end(original.source), to: end(reply.source), protocol, port: reply.sourcePort };
}
