/** Errors in reading NetworkPolicies and their selectors. */
import type { Mutation } from "./mutant.ts";

const PARSER = "src/kube/parse-network-policy.ts";
const PARSER_TEST = "src/kube/parse-network-policy.test.ts";
const SELECTORS = "src/kube/parse-selector.ts";
const MATCHING = "src/model/selector.ts";
const MATCHING_TEST = "src/model/selector.test.ts";

export const parserMutations: readonly Mutation[] = [
  {
    what: "an egress section alone does not isolate egress",
    file: PARSER,
    find: 'return new Set(egress?.length === 0 ? ["Ingress"] : ["Ingress", "Egress"]);',
    replace: 'return new Set(["Ingress"]);',
    test: [PARSER_TEST, "parseNetworkPolicy() is about egress and ingress with an egress section"],
  },
  {
    what: "an egress section without rules isolates egress",
    file: PARSER,
    find: 'return new Set(egress?.length === 0 ? ["Ingress"] : ["Ingress", "Egress"]);',
    replace: 'return new Set(["Ingress", "Egress"]);',
    test: [PARSER_TEST, "parseNetworkPolicy() is about ingress with an egress section without rules"],
  },
  {
    what: "an unknown policyType is passed over",
    file: PARSER,
    find: 'types.add("Ingress").add("Egress");',
    replace: "",
    test: [PARSER_TEST, 'parseNetworkPolicy() closes both directions with the types ["Sideways"], and says so'],
  },
  {
    what: "a podSelector that is not understood selects nobody's directions",
    file: PARSER,
    find: "return { ...identity, pods: [], ingress: [], egress: [] };",
    replace: "return { ...identity, pods: [] };",
    test: [PARSER_TEST, 'parseNetworkPolicy() closes the whole namespace where whom it selects is "app=web"'],
  },
  {
    what: "an empty list of peers admits nobody",
    file: PARSER,
    find: "...(from?.length === 0 ? {}",
    replace: "...(from === undefined ? {}",
    test: [
      PARSER_TEST,
      "parseNetworkPolicy() takes a rule without peers and ports, and empty lists of them, for anybody",
    ],
  },
  {
    what: "an ipBlock is taken whatever stands beside it",
    file: PARSER,
    find: "if (!hasSelector) return parseBlock(ipBlock, path, report);",
    replace: "return parseBlock(ipBlock, path, report);",
    test: [PARSER_TEST, "parseNetworkPolicy() admits nobody by an ipBlock beside a podSelector, and says so"],
  },
  {
    what: "an exception that is no CIDR is passed over",
    file: PARSER,
    find: "if (hole === undefined) return undefined;",
    replace: "if (hole === undefined) continue;",
    test: [PARSER_TEST, "parseNetworkPolicy() admits nobody by an exception that is no CIDR, and says so"],
  },
  {
    what: "an exception around its block excepts nothing",
    file: PARSER,
    find: "else if (prefixesOverlap(hole, prefix)) {",
    replace: "else if (prefixesOverlap(hole, prefix) && hole === prefix) {",
    test: [PARSER_TEST, "parseNetworkPolicy() admits nobody by an exception around its block, and says so"],
  },
  {
    what: "an endPort below its port is a range",
    file: PARSER,
    find: "if (isPort(endPort) && endPort >= port)",
    replace: "if (isPort(endPort))",
    test: [PARSER_TEST, "parseNetworkPolicy() admits nothing by endPort below port, and says so"],
  },
  {
    what: "a port without a protocol is one of UDP",
    file: PARSER,
    find: 'fields["protocol"] ?? "TCP")',
    replace: 'fields["protocol"] ?? "UDP")',
    test: [PARSER_TEST, "parseNetworkPolicy() reads every field, canonical and in order"],
  },
  {
    what: "a podSelector without a namespaceSelector means all namespaces",
    file: PARSER,
    find: 'if (isAbsent(namespaceSelector)) return pods && { kind: "pods", pods };',
    replace: 'if (isAbsent(namespaceSelector)) return pods && { kind: "pods", namespaces: [], pods };',
    test: [
      "test/conformance/netpol/every-pair.test.ts",
      "Ingress: every peer with every port is as the evaluator says",
    ],
  },
  {
    what: "a label that is no text is left out",
    file: SELECTORS,
    find: "understood = false;",
    replace: "",
    test: [PARSER_TEST, "parseNetworkPolicy() admits nobody by a label that is a number, and says so"],
  },
  {
    what: "an expression that is not understood is left out",
    file: SELECTORS,
    find: "if (requirement === undefined) return undefined;",
    replace: "if (requirement === undefined) continue;",
    test: [
      "src/plan/policies/bad-input.test.ts",
      "a rule with an unknown operator admits nothing, and what stands beside it goes on",
    ],
  },
  {
    what: "In without values is taken",
    file: SELECTORS,
    find: "!areText || takesValues !== values.length > 0",
    replace: "!areText",
    test: [PARSER_TEST, "parseNetworkPolicy() admits nobody by In without values, and says so"],
  },
  {
    what: "NotIn needs the label",
    file: MATCHING,
    find: "return value === undefined || !values.includes(value);",
    replace: "return value !== undefined && !values.includes(value);",
    test: [MATCHING_TEST, "matchesSelector() holds app notin (web) against a value, another one and no label"],
  },
  {
    what: "one requirement is enough",
    file: MATCHING,
    find: "selector.every(",
    replace: "selector.some(",
    test: [MATCHING_TEST, "matchesSelector() matches everything without requirements, and needs all of them"],
  },
  {
    what: "labels are found in what objects inherit",
    file: MATCHING,
    find: "const value = Object.hasOwn(labels, key) ? labels[key] : undefined;",
    replace: "const value = labels[key];",
    test: [MATCHING_TEST, "matchesSelector() takes no label from what objects inherit"],
  },
];
