/**
 * The network configuration of a CNI call (stdin), read field by field (CNI spec 1.1.0, "Network configuration format").
 * A field that would be ignored although its author expects an effect ("mtu", "ipam", "ipMasq" of other plugins) is
 * refused by name, for the commands that make something; commands that remove something must work with any
 * configuration that can be read at all.
 */
import type { CniCommand } from "./call-environment.ts";
import { CNI_CODE, CniError } from "./cni-error.ts";
import {
  commandSince,
  isSince,
  isSupportedVersion,
  NEWEST_VERSION,
  type SpecVersion,
  SUPPORTED_VERSIONS,
  VERSION_WHEN_ABSENT,
} from "./spec-version.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

export interface NetworkConfig {
  readonly cniVersion: SpecVersion;
  /** Name of the network: "breakwater". */
  readonly name: string;
  /** runtimeConfig.ips: the `ips` capability, as given. */
  readonly requestedIps: readonly string[];
  /** "dns" of the configuration, handed on in the result. */
  readonly dns: JsonObject;
  readonly prevResult: unknown;
  /** GC: what to keep; undefined when the runtime did not say. */
  readonly validAttachments: readonly { readonly containerId: string; readonly ifname: string }[] | undefined;
}

/** Fields that are ours, the spec's or libcni's. Names with "/" or "." belong to whoever owns the domain. */
const KNOWN_FIELDS: ReadonlySet<string> = new Set([
  ...["cniVersion", "cniVersions", "name", "type", "args", "capabilities", "runtimeConfig", "prevResult", "dns"],
  ...["disableCheck", "disableGC", "loadOnlyInlinedPlugins", "socket"],
]);

/**
 * The version an error about this input is written in: the input's own where it can be read and is spoken.
 */
export function versionForErrors(stdin: string): SpecVersion {
  try {
    const version = asObject(JSON.parse(stdin))?.["cniVersion"];
    if (typeof version === "string" && isSupportedVersion(version)) return version;
  } catch {
    // What does not parse has no version; parseNetworkConfig() reports it.
  }
  return NEWEST_VERSION;
}

/** @throws CniError 1, 2, 6 or 7 */
export function parseNetworkConfig(stdin: string, command: CniCommand): NetworkConfig {
  const config = parseObject(stdin);
  const cniVersion = parseVersion(config, command);
  const makes = command === "ADD" || command === "CHECK" || command === "STATUS";
  if (makes) refuseUnsupported(config);
  return {
    cniVersion,
    name: parseName(config),
    requestedIps: makes ? parseRequestedIps(config) : [],
    dns: makes ? parseDns(config) : {},
    prevResult: config["prevResult"],
    validAttachments: command === "GC" ? parseValidAttachments(config) : undefined,
  };
}

export function asObject(value: unknown): JsonObject | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;
}

function parseObject(stdin: string): JsonObject {
  if (stdin.trim() === "") throw undecodable("it is empty");
  if (stdin.includes("\0")) throw undecodable("it holds a NUL byte");
  let value: unknown;
  try {
    value = JSON.parse(stdin);
  } catch (error) {
    throw undecodable(error instanceof Error ? error.message : String(error));
  }
  const config = asObject(value);
  if (config === undefined) throw undecodable("it is JSON, but no object");
  return config;
}

function parseVersion(config: JsonObject, command: CniCommand): SpecVersion {
  const version = config["cniVersion"] ?? VERSION_WHEN_ABSENT;
  if (typeof version !== "string") throw invalid("cniVersion", version, "a string such as 1.0.0");
  if (!isSupportedVersion(version)) {
    throw incompatible(`configuration is of version "${version}"; Breakwater speaks ${SUPPORTED_VERSIONS.join(", ")}`);
  }
  const since = commandSince(command);
  if (!isSince(version, since)) {
    throw incompatible(`configuration is of version "${version}"; ${command} came with ${since}`);
  }
  return version;
}

/** libcni's ValidateNetworkName(). */
function parseName(config: JsonObject): string {
  const name = config["name"];
  if (typeof name === "string" && /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name)) return name;
  throw invalid("name", name, "a letter or digit, then letters, digits, underscores, dots or hyphens");
}

function refuseUnsupported(config: JsonObject): void {
  for (const [key, value] of Object.entries(config)) {
    const empty = value === null || (typeof value === "object" && Object.keys(value ?? {}).length === 0);
    if (!KNOWN_FIELDS.has(key) && !/[./]/.test(key) && !empty) throw unsupported(key, value);
  }
  // Capabilities that were declared on this plugin instead of on the chained one that has them would do nothing.
  for (const [key, value] of Object.entries(optionalObject(config, "runtimeConfig"))) {
    if (key !== "ips") throw unsupported(`runtimeConfig.${key}`, value);
  }
}

function parseRequestedIps(config: JsonObject): readonly string[] {
  const ips = optionalObject(config, "runtimeConfig")["ips"] ?? [];
  if (!isStrings(ips)) throw invalid("runtimeConfig.ips", ips, "a list of strings");
  return ips;
}

function parseDns(config: JsonObject): JsonObject {
  const dns = optionalObject(config, "dns");
  for (const [key, value] of Object.entries(dns)) {
    const wellFormed = key === "domain" ? typeof value === "string" : isStrings(value);
    if (!["nameservers", "domain", "search", "options"].includes(key)) throw unsupported(`dns.${key}`, value);
    if (!wellFormed) throw invalid(`dns.${key}`, value, key === "domain" ? "a string" : "a list of strings");
  }
  return dns;
}

/**
 * The list has two names: "cni.dev/valid-attachments" of the spec and "cni.dev/attachments" of its drafts, which libcni
 * still sends beside it. null is how Go writes an empty list. A list that is absent is no order to delete everything.
 */
function parseValidAttachments(config: JsonObject): NetworkConfig["validAttachments"] {
  const key = "cni.dev/valid-attachments" in config ? "cni.dev/valid-attachments" : "cni.dev/attachments";
  if (!(key in config)) throw invalid("cni.dev/valid-attachments", undefined, "the list of attachments to keep");
  const list = config[key] ?? [];
  if (!Array.isArray(list)) throw invalid(key, list, "a list of attachments");
  return list.map((item: unknown) => {
    const { containerID: containerId, ifname } = asObject(item) ?? {};
    if (typeof containerId === "string" && typeof ifname === "string") return { containerId, ifname };
    throw invalid(key, item, 'objects with the strings "containerID" and "ifname"');
  });
}

function optionalObject(config: JsonObject, key: string): JsonObject {
  const object = asObject(config[key] ?? {});
  if (object === undefined) throw invalid(key, config[key], "an object");
  return object;
}

function isStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

function show(value: unknown): string {
  return value === undefined ? "is missing" : `is ${JSON.stringify(value).slice(0, 200)}`;
}

function undecodable(why: string): CniError {
  return new CniError(CNI_CODE.decodeFailure, `Cannot decode the network configuration on stdin: ${why}`, {
    remedy: "see the CNI configuration on this node (/etc/cni/net.d); removing it lets the agent write it anew",
  });
}

function incompatible(why: string): CniError {
  return new CniError(CNI_CODE.incompatibleVersion, `Incompatible CNI version: ${why}`, {
    object: "cniVersion",
    remedy: "set cniVersion in the CNI configuration to one that runtime and plugin both speak",
  });
}

export function invalid(key: string, value: unknown, wanted: string): CniError {
  return new CniError(
    CNI_CODE.invalidConfig,
    `Invalid network configuration: ${key} ${show(value)}; it must be ${wanted}`,
    {
      object: key,
      remedy: "correct the CNI configuration on this node (/etc/cni/net.d)",
    },
  );
}

function unsupported(key: string, value: unknown): CniError {
  return new CniError(
    CNI_CODE.unsupportedField,
    `Unsupported field in the network configuration: ${key} ${show(value)}`,
    {
      object: key,
      remedy: "remove the field: Breakwater has no such setting in the CNI configuration",
    },
  );
}
