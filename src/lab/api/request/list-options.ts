/**
 * Query parameters of list and watch, checked and with their defaults.
 */
import { FieldErrors } from "../object/field-errors.ts";
import type { KubeObject } from "../object/object.ts";
import { badRequest, invalid, tooLargeVersion } from "../object/status.ts";
import type { Resource } from "../resources/resource.ts";
import { parseFieldSelector } from "../selector/field-selector.ts";
import { parseLabelSelector } from "../selector/label-selector.ts";
import type { Exchange } from "./exchange.ts";

export interface ListOptions {
  readonly selects: (object: KubeObject) => boolean;
  /** True when a selector can leave objects out: counts of what remains are then unknown. */
  readonly selective: boolean;
  /** The version asked for; undefined for none or "0": any state will do. */
  readonly version: number | undefined;
  readonly versionText: string;
  readonly match: "" | "Exact" | "NotOlderThan";
  readonly limit: number;
  readonly continueToken: string;
  readonly sendInitialEvents: boolean | undefined;
}

/** @throws StatusError 400, 422 or 504 for parameters that mean nothing here */
export function listOptions(
  exchange: Exchange,
  resource: Resource,
  namespace: string | undefined,
  current: number,
): ListOptions {
  const fields = ["metadata.name", "metadata.namespace", ...(resource.strategy.selectableFields ?? [])];
  const labelText = exchange.parameter("labelSelector");
  const fieldText = exchange.parameter("fieldSelector");
  const byLabels = parseLabelSelector(labelText);
  const byFields = parseFieldSelector(fieldText, fields);
  const versionText = exchange.parameter("resourceVersion");
  const match = exchange.parameter("resourceVersionMatch");
  const sendInitialEvents = exchange.query.has("sendInitialEvents") ? exchange.flag("sendInitialEvents") : undefined;
  checkMatch(match, versionText, exchange.parameter("continue"), sendInitialEvents);
  return {
    selects: (object) =>
      (namespace === undefined || object.metadata.namespace === namespace) &&
      byLabels(object.metadata.labels ?? {}) &&
      byFields(object),
    selective: labelText !== "" || fieldText !== "",
    version: parseVersion(versionText, current),
    versionText,
    match: match === "Exact" || match === "NotOlderThan" ? match : "",
    limit: parseCount(exchange.parameter("limit"), "limit"),
    continueToken: exchange.parameter("continue"),
    sendInitialEvents,
  };
}

function parseVersion(text: string, current: number): number | undefined {
  if (text === "" || text === "0") return undefined;
  if (!/^\d{1,20}$/.test(text))
    throw badRequest(`Invalid value: ${JSON.stringify(text)}: resourceVersion must be an unsigned integer`);
  if (Number(text) > current) throw tooLargeVersion(text, String(current));
  return Number(text);
}

function parseCount(text: string, name: string): number {
  if (text === "") return 0;
  if (!/^\d{1,15}$/.test(text))
    throw badRequest(`Invalid value: ${JSON.stringify(text)}: ${name} must be a non-negative integer`);
  return Number(text);
}

function checkMatch(match: string, version: string, token: string, initial: boolean | undefined): void {
  const errors = new FieldErrors();
  if (match !== "" && match !== "Exact" && match !== "NotOlderThan") {
    errors.notSupported("resourceVersionMatch", match, ["Exact", "NotOlderThan"]);
  } else if (match !== "" && version === "" && initial === undefined) {
    errors.forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided");
  } else if (match !== "" && token !== "") {
    errors.forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided");
  } else if (match === "Exact" && version === "0") {
    errors.forbidden("resourceVersionMatch", 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"');
  } else if (initial !== undefined && match !== "NotOlderThan") {
    errors.forbidden("resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
  }
  const kind = { group: "meta.k8s.io", plural: "listoptions", kind: "ListOptions" };
  if (errors.causes.length > 0) throw invalid(kind, "", errors.causes);
}
