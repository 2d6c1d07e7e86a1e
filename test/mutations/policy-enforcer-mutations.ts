/** Errors in what keeps the kernel at what is planned. */
import type { Mutation } from "./mutant.ts";

const ENFORCER = "src/agent/policies/policy-enforcer.ts";
const INPUT = "src/plan/policies/policy-input.ts";
const CUTTER = "src/agent/policies/flow-cutter.ts";
const TEST = "src/agent/policies/policy-enforcer.test.ts";

export const enforcerMutations: readonly Mutation[] = [
  {
    what: "a pod is let in before its rules are in the kernel",
    file: ENFORCER,
    find: "    this.#run();\n    const failure = this.#failure ?? this.#cutFormer(pod);",
    replace: "    this.request();\n    const failure = this.#failure ?? this.#cutFormer(pod);",
    test: [TEST, "PolicyEnforcer.admit() puts a pod's rules into the kernel before it returns"],
  },
  {
    what: "a pod is let in although its rules could not be put into the kernel",
    file: ENFORCER,
    find: "    if (failure === undefined) return;\n",
    replace: "    if (failure !== undefined) return;\n",
    test: [
      TEST,
      "PolicyEnforcer.admit() throws when the kernel refuses, and goes on to throw until a round has succeeded",
    ],
  },
  {
    what: "flows of a former pod stay",
    file: CUTTER,
    find: "    conntrack.deleteMatching({ family, reply: { source } });\n",
    replace: "",
    test: [TEST, "PolicyEnforcer.admit() cuts what is tracked of a pod that had the address before, and nothing else"],
  },
  {
    what: "flows that are admitted are cut, too",
    file: CUTTER,
    find: "isHere(own.ip) && !judge(",
    replace: "isHere(own.ip) && null !== judge(",
    test: [TEST, "PolicyEnforcer cuts the flows that a new policy forbids, and no others"],
  },
  {
    what: "an address belongs to the pod that the API still tells of",
    file: INPUT,
    find: "(names.has(key) || pod.ips.some((ip) => taken.has(ip)))",
    replace: "names.has(key)",
    test: [TEST, "PolicyEnforcer gives an address to the pod that has it here, not to one that the API still tells of"],
  },
];
