/**
 * The order of rules, for each protocol and direction and for all together: rules that contradict each other stand one behind
 * another, and change places step by step. Files *-{ingress,egress}-{tcp,udp,sctp}-rules and *-gress-rules of the suite.
 */
import type { Protocol, TierCase, TierStep } from "./cases.ts";
import { clusterPolicy, type Direction, ofHouse, port, type Rule, rule, type Tier } from "./manifests.ts";

/** Of each protocol the port that rules speak of, and one that they do not. */
const PORTS: Readonly<Record<Protocol, readonly [number, number]>> = {
  TCP: [80, 8080],
  UDP: [53, 5353],
  SCTP: [9003, 9005],
};

/** Who is subject to the policy, and of whom one port only is accepted; the suite changes them round for UDP. */
const ROLES = {
  TCP: ["gryffindor", "hufflepuff"],
  UDP: ["hufflepuff", "gryffindor"],
  SCTP: ["gryffindor", "hufflepuff"],
};

export function orderedCases(): TierCase[] {
  const protocols = ["TCP", "UDP", "SCTP"] as const;
  return (["Admin", "Baseline"] as const).flatMap((tier) => [
    ...(["Ingress", "Egress"] as const).flatMap((direction) =>
      protocols.map((protocol) => ({
        id: `CNP${tier}Tier${direction}${protocol}`,
        steps: steps(tier, [direction.toLowerCase() as Direction], [protocol]),
      })),
    ),
    { id: `CNP${tier}TierGress`, steps: steps(tier, ["ingress", "egress"], protocols) },
  ]);
}

function steps(tier: Tier, directions: readonly Direction[], protocols: readonly Protocol[]): TierStep[] {
  const [subject = "", third = ""] = protocols.length > 1 ? ROLES.TCP : ROLES[protocols[0] ?? "TCP"];
  const some = protocols.map((protocol) => port(protocol, PORTS[protocol][0]));
  const passes = tier === "Admin";
  const written: readonly Rule[] = [
    rule("Accept", ofHouse("ravenclaw")),
    rule("Deny", ofHouse("ravenclaw")),
    ...(passes ? [rule("Pass", ofHouse("ravenclaw"))] : []),
    rule("Deny", ofHouse("slytherin"), ...some),
    ...(passes ? [rule("Pass", ofHouse("slytherin"), ...some)] : []),
    rule("Accept", ofHouse(third), ...some),
    rule("Deny", ofHouse(third)),
  ];
  const policy = (rules: readonly Rule[]) =>
    clusterPolicy({
      ...{ name: "ordered", tier, priority: 15, subject: ofHouse(subject) },
      ...Object.fromEntries(directions.map((direction) => [direction, rules])),
    });
  const probes = (other: string, outcomes: readonly [string, string]) =>
    directions.flatMap((direction) =>
      protocols.flatMap((protocol) =>
        PORTS[protocol].map((number, i) => dial(direction, subject, other, protocol, number, i, outcomes[i] ?? "")),
      ),
    );
  const step = (title: string, rules: readonly Rule[], ...lists: readonly (readonly string[])[]): TierStep => ({
    title,
    policies: [policy(rules)],
    probes: lists.flat(),
  });
  const onePort = probes(third, ["allowed", "denied"]);
  const denied = swapped(written, 0, 1);
  const firstSteps = [
    step("Accept in front of Deny", written, probes("ravenclaw", ["allowed", "allowed"]), onePort),
    step(
      "Deny in front of Accept",
      denied,
      probes("ravenclaw", ["denied", "denied"]),
      probes("slytherin", ["denied", "allowed"]),
    ),
  ];
  if (directions.length === 1)
    firstSteps.unshift(untouched(policy(written), directions[0] ?? "ingress", protocols[0] ?? "TCP", subject));
  if (!passes) return firstSteps;
  const passed = swapped(denied, 0, 2);
  return [
    ...firstSteps,
    step("Pass in front of Deny and Accept", passed, probes("ravenclaw", ["allowed", "allowed"])),
    step("Pass in front of Deny of a port", swapped(passed, 3, 4), probes("slytherin", ["allowed", "allowed"])),
  ];
}

/** The suite's "Should not affect egress traffic when only ingress rules are specified", and the other way round. */
function untouched(
  policy: ReturnType<typeof clusterPolicy>,
  direction: Direction,
  protocol: Protocol,
  subject: string,
): TierStep {
  const other = direction === "ingress" ? "egress" : "ingress";
  const [number] = PORTS[protocol];
  return {
    title: `nothing is said of ${other}`,
    policies: [policy],
    probes: ["ravenclaw", "slytherin"].map((house, i) => dial(other, subject, house, protocol, number, i, "allowed")),
  };
}

function dial(
  direction: Direction,
  subject: string,
  other: string,
  protocol: Protocol,
  number: number,
  i: number,
  outcome: string,
): string {
  const [own, peer] = [`${subject}-${i}`, `${other}-${1 - i}`];
  const [from, to] = direction === "ingress" ? [peer, own] : [own, peer];
  return `${from} > ${to} ${protocol} ${number}: ${outcome}`;
}

function swapped<T>(values: readonly T[], i: number, j: number): T[] {
  return values.map((value, at) => (at === i ? values[j] : at === j ? values[i] : value) as T);
}
