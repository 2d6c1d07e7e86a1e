/**
 * Node: pod CIDRs are set once (by the node IPAM controller, or by whoever creates the Node).
 */
import { parsePrefix } from "../../../model/prefix.ts";
import type { FieldErrors } from "../object/field-errors.ts";
import { at, equal, fieldsOf, type KubeObject, listOf, textOf } from "../object/object.ts";
import type { Strategy } from "../resources/resource.ts";
import { age, columns, type Printer } from "../table/printer.ts";
import { podCondition } from "./pod-printer.ts";
import { oneOf } from "./pod-validation.ts";

export const NODE_STRATEGY: Strategy = {
  nameRule: "subdomain",
  keepsStatus: true,
  selectableFields: ["spec.unschedulable"],
  defaults: (node) => {
    const spec = fieldsOf(node["spec"]);
    node["spec"] = spec;
    // The two spellings of the pod CIDR name each other.
    const cidrs = listOf(spec["podCIDRs"]);
    if (cidrs.length === 0 && spec["podCIDR"]) spec["podCIDRs"] = [spec["podCIDR"]];
    else if (cidrs.length > 0 && !spec["podCIDR"]) spec["podCIDR"] = cidrs[0];
  },
  validate: validateNode,
  validateUpdate: (node, old, errors) => {
    const before = at(old, "spec", "podCIDRs");
    if (before !== undefined && !equal(at(node, "spec", "podCIDRs"), before)) {
      errors.forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid');
    }
  },
};

function validateNode(node: KubeObject, errors: FieldErrors): void {
  const cidrs = listOf(at(node, "spec", "podCIDRs"));
  for (const [i, cidr] of cidrs.entries()) {
    try {
      parsePrefix(textOf(cidr));
    } catch {
      errors.invalid(`spec.podCIDRs[${i}]`, cidr, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
    }
  }
  if (cidrs.length > 0 && cidrs[0] !== at(node, "spec", "podCIDR")) {
    errors.invalid("spec.podCIDRs", cidrs, "first value must match `podCIDR`");
  }
  for (const [i, taint] of listOf(at(node, "spec", "taints")).entries()) {
    oneOf(at(taint, "effect"), ["NoSchedule", "PreferNoSchedule", "NoExecute"], `spec.taints[${i}].effect`, errors);
  }
}

const ROLE_PREFIX = "node-role.kubernetes.io/";

export const NODE_PRINTER: Printer = {
  columns: columns(
    "Name",
    "Status",
    "Roles",
    "Age",
    "Version",
    "+Internal-IP",
    "+External-IP",
    "+OS-Image",
    "+Kernel-Version",
    "+Container-Runtime",
  ),
  cells: (node, now) => [
    node.metadata.name,
    nodeStatus(node),
    roles(node),
    age(node.metadata.creationTimestamp, now),
    info(node, "kubeletVersion"),
    address(node, "InternalIP"),
    address(node, "ExternalIP"),
    info(node, "osImage") || "<unknown>",
    info(node, "kernelVersion") || "<unknown>",
    info(node, "containerRuntimeVersion") || "<unknown>",
  ],
};

function nodeStatus(node: KubeObject): string {
  const ready = podCondition(node, "Ready");
  const word = ready === undefined ? "Unknown" : at(ready, "status") === "True" ? "Ready" : "NotReady";
  return at(node, "spec", "unschedulable") === true ? `${word},SchedulingDisabled` : word;
}

function roles(node: KubeObject): string {
  const names = Object.keys(node.metadata.labels ?? {}).filter((key) => key.startsWith(ROLE_PREFIX));
  return (
    names
      .map((key) => key.slice(ROLE_PREFIX.length))
      .sort()
      .join(",") || "<none>"
  );
}

function info(node: KubeObject, field: string): string {
  return textOf(at(node, "status", "nodeInfo", field));
}

function address(node: KubeObject, type: string): string {
  const entry = listOf(at(node, "status", "addresses")).find((item) => at(item, "type") === type);
  return textOf(at(entry, "address")) || "<none>";
}
