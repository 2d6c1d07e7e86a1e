/** Errors in what policies become: chains, maps, sets, and what of them follows a change. */
import type { Mutation } from "./mutant.ts";

const FOLDER = "src/plan/policies";
const CHAINS = `${FOLDER}/chains.ts`;
const ADMISSIONS = `${FOLDER}/admissions.ts`;
const PEERS = `${FOLDER}/peer-sets.ts`;
const POLICIES_TEST = `${FOLDER}/policies.test.ts`;
const BAD_INPUT_TEST = `${FOLDER}/bad-input.test.ts`;

const PAIRS = "test/conformance/netpol/every-pair.test.ts";
const INGRESS: Mutation["test"] = [PAIRS, "Ingress: every peer with every port is as the evaluator says"];
const EGRESS: Mutation["test"] = [PAIRS, "Egress: every peer with every port is as the evaluator says"];
const INGRESS_PORTS: Mutation["test"] = [
  PAIRS,
  "Ingress: ports of their own for each of several peers are as the evaluator says",
];
const JUDGE: Mutation["test"] = [
  POLICIES_TEST,
  "judge() admits exactly what the chains let pass, for random NetworkPolicies and packets",
];
const RANDOM: Mutation["test"] = [
  "test/conformance/netpol/evaluator.test.ts",
  "parser, planner and tracer let pass what the evaluator does, in 2000 random clusters",
];
const sequence = (name: string): Mutation["test"] => [
  "test/conformance/netpol/sequences.test.ts",
  `verdicts are those of the last state: ${name}`,
];

const chainMutations: readonly Mutation[] = [
  {
    what: "what no rule admits passes",
    file: CHAINS,
    find: "      this.#goToDenied(),\n    ];",
    replace: "    ];",
    test: INGRESS,
  },
  {
    what: "a range ends one port early",
    file: CHAINS,
    find: 'op: "<", value: last + 1 }',
    replace: 'op: "<", value: last }',
    test: INGRESS,
  },
  {
    what: "a range begins one port late",
    file: CHAINS,
    find: 'op: ">", value: first - 1 }',
    replace: 'op: ">", value: first }',
    test: EGRESS,
  },
  {
    what: "ingress looks at who is dialled",
    file: CHAINS,
    find: 'return this.#context.direction === "ingress" ? source : destination;',
    replace: 'return this.#context.direction === "ingress" ? destination : source;',
    test: INGRESS,
  },
  {
    what: "SCTP is UDP",
    file: CHAINS,
    find: "SCTP: 132",
    replace: "SCTP: 17",
    test: EGRESS,
  },
  {
    what: "a port of some is one of all",
    file: CHAINS,
    find: "const verdict = each.anybody ? admit :",
    replace: "const verdict = each.anybody || first === 80 ? admit :",
    test: INGRESS_PORTS,
  },
  {
    what: "of many peers the last one is forgotten",
    file: CHAINS,
    find: "values.length > MOST_LOOKUPS ? [ask(values)]",
    replace: "values.length > MOST_LOOKUPS ? [ask(values.slice(0, -1))]",
    test: [BAD_INPUT_TEST, "a policy of 10,000 rules about one port admits whom its last one does"],
  },
  {
    what: "a pod cannot reach itself",
    file: CHAINS,
    find: 'statements: [{ lookup: [source, destination], set: "self" }, { verdict: "return" }],',
    replace: 'statements: [{ lookup: [source, destination], set: "self" }, { verdict: "drop" }],',
    test: [POLICIES_TEST, "planPolicyTable() lets a pod reach itself, and answers of what was admitted pass"],
  },
];

const frameMutations: readonly Mutation[] = [
  {
    what: "answers are looked at anew",
    file: `${FOLDER}/frame.ts`,
    find: 'value: "confirmed" }, accept]',
    replace: 'value: "assured" }, accept]',
    test: [POLICIES_TEST, "planPolicyTable() lets a pod reach itself, and answers of what was admitted pass"],
  },
  {
    what: "ICMP errors are looked at as connections of their own",
    file: `${FOLDER}/frame.ts`,
    find: 'value: "related" }, accept]',
    replace: 'value: "established" }, accept]',
    test: [POLICIES_TEST, "planPolicyTable() lets ICMP errors of admitted connections pass"],
  },
  {
    what: "a cut connection goes on by what its server says",
    file: `${FOLDER}/frame.ts`,
    find: 'rule({ lookup: source, set: "ingress-pods" }, { counter: true }, { verdict: "drop" }),',
    replace: "",
    test: [
      POLICIES_TEST,
      "planPolicyTable() drops segments that open nothing from whom ingress selects and to whom egress selects",
    ],
  },
  {
    what: "no pod's egress is looked at",
    file: `${FOLDER}/frame.ts`,
    find: 'rule({ vmap: source, map: "egress" }),',
    replace: "",
    test: EGRESS,
  },
  {
    what: "pods with named ports of other numbers share a chain",
    file: `${FOLDER}/direction.ts`,
    find: 'this.#direction === "ingress" ? resolvedNames(policies, pod) : ""',
    replace: '""',
    test: [BAD_INPUT_TEST, "a named port that differs between pods is each one's own number"],
  },
  {
    what: "of two pods with one address one decides alone",
    file: `${FOLDER}/direction.ts`,
    find: "const rules = names.map((jump) =>",
    replace: "const rules = names.slice(0, 1).map((jump) =>",
    test: [BAD_INPUT_TEST, "while two pods have one address, only what the policies of both admit passes"],
  },
  {
    what: "a policy selects pods of every label",
    file: `${FOLDER}/policy-input.ts`,
    find: "&& matchesSelector(policy.pods, pod.labels)",
    replace: "",
    test: RANDOM,
  },
];

const peerMutations: readonly Mutation[] = [
  {
    what: "an endPort means nothing",
    file: ADMISSIONS,
    find: "last: endPort ?? first",
    replace: "last: first",
    test: INGRESS,
  },
  {
    what: "a named port is of any protocol",
    file: ADMISSIONS,
    find: "each.name === first && each.protocol === protocol",
    replace: "each.name === first",
    test: INGRESS,
  },
  {
    what: "a named port of a block is that of all pods",
    file: ADMISSIONS,
    find: 'const block = peer?.kind === "block" ? peer : undefined;',
    replace: "const block = undefined;",
    test: [
      POLICIES_TEST,
      "planPolicyTable() takes a named port in egress of the pods in a block, and outside of pods for none",
    ],
  },
  {
    what: "a rule for anybody is one for nobody",
    file: ADMISSIONS,
    find: "if (peer === undefined) this.anybody = true;",
    replace: "if (peer === undefined) return;",
    test: INGRESS,
  },
  {
    what: "exceptions of a block mean nothing",
    file: PEERS,
    find: "subtractPrefixes(prefix, except)",
    replace: "subtractPrefixes(prefix, [])",
    test: EGRESS,
  },
  {
    what: "a named port is that of whatever pod",
    file: PEERS,
    find: "(selection !== undefined && !index.selects(selection, pod))",
    replace: "false",
    test: sequence("labels of pods change, as it is"),
  },
  {
    what: "a selection of pods means every namespace",
    file: `${FOLDER}/peers.ts`,
    find: 'if (typeof namespaces === "string" && pod.namespace !== namespaces) return false;',
    replace: "",
    test: INGRESS,
  },
  {
    what: "labels of namespaces mean nothing",
    file: `${FOLDER}/peers.ts`,
    find: "return labels !== undefined && matchesSelector(namespaces, labels);",
    replace: "return labels !== undefined;",
    test: EGRESS,
  },
  {
    what: "a selection looks only at pods with values that it excludes",
    file: `${FOLDER}/pod-index.ts`,
    find: 'if (operator !== "In") continue;',
    replace: 'if (operator !== "NotIn") continue;',
    test: INGRESS,
  },
  {
    what: "judge() knows no exceptions",
    file: `${FOLDER}/judge.ts`,
    find: "return holds(peer.prefix) && !peer.except.some(holds);",
    replace: "return holds(peer.prefix);",
    test: JUDGE,
  },
];

const followingMutations: readonly Mutation[] = [
  {
    what: "a pod that goes stays in the sets",
    file: `${FOLDER}/live-set.ts`,
    find: "for (const pod of removed) for (const element of this.#members.of(pod, index)) this.#count(element, -1);",
    replace: "",
    test: sequence("labels of pods change, as it is"),
  },
  {
    what: "an address that two pods had goes with the first of them",
    file: `${FOLDER}/live-set.ts`,
    find: "if (count === 0) this.#counts.delete(element);",
    replace: "if (by === -1) this.#counts.delete(element);",
    test: [`${FOLDER}/live-set.test.ts`, "LiveSet keeps an element as long as any pod gives it"],
  },
  {
    what: "other labels of a namespace change nothing",
    file: `${FOLDER}/planner.ts`,
    find: "      this.#sets.refill();\n",
    replace: "",
    test: sequence("labels of namespaces change, as it is"),
  },
  {
    what: "chains of old policies are used for new ones of the same name",
    file: `${FOLDER}/direction.ts`,
    find: "    this.#tiers = tiers;\n    this.#keys = new WeakMap();\n    this.#compiled = new Map();",
    replace: "    this.#tiers = tiers;\n    this.#keys = new WeakMap();",
    test: sequence("a policy says something else, as it is"),
  },
  {
    what: "sets that nobody asks for any more stay in the kernel",
    file: `${FOLDER}/planned-parts.ts`,
    find: "for (const { head } of touched.before) before.push({ ...head, elements: [] });",
    replace: "",
    test: sequence("policies come and go, as it is"),
  },
  {
    what: "chains go before the maps that lead to them",
    file: "src/diff/nft.ts",
    find: '    ...staleSets.map((set) => ({ do: "deleteSet", set: set.name }) as const),\n    ...staleChains.map((chain) => ({ do: "deleteChain", chain: chain.name }) as const),',
    replace:
      '    ...staleChains.map((chain) => ({ do: "deleteChain", chain: chain.name }) as const),\n    ...staleSets.map((set) => ({ do: "deleteSet", set: set.name }) as const),',
    test: [
      "src/diff/nft.test.ts",
      "diffNft() turns one table into another: a map less, and the chain that it leads to",
    ],
  },
];

export const plannerMutations: readonly Mutation[] = [
  ...chainMutations,
  ...frameMutations,
  ...peerMutations,
  ...followingMutations,
];
