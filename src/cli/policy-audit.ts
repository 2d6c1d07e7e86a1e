/** `breakwater policy audit`: whom no policy isolates, and what of the policies does nothing. Exit code 1 when there is any. */
import { BreakwaterError } from "../model/errors.ts";
import { type AuditInput, audit, FINDING_KINDS, type Finding } from "../plan/policies/audit.ts";
import { listText } from "../plan/policies/policy-text.ts";
import { type CommandSpec, formatHelp, type OptionTable, parseOptions } from "./options.ts";
import { outputOption, printer } from "./output.ts";
import { clusterOptions, type KnownCluster, readCluster, withClient } from "./policy-cluster.ts";

const options = {
  ...clusterOptions,
  namespace: { type: "string", short: "n", value: "NAME", help: "Policies and pods of this namespace only" },
  ...outputOption,
} as const satisfies OptionTable;

export const policyAuditSpec = {
  usage: "breakwater policy audit [options]",
  summary:
    "Lists namespaces and pods that no NetworkPolicy isolates, policies that select nothing, peers and ports that match nothing, rules that change nothing, and what could not be understood.",
  options,
} as const satisfies CommandSpec;

export async function policyAudit(args: readonly string[]): Promise<number> {
  const parsed = parseOptions(policyAuditSpec, args);
  if (parsed === undefined) {
    process.stdout.write(formatHelp(policyAuditSpec));
    return 0;
  }
  const { values } = parsed;
  const print = printer(policyAuditSpec, values.output);
  const cluster = await withClient(values, (client) => readCluster(client, values));
  const { namespace } = values;
  if (namespace !== undefined && !cluster.namespaces.has(namespace)) throw noNamespace(namespace, cluster);
  const findings = audit(auditInput(cluster), namespace);
  const counts = countOf(cluster, namespace);
  print({ ...counts, findings, notes: cluster.notes }, () => formatAudit(findings, counts, cluster.notes));
  return findings.length === 0 ? 0 : 1;
}

function noNamespace(namespace: string, { namespaces }: KnownCluster): BreakwaterError {
  return new BreakwaterError("BW_EXPLAIN", `There is no namespace ${namespace}`, {
    operation: "audit",
    object: namespace,
    remedy: `There are ${listText([...namespaces.keys()].sort(), 12)}`,
  });
}

function auditInput(cluster: KnownCluster): AuditInput {
  const known = [...cluster.known.values()];
  return {
    ...cluster,
    declaredPorts: new Map([...cluster.known].map(([key, { declaredPorts }]) => [key, declaredPorts])),
    hostPods: known.filter(({ hostNetwork, phase }) => hostNetwork && phase !== "Succeeded" && phase !== "Failed"),
  };
}

interface Counts {
  readonly policies: number;
  readonly pods: number;
}

function countOf({ policies, pods }: KnownCluster, namespace: string | undefined): Counts {
  const count = (objects: readonly { readonly namespace: string }[]) =>
    objects.filter((object) => namespace === undefined || object.namespace === namespace).length;
  return { policies: count(policies), pods: count(pods) };
}

/** What each kind means, and what to do about it. */
const MEANINGS: Readonly<Record<Finding["kind"], string>> = {
  "not-understood": "Not understood: these parts admit nothing. Correct them; kubectl explain networkpolicy.spec",
  "not-isolated":
    "Not isolated: no policy selects them for the direction, so everything is allowed. A policy with podSelector {} and that policyType closes a namespace",
  "selects-nothing": "Policies that select nothing: they isolate nobody. Correct the podSelector, or delete them",
  "peer-matches-nothing": "Peers that match nothing: nobody is admitted by them now",
  "port-nowhere": "Ports that no pod has",
  "shadowed-rule": "Shadowed rules: without them the same is allowed. They can be removed, all of them at once",
};

export function formatAudit(
  findings: readonly Finding[],
  { policies, pods }: Counts,
  notes: readonly string[],
): string {
  const what = `${policies} policies and ${pods} pods (without those of the host network)`;
  const head = findings.length === 0 ? `Nothing found in ${what}\n` : `${findings.length} findings in ${what}\n`;
  const sections = FINDING_KINDS.flatMap((kind) => {
    const some = findings.filter((finding) => finding.kind === kind);
    if (some.length === 0) return [];
    return [`${MEANINGS[kind]}:\n${some.map((finding) => `  ${subject(finding)} ${finding.message}\n`).join("")}`];
  });
  return [head, ...sections, ...notes.map((note) => `Note: ${note}\n`)].join("\n");
}

function subject({ namespace, policy, direction, rule, hint }: Finding): string {
  const mark = hint ? "hint: " : "";
  if (policy === undefined) return `${mark}namespace ${namespace}:`;
  const name = namespace === "" ? `ClusterNetworkPolicy ${policy}` : `${namespace}/${policy}`;
  return `${mark}${name}${rule === undefined ? ":" : ` ${direction} rule ${rule}:`}`;
}
