import assert from "node:assert/strict";
import { test } from "node:test";
import { counterRates, IP_COUNTERS, type NetFileReader, procNetFile, readIpCounters } from "./ip-counters.ts";

const files: Readonly<Record<string, string>> = {
  snmp: `Ip: Forwarding InReceives ReasmReqds ReasmFails FragOKs FragFails FragCreates
Ip: 1 462487 144000 7 3 5 6
Icmp: InMsgs InDestUnreachs OutDestUnreachs
Icmp: 2 11 12
IcmpMsg: InType3
IcmpMsg: 2
Tcp: MaxConn OutSegs RetransSegs
Tcp: -1 453687 563
`,
  netstat: `TcpExt: TCPTimeouts TCPMTUPFail TCPMTUPSuccess TCPAONew
TcpExt: 780 4 9 1
IpExt: InNoRoutes ReasmOverlaps
IpExt: 0 2
`,
  snmp6: `Ip6InTooBigErrors               \t21
Ip6FragFails                    \t22
Icmp6InPktTooBigs               \t23
Icmp6InType2                    \t23
`,
};
const reader: NetFileReader = (name) => files[name];

test("readIpCounters() names counters as nstat does, and takes those of the list alone", () => {
  assert.deepEqual(readIpCounters(reader), {
    IpReasmReqds: 144000,
    IpReasmFails: 7,
    IpFragOKs: 3,
    IpFragFails: 5,
    IpFragCreates: 6,
    IcmpInDestUnreachs: 11,
    IcmpOutDestUnreachs: 12,
    TcpOutSegs: 453687,
    TcpRetransSegs: 563,
    TcpExtTCPTimeouts: 780,
    TcpExtTCPMTUPFail: 4,
    TcpExtTCPMTUPSuccess: 9,
    Ip6InTooBigErrors: 21,
    Ip6FragFails: 22,
    Icmp6InPktTooBigs: 23,
  });
});

test("readIpCounters() leaves out what the kernel does not have", () => {
  assert.deepEqual(
    readIpCounters((name) => (name === "snmp" ? "Ip: FragOKs FragFails\nIp: 3\n" : undefined)),
    { IpFragOKs: 3 },
  );
  assert.deepEqual(
    readIpCounters(() => ""),
    {},
  );
});

test("readIpCounters() finds every counter of the list in this kernel", () => {
  const hasIpv6 = procNetFile("snmp6") !== undefined;
  const expected = Object.keys(IP_COUNTERS).filter((name) => hasIpv6 || !/^(Ip6|Icmp6)/.test(name));
  assert.deepEqual(Object.keys(readIpCounters()).sort(), expected.sort());
});

test("counterRates() is growth a second", () => {
  const before = { IpFragCreates: 100, TcpRetransSegs: 5 };
  assert.deepEqual(counterRates(before, { IpFragCreates: 160, TcpRetransSegs: 5 }, 3), {
    IpFragCreates: 20,
    TcpRetransSegs: 0,
  });
});

test("counterRates() is never negative: a counter that began anew grew by what it has", () => {
  const rates = counterRates(
    { IpFragCreates: 4_294_967_290, IpReasmReqds: 9 },
    { IpFragCreates: 4, IpReasmReqds: 0 },
    2,
  );
  assert.deepEqual(rates, { IpFragCreates: 2, IpReasmReqds: 0 });
});

test("counterRates() knows nothing of counters that one sample lacks, or when no time has passed", () => {
  assert.deepEqual(counterRates({ IpFragOKs: 1 }, { IpFragFails: 1 }, 1), {});
  for (const seconds of [0, -1, Number.NaN])
    assert.deepEqual(counterRates({ IpFragOKs: 1 }, { IpFragOKs: 2 }, seconds), {});
});
