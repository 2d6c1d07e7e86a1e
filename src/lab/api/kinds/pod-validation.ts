/**
 * What makes a Pod unacceptable, and what of it may change once it is there (pkg/apis/core/validation).
 */
import type { FieldErrors } from "../object/field-errors.ts";
import { envNameFault, labelFault, portNameFault, portNumberFault } from "../object/names.ts";
import {
  at,
  clone,
  equal,
  type Fields,
  fieldsOf,
  isFields,
  type KubeObject,
  listOf,
  textOf,
} from "../object/object.ts";

export const PROTOCOLS = ["TCP", "UDP", "SCTP"];

export function validatePod(pod: KubeObject, errors: FieldErrors): void {
  const spec = fieldsOf(pod["spec"]);
  oneOf(spec["restartPolicy"], ["Always", "OnFailure", "Never"], "spec.restartPolicy", errors);
  oneOf(spec["dnsPolicy"], ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], "spec.dnsPolicy", errors);
  const grace = spec["terminationGracePeriodSeconds"];
  if (typeof grace === "number" && grace < 0) {
    errors.invalid("spec.terminationGracePeriodSeconds", grace, "must be greater than or equal to 0");
  }
  const volumes = validateVolumes(spec, errors);
  const names = new Set<string>();
  for (const list of ["initContainers", "containers"]) {
    for (const [i, container] of listOf(spec[list]).entries()) {
      validateContainer(fieldsOf(container), `spec.${list}[${i}]`, { names, volumes, spec, errors });
    }
  }
}

export function oneOf(value: unknown, supported: readonly string[], field: string, errors: FieldErrors): void {
  if (value !== undefined && !supported.includes(textOf(value))) errors.notSupported(field, value, supported);
}

function validateVolumes(spec: Fields, errors: FieldErrors): ReadonlySet<string> {
  const names = new Set<string>();
  for (const [i, volume] of listOf(spec["volumes"]).entries()) {
    const name = textOf(at(volume, "name"));
    const field = `spec.volumes[${i}]`;
    if (names.has(name)) errors.duplicate(`${field}.name`, name);
    names.add(name);
    const fault = name === "" ? undefined : labelFault(name);
    if (fault !== undefined) errors.invalid(`${field}.name`, name, fault);
    const sources = Object.keys(fieldsOf(volume)).filter((key) => key !== "name");
    if (sources.length > 1) errors.forbidden(`${field}.${sources[1]}`, "may not specify more than 1 volume type");
  }
  return names;
}

interface PodPlace {
  readonly names: Set<string>;
  readonly volumes: ReadonlySet<string>;
  readonly spec: Fields;
  readonly errors: FieldErrors;
}

function validateContainer(container: Fields, field: string, { names, volumes, spec, errors }: PodPlace): void {
  const name = textOf(container["name"]);
  const fault = name === "" ? undefined : labelFault(name);
  if (fault !== undefined) errors.invalid(`${field}.name`, name, fault);
  if (names.has(name)) errors.duplicate(`${field}.name`, name);
  names.add(name);
  if (textOf(container["image"]) === "") errors.required(`${field}.image`);
  oneOf(container["imagePullPolicy"], ["Always", "IfNotPresent", "Never"], `${field}.imagePullPolicy`, errors);
  validatePorts(listOf(container["ports"]), `${field}.ports`, spec["hostNetwork"] === true, errors);
  for (const [i, variable] of listOf(container["env"]).entries()) {
    const variableName = textOf(at(variable, "name"));
    const envFault = variableName === "" ? undefined : envNameFault(variableName);
    if (envFault !== undefined) errors.invalid(`${field}.env[${i}].name`, variableName, envFault);
  }
  for (const [i, mount] of listOf(container["volumeMounts"]).entries()) {
    const volume = textOf(at(mount, "name"));
    if (volume !== "" && !volumes.has(volume)) errors.notFound(`${field}.volumeMounts[${i}].name`, volume);
  }
}

function validatePorts(ports: readonly unknown[], field: string, hostNetwork: boolean, errors: FieldErrors): void {
  const names = new Set<string>();
  for (const [i, port] of ports.entries()) {
    const place = `${field}[${i}]`;
    const { name, containerPort, hostPort, protocol } = fieldsOf(port);
    if (typeof name === "string" && name !== "") {
      const fault = portNameFault(name);
      if (fault !== undefined) errors.invalid(`${place}.name`, name, fault);
      else if (names.has(name)) errors.duplicate(`${place}.name`, name);
      names.add(name);
    }
    if (containerPort !== undefined && portNumberFault(containerPort) !== undefined) {
      errors.invalid(`${place}.containerPort`, containerPort, "must be between 1 and 65535, inclusive");
    }
    if (hostPort !== undefined && hostPort !== 0 && portNumberFault(hostPort) !== undefined) {
      errors.invalid(`${place}.hostPort`, hostPort, "must be between 1 and 65535, inclusive");
    }
    if (hostNetwork && hostPort !== containerPort) {
      errors.invalid(`${place}.containerPort`, containerPort, "must match `hostPort` when `hostNetwork` is true");
    }
    oneOf(protocol, PROTOCOLS, `${place}.protocol`, errors);
  }
}

const MUTABLE =
  "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`," +
  "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations)," +
  "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

export function validatePodUpdate(pod: KubeObject, old: KubeObject, errors: FieldErrors): void {
  const now = listOf(at(pod, "spec", "containers"));
  if (now.length !== listOf(at(old, "spec", "containers")).length) {
    errors.forbidden("spec.containers", "pod updates may not add or remove containers");
    return;
  }
  const tolerations = listOf(at(pod, "spec", "tolerations"));
  const kept = listOf(at(old, "spec", "tolerations")).every((item) => tolerations.some((other) => equal(item, other)));
  if (!kept)
    errors.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds");
  if (!equal(fixedSpec(pod), fixedSpec(old))) {
    const fields = differingFields(fixedSpec(pod), fixedSpec(old));
    errors.forbidden("spec", `${MUTABLE}; changed: ${fields.join(", ")}`);
  }
}

/** The spec without what may change. */
function fixedSpec(pod: KubeObject): Fields {
  const spec = clone(fieldsOf(pod["spec"]));
  for (const name of ["activeDeadlineSeconds", "tolerations", "schedulingGates", "ephemeralContainers"])
    delete spec[name];
  for (const list of ["containers", "initContainers"]) {
    for (const container of listOf(spec[list])) if (isFields(container)) delete container["image"];
  }
  return spec;
}

function differingFields(a: Fields, b: Fields): string[] {
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...names].filter((name) => !equal(a[name], b[name])).map((name) => `spec.${name}`);
}
