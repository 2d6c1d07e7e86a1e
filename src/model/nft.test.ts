import assert from "node:assert/strict";
import { test } from "node:test";
import { formatNftRule, formatNftTable, type NftRule } from "./nft.ts";
import { ruleFingerprint } from "./nft-changes.ts";

const rules: [NftRule, string][] = [
  [{ statements: [{ verdict: "accept" }] }, "accept"],
  [{ statements: [{ verdict: { jump: "x" } }] }, "jump x"],
  [{ statements: [{ verdict: { goto: "x" } }] }, "goto x"],
  [
    { statements: [{ match: "ip saddr", op: "==", value: "10.0.0.0/8" }, { counter: true }] },
    "ip saddr 10.0.0.0/8 counter",
  ],
  [{ statements: [{ match: "th dport", op: "!=", value: 53 }] }, "th dport != 53"],
  [{ statements: [{ match: "meta iifname", op: "==", value: "bw*" }] }, 'meta iifname "bw*"'],
  [{ statements: [{ match: "ct state", op: "==", value: "established,related" }] }, "ct state established,related"],
  [{ statements: [{ lookup: "ip daddr", set: "s" }] }, "ip daddr @s"],
  [{ statements: [{ lookup: "ip6 daddr", set: "s", negate: true }] }, "ip6 daddr != @s"],
  [{ statements: [{ random: { modulus: 100, below: 30 } }, { verdict: "drop" }] }, "numgen random mod 100 < 30 drop"],
  [
    {
      statements: [
        { limit: { perSecond: 10, burst: 20 } },
        { log: { prefix: "ingress-denied-0123abcd", group: 8474, snaplen: 96 } },
      ],
    },
    'limit rate 10/second burst 20 packets log prefix "ingress-denied-0123abcd" group 8474 snaplen 96',
  ],
  [{ statements: [{ masquerade: true }], comment: "why" }, 'masquerade fully-random comment "why"'],
];

test("formatNftRule() writes rules in the words of nft(8)", () => {
  for (const [rule, text] of rules) assert.equal(formatNftRule(rule), text);
});

test("ruleFingerprint() is the same for the same rule, and differs by every word and the comment", () => {
  const fingerprints = new Set(rules.map(([rule]) => ruleFingerprint(rule)));
  assert.equal(fingerprints.size, rules.length);
  for (const fingerprint of fingerprints) assert.match(fingerprint, /^[0-9a-f]{16}$/);
  const rule: NftRule = { statements: [{ verdict: "accept" }] };
  assert.equal(ruleFingerprint(rule), ruleFingerprint(structuredClone(rule)));
  assert.notEqual(ruleFingerprint(rule), ruleFingerprint({ ...rule, comment: "x" }));
});

test("formatNftTable() prints sets before the chains that use them", () => {
  const base = { type: "filter", hook: "ingress", priority: -5, policy: "drop", device: "eth0" } as const;
  const text = formatNftTable({
    family: "netdev",
    name: "t",
    sets: [
      { name: "full", key: "ipv4_addr", interval: true, elements: ["10.0.0.0/8"], comment: "pods" },
      { name: "empty", key: "inet_service", interval: false, elements: [] },
    ],
    chains: [
      { name: "in", base, rules: [{ statements: [{ verdict: "accept" }] }] },
      { name: "plain", rules: [] },
    ],
  });
  assert.equal(
    text,
    [
      "table netdev t {",
      "  set full {",
      "    type ipv4_addr",
      "    flags interval",
      '    comment "pods"',
      "    elements = { 10.0.0.0/8 }",
      "  }",
      "  set empty {",
      "    type inet_service",
      "  }",
      "  chain in {",
      '    type filter hook ingress device "eth0" priority -5; policy drop;',
      "    accept",
      "  }",
      "  chain plain {",
      "  }",
      "}",
      "",
    ].join("\n"),
  );
});
