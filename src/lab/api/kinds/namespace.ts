/**
 * Namespace: active until deleted, then terminating until the namespace controller has emptied it.
 */
import { fieldsOf } from "../object/object.ts";
import type { Strategy } from "../resources/resource.ts";
import { age, columns, type Printer } from "../table/printer.ts";

export const NAMESPACE_STRATEGY: Strategy = {
  nameRule: "label",
  selectableFields: ["status.phase"],
  defaults: (namespace) => {
    const { metadata } = namespace;
    // What NetworkPolicy and others select a namespace by its name with (KEP-2161).
    metadata.labels = { ...metadata.labels, "kubernetes.io/metadata.name": metadata.name };
    namespace["spec"] = fieldsOf(namespace["spec"]);
  },
  prepareCreate: (namespace) => {
    namespace["spec"] = { finalizers: ["kubernetes"] };
    namespace["status"] = { phase: "Active" };
  },
  prepareUpdate: (namespace, old) => {
    // spec.finalizers change only through the finalize subresource.
    namespace["spec"] = fieldsOf(old["spec"]);
  },
};

export const NAMESPACE_PRINTER: Printer = {
  columns: columns("Name", "Status", "Age"),
  cells: (namespace, now) => [
    namespace.metadata.name,
    fieldsOf(namespace["status"])["phase"] ?? "",
    age(namespace.metadata.creationTimestamp, now),
  ],
};
