/**
 * The result of ADD in the shape of the configuration's version, and the reading of a prevResult
 * (CNI spec 1.1.0, "ADD Success"; 0.4.0 and older for ips[].version).
 */
import { familyBits, type Ip, ipFamily, tryParseIp } from "../model/ip.ts";
import { CNI_CODE, CniError } from "./cni-error.ts";
import { asObject, invalid, type JsonObject, type NetworkConfig } from "./network-config.ts";
import type { PodRecord } from "./pod-record.ts";
import { isSince } from "./spec-version.ts";

/** The pod's next hops: link-local addresses that the host end answers for by a permanent neighbour entry. */
export const POD_GATEWAY = { 4: "169.254.1.1", 6: "fe80::1" } as const;
const DEFAULT_DESTINATION = { 4: "0.0.0.0/0", 6: "::/0" } as const;
/** Index of the pod's interface in `interfaces`: the host end stands before it. */
const POD_INTERFACE = 1;

/** The result as JSON text. Chained plugins find the host veth by its empty sandbox and the pod's by its path. */
export function formatResult(record: PodRecord, config: NetworkConfig): string {
  const { attached } = record;
  if (attached === undefined) throw new RangeError(`No result for ${record.containerId}: it was never attached`);
  const { cniVersion, dns } = config;
  const mtu = isSince(cniVersion, "1.1.0") ? { mtu: attached.mtuBytes } : {};
  return JSON.stringify({
    cniVersion,
    interfaces: [
      { name: attached.hostIfname, mac: attached.hostMac, ...mtu },
      { name: record.ifname, mac: attached.podMac, ...mtu, sandbox: record.netns },
    ],
    ips: record.ips.map((ip) => formatIp(ip, !isSince(cniVersion, "1.0.0"))),
    routes: record.ips.map((ip) => ({ dst: DEFAULT_DESTINATION[ipFamily(ip)], gw: POD_GATEWAY[ipFamily(ip)] })),
    dns,
  });
}

function formatIp(ip: Ip, withVersion: boolean): JsonObject {
  const family = ipFamily(ip);
  const version = withVersion ? { version: String(family) } : {};
  return { ...version, interface: POD_INTERFACE, address: `${ip}/${familyBits(family)}`, gateway: POD_GATEWAY[family] };
}

/**
 * What a prevResult lacks of the record, one sentence each. Plugins behind this one may have added to it and changed
 * MAC and MTU, so only what must survive them is compared (spec, "CHECK").
 * @throws CniError 7 when there is none, or it is malformed
 */
export function comparePrevResult(prevResult: unknown, record: PodRecord): readonly string[] {
  const result = asObject(prevResult);
  if (result === undefined) throw invalid("prevResult", prevResult, "the result of the ADD; CHECK needs it");
  const interfaces = objects(result, "interfaces");
  const differences: string[] = [];
  const index = interfaces.findIndex((one) => one["name"] === record.ifname && one["sandbox"] === record.netns);
  if (index < 0) differences.push(`prevResult has no interface ${record.ifname} in ${record.netns}`);
  const addresses = objects(result, "ips").map(addressOf);
  for (const ip of record.ips) {
    if (!addresses.includes(ip)) differences.push(`prevResult lacks address ${ip}`);
  }
  return differences;
}

function objects(result: JsonObject, key: string): readonly JsonObject[] {
  const list = result[key] ?? [];
  const items = Array.isArray(list) ? list.map(asObject) : [undefined];
  if (items.some((item) => item === undefined)) throw invalid(`prevResult.${key}`, list, "a list of objects");
  return items.filter((item) => item !== undefined);
}

function addressOf(item: JsonObject): Ip {
  const address = item["address"];
  const ip = typeof address === "string" ? tryParseIp(address.split("/")[0] ?? "") : undefined;
  if (ip === undefined) throw invalid("prevResult.ips[].address", address, "an address in CIDR form");
  return ip;
}

/** @throws CniError 105 naming every difference, when there is one */
export function refuseDifferences(differences: readonly string[], object: string): void {
  if (differences.length === 0) return;
  throw new CniError(CNI_CODE.checkFailed, `Attachment of ${object} is not whole: ${differences.join("; ")}`, {
    operation: "check attachment",
    object,
    remedy: "the agent repairs what it can within a second; restart the pod if this stays",
  });
}
