/**
 * A user's own profile: a file in YAML (or JSON) with a name and values. A wrong key is an error that says which keys
 * there are; a sysctl that is not a node's to tune (a pod's, or one that Breakwater keeps itself) is refused.
 */
import { BreakwaterError } from "../../model/errors.ts";
import { IPVS_DEVICE, POD_LINK_PREFIX, VXLAN_DEVICE } from "../../model/marks.ts";
import { sysctlDotted, sysctlPath } from "../../model/sysctl-value.ts";
import type { TuningProfile, TuningRule, TuningValue } from "../../model/tuning.ts";

const KEYS = ["name", "values"] as const;
const VALUE_KEYS = ["value", "rule", "reason"] as const;
const RULES: readonly TuningRule[] = ["at-least", "at-most", "widest", "with", "exactly"];
const NO_REASON = "as the profile's file has it";

/**
 * What Breakwater sets and keeps by itself (required-sysctls.ts, src/plan/services/ipvs.ts): a profile that says otherwise
 * would be undone within ten seconds, and be told of as drift from then on.
 */
const KEPT: readonly RegExp[] = [
  /^net\/ipv4\/ip_forward$/,
  /^net\/ipv[46]\/conf\/[^/]+\/forwarding$/,
  new RegExp(`^net/ipv[46]/conf/(?:${VXLAN_DEVICE}|${IPVS_DEVICE})/`),
  /^net\/netfilter\/nf_conntrack_tcp_timeout_close_wait$/,
  /^net\/bridge\/bridge-nf-call-ip6?tables$/,
  /^net\/ipv4\/vs\/(?:conntrack|expire_nodest_conn|expire_quiescent_template|conn_reuse_mode)$/,
];
const NAME = /^(?:net|fs|kernel|vm|user|sunrpc|dev)\/[\w./*-]+$/;

/**
 * @param document what the file holds, parsed
 * @param path for messages
 * @throws BreakwaterError BW_TUNING naming the key
 */
export function readProfile(document: unknown, path: string): TuningProfile {
  const fail = (what: string, remedy: string): never => {
    throw new BreakwaterError("BW_TUNING", `${path}: ${what}`, { operation: "read profile", object: path, remedy });
  };
  const top = asRecord(document) ?? fail("it is no mapping", "Begin with name: and values:, see docs/design/host.md");
  const wrong = Object.keys(top).find((key) => !(KEYS as readonly string[]).includes(key));
  if (wrong !== undefined) fail(`there is no key "${wrong}"`, `The keys of a profile are ${KEYS.join(" and ")}`);
  const values = asRecord(top["values"]) ?? fail("values is missing, or no mapping", "Write NAME: VALUE below values:");
  const name = top["name"] ?? "custom";
  if (typeof name !== "string" || name === "") return fail("name is no text", "Write name: some-word");
  const read: TuningProfile["values"][number][] = [];
  for (const [key, given] of Object.entries(values)) {
    const value = readValue(key, given, fail);
    if (read.some((other) => other.name === value.name)) fail(`${key} is there twice`, "Keep one of them");
    read.push(value);
  }
  return { name, values: read };
}

type Fail = (what: string, remedy: string) => never;

function readValue(key: string, given: unknown, fail: Fail): TuningValue & { readonly rule?: TuningRule } {
  const name = sysctlPath(key);
  if (!NAME.test(name) || name.includes("..")) {
    return fail(`"${key}" is no sysctl`, "Name it as sysctl(8) does: net.ipv4.tcp_rmem");
  }
  if (/[*?[]/.test(name)) return fail(`"${key}" is a pattern`, "Name each sysctl by itself");
  refuseForeign(name, key, fail);
  const fields = asRecord(given);
  if (fields === undefined) return { name, value: scalar(key, given, fail), reason: NO_REASON };
  const wrong = Object.keys(fields).find((field) => !(VALUE_KEYS as readonly string[]).includes(field));
  if (wrong !== undefined) fail(`${key}: there is no key "${wrong}"`, `The keys are ${VALUE_KEYS.join(", ")}`);
  const rule = fields["rule"];
  if (rule !== undefined && !RULES.some((known) => known === rule)) {
    fail(`${key}: "${String(rule)}" is no rule`, `The rules are ${RULES.join(", ")}`);
  }
  const reason = fields["reason"];
  return {
    name,
    value: scalar(key, fields["value"], fail),
    reason: typeof reason === "string" && reason !== "" ? reason : NO_REASON,
    ...(rule === undefined ? {} : { rule: rule as TuningRule }),
  };
}

function refuseForeign(name: string, key: string, fail: Fail): void {
  if (KEPT.some((kept) => kept.test(name))) {
    fail(
      `${key} is not a profile's to set`,
      "Leave it out: Breakwater sets it to what the node needs and keeps it; 'breakwater host' shows to what",
    );
  }
  if (new RegExp(`/${POD_LINK_PREFIX}[0-9a-f]{11}/`).test(name)) {
    fail(`${key} is of one pod's link`, "Leave it out: what pods have is never touched");
  }
}

function scalar(key: string, given: unknown, fail: Fail): string {
  if (typeof given === "boolean") return given ? "1" : "0";
  if (typeof given === "number" && Number.isSafeInteger(given)) return String(given);
  if (typeof given === "string" && given.trim() !== "" && !given.includes("\n")) return given.trim();
  return fail(`${key} has no usable value`, `Write ${sysctlDotted(sysctlPath(key))}: a number, or text in quotes`);
}

function asRecord(value: unknown): Record<string, unknown> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}
