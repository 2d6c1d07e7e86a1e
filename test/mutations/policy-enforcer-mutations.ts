/** Errors in what keeps the kernel at what is planned. */
import type { Mutation } from "./mutant.ts";

const ENFORCER = "src/agent/policies/policy-enforcer.ts";
const INPUT = "src/plan/policies/policy-input.ts";
const FORMER = "src/agent/policies/former-flows.ts";
const CUTTER = "src/agent/policies/flow-cutter.ts";
const TEST = "src/agent/policies/policy-enforcer.test.ts";
const ADMIT_TEST = "src/agent/policies/policy-enforcer-admit.test.ts";

export const enforcerMutations: readonly Mutation[] = [
  {
    what: "a pod is let in before its rules are in the kernel",
    file: ENFORCER,
    find: "    this.#run();\n    const failure = this.#failure ?? this.#cutFormer(former);",
    replace: "    this.request();\n    const failure = this.#failure ?? this.#cutFormer(former);",
    test: [ADMIT_TEST, "PolicyEnforcer.admit() puts a pod's rules into the kernel before it returns"],
  },
  {
    what: "a pod is let in although its rules could not be put into the kernel",
    file: ENFORCER,
    find: "    if (failure === undefined) return;\n",
    replace: "    if (failure !== undefined) return;\n",
    test: [
      ADMIT_TEST,
      "PolicyEnforcer.admit() throws when the kernel refuses, and goes on to throw until a round has succeeded",
    ],
  },
  {
    what: "flows of a former pod stay",
    file: FORMER,
    find: "      conntrack.deleteMatching({ family: 4, reply: { source } });\n",
    replace: "",
    test: [
      ADMIT_TEST,
      "PolicyEnforcer.admit() cuts what is tracked of a pod that had the address before, and nothing else",
    ],
  },
  {
    what: "flows of a pod that has a former one's address are cut",
    file: FORMER,
    find: "      this.#left.delete(ip);\n",
    replace: "",
    test: [ADMIT_TEST, "PolicyEnforcer cuts no flow of a pod that has an address which another pod has left"],
  },
  {
    what: "an agent that starts takes away the rules of pods that it has not read yet",
    file: "src/agent/policies/policy-parts.ts",
    find: "if (!this.#synced || !this.#begun) return;",
    replace: "if (!this.#synced) return;",
    test: [
      "src/agent/policies/policy-parts.test.ts",
      "PolicyParts leave the kernel's rules alone, and let no pod in, until the node's own pods are known",
    ],
  },
  {
    what: "flows that are admitted are cut, too",
    file: CUTTER,
    find: "!judge(direction, flow, input.policies, input).admitted",
    replace: "true",
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
