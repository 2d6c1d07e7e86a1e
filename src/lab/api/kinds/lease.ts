/**
 * Lease: who leads, until when.
 */
import { at, type KubeObject, textOf } from "../object/object.ts";
import type { Strategy } from "../resources/resource.ts";
import { age, columns, type Printer } from "../table/printer.ts";

export const LEASE_STRATEGY: Strategy = {
  nameRule: "subdomain",
  validate: (lease, errors) => {
    const seconds = at(lease, "spec", "leaseDurationSeconds");
    if (typeof seconds === "number" && seconds <= 0) {
      errors.invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0");
    }
    const transitions = at(lease, "spec", "leaseTransitions");
    if (typeof transitions === "number" && transitions < 0) {
      errors.invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0");
    }
  },
};

export const LEASE_PRINTER: Printer = {
  columns: columns("Name", "Holder", "Age"),
  cells: (lease: KubeObject, now) => [
    lease.metadata.name,
    textOf(at(lease, "spec", "holderIdentity")),
    age(lease.metadata.creationTimestamp, now),
  ],
};
