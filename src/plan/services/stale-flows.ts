/**
 * Tracked UDP flows that lead nowhere: to an endpoint that a frontend no longer has, or untranslated to the frontend
 * itself because they began while it had none. UDP has no end that would make the kernel forget them; as long as the
 * client goes on sending, they stay (kubernetes#105657, #126934).
 */
import type { ConntrackEntry } from "../../model/conntrack.ts";
import type { Frontend } from "../../model/frontend.ts";
import type { Ip } from "../../model/ip.ts";

export const IPPROTO_UDP = 17;
/** IPS_DST_NAT of include/uapi/linux/netfilter/nf_conntrack_common.h. */
const DST_NAT = 0x20;

export interface FlowJudge {
  /** The frontend of a key, as the kernel serves it now. */
  readonly frontend: (key: string) => Frontend | undefined;
  /** True for keys of frontends that were served until now. */
  readonly wasServed: (key: string) => boolean;
  /** True for addresses of this node and of its pods. */
  readonly isInside: (ip: Ip) => boolean;
}

export function flowKey({ original }: Pick<ConntrackEntry, "original">): string {
  return `${original.destination} . udp . ${original.destinationPort}`;
}

export function isStale(entry: ConntrackEntry, judge: FlowJudge): boolean {
  const { original, reply, status } = entry;
  if (original.protocol !== IPPROTO_UDP) return false;
  const key = flowKey(entry);
  const frontend = judge.frontend(key);
  // IPVS translates without a word in the status.
  const isElsewhere = reply.source !== original.destination || reply.sourcePort !== original.destinationPort;
  const isTranslated = (status & DST_NAT) !== 0 || isElsewhere;
  if (frontend === undefined) return judge.wasServed(key) && isTranslated;
  const endpoints =
    frontend.outside === undefined || judge.isInside(original.source) ? frontend.endpoints : frontend.outside;
  if (endpoints.includes(`${reply.source} . ${reply.sourcePort}`)) return false;
  // One that began untranslated has nowhere better to go while there is no endpoint.
  return isTranslated || endpoints.length > 0;
}
