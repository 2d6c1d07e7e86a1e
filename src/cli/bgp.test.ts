import assert from "node:assert/strict";
import { test } from "node:test";
import type { BgpChannelReport, BgpReport } from "../model/bgp-report.ts";
import { formatAge, formatBgp, formatBgpPrefixes, formatBgpVerification } from "./bgp.ts";

const channel: BgpChannelReport = {
  family: 4,
  up: true,
  imported: 1,
  exported: 2,
  preferred: 1,
  refused: 0,
  beyondLimit: 0,
  limitReached: false,
  floodStopped: false,
};
const session = {
  protocol: "mesh-node2",
  kind: "node",
  peer: "node2",
  address: "192.168.1.12",
  asNumber: 64512,
  state: "Established",
  since: 1000,
  channels: [channel, { ...channel, family: 6, imported: 3 }],
  lastError: null,
} as const;
const report: BgpReport = {
  node: "node1",
  routerId: "192.168.1.11",
  bird: { running: true, version: "BIRD 2.0.12", pid: 42, restarts: 0 },
  failure: null,
  announced: ["10.244.1.0/24"],
  services: [],
  withheld: [],
  sessions: [session],
  problems: [],
};

test("formatBgp() says which Service addresses are announced for whom, and which are not, and why", () => {
  const reasons = [
    { service: "default/web", kind: "LoadBalancer" },
    { service: "mail/smtp", kind: "LoadBalancer" },
  ];
  const services = [{ prefix: "192.0.2.1/32", reasons }];
  const withheld = [{ address: "8.8.8.8", service: "x/y", kind: "ExternalIP", why: "it is outside" }];
  const lines = formatBgp({ ...report, services, withheld }, 1200).split("\n");
  assert.deepEqual(lines.slice(1, 5), [
    "Announced: 10.244.1.0/24",
    "Announced: 192.0.2.1/32 for default/web (LoadBalancer), mail/smtp (LoadBalancer)",
    "Not announced: 8.8.8.8 of x/y (ExternalIP): it is outside",
    "",
  ]);
  const many = Array.from({ length: 60 }, (_, i) => ({ prefix: `192.0.2.${i}/32`, reasons }));
  const text = formatBgp({ ...report, services: many }, 1200);
  assert.match(text, /192\.0\.2\.49\/32 for .*\nAnnounced: 10 more Service addresses, by -o json\n/);
});

test("formatBgp() prints a session a line, families with a plus", () => {
  assert.equal(
    formatBgp(report, 1200),
    [
      "Node node1, router id 192.168.1.11: BIRD 2.0.12, pid 42, started anew 0 times",
      "Announced: 10.244.1.0/24",
      "",
      "PEER    KIND   ADDRESS        AS      STATE         SINCE   IN    OUT   REMARK",
      "node2   node   192.168.1.12   64512   Established   3m      1+3   2+2   -",
      "",
    ].join("\n"),
  );
});

test("formatBgp() says what is wrong: with BIRD, with a session, with a peer that has none", () => {
  const text = formatBgp(
    {
      ...report,
      bird: { running: false, version: null, pid: null, restarts: 3 },
      failure: "BIRD is not installed",
      sessions: [
        { ...session, state: "Active", since: null, channels: [], lastError: "Socket: Connection refused" },
        { ...session, peer: "tor", channels: [{ ...channel, limitReached: true, floodStopped: true, refused: 7 }] },
      ],
      problems: [
        { code: "BW_BGP_PASSWORD", object: "BGPPeer b", message: "BGPPeer b has no session", remedy: "Make it" },
      ],
    },
    1200,
  );
  assert.match(text, /BIRD does not run, started anew 3 times\nRouting by BGP does NOT work: BIRD is not installed\n/);
  assert.match(text, /Active +- +- +- +Socket: Connection refused\n/);
  assert.match(text, /IPv4: prefix limit reached; IPv4: flood stopped; IPv4: 7 refused\n/);
  assert.match(text, /\nBGPPeer b has no session \(BW_BGP_PASSWORD\)\n {2}-> Make it\n$/);
});

test("formatAge() goes from seconds to days", () => {
  assert.deepEqual([-5, 0.4, 59, 119, 120, 7199, 7200, 172_799, 172_800].map(formatAge), [
    "0s",
    "0s",
    "59s",
    "119s",
    "2m",
    "119m",
    "2h",
    "47h",
    "2d",
  ]);
});

test("formatBgpVerification() says that all agree, or on what not", () => {
  const agreed = { node: "node1", failure: null, prefixes: 3, differences: [] };
  assert.equal(formatBgpVerification(agreed), "Node node1: API, BIRD and kernel agree on 3 prefixes\n");
  const difference = { prefix: "10.244.2.0/24", api: "Node node2", bird: "via 192.168.1.12", kernel: null };
  assert.match(
    formatBgpVerification({ ...agreed, differences: [difference] }),
    /differ on 1 prefixes\n\nPREFIX +API +BIRD +KERNEL\n10\.244\.2\.0\/24 +Node node2 +via 192\.168\.1\.12 +-\n$/,
  );
  assert.match(
    formatBgpVerification({ ...agreed, failure: "BIRD does not run" }),
    /cannot be compared: BIRD does not run/,
  );
});

test("formatBgpPrefixes() prints a prefix a line with its reason, and how many more there are", () => {
  const listed = [{ prefix: "0.0.0.0/0", why: "it is a default route: none is ever taken" }];
  const sessions = [
    { peer: "tor", kind: "peer", count: 3, prefixes: listed },
    { peer: "node2", kind: "node", count: 0, prefixes: [] },
  ] as const;
  assert.equal(
    formatBgpPrefixes({ node: "node1", failure: null, sessions }, "refused"),
    [
      "PEER   PREFIX      REFUSED BECAUSE",
      "tor    0.0.0.0/0   it is a default route: none is ever taken",
      "tor: 2 more; breakwater bgp refused tor",
      "",
    ].join("\n"),
  );
  const none = { node: "node1", failure: null, sessions: sessions.slice(1) };
  assert.equal(formatBgpPrefixes(none, "announced"), "Node node1: nothing is announced\n");
  const failed = { node: "node1", failure: "BIRD does not run", sessions: [] };
  assert.equal(formatBgpPrefixes(failed, "refused"), "Node node1 cannot say what is refused: BIRD does not run\n");
});
