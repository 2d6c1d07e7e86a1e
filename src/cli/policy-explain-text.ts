/** An explanation for a terminal, and as JSON. */
import { stringify } from "yaml";
import { ipFamily } from "../model/ip.ts";
import {
  type Explanation,
  type Party,
  type Question,
  SIDES,
  type Side,
  type TierRuleName,
  type Way,
} from "../plan/policies/explain.ts";
import type { Suggestion } from "../plan/policies/explain-suggestion.ts";
import type { ClusterPods } from "../plan/policies/peers.ts";
import { labelsText, listText } from "../plan/policies/policy-text.ts";
import { formatTable } from "./table.ts";

/** Rules that came near; a pod may have a thousand policies. */
const MISSES_SHOWN = 6;

export function explanationJson(
  { from, to, protocol, port }: Question,
  { admitted, ways, suggestions, advice, problems }: Explanation,
  notes: readonly string[],
): unknown {
  const party = ({ name, kind, nodeName }: Party) => ({ name, kind, node: nodeName ?? null });
  const side = (own: Party, each: Side) => ({
    allowed: each.admitted,
    why: whyText(own, each),
    by: each.by ?? null,
    exempt: each.exempt ?? null,
    tier: each.tier ?? null,
    selecting: each.selecting,
    matched: each.matched,
    misses: each.misses,
  });
  return {
    from: party(from),
    to: { ...party(to), port, protocol },
    allowed: admitted,
    ways: ways.map((way) => ({
      from: way.from,
      to: way.to,
      allowed: way.admitted,
      egress: side(from, way.egress),
      ingress: side(to, way.ingress),
    })),
    suggestions,
    advice,
    problems,
    notes,
  };
}

export function formatExplanation(
  question: Question,
  explanation: Explanation,
  notes: readonly string[],
  cluster: ClusterPods,
): string {
  const { ways, suggestions, advice, problems } = explanation;
  return [
    headline(question, explanation),
    ...groups(ways).map(({ label, way }) => formatWay(question, label, way)),
    ...nearest(question, ways, cluster),
    ...(problems.length === 0 ? [] : [formatProblems(problems)]),
    ...(notes.length === 0 ? [] : [notes.map((note) => `Note: ${note}.\n`).join("")]),
    ...(advice.length === 0 ? [] : [advice.map((each) => `To admit it: ${each}.\n`).join("")]),
    ...formatSuggestions(question, suggestions),
  ].join("\n");
}

function headline({ from, to, protocol, port }: Question, { admitted, ways }: Explanation): string {
  const denied = ways.filter((way) => !way.admitted);
  const mixed = denied.length > 0 && denied.length < ways.length;
  const verdict = admitted
    ? "allowed"
    : mixed
      ? `DENIED ${denied.map(over).join(" and ")}, allowed otherwise`
      : "DENIED";
  return `${describe(from)} -> ${describe(to)} ${protocol} ${port}: ${verdict}\n`;
}

function describe({ name, kind, nodeName, ips }: Party): string {
  const where =
    nodeName === undefined || nodeName === "" ? "" : kind === "node" ? `node ${nodeName}` : `on ${nodeName}`;
  const known = ips.length === 1 && ips[0] === name ? [] : [ips.join(", ")];
  const parts = [...known, ...(where === "" ? [] : [where])];
  return parts.length === 0 ? name : `${name} (${parts.join("; ")})`;
}

function over({ from, to }: Way): string {
  return `from ${from} to ${to}`;
}

/** Ways that end alike, told once. */
function groups(ways: readonly Way[]): { readonly label: string; readonly way: Way }[] {
  const alike = Map.groupBy(ways, ({ egress, ingress }) => JSON.stringify([egress, ingress]));
  return [...alike.values()].flatMap((some) => {
    const [way] = some;
    if (way === undefined) return [];
    const families = [...new Set(some.map(({ from }) => `IPv${ipFamily(from)}`))];
    const isWholeFamily = ways.every((each) => some.includes(each) || !families.includes(`IPv${ipFamily(each.from)}`));
    const label =
      alike.size === 1 ? "" : isWholeFamily ? `Over ${families.join(" and ")}:\n` : `${some.map(over).join("; ")}:\n`;
    return [{ label, way }];
  });
}

function formatWay({ from, to }: Question, label: string, { egress, ingress }: Way): string {
  const row = (direction: string, own: Party, side: Side) => [
    `${direction} of ${own.name}`,
    side.admitted ? "allowed" : "DENIED",
    whyText(own, side),
  ];
  const rows = [row("egress", from, egress), row("ingress", to, ingress)];
  return `${label}${formatTable(["END", "VERDICT", "BECAUSE"], rows)}`;
}

/** A sentence without its end. */
function whyText({ name, kind, nodeName }: Party, { admitted, exempt, by, selecting, matched, tier }: Side): string {
  if (exempt === "no-pod")
    return kind === "node"
      ? `policies are about pods, and ${name} is node ${nodeName} to them`
      : `policies are about pods, and ${name} is none`;
  if (exempt === "own-node") return `between a pod and its own node (${nodeName}) everything passes`;
  if (exempt === "itself") return "a pod always reaches itself";
  const passed = matched
    .filter(({ action }) => action === "Pass")
    .map((each) => `${tierRule(each)} passes it on, then `);
  if (exempt === "not-isolated") return `${passed.join("")}no policy isolates it`;
  const decided = matched.at(-1);
  if (tier === "Admin" || tier === "Baseline") {
    if (decided === undefined) return admitted ? "accepted" : "denied";
    const before = decided.tier === "Baseline" ? passed.join("") : "";
    return `${before}${tierRule(decided)} ${admitted ? "accepts" : "denies"} it`;
  }
  const who =
    selecting.length === 1
      ? `${selecting[0]} selects it`
      : `${selecting.length} policies select it (${listText(selecting)})`;
  if (by !== undefined) return `${passed.join("")}rule ${by.rule} of ${by.policy} admits it`;
  return `${passed.join("")}${who}, and no rule admits this`;
}

function tierRule({ policy, rule, name, tier, priority }: TierRuleName): string {
  return `rule ${rule}${name === "" ? "" : ` (${name})`} of ClusterNetworkPolicy ${policy} (${tier}, priority ${priority})`;
}

function nearest(question: Question, ways: readonly Way[], { namespaces }: ClusterPods): string[] {
  return SIDES.flatMap((direction) => {
    const denied = ways.find((way) => !way[direction].admitted);
    if (denied === undefined) return [];
    const { misses } = denied[direction];
    if (misses.length === 0) return [];
    const peer = direction === "egress" ? question.to : question.from;
    const lines = misses
      .slice(0, MISSES_SHOWN)
      .map(({ policy, rule, why }) => `  ${policy}${rule === 0 ? "" : ` rule ${rule}`} ${why}\n`);
    const more = misses.length > MISSES_SHOWN ? [`  and ${misses.length - MISSES_SHOWN} more: -o json\n`] : [];
    return [
      [
        `What ${direction} of ${direction === "egress" ? question.from.name : question.to.name} admits, the nearest first:\n`,
        ...lines,
        ...more,
        peerLabels(peer, namespaces),
      ].join(""),
    ];
  });
}

/** What a selector would have to match. */
function peerLabels({ name, pod }: Party, namespaces: ClusterPods["namespaces"]): string {
  if (pod === undefined) return "";
  const own = labelsText(pod.labels);
  return `${name} has ${own}; its namespace ${labelsText(namespaces.get(pod.namespace) ?? {})}\n`;
}

function formatProblems(problems: Explanation["problems"]): string {
  const lines = problems.map(({ policy, why }) => `  ${policy}: ${why}\n`);
  return ["Not understood, and so it admits nothing:\n", ...lines].join("");
}

function formatSuggestions({ protocol, port }: Question, suggestions: readonly Suggestion[]): string[] {
  if (suggestions.length === 0) return [];
  const both =
    suggestions.length > 1 ? "It takes all of these to admit it:" : "The smallest policy that would admit it:";
  const meanings = suggestions.flatMap(({ policy, direction, selects, admits, remarks }) => {
    const [dialling, dialled] = direction === "ingress" ? [admits, selects] : [selects, admits];
    const meaning = `lets ${listText(dialling)} dial ${protocol} ${port} of ${listText(dialled)}`;
    return [`  ${policy.metadata.name} ${meaning}\n`, ...remarks.map((remark) => `    (${remark})\n`)];
  });
  const documents = suggestions.map(({ policy }) => stringify(policy, { lineWidth: 0 }));
  return [`${both}\n${meanings.join("")}`, documents.join("---\n")];
}
