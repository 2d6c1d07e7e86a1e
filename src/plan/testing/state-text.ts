/** A planned state as text that a person reads in a golden file: one line an object, the table as nft(8) prints it. */
import { formatNftTable } from "../../model/nft.ts";
import type { DesiredRoute, DesiredState, PlannedPath } from "../../model/state.ts";
import type { PlanResult } from "../plan.ts";

export function formatPlan(result: PlanResult): string {
  if ("notReady" in result) {
    const { code, object, message, remedy } = result.notReady;
    return `not ready: ${code} ${object}\n  ${message}\n  ${remedy}\n`;
  }
  return formatState(result.state);
}

function formatState(state: DesiredState): string {
  const { vxlan } = state;
  return [
    ...section("pod CIDRs", state.podCidrs),
    ...section("pod MTU", [String(state.podMtuBytes)]),
    ...section("paths", state.paths.map(formatPath)),
    ...section(
      "vxlan device",
      vxlan === undefined
        ? []
        : [
            `${vxlan.name} ${vxlan.mac} mtu ${vxlan.mtuBytes} id ${vxlan.vni} port ${vxlan.port} local ${vxlan.local} dev ${vxlan.underlay} (${vxlan.underlayIndex})`,
          ],
    ),
    ...section(
      "features",
      state.features.map((f) => `${f.name} ${f.on ? "on" : "off"} dev ${f.device} # ${f.cause}`),
    ),
    ...section(
      "addresses",
      state.addresses.map((a) => `${a.address}/${a.length} dev ${a.device} # ${a.cause}`),
    ),
    ...section("routes", state.routes.map(formatRoute)),
    ...section(
      "neighbours",
      state.neighbours.map((n) => `${n.ip} lladdr ${n.mac} dev ${n.device} # ${n.cause}`),
    ),
    ...section(
      "forwarding entries",
      state.fdb.map((f) => `${f.mac} dst ${f.destination} dev ${f.device} # ${f.cause}`),
    ),
    ...section(
      "pods",
      state.pods.map((p) => `${p.name} ${p.ips.join(" ")} ${p.hostIfname} ${p.podMac} mtu ${p.mtuBytes} in ${p.netns}`),
    ),
    ...section(
      "sysctls",
      state.sysctls.map((s) => `${s.name} = ${s.value} # ${s.cause}`),
    ),
    ...section("nftables", formatNftTable(state.nft).trimEnd().split("\n")),
    ...section(
      "problems",
      state.problems.map((p) => `${p.code} ${p.object}: ${p.message} -> ${p.remedy}`),
    ),
  ].join("\n");
}

function section(title: string, lines: readonly string[]): string[] {
  return [`${title}:${lines.length === 0 ? " none" : ""}`, ...lines.map((line) => `  ${line}`), ""];
}

function formatPath(path: PlannedPath): string {
  const { node, mode, peer, device, underlayMtuBytes, overheadBytes, mtuBytes, podCidrs } = path;
  return `${node} ${mode} ${podCidrs.join(" ")} to ${peer} dev ${device}: ${underlayMtuBytes} - ${overheadBytes}, mtu ${mtuBytes}`;
}

function formatRoute(route: DesiredRoute): string {
  const { destination, type, gateway, device, onlink, mtuBytes, cause } = route;
  if (type !== undefined) return `${type} ${destination} # ${cause}`;
  const via = gateway === undefined ? "" : ` via ${gateway}`;
  const mtu = mtuBytes === undefined ? "" : ` mtu ${mtuBytes}`;
  return `${destination}${via} dev ${device}${onlink ? " onlink" : ""}${mtu} # ${cause}`;
}
