/** Selectors, networks, ports, priorities, and the tiers together: the suite's other files, one function each. */
import type { TierCase, TierStep } from "./cases.ts";
import {
  clusterPolicy,
  labelled,
  named,
  networkPolicy,
  ofHouse,
  podsOf,
  port,
  ports,
  type Rule,
  rule,
  type Tier,
} from "./manifests.ts";

const EVERYWHERE = { networks: ["0.0.0.0/0", "::/0"] };
const ANY_HOUSE = { namespaces: { matchExpressions: [{ key: "conformance-house", operator: "Exists" }] } };

export function houseCases(): TierCase[] {
  return [
    ...(["Admin", "Baseline"] as const).flatMap((tier) => [
      networks(tier),
      isolation(tier, "ingress"),
      isolation(tier, "egress"),
      podSelectors(tier),
      portRanges(tier),
      samePriority(tier),
      nodes(tier),
    ]),
    omittedSelector(),
    priorities(),
    integration(),
    namedPort("ingress"),
    namedPort("egress"),
    hairpin(),
  ];
}

/** *-standard-egress-inline-cidr-rules: all networks are denied, pods inside them, too. */
function networks(tier: Tier): TierCase {
  const written = [rule("Accept", podsOf("slytherin")), rule("Deny", EVERYWHERE)];
  const policy = (egress: readonly Rule[]) =>
    clusterPolicy({ name: "inline", tier, priority: 85, subject: podsOf("gryffindor"), egress });
  const all = (target: string, outcome: string) =>
    ["TCP 80", "UDP 53", "SCTP 9003"].map((what) => `gryffindor-1 > ${target} ${what}: ${outcome}`);
  const single = { networks: ["10.244.1.14/32", "fd00:10:244:1::e/128", "10.244.3.13/32", "fd00:10:244:3::d/128"] };
  return {
    id: `CNP${tier}TierEgressInlineCIDRPeers`,
    steps: [
      {
        title: "Deny of all networks",
        policies: [policy(written)],
        probes: [...all("ravenclaw-0", "denied"), ...all("hufflepuff-0", "denied"), ...all("slytherin-0", "allowed")],
      },
      {
        title: "Accept of single addresses",
        policies: [policy([rule("Accept", single), ...written])],
        probes: [
          ...all("ravenclaw-0", "allowed"),
          ...all("hufflepuff-0", "allowed"),
          ...all("ravenclaw-1", "denied"),
          ...all("hufflepuff-1", "denied"),
        ],
      },
    ],
  };
}

/** *-standard-ingress-egress-isolation. */
function isolation(tier: Tier, direction: "ingress" | "egress"): TierCase {
  const rules = [rule("Deny", ofHouse("slytherin"))];
  const policy = clusterPolicy({
    name: "one-way",
    tier,
    priority: 20,
    subject: ofHouse("gryffindor"),
    [direction]: rules,
  });
  const isIngress = direction === "ingress";
  const [said, unsaid] = isIngress ? ["Ingress", "Egress"] : ["Egress", "Ingress"];
  const own = "gryffindor-0";
  const others = ["ravenclaw-0", "hufflepuff-0"];
  return {
    id: `CNP${tier}Tier${said}Rules${unsaid}Unaffected`,
    steps: [
      {
        title: `${said} alone`,
        policies: [policy],
        probes: [
          isIngress ? `slytherin-0 > ${own} TCP 80: denied` : `${own} > slytherin-0 TCP 80: denied`,
          ...others.map((other) =>
            isIngress ? `${own} > ${other} TCP 80: allowed` : `${other} > ${own} TCP 80: allowed`,
          ),
        ],
      },
    ],
  };
}

/** *-standard-pod-selector-rules: by label alone, and one pod by its name. */
function podSelectors(tier: Tier): TierCase {
  const one = { pods: { namespaceSelector: labelled("hufflepuff"), podSelector: named("hufflepuff-0") } };
  const anywhere = (house: string) => ({ pods: { podSelector: labelled(house) } });
  const policies = [
    clusterPolicy({
      ...{ name: "pod-selector-rules", tier, priority: 20, subject: anywhere("gryffindor") },
      egress: [rule("Deny", anywhere("ravenclaw")), rule("Deny", one)],
      ingress: [rule("Deny", anywhere("slytherin")), rule("Deny", one)],
    }),
    clusterPolicy({
      ...{ name: "pod-name-subject-rules", tier, priority: tier === "Admin" ? 21 : 20 },
      subject: { pods: { namespaceSelector: labelled("ravenclaw"), podSelector: named("ravenclaw-0") } },
      egress: [rule("Deny", ofHouse("slytherin"))],
    }),
  ];
  return {
    id: `CNP${tier}TierPodSelector`,
    steps: [
      {
        title: "selectors of pods",
        policies,
        probes: [
          "gryffindor-0 > ravenclaw-0 TCP 80: denied",
          "gryffindor-0 > hufflepuff-0 TCP 80: denied",
          "gryffindor-0 > hufflepuff-1 TCP 80: allowed",
          "slytherin-0 > gryffindor-0 TCP 80: denied",
          "hufflepuff-0 > gryffindor-0 TCP 80: denied",
          "hufflepuff-1 > gryffindor-0 TCP 80: allowed",
          "slytherin-0 > hufflepuff-0 TCP 80: allowed",
          "ravenclaw-0 > slytherin-0 TCP 80: denied",
          "ravenclaw-1 > slytherin-0 TCP 80: allowed",
        ],
      },
    ],
  };
}

/** *-standard-port-range-rules. */
function portRanges(tier: Tier): TierCase {
  const rules = [
    rule("Accept", ofHouse("ravenclaw"), ports("TCP", 80, 8080)),
    rule("Accept", ofHouse("hufflepuff"), ports("UDP", 53, 5353)),
    rule("Accept", ofHouse("slytherin"), ports("SCTP", 9003, 9005)),
    rule("Deny", ANY_HOUSE),
  ];
  const subject = ofHouse("gryffindor");
  const policy = clusterPolicy({ name: "ranges", tier, priority: 9, subject, ingress: rules, egress: rules });
  const rows = [
    ["ravenclaw", "TCP 80", "TCP 8080", "UDP 53"],
    ["hufflepuff", "UDP 53", "UDP 5353", "TCP 80"],
    ["slytherin", "SCTP 9003", "SCTP 9005", "TCP 80"],
  ];
  const probes = rows.flatMap(([other, first, last, outside]) => [
    ...[first, last].map((what) => `gryffindor-0 > ${other}-0 ${what}: allowed`),
    `gryffindor-1 > ${other}-0 ${outside}: denied`,
    ...[first, last].map((what) => `${other}-0 > gryffindor-0 ${what}: allowed`),
    `${other}-1 > gryffindor-0 ${outside}: denied`,
  ]);
  return { id: `CNP${tier}TierPortRange`, steps: [{ title: "ranges of ports", policies: [policy], probes }] };
}

/** *-standard-same-priority: none hides another. */
function samePriority(tier: Tier): TierCase {
  const between = (subject: string, other: string, number: number) => {
    const rules = [rule("Deny", ofHouse(other), port("TCP", number))];
    const name = `${subject}-${other}`;
    return clusterPolicy({ name, tier, priority: 15, subject: ofHouse(subject), ingress: rules, egress: rules });
  };
  return {
    id: `CNP${tier}TierSamePriority`,
    steps: [
      {
        title: "three of one priority",
        policies: [
          between("gryffindor", "slytherin", 80),
          between("gryffindor", "hufflepuff", 80),
          between("hufflepuff", "slytherin", 8080),
        ],
        probes: [
          "slytherin-0 > gryffindor-0 TCP 80: denied",
          "gryffindor-0 > slytherin-0 TCP 80: denied",
          "hufflepuff-0 > gryffindor-0 TCP 80: denied",
          "gryffindor-1 > hufflepuff-0 TCP 80: denied",
          "slytherin-1 > hufflepuff-0 TCP 8080: denied",
          "hufflepuff-1 > slytherin-0 TCP 8080: denied",
          "slytherin-0 > gryffindor-0 TCP 8080: allowed",
          "gryffindor-0 > slytherin-0 TCP 8080: allowed",
          "slytherin-1 > hufflepuff-0 TCP 80: allowed",
          "hufflepuff-0 > slytherin-0 TCP 80: allowed",
          "ravenclaw-0 > gryffindor-0 TCP 80: allowed",
          "gryffindor-1 > ravenclaw-0 TCP 80: allowed",
        ],
      },
    ],
  };
}

/** *-experimental-egress-selector-rules: nodes by their labels, in front of all networks. Port 1 for one that nothing serves. */
function nodes(tier: Tier): TierCase {
  const linux = { nodes: { matchLabels: { "kubernetes.io/os": "linux" } } };
  const passes = tier === "Admin";
  const policy = clusterPolicy({
    ...{ name: "nodes", tier, priority: 75, subject: passes ? podsOf("gryffindor") : ofHouse("gryffindor") },
    egress: [
      rule("Accept", linux, passes ? port("TCP", 7080) : ports("TCP", 7080, 7081)),
      ...(passes ? [rule("Pass", linux, port("UDP", 7053))] : []),
      rule("Deny", passes ? [podsOf("slytherin"), linux, EVERYWHERE] : [linux, EVERYWHERE]),
    ],
  });
  // Of other nodes: what a pod sends to its own one is never looked at.
  const outcomes = passes
    ? ["TCP 7080: allowed", "UDP 7053: allowed", "TCP 7081: denied", "UDP 7054: denied", "SCTP 9003: denied"]
    : ["TCP 7080: allowed", "TCP 7081: allowed", "TCP 7082: denied", "UDP 7053: denied", "SCTP 9003: denied"];
  return {
    id: `CNP${tier}TierEgressNodePeers`,
    steps: [{ title: "nodes", policies: [policy], probes: outcomes.map((what) => `gryffindor-1 > node3 ${what}`) }],
  };
}

/** standard-gress-omitted-namespaceselector: pods of all namespaces. */
function omittedSelector(): TierCase {
  const anyPod = { podSelector: { matchExpressions: [{ key: "conformance-house", operator: "Exists" }] } };
  const policy = clusterPolicy({
    ...{ name: "omitted", tier: "Admin", priority: 3, subject: ofHouse("durmstrang") },
    ingress: [rule("Deny", { pods: anyPod })],
  });
  const probes = ["gryffindor-0", "slytherin-1", "hufflepuff-0"].map((from) => `${from} > durmstrang-0 TCP 80: denied`);
  return {
    id: "CNPAdminTierOmittedNamespaceSelector",
    steps: [
      {
        title: "no selector of namespaces",
        policies: [policy],
        probes: [...probes, "durmstrang-0 > gryffindor-0 TCP 80: allowed"],
      },
    ],
  };
}

/** admin-network-policy-standard-priority. */
function priorities(): TierCase {
  const between = (name: string, tier: Tier, priority: number, action: "Accept" | "Deny" | "Pass") => {
    const rules = [rule(action, podsOf("slytherin"))];
    return clusterPolicy({ name, tier, priority, subject: podsOf("gryffindor"), ingress: rules, egress: rules });
  };
  const step = (priority: number, outcome: string): TierStep => ({
    title: `Deny at 50, Pass at ${priority}`,
    policies: [
      between("priority-50", "Admin", 50, "Deny"),
      between("other-priority", "Admin", priority, "Pass"),
      between("default", "Baseline", 10, "Accept"),
    ],
    probes: bothWays("slytherin", outcome),
  });
  return { id: "CNPAdminTierPriorityField", steps: [step(60, "denied"), step(40, "allowed")] };
}

/** admin-network-policy-standard-integration: all three tiers. */
function integration(): TierCase {
  const rules = (action: "Deny" | "Pass") => [rule(action, { namespaces: labelled("slytherin") })];
  const subject = { namespaces: labelled("gryffindor") };
  const admin = (ingress: "Deny" | "Pass", egress: "Deny" | "Pass") =>
    clusterPolicy({
      ...{ name: "pass-example", tier: "Admin", priority: 10, subject },
      ...{ ingress: rules(ingress), egress: rules(egress) },
    });
  const base = clusterPolicy({
    ...{ name: "default", tier: "Baseline", priority: 10, subject },
    ...{ ingress: rules("Deny"), egress: rules("Deny") },
  });
  const peer = [{ namespaceSelector: labelled("slytherin") }];
  const allow = networkPolicy("gryffindor", "allow-slytherin", {
    podSelector: {},
    policyTypes: ["Ingress", "Egress"],
    ingress: [{ from: peer }],
    egress: [{ to: peer }],
  });
  const [into, outOf] = [bothWays("slytherin", "allowed").slice(0, 2), bothWays("slytherin", "allowed").slice(2)];
  return {
    id: "CNPAdminTierIntegration",
    steps: [
      {
        title: "Admin denies",
        policies: [admin("Deny", "Deny"), allow, base],
        probes: bothWays("slytherin", "denied"),
      },
      {
        title: "Admin passes ingress on to a NetworkPolicy",
        policies: [admin("Pass", "Deny"), allow, base],
        probes: into,
      },
      {
        title: "Admin passes both on to a NetworkPolicy",
        policies: [admin("Pass", "Pass"), allow, base],
        probes: [...into, ...outOf],
      },
      {
        title: "Admin passes on to Baseline",
        policies: [admin("Pass", "Pass"), base],
        probes: bothWays("slytherin", "denied"),
      },
    ],
  };
}

function bothWays(other: string, outcome: string): string[] {
  return [
    `${other}-0 > gryffindor-0 TCP 80: ${outcome}`,
    `${other}-1 > gryffindor-0 TCP 8080: ${outcome}`,
    `gryffindor-0 > ${other}-0 TCP 80: ${outcome}`,
    `gryffindor-1 > ${other}-0 TCP 8080: ${outcome}`,
  ];
}

/** *-experimental-{ingress,egress}-rules: a port by its name. */
function namedPort(direction: "ingress" | "egress"): TierCase {
  const isIngress = direction === "ingress";
  const [subject, other, name] = isIngress ? ["hufflepuff", "gryffindor", "dns"] : ["gryffindor", "hufflepuff", "web"];
  const rules = [rule("Accept", ofHouse(other), { destinationNamedPort: name }), rule("Deny", ofHouse(other))];
  const policy = clusterPolicy({
    name: "named",
    tier: "Admin",
    priority: 6,
    subject: ofHouse(subject),
    [direction]: rules,
  });
  const probes = isIngress
    ? ["gryffindor-0 > hufflepuff-1 UDP 53: allowed", "gryffindor-1 > hufflepuff-1 UDP 5353: denied"]
    : ["gryffindor-0 > hufflepuff-1 TCP 80: allowed", "gryffindor-1 > hufflepuff-1 TCP 8080: denied"];
  return {
    id: `CNPAdminTier${isIngress ? "Ingress" : "Egress"}NamedPort`,
    steps: [{ title: "a named port", policies: [policy], probes }],
  };
}

/** admin-network-policy-hairpin-rules, of an optional feature: a pod that reaches itself by a Service. */
function hairpin(): TierCase {
  const policy = clusterPolicy({
    ...{ name: "hairpin", tier: "Admin", priority: 15, subject: ofHouse("gryffindor") },
    ingress: [rule("Deny", ofHouse("gryffindor"))],
  });
  return {
    id: "CNPAdminTierHairpin",
    steps: [
      {
        title: "a pod and itself",
        policies: [policy],
        probes: ["gryffindor-0 > gryffindor-0 TCP 80: denied"],
        deviation: "a pod always reaches itself, whatever policies say",
      },
      { title: "its neighbour", policies: [policy], probes: ["gryffindor-0 > gryffindor-1 TCP 80: denied"] },
    ],
  };
}
