/**
 * The kernel's counters of one network namespace that show a wrong MTU: fragments, reassemblies, ICMP "too big" and TCP
 * that sends again. They carry the names that nstat(8) prints, so that a metric, a finding and a terminal agree.
 *
 * The files belong to the namespace of the thread that opens them, as those of sysctl.ts do. They count what this
 * namespace did: packets that the node only forwards for its pods are among them, what happens inside a pod is not.
 */
import * as fs from "node:fs";
import { BreakwaterError } from "../model/errors.ts";

/**
 * What is read and what a rising figure means. Names: protocol and column of /proc/net/snmp and netstat, or the line of
 * snmp6 (net/ipv4/proc.c, net/ipv6/proc.c). No counter tells code 4 of "destination unreachable" from its other codes.
 */
export const IP_COUNTERS = {
  IpFragOKs: "IPv4 packets that were cut into fragments: senders do not know the path's MTU and allow it (no DF)",
  IpFragCreates: "IPv4 fragments made of them",
  IpFragFails: "IPv4 packets with DF that were too large to go on: dropped, each answered with ICMP unless limited",
  IpReasmReqds: "IPv4 fragments that arrived here to be put together",
  IpReasmOKs: "IPv4 packets put together",
  IpReasmFails: "IPv4 packets that could not be put together: fragments were lost, came late, or memory ran out",
  IpReasmTimeout: "IPv4 packets given up because a fragment did not come within net.ipv4.ipfrag_time",
  IcmpInDestUnreachs: "ICMP type 3 that came in, code 4 (fragmentation needed) among them: somebody refuses our size",
  IcmpOutDestUnreachs: "ICMP type 3 that was sent, code 4 among them: we refuse somebody's size",
  IcmpOutRateLimitGlobal: "ICMP errors not sent because of net.ipv4.icmp_msgs_per_sec: senders may not learn their MTU",
  IcmpOutRateLimitHost: "ICMP errors not sent because of net.ipv4.icmp_ratelimit for one receiver",
  Ip6FragOKs: "IPv6 packets that this node cut into fragments (only a sender may)",
  Ip6FragCreates: "IPv6 fragments made of them",
  Ip6FragFails: "IPv6 packets that were too large to go on: dropped, each answered with ICMPv6 unless limited",
  Ip6InTooBigErrors: "IPv6 packets not forwarded because they exceed the next link's MTU",
  Ip6ReasmReqds: "IPv6 fragments that arrived here to be put together",
  Ip6ReasmOKs: "IPv6 packets put together",
  Ip6ReasmFails: "IPv6 packets that could not be put together",
  Ip6ReasmTimeout: "IPv6 packets given up because a fragment did not come within net.ipv6.ip6frag_time",
  Icmp6InPktTooBigs: "ICMPv6 packet too big that came in: somebody refuses our size",
  Icmp6OutPktTooBigs: "ICMPv6 packet too big that was sent: we refuse somebody's size",
  Icmp6OutRateLimitHost: "ICMPv6 errors not sent because of net.ipv6.icmp.ratelimit",
  TcpOutSegs: "TCP segments sent, to compare the next with; TCP of this namespace, not of its pods",
  TcpRetransSegs: "TCP segments sent again: lost on the way, or too large for it in silence",
  TcpExtTCPTimeouts: "Times that TCP waited in vain for an acknowledgement: a connection that hangs makes these",
  TcpExtTCPAbortOnTimeout: "TCP connections given up after net.ipv4.tcp_retries2 of them",
  TcpExtTCPMTUPFail: "Probes of TCP's own MTU search (net.ipv4.tcp_mtu_probing) that were lost",
  TcpExtTCPMTUPSuccess: "Probes of TCP's own MTU search that came through",
} as const;

export type IpCounterName = keyof typeof IP_COUNTERS;

/** Absent where this kernel has no such counter (without IPv6, or older than it). */
export type IpCounters = Readonly<Partial<Record<IpCounterName, number>>>;

/** Content of /proc/net/NAME; undefined when this kernel has no such file. */
export type NetFileReader = (name: "snmp" | "netstat" | "snmp6") => string | undefined;

/** Reads the files of the calling thread's namespace. @throws BreakwaterError BW_PROC_NET */
export const procNetFile: NetFileReader = (name) => {
  const path = `/proc/thread-self/net/${name}`;
  try {
    return fs.readFileSync(path, "utf8");
  } catch (error) {
    const errno = (error as NodeJS.ErrnoException).code ?? String(error);
    if (errno === "ENOENT") return undefined;
    throw new BreakwaterError("BW_PROC_NET", `Cannot read ${path}: ${errno}`, {
      operation: "read",
      object: path,
      errno,
      cause: error,
      remedy: "See that /proc is mounted and shows this process (mount option hidepid, a security module)",
    });
  }
};

/** All of {@link IP_COUNTERS} that this kernel has. Call it inside the namespace in question. */
export function readIpCounters(read: NetFileReader = procNetFile): IpCounters {
  const found: Partial<Record<IpCounterName, number>> = {};
  const note = (name: string, text: string | undefined) => {
    const value = Number(text);
    if (Object.hasOwn(IP_COUNTERS, name) && Number.isFinite(value)) found[name as IpCounterName] = value;
  };
  for (const file of ["snmp", "netstat"] as const) parsePairs(read(file) ?? "", note);
  for (const line of (read("snmp6") ?? "").split("\n")) {
    const [name = "", value] = line.trim().split(/\s+/);
    note(name, value);
  }
  return found;
}

/** Two lines a protocol: "Ip: Forwarding DefaultTTL …" and "Ip: 2 64 …". */
function parsePairs(text: string, note: (name: string, value: string | undefined) => void): void {
  const lines = text.trimEnd().split("\n");
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const [protocol = "", ...names] = lines[i]?.split(" ") ?? [];
    const [, ...values] = lines[i + 1]?.split(" ") ?? [];
    for (const [column, name] of names.entries()) note(`${protocol.slice(0, -1)}${name}`, values[column]);
  }
}

/**
 * What each counter grew by a second. A counter that is smaller than before began anew (the machine restarted, or 32 bits
 * were full): what it has now is what it grew, as Prometheus' rate() has it. Never negative.
 * @param seconds between the samples, by a clock that only goes forward; nothing is known when none passed
 * @returns an entry for every counter that both samples have
 */
export function counterRates(before: IpCounters, after: IpCounters, seconds: number): IpCounters {
  const rates: Partial<Record<IpCounterName, number>> = {};
  if (!(seconds > 0)) return rates;
  for (const name of Object.keys(IP_COUNTERS) as IpCounterName[]) {
    const [then, now] = [before[name], after[name]];
    if (then !== undefined && now !== undefined) rates[name] = (now < then ? now : now - then) / seconds;
  }
  return rates;
}
