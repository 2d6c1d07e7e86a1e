/**
 * EndpointSlice and core/v1 Endpoints: checks and tables.
 */
import { ipFamily, tryParseIp } from "../../../model/ip.ts";
import type { FieldErrors } from "../object/field-errors.ts";
import { specialIpFault } from "../object/ip-faults.ts";
import { labelFault, subdomainFault } from "../object/names.ts";
import { at, fieldsOf, isFields, type KubeObject, listOf, textOf } from "../object/object.ts";
import type { Strategy } from "../resources/resource.ts";
import { age, columns, type Printer } from "../table/printer.ts";
import { setDefault } from "./pod-defaults.ts";
import { oneOf, PROTOCOLS } from "./pod-validation.ts";

/** maxEndpoints, maxAddresses of pkg/apis/discovery/validation. */
const MAX_ENDPOINTS = 1000;
const MAX_ADDRESSES = 100;
/** maxZoneHints and maxNodeHints. */
const MAX_HINTS = 8;

export const ENDPOINT_SLICE_STRATEGY: Strategy = {
  nameRule: "subdomain",
  countsGeneration: true,
  defaults: (slice) => {
    slice["endpoints"] ??= [];
    for (const port of listOf(slice["ports"])) {
      if (!isFields(port)) continue;
      port["name"] ??= "";
      setDefault(port, "protocol", "TCP");
    }
  },
  validate: validateSlice,
  validateUpdate: (slice, old, errors) => {
    if (slice["addressType"] !== old["addressType"]) {
      errors.invalid("addressType", slice["addressType"], "field is immutable");
    }
  },
};

function validateSlice(slice: KubeObject, errors: FieldErrors): void {
  const type = slice["addressType"];
  if (!type) errors.required("addressType");
  else oneOf(type, ["IPv4", "IPv6", "FQDN"], "addressType", errors);
  const endpoints = listOf(slice["endpoints"]);
  if (endpoints.length > MAX_ENDPOINTS) errors.tooMany("endpoints", endpoints.length, MAX_ENDPOINTS);
  for (const [i, endpoint] of endpoints.entries()) {
    const addresses = listOf(at(endpoint, "addresses"));
    const field = `endpoints[${i}].addresses`;
    if (addresses.length === 0) errors.required(field, "must contain at least 1 address");
    if (addresses.length > MAX_ADDRESSES) errors.tooMany(field, addresses.length, MAX_ADDRESSES);
    for (const [j, address] of addresses.entries()) validateAddress(textOf(address), type, `${field}[${j}]`, errors);
    validateHints(at(endpoint, "hints"), `endpoints[${i}].hints`, errors);
  }
  validateSlicePorts(listOf(slice["ports"]), errors);
}

function validateSlicePorts(ports: readonly unknown[], errors: FieldErrors): void {
  const names = new Set<string>();
  for (const [i, port] of ports.entries()) {
    oneOf(at(port, "protocol"), PROTOCOLS, `ports[${i}].protocol`, errors);
    const name = textOf(at(port, "name"));
    const fault = name === "" ? undefined : labelFault(name);
    if (fault !== undefined) errors.invalid(`ports[${i}].name`, name, fault);
    if (names.has(name)) errors.duplicate(`ports[${i}].name`, name);
    names.add(name);
  }
}

/** Zones or nodes that an endpoint is meant for. */
function validateHints(hints: unknown, field: string, errors: FieldErrors): void {
  for (const list of ["forZones", "forNodes"]) {
    const entries = listOf(at(hints, list));
    if (entries.length > MAX_HINTS) errors.tooMany(`${field}.${list}`, entries.length, MAX_HINTS);
    const names = new Set<string>();
    for (const [i, entry] of entries.entries()) {
      const name = textOf(at(entry, "name"));
      if (names.has(name)) errors.duplicate(`${field}.${list}[${i}].name`, name);
      names.add(name);
    }
  }
}

function validateAddress(address: string, type: unknown, field: string, errors: FieldErrors): void {
  if (type === "FQDN") {
    const fault = subdomainFault(address);
    if (fault !== undefined) errors.invalid(field, address, fault);
    return;
  }
  const ip = tryParseIp(address);
  if (ip === undefined || `IPv${ipFamily(ip)}` !== type)
    errors.invalid(field, address, `must be a valid ${type} address`);
  const special = ip === undefined ? undefined : specialIpFault(ip);
  if (special !== undefined) errors.invalid(field, address, special);
}

/** Names in a table before "+ n more...". */
const SHOWN = 3;

export const ENDPOINT_SLICE_PRINTER: Printer = {
  columns: columns("Name", "AddressType", "Ports", "Endpoints", "Age"),
  cells: (slice, now) => [
    slice.metadata.name,
    textOf(slice["addressType"]),
    some(
      listOf(slice["ports"]).map((port) => String(at(port, "port") ?? "*")),
      "<unset>",
    ),
    some(
      listOf(slice["endpoints"]).flatMap((endpoint) => listOf(at(endpoint, "addresses")).map(String)),
      "<unset>",
    ),
    age(slice.metadata.creationTimestamp, now),
  ],
};

function some(items: readonly string[], none: string): string {
  if (items.length === 0) return none;
  const shown = items.slice(0, SHOWN).join(",");
  return items.length > SHOWN ? `${shown} + ${items.length - SHOWN} more...` : shown;
}

export const ENDPOINTS_STRATEGY: Strategy = {
  nameRule: "subdomain",
  defaults: (endpoints) => {
    for (const subset of listOf(endpoints["subsets"])) {
      for (const port of listOf(at(subset, "ports"))) if (isFields(port)) setDefault(port, "protocol", "TCP");
    }
  },
  validate: (endpoints, errors) => {
    for (const [i, subset] of listOf(endpoints["subsets"]).entries()) {
      const { addresses, notReadyAddresses } = fieldsOf(subset);
      if (listOf(addresses).length + listOf(notReadyAddresses).length === 0) {
        errors.required(`subsets[${i}]`, "must specify `addresses` or `notReadyAddresses`");
      }
      for (const [j, address] of listOf(addresses).entries()) {
        const ip = textOf(at(address, "ip"));
        if (tryParseIp(ip) === undefined)
          errors.invalid(`subsets[${i}].addresses[${j}].ip`, ip, "must be a valid IP address");
      }
    }
  },
};

export const ENDPOINTS_PRINTER: Printer = {
  columns: columns("Name", "Endpoints", "Age"),
  cells: (endpoints, now) => [
    endpoints.metadata.name,
    endpointList(endpoints),
    age(endpoints.metadata.creationTimestamp, now),
  ],
};

function endpointList(endpoints: KubeObject): string {
  const all = listOf(endpoints["subsets"]).flatMap((subset) => {
    const ips = listOf(at(subset, "addresses")).map((address) => textOf(at(address, "ip")));
    const ports = listOf(at(subset, "ports")).map((port) => at(port, "port"));
    if (ports.length === 0) return ips;
    return ports.flatMap((port) => ips.map((ip) => (ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`)));
  });
  return some(all, "<none>");
}
