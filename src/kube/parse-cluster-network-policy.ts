/**
 * policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy -> {@link ClusterNetworkPolicy}. What cannot be understood is reported
 * and closed as the API says (ClusterNetworkPolicyIngressPeer, "fail closed"): an Accept rule matches nothing, a Deny or a Pass
 * rule denies everything.
 */
import {
  type ClusterNetworkPolicy,
  MAX_PRIORITY,
  POLICY_TIERS,
  TIER_ACTIONS,
  type TierRule,
  UNDERSTOOD,
  UNKNOWN_PRIORITY,
} from "../model/cluster-network-policy.ts";
import { asObject, asString, type JsonObject } from "./json.ts";
import type { ReportField } from "./object-reader.ts";
import { listItems, metadataName, stringField } from "./parse-fields.ts";
import { type ListItem, parseSelector } from "./parse-selector.ts";
import { onlyField, parsePeers, parsePods, parseProtocols } from "./parse-tier-rule.ts";

type Direction = "ingress" | "egress";
type Subject = ClusterNetworkPolicy["subject"];

const NOTHING = { peers: [], ports: [] } as const;

export function parseClusterNetworkPolicy(object: JsonObject, report: ReportField): ClusterNetworkPolicy {
  const metadata = asObject(object["metadata"]);
  const spec = asObject(object["spec"]) ?? {};
  const tier = POLICY_TIERS.find((name) => name === spec["tier"]);
  if (tier === undefined) report("spec.tier", `${quoted(spec["tier"])} is neither Admin nor Baseline: ${DENIES_ONLY}`);
  const priority = parsePriority(spec["priority"], report);
  const subject = parseSubject(spec["subject"], (field, why) => report(field, `${why}: ${DENIES_ONLY}`));
  // Where it stands or whom it is about is not known: what it denies is denied in the widest sense.
  const isKnown = tier !== undefined && priority !== undefined && subject !== undefined;
  const rules = (direction: Direction) => {
    const parsed = parseRules(spec[direction], direction, report);
    return isKnown ? parsed : parsed.map(onlyDenying);
  };
  const understood = understoodCondition(asObject(object["status"]));
  return {
    name: metadataName(object),
    uid: stringField(metadata?.["uid"], "metadata.uid", report),
    generation: generationField(metadata?.["generation"]),
    tier: tier ?? "Admin",
    priority: priority ?? UNKNOWN_PRIORITY,
    subject: subject ?? { namespaces: [], pods: [] },
    ingress: rules("ingress"),
    egress: rules("egress"),
    ...(understood === undefined ? {} : { understood }),
  };
}

const DENIES_ONLY = "the policy accepts nothing, and denies in front of its tier what its other rules match";

function onlyDenying(rule: TierRule): TierRule {
  return rule.action === "Accept" ? { ...rule, ...NOTHING } : { ...rule, action: "Deny" };
}

function parsePriority(value: unknown, report: ReportField): number | undefined {
  const isKnown = typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MAX_PRIORITY;
  if (isKnown) return value;
  report("spec.priority", `${quoted(value)} is no whole number from 0 to ${MAX_PRIORITY}: ${DENIES_ONLY}`);
  return undefined;
}

function parseSubject(value: unknown, report: ReportField): Subject | undefined {
  const path = "spec.subject";
  const field = onlyField(value, path, report);
  if (field?.name === "namespaces") {
    const namespaces = parseSelector(field.value, field.path, report);
    return namespaces && { namespaces, pods: [] };
  }
  if (field?.name === "pods") return parsePods(field.value, field.path, report);
  if (field !== undefined) report(field.path, "it is no subject that is known");
  return undefined;
}

function parseRules(value: unknown, direction: Direction, report: ReportField): TierRule[] {
  const path = `spec.${direction}`;
  let isList = true;
  const items = listItems(value, path, (field, why) => {
    isList = false;
    report(field, `${why}: everything is denied`);
  });
  if (!isList) return [{ name: "", action: "Deny" }];
  return (items ?? []).map((item) => parseRule(item, direction, report));
}

function parseRule({ item, path }: ListItem, direction: Direction, report: ReportField): TierRule {
  const fields = asObject(item);
  if (fields === undefined) {
    report(path, "it is no rule: it denies everything");
    return { name: "", action: "Deny" };
  }
  const name = stringField(fields["name"], `${path}.name`, report);
  const action = TIER_ACTIONS.find((each) => each === fields["action"]);
  if (action === undefined) {
    const why = `${quoted(fields["action"])} is none of ${TIER_ACTIONS.join(", ")}`;
    report(`${path}.action`, `${why}: what the rule matches is denied`);
  }
  const end = action === "Accept" ? "the rule matches nothing" : "the rule denies everything";
  const match = parseMatch({ item: fields, path }, direction, (field, why) => report(field, `${why}: ${end}`));
  if (match !== undefined) return { name, action: action ?? "Deny", ...match };
  return action === "Accept" ? { name, action, ...NOTHING } : { name, action: "Deny" };
}

/** Undefined, and a report, unless all of it is understood. */
function parseMatch(
  { item, path }: { readonly item: JsonObject; readonly path: string },
  direction: Direction,
  report: ReportField,
): Pick<TierRule, "peers" | "ports"> | undefined {
  const peers = parsePeers(item, direction, path, report);
  const ports = parseProtocols(item["protocols"], `${path}.protocols`, report);
  if (peers === undefined || ports === undefined) return undefined;
  const isNamed = ports !== "all" && ports.some(({ port }) => typeof port === "string");
  if (isNamed && peers.some(({ kind }) => kind !== "pods")) {
    report(`${path}.protocols`, "nodes and networks have no ports with names");
    return undefined;
  }
  return { peers, ...(ports === "all" ? {} : { ports }) };
}

function understoodCondition(status: JsonObject | undefined): ClusterNetworkPolicy["understood"] {
  const items = listItems(status?.["conditions"], "", () => undefined) ?? [];
  const condition = items.map(({ item }) => asObject(item)).find((each) => each?.["type"] === UNDERSTOOD);
  if (condition === undefined) return undefined;
  const text = (field: string) => asString(condition[field]) ?? "";
  return {
    ...{ status: text("status"), message: text("message"), lastTransitionTime: text("lastTransitionTime") },
    observedGeneration: generationField(condition["observedGeneration"]),
  };
}

function generationField(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

function quoted(value: unknown): string {
  return value === undefined ? "what is missing" : JSON.stringify(value).slice(0, 80);
}
