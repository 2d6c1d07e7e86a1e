/**
 * Event, in both of its spellings. core/v1 is what is stored; events.k8s.io/v1 is a view of the same object with other
 * field names (pkg/apis/events/v1/conversion.go).
 */
import type { FieldErrors } from "../object/field-errors.ts";
import { at, type Fields, type KubeObject, textOf } from "../object/object.ts";
import type { Strategy } from "../resources/resource.ts";
import { age, columns, type Printer } from "../table/printer.ts";

export const EVENT_STRATEGY: Strategy = {
  nameRule: "subdomain",
  selectableFields: [
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
  ],
  validate: validateEvent,
};

function validateEvent(event: KubeObject, errors: FieldErrors): void {
  const namespace = textOf(at(event, "involvedObject", "namespace"));
  // Events of cluster-scoped objects live in "default".
  const wanted = namespace === "" ? ["default", "kube-system"] : [namespace];
  if (!wanted.includes(event.metadata.namespace ?? "")) {
    errors.invalid("involvedObject.namespace", namespace, "does not match event.namespace");
  }
}

/** events.k8s.io/v1 name -> core/v1 name. */
const RENAMED: readonly (readonly [string, string])[] = [
  ["note", "message"],
  ["regarding", "involvedObject"],
  ["reportingController", "reportingComponent"],
  ["deprecatedSource", "source"],
  ["deprecatedFirstTimestamp", "firstTimestamp"],
  ["deprecatedLastTimestamp", "lastTimestamp"],
  ["deprecatedCount", "count"],
];

export function eventToStored(event: KubeObject): KubeObject {
  return rename(event, RENAMED, "v1");
}

export function eventFromStored(event: KubeObject): KubeObject {
  return rename(
    event,
    RENAMED.map(([events, core]) => [core, events] as const),
    "events.k8s.io/v1",
  );
}

function rename(event: KubeObject, names: readonly (readonly [string, string])[], apiVersion: string): KubeObject {
  const target = new Map(names);
  const fields: Fields = {};
  for (const [name, value] of Object.entries(event)) fields[target.get(name) ?? name] = value;
  return { ...fields, apiVersion, kind: "Event", metadata: event.metadata };
}

export const EVENT_PRINTER: Printer = {
  columns: columns(
    "Last Seen",
    "Type",
    "Reason",
    "Object",
    "+Subobject",
    "+Source",
    "Message",
    "+First Seen",
    "+Count",
    "+Name",
  ),
  cells: (event, now) => {
    const first = event["firstTimestamp"] ?? event["eventTime"] ?? event.metadata.creationTimestamp;
    const last = at(event, "series", "lastObservedTime") ?? event["lastTimestamp"] ?? first;
    const kind = textOf(at(event, "involvedObject", "kind")).toLowerCase();
    const name = textOf(at(event, "involvedObject", "name"));
    return [
      age(last, now),
      textOf(event["type"]),
      textOf(event["reason"]),
      `${kind}/${name}`,
      textOf(at(event, "involvedObject", "fieldPath")),
      source(event),
      textOf(event["message"]).trim(),
      age(first, now),
      String(at(event, "series", "count") ?? event["count"] ?? 1),
      event.metadata.name,
    ];
  },
};

function source(event: KubeObject): string {
  const component = textOf(at(event, "source", "component")) || textOf(event["reportingComponent"]);
  const host = textOf(at(event, "source", "host")) || textOf(event["reportingInstance"]);
  return [component, host].filter((part) => part !== "").join(", ");
}
