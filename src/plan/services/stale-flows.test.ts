import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConntrackEntry } from "../../model/conntrack.ts";
import type { Frontend } from "../../model/frontend.ts";
import { type FlowJudge, flowKey, isStale } from "./stale-flows.ts";

const ONE = "10.244.1.5 . 5353";
const OTHER = "10.244.2.6 . 5353";
const frontend: Frontend = {
  key: "10.96.0.10 . udp . 53",
  family: 4,
  address: "10.96.0.10",
  protocol: "udp",
  port: 53,
  kind: "ClusterIP",
  service: "default/dns",
  endpoints: [ONE],
  otherwise: "reject",
  keepsSource: false,
};

/** A flow to the frontend that went to this address and port. */
function flow(to: string, client = "10.244.1.9", protocol = 17): ConntrackEntry {
  const [source = "", port] = to.split(" . ");
  const isTranslated = source !== "10.96.0.10";
  const tuple = { protocol, icmp: undefined };
  return {
    family: 4,
    original: { ...tuple, source: client, sourcePort: 4000, destination: "10.96.0.10", destinationPort: 53 },
    reply: { ...tuple, source, sourcePort: Number(port), destination: client, destinationPort: 4000 },
    ...{ id: 1, status: isTranslated ? 0x2a : 0x0a, timeoutSeconds: 30, mark: 0, zone: 0 },
  };
}

const judge = (now: Frontend | undefined, wasServed = true): FlowJudge => ({
  frontend: (key) => (key === frontend.key ? now : undefined),
  wasServed: () => wasServed,
  isInside: (ip) => ip.startsWith("10.244.1."),
});
const UNTRANSLATED = "10.96.0.10 . 53";
const local = { ...frontend, endpoints: [ONE, OTHER], outside: [ONE] };

const cases: [string, boolean, ConntrackEntry, FlowJudge][] = [
  ["to an endpoint that is there", false, flow(ONE), judge(frontend)],
  ["to one that is not", true, flow(OTHER), judge(frontend)],
  ["to its address on another port", true, flow("10.244.1.5 . 53"), judge(frontend)],
  ["untranslated, where there is an endpoint", true, flow(UNTRANSLATED), judge(frontend)],
  ["untranslated, where there is none", false, flow(UNTRANSLATED), judge({ ...frontend, endpoints: [] })],
  ["to one that is not, where there is none", true, flow(ONE), judge({ ...frontend, endpoints: [] })],
  ["of a frontend that is gone", true, flow(ONE), judge(undefined)],
  ["of a frontend that never was", false, flow(ONE), judge(undefined, false)],
  ["untranslated, of a frontend that is gone", false, flow(UNTRANSLATED), judge(undefined)],
  ["of TCP", false, flow(OTHER, "10.244.1.9", 6), judge(frontend)],
  ["of SCTP", false, flow(OTHER, "10.244.1.9", 132), judge(frontend)],
  ["from inside, to an endpoint elsewhere", false, flow(OTHER), judge(local)],
  ["from outside, to an endpoint elsewhere, under policy Local", true, flow(OTHER, "198.51.100.1"), judge(local)],
  ["from outside, to an endpoint here, under policy Local", false, flow(ONE, "198.51.100.1"), judge(local)],
  ["from outside, where policy Local leaves none", true, flow(ONE, "198.51.100.1"), judge({ ...local, outside: [] })],
];
for (const [name, expected, entry, by] of cases) {
  test(`isStale() is ${expected} for a flow ${name}`, () => assert.equal(isStale(entry, by), expected));
}

test("flowKey() is the key of the frontend", () => {
  assert.equal(flowKey(flow(ONE)), frontend.key);
});
