/**
 * Ports of rules that no pod has. A name that nobody declares admits nothing, and that is certain. A number that nobody
 * declares is a hint: containers may listen on ports that they do not declare.
 */
import type { ClusterPolicy, PolicyDirection, PolicyPod, PolicyPort, PolicyRule } from "../../model/policy.ts";
import type { AuditContext, AuditInput, DeclaredPort, Finding } from "./audit.ts";
import { selectionOf } from "./peers.ts";
import { listText, portText } from "./policy-text.ts";

/** What some pods declare. */
interface PortSummary {
  readonly pods: number;
  /** A pod that declares nothing may listen anywhere. */
  readonly silent: boolean;
  readonly ports: readonly DeclaredPort[];
}

/** Who is dialled by what a rule admits. */
interface Dialled {
  readonly summaries: readonly PortSummary[];
  /** There are others, whose ports nobody knows. */
  readonly others: boolean;
  readonly who: string;
}

/** Many policies select the same pods: these are looked through once. */
type Summaries = WeakMap<readonly PolicyPod[], PortSummary>;

export function portFindings(policies: readonly ClusterPolicy[], context: AuditContext): Finding[] {
  const summaries: Summaries = new WeakMap();
  return policies.flatMap((policy) =>
    (["ingress", "egress"] as const).flatMap((direction) =>
      (policy[direction] ?? []).flatMap((rule, r) => {
        if (rule.ports === undefined || rule.peers?.length === 0) return [];
        const dialled = whoIsDialled(direction, policy, rule, context, summaries);
        return rule.ports.flatMap((port, p): Finding[] => {
          const found = typeof port.port === "string" ? nameless(port, dialled) : undeclared(port, dialled);
          const { namespace, name } = policy;
          const head = { kind: "port-nowhere", namespace, policy: name, direction, rule: r + 1, port: p + 1 } as const;
          return found === undefined ? [] : [{ ...head, ...found }];
        });
      }),
    ),
  );
}

function whoIsDialled(
  direction: PolicyDirection,
  { namespace, pods: selector }: ClusterPolicy,
  { peers }: PolicyRule,
  { pods, input }: AuditContext,
  summaries: Summaries,
): Dialled {
  const summary = (some: readonly PolicyPod[]) => {
    const known = summaries.get(some) ?? summarize(some, input);
    summaries.set(some, known);
    return known;
  };
  if (direction === "ingress") {
    const selected = summary(pods.selected({ namespaces: namespace, pods: selector }));
    return { summaries: [selected], others: false, who: "pod that the policy selects" };
  }
  const selections = peers?.flatMap((peer) => (peer.kind === "pods" ? [selectionOf(peer, namespace)] : []));
  // In a block there may be any pod.
  if (selections === undefined || selections.length < (peers?.length ?? 0))
    return { summaries: [summary(input.pods)], others: true, who: "pod of the cluster" };
  return {
    summaries: selections.map((selection) => summary(pods.selected(selection))),
    others: false,
    who: "pod among its peers",
  };
}

function summarize(pods: readonly PolicyPod[], { declaredPorts }: AuditInput): PortSummary {
  const ports = new Map<string, DeclaredPort>();
  let silent = false;
  for (const { namespace, name } of pods) {
    const own = declaredPorts.get(`${namespace}/${name}`) ?? [];
    if (own.length === 0) silent = true;
    for (const port of own) ports.set(`${port.name ?? ""} ${port.protocol} ${port.port}`, port);
  }
  return { pods: pods.length, silent, ports: [...ports.values()] };
}

type PortFinding = Pick<Finding, "message" | "hint">;

function nameless(port: PolicyPort, { summaries, who }: Dialled): PortFinding | undefined {
  // That nobody is there is a finding of its own.
  if (summaries.every(({ pods }) => pods === 0)) return undefined;
  const named = summaries.flatMap(({ ports }) => ports.filter(({ name }) => name === port.port));
  if (named.some(({ protocol }) => protocol === port.protocol)) return undefined;
  const [other] = named;
  const hint = other === undefined ? "" : `; what has that name is ${other.protocol} ${other.port}`;
  return { message: `its port ${portText(port)} is declared by no ${who}: it admits nothing${hint}` };
}

function undeclared(
  { protocol, port, endPort }: PolicyPort,
  { summaries, others, who }: Dialled,
): PortFinding | undefined {
  if (typeof port !== "number" || others) return undefined;
  if (summaries.every(({ pods }) => pods === 0) || summaries.some(({ silent }) => silent)) return undefined;
  const last = endPort ?? port;
  const declared = summaries.flatMap(({ ports }) => ports);
  if (declared.some((each) => each.protocol === protocol && each.port >= port && each.port <= last)) return undefined;
  const text = portText({ protocol, port, ...(endPort === undefined ? {} : { endPort }) });
  const instead = [...new Set(declared.map((each) => `${each.protocol} ${each.port}`))].sort();
  return {
    message: `its port ${text} is declared by no ${who}; they declare ${listText(instead)} (containers may listen on what they do not declare)`,
    hint: true,
  };
}
