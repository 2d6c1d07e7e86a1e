/**
 * Services as kube-proxy's mode iptables has them (pkg/proxy/iptables/proxier.go): one list of all Services, a chain for
 * each of them, a chain for each endpoint.
 */

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { BreakwaterError } from "../../../src/model/errors.ts";
import { CLUSTER_CIDR, ENDPOINT_PORT, SERVICE_PORT, type ServiceWithSlice } from "./services-population.ts";

const MASQUERADE = "0x4000/0x4000";
const BUFFER_BYTES = 1 << 20;

/** The tool that loads such text here: that of the kernel's own tables, else that which writes nftables. */
export function findRestore(): string | undefined {
  return ["iptables-legacy-restore", "iptables-nft-restore"].find(
    (name) => spawnSync(name, ["--version"]).error === undefined,
  );
}

/** Runs the tool in the namespace of the calling thread. @throws BreakwaterError BW_BENCH_TOOL */
export function restore(tool: string, input: string, options: readonly string[] = []): void {
  const { status, stderr, error } = spawnSync(tool, options, { input, encoding: "utf8", maxBuffer: BUFFER_BYTES });
  if (status === 0) return;
  throw new BreakwaterError("BW_BENCH_TOOL", `${tool}: ${error?.message ?? stderr.trim()}`, {
    operation: "load rules",
  });
}

/** All of table nat. */
export function allServices(services: readonly ServiceWithSlice[]): string {
  const lines = ["*nat", ":KUBE-SERVICES - [0:0]", ":KUBE-POSTROUTING - [0:0]", ":KUBE-MARK-MASQ - [0:0]"];
  for (const each of services) lines.push(...chainLines(each));
  lines.push(
    ...["PREROUTING", "OUTPUT"].map((c) => `-A ${c} ${comment("kubernetes service portals")} -j KUBE-SERVICES`),
    `-A POSTROUTING ${comment("kubernetes postrouting rules")} -j KUBE-POSTROUTING`,
    `-A KUBE-POSTROUTING -m mark ! --mark ${MASQUERADE} -j RETURN`,
    "-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000",
    "-A KUBE-POSTROUTING -j MASQUERADE --random-fully",
    "-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000",
  );
  for (const each of services) lines.push(portalRule(each), ...serviceRules(each));
  return `${[...lines, "COMMIT"].join("\n")}\n`;
}

/** What kube-proxy restores, with --noflush, when one Service changed; chains of endpoints that are gone go with it. */
export function changedService(each: ServiceWithSlice, gone: readonly string[] = []): string {
  const chains = gone.map((address) => endpointChain(each, address));
  const lines = ["*nat", ...chainLines(each), ...chains.map((chain) => `:${chain} - [0:0]`), ...serviceRules(each)];
  return `${[...lines, ...chains.map((chain) => `-X ${chain}`), "COMMIT"].join("\n")}\n`;
}

function chainLines(each: ServiceWithSlice): string[] {
  const chains = each.slice.endpoints.map(({ address }) => endpointChain(each, address));
  return [serviceChain(each), ...chains].map((chain) => `:${chain} - [0:0]`);
}

function portalRule(each: ServiceWithSlice): string {
  return `-A KUBE-SERVICES ${destination(each)} -j ${serviceChain(each)}`;
}

function serviceRules(each: ServiceWithSlice): string[] {
  const chain = serviceChain(each);
  const { endpoints, ports } = each.slice;
  const port = ports[0]?.port ?? ENDPOINT_PORT;
  const lines = [`-A ${chain} ${destination(each)} ! -s ${CLUSTER_CIDR} -j KUBE-MARK-MASQ`];
  for (const [i, { address }] of endpoints.entries()) {
    const left = endpoints.length - i;
    const share = left === 1 ? "" : `-m statistic --mode random --probability ${(1 / left).toFixed(10)} `;
    const to = endpointChain(each, address);
    lines.push(
      `-A ${chain} ${comment(`${name(each)} -> ${address}:${port}`)} ${share}-j ${to}`,
      `-A ${to} ${comment(name(each))} -s ${address} -j KUBE-MARK-MASQ`,
      `-A ${to} ${comment(name(each))} -m tcp -p tcp -j DNAT --to-destination ${address}:${port}`,
    );
  }
  return lines;
}

function destination(each: ServiceWithSlice): string {
  const [ip] = each.service.clusterIps;
  return `${comment(`${name(each)} cluster IP`)} -m tcp -p tcp -d ${ip} --dport ${SERVICE_PORT}`;
}

function name({ service }: ServiceWithSlice): string {
  return `${service.namespace}/${service.name}:http`;
}

function comment(text: string): string {
  return `-m comment --comment "${text}"`;
}

function serviceChain(each: ServiceWithSlice): string {
  return `KUBE-SVC-${hash(name(each))}`;
}

function endpointChain(each: ServiceWithSlice, address: string): string {
  return `KUBE-SEP-${hash(`${name(each)}${address}`)}`;
}

/** Sixteen letters, as there; from which text does not matter. */
function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16).toUpperCase();
}
