/**
 * NetworkPolicy: policy types by what the policy says, and refusal of peers and ports that mean nothing.
 */
import { parsePrefix, prefixLength, prefixRange } from "../../../model/prefix.ts";
import type { FieldErrors } from "../object/field-errors.ts";
import { validateLabelSelector } from "../object/metadata-validation.ts";
import { portNameFault, portNumberFault } from "../object/names.ts";
import { at, type Fields, fieldsOf, isFields, type KubeObject, listOf, textOf } from "../object/object.ts";
import type { Strategy } from "../resources/resource.ts";
import { age, columns, type Printer } from "../table/printer.ts";
import { setDefault } from "./pod-defaults.ts";
import { oneOf, PROTOCOLS } from "./pod-validation.ts";

export const NETWORK_POLICY_STRATEGY: Strategy = {
  nameRule: "subdomain",
  countsGeneration: true,
  defaults: (policy) => {
    const spec = fieldsOf(policy["spec"]);
    policy["spec"] = spec;
    spec["podSelector"] ??= {};
    for (const rule of [...listOf(spec["ingress"]), ...listOf(spec["egress"])]) {
      for (const port of listOf(at(rule, "ports"))) if (isFields(port)) setDefault(port, "protocol", "TCP");
    }
    // Ingress always; egress only where the policy has a rule for it.
    if (listOf(spec["policyTypes"]).length === 0) {
      spec["policyTypes"] = listOf(spec["egress"]).length > 0 ? ["Ingress", "Egress"] : ["Ingress"];
    }
  },
  validate: validatePolicy,
};

function validatePolicy(policy: KubeObject, errors: FieldErrors): void {
  const spec = fieldsOf(policy["spec"]);
  validateLabelSelector(spec["podSelector"], "spec.podSelector", errors);
  for (const [i, type] of listOf(spec["policyTypes"]).entries()) {
    oneOf(type, ["Ingress", "Egress"], `spec.policyTypes[${i}]`, errors);
  }
  for (const [direction, peers] of [
    ["ingress", "from"],
    ["egress", "to"],
  ] as const) {
    for (const [i, rule] of listOf(spec[direction]).entries()) {
      const field = `spec.${direction}[${i}]`;
      for (const [j, port] of listOf(at(rule, "ports")).entries())
        validatePort(fieldsOf(port), `${field}.ports[${j}]`, errors);
      for (const [j, peer] of listOf(at(rule, peers)).entries())
        validatePeer(fieldsOf(peer), `${field}.${peers}[${j}]`, errors);
    }
  }
}

function validatePort({ port, endPort, protocol }: Fields, field: string, errors: FieldErrors): void {
  oneOf(protocol, PROTOCOLS, `${field}.protocol`, errors);
  const fault = typeof port === "string" ? portNameFault(port) : portNumberFault(port);
  if (port !== undefined && fault !== undefined) errors.invalid(`${field}.port`, port, fault);
  if (endPort === undefined) return;
  if (port === undefined) errors.required(`${field}.port`, "must be specified when `endPort` is");
  else if (typeof port === "string")
    errors.invalid(`${field}.endPort`, endPort, "may not be specified when `port` is non-numeric");
  else if (Number(endPort) < Number(port))
    errors.invalid(`${field}.endPort`, endPort, "must be greater than or equal to `port`");
  else if (portNumberFault(endPort) !== undefined)
    errors.invalid(`${field}.endPort`, endPort, portNumberFault(endPort) ?? "");
}

function validatePeer(peer: Fields, field: string, errors: FieldErrors): void {
  const { podSelector, namespaceSelector, ipBlock } = peer;
  if (podSelector === undefined && namespaceSelector === undefined && ipBlock === undefined) {
    errors.required(field, "must specify a peer");
  }
  if (podSelector !== undefined) validateLabelSelector(podSelector, `${field}.podSelector`, errors);
  if (namespaceSelector !== undefined) validateLabelSelector(namespaceSelector, `${field}.namespaceSelector`, errors);
  if (ipBlock === undefined) return;
  if (podSelector !== undefined || namespaceSelector !== undefined) {
    errors.forbidden(field, "may not specify both ipBlock and another peer");
  }
  validateBlock(fieldsOf(ipBlock), `${field}.ipBlock`, errors);
}

function validateBlock(block: Fields, field: string, errors: FieldErrors): void {
  const cidr = prefixOf(block["cidr"]);
  if (cidr === undefined) {
    if (block["cidr"])
      errors.invalid(`${field}.cidr`, block["cidr"], "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
    return;
  }
  for (const [i, text] of listOf(block["except"]).entries()) {
    const except = prefixOf(text);
    const place = `${field}.except[${i}]`;
    if (except === undefined)
      errors.invalid(place, text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
    else if (!strictlyInside(except, cidr)) errors.invalid(place, text, `must be a strict subset of \`cidr\``);
  }
}

function prefixOf(value: unknown): string | undefined {
  try {
    return parsePrefix(textOf(value));
  } catch {
    return undefined;
  }
}

function strictlyInside(inner: string, outer: string): boolean {
  const a = prefixRange(inner);
  const b = prefixRange(outer);
  return a.family === b.family && a.first >= b.first && a.last <= b.last && prefixLength(inner) > prefixLength(outer);
}

export const NETWORK_POLICY_PRINTER: Printer = {
  columns: columns("Name", "Pod-Selector", "Age"),
  cells: (policy, now) => [
    policy.metadata.name,
    selectorText(at(policy, "spec", "podSelector")),
    age(policy.metadata.creationTimestamp, now),
  ],
};

/** A LabelSelector object as query text (metav1.FormatLabelSelector). */
export function selectorText(selector: unknown): string {
  const pairs = Object.entries(fieldsOf(at(selector, "matchLabels"))).map(([key, value]) => `${key}=${value}`);
  const expressions = listOf(at(selector, "matchExpressions")).map((expression) => {
    const key = textOf(at(expression, "key"));
    const values = listOf(at(expression, "values")).join(",");
    const words: Record<string, string> = {
      In: `${key} in (${values})`,
      NotIn: `${key} notin (${values})`,
      DoesNotExist: `!${key}`,
    };
    return words[textOf(at(expression, "operator"))] ?? key;
  });
  return [...pairs, ...expressions].sort().join(",") || "<none>";
}
