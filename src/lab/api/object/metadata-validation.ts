/**
 * Checks of object metadata, the same for every kind.
 */
import type { FieldErrors } from "./field-errors.ts";
import {
  label1035Fault,
  labelFault,
  labelValueFault,
  pathSegmentFault,
  qualifiedNameFault,
  subdomainFault,
} from "./names.ts";
import { at, type KubeObject, listOf, textOf } from "./object.ts";

/** TotalAnnotationSizeLimitB of k8s.io/apimachinery/pkg/api/validation. */
const MAX_ANNOTATION_BYTES = 256 * 1024;

const NAME_FAULTS = {
  subdomain: subdomainFault,
  label: labelFault,
  "label-1035": label1035Fault,
  "path-segment": pathSegmentFault,
} as const;

export function validateMetadata(object: KubeObject, rule: keyof typeof NAME_FAULTS, errors: FieldErrors): void {
  const { name, labels, annotations, finalizers, ownerReferences } = object.metadata;
  if (!name) errors.required("metadata.name", "name or generateName is required");
  else {
    const fault = NAME_FAULTS[rule](name);
    if (fault !== undefined) errors.invalid("metadata.name", name, fault);
  }
  validateLabels(labels ?? {}, "metadata.labels", errors);
  validateAnnotations(annotations ?? {}, errors);
  for (const finalizer of finalizers ?? []) {
    const fault = qualifiedNameFault(finalizer);
    if (fault !== undefined) errors.invalid("metadata.finalizers", finalizer, fault);
  }
  validateOwners(ownerReferences ?? [], errors);
}

export function validateLabels(labels: Readonly<Record<string, string>>, field: string, errors: FieldErrors): void {
  for (const [key, value] of Object.entries(labels)) {
    const keyFault = qualifiedNameFault(key);
    if (keyFault !== undefined) errors.invalid(field, key, keyFault);
    const valueFault = labelValueFault(value);
    if (valueFault !== undefined) errors.invalid(field, value, valueFault);
  }
}

function validateAnnotations(annotations: Readonly<Record<string, string>>, errors: FieldErrors): void {
  let size = 0;
  for (const [key, value] of Object.entries(annotations)) {
    const fault = qualifiedNameFault(key.toLowerCase());
    if (fault !== undefined) errors.invalid("metadata.annotations", key, fault);
    size += key.length + value.length;
  }
  if (size > MAX_ANNOTATION_BYTES) errors.tooLong("metadata.annotations", MAX_ANNOTATION_BYTES);
}

function validateOwners(owners: readonly unknown[], errors: FieldErrors): void {
  for (const [i, owner] of owners.entries()) {
    for (const name of ["apiVersion", "kind", "name", "uid"]) {
      if (textOf(at(owner, name)) === "")
        errors.required(`metadata.ownerReferences[${i}].${name}`, "must not be empty");
    }
  }
  if (owners.filter((owner) => at(owner, "controller") === true).length > 1) {
    errors.invalid("metadata.ownerReferences", null, "Only one reference can have Controller set to true");
  }
}

/** A LabelSelector object: operators, and values where the operator wants them. */
export function validateLabelSelector(selector: unknown, field: string, errors: FieldErrors): void {
  const pairs = at(selector, "matchLabels");
  if (typeof pairs === "object" && pairs !== null) {
    validateLabels(pairs as Record<string, string>, `${field}.matchLabels`, errors);
  }
  for (const [i, expression] of listOf(at(selector, "matchExpressions")).entries()) {
    const place = `${field}.matchExpressions[${i}]`;
    const values = listOf(at(expression, "values"));
    const operator = at(expression, "operator");
    if (operator === "In" || operator === "NotIn") {
      if (values.length === 0)
        errors.required(`${place}.values`, "must be specified when `operator` is 'In' or 'NotIn'");
    } else if (operator === "Exists" || operator === "DoesNotExist") {
      if (values.length > 0)
        errors.forbidden(`${place}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    } else errors.invalid(`${place}.operator`, operator, "not a valid selector operator");
    const fault = qualifiedNameFault(textOf(at(expression, "key")));
    if (fault !== undefined) errors.invalid(`${place}.key`, at(expression, "key"), fault);
  }
}
