/**
 * One step from what the kernel has to what the plan wants. `cause` names the object of the cluster that asks for it;
 * `breakwater plan` prints these, the agent logs each as one line.
 */

import { formatIpvsChange, type IpvsChange } from "./ipvs.ts";
import type { Address, LinkChange } from "./kernel-objects.ts";
import type { NftFlowtable } from "./nft.ts";
import type { NftChange, NftTableName } from "./nft-changes.ts";
import type {
  DesiredAddress,
  DesiredFdbEntry,
  DesiredNeighbour,
  DesiredPod,
  DesiredRoute,
  DesiredVxlan,
} from "./state.ts";

export type Operation = { readonly cause: string } & (
  | { readonly do: "setSysctl"; readonly name: string; readonly value: string; readonly previous: string | undefined }
  | { readonly do: "createVxlan"; readonly vxlan: DesiredVxlan }
  | { readonly do: "changeLink"; readonly device: string; readonly change: LinkChange }
  | { readonly do: "setFeature"; readonly device: string; readonly name: string; readonly on: boolean }
  | { readonly do: "deleteLink"; readonly device: string }
  | { readonly do: "attachPod"; readonly pod: DesiredPod }
  | { readonly do: "setPodMtu"; readonly pod: DesiredPod }
  | { readonly do: "addAddress"; readonly address: Omit<DesiredAddress, "cause"> }
  | { readonly do: "deleteAddress"; readonly device: string; readonly address: Omit<Address, "scope"> }
  | { readonly do: "setRoute"; readonly route: Omit<DesiredRoute, "cause"> }
  | {
      readonly do: "deleteRoute";
      readonly route: Omit<DesiredRoute, "cause" | "device"> & { readonly device?: string };
    }
  | { readonly do: "setNeighbour"; readonly neighbour: Omit<DesiredNeighbour, "cause"> }
  | { readonly do: "deleteNeighbour"; readonly device: string; readonly ip: string }
  | { readonly do: "setFdb"; readonly entry: Omit<DesiredFdbEntry, "cause"> }
  | { readonly do: "deleteFdb"; readonly device: string; readonly mac: string; readonly destination: string }
  /**
   * @param table the table of the node's own rules where absent
   * @param optional the node serves pods without it too
   */
  | {
      readonly do: "changeNft";
      readonly table?: NftTableName;
      readonly changes: readonly NftChange[];
      readonly optional?: boolean;
    }
  | { readonly do: "createDummy"; readonly device: string }
  | { readonly do: "changeIpvs"; readonly changes: readonly IpvsChange[] }
  | { readonly do: "setIpvsTcpTimeout"; readonly seconds: number; readonly previous: number }
);

/** What an operation does, without its cause: "set route 10.244.2.0/24 via 192.168.1.2 dev eth0". */
export function formatOperation(operation: Operation): string {
  switch (operation.do) {
    case "setSysctl":
      return `set sysctl ${operation.name} to ${operation.value} (was ${operation.previous ?? "absent"})`;
    case "createVxlan": {
      const { name, vni, local, underlay, port, mtuBytes } = operation.vxlan;
      return `create link ${name} vxlan id ${vni} local ${local} dev ${underlay} dstport ${port} mtu ${mtuBytes}`;
    }
    case "changeLink":
      return `change link ${operation.device}: ${formatChange(operation.change)}`;
    case "setFeature":
      return `set feature ${operation.name} ${operation.on ? "on" : "off"} dev ${operation.device}`;
    case "deleteLink":
      return `delete link ${operation.device}`;
    case "attachPod":
      return `attach ${operation.pod.ips.join(", ")} as ${operation.pod.hostIfname} mtu ${operation.pod.mtuBytes}`;
    case "setPodMtu":
      return `set mtu ${operation.pod.mtuBytes} on ${operation.pod.hostIfname} and the pod's ${operation.pod.ifname}`;
    case "addAddress":
      return `add address ${operation.address.address}/${operation.address.length} dev ${operation.address.device}`;
    case "deleteAddress":
      return `delete address ${operation.address.address}/${operation.address.length} dev ${operation.device}`;
    case "setRoute":
      return `set route ${formatRoute(operation.route)}`;
    case "deleteRoute":
      return `delete route ${formatRoute(operation.route)}`;
    case "setNeighbour":
      return `set neighbour ${operation.neighbour.ip} lladdr ${operation.neighbour.mac} dev ${operation.neighbour.device}`;
    case "deleteNeighbour":
      return `delete neighbour ${operation.ip} dev ${operation.device}`;
    case "setFdb":
      return `set fdb ${operation.entry.mac} dst ${operation.entry.destination} dev ${operation.entry.device}`;
    case "deleteFdb":
      return `delete fdb ${operation.mac} dst ${operation.destination} dev ${operation.device}`;
    case "createDummy":
      return `create link ${operation.device} dummy`;
    case "changeIpvs":
      return operation.changes.map(formatIpvsChange).join("; ");
    case "setIpvsTcpTimeout":
      return `set timeout of IPVS's silent TCP connections to ${operation.seconds} s (was ${operation.previous} s)`;
    case "changeNft":
      return `change nftables table${formatTableName(operation.table)}: ${formatNftChanges(operation.changes)}`;
  }
}

type RouteText = {
  destination: string;
  type?: string;
  gateway?: string;
  device?: string;
  onlink?: boolean;
  mtuBytes?: number;
};

/** As `ip route` prints and reads them. */
function formatRoute(route: RouteText): string {
  if (route.type === "unreachable") return `${route.type} ${route.destination}`;
  const words = [route.destination];
  if (route.gateway !== undefined) words.push("via", route.gateway);
  if (route.device !== undefined) words.push("dev", route.device);
  if (route.onlink === true) words.push("onlink");
  if (route.mtuBytes !== undefined) words.push("mtu", String(route.mtuBytes));
  return words.join(" ");
}

function formatChange(change: LinkChange): string {
  return Object.entries(change)
    .map(([key, value]) => `${key} ${value}`)
    .join(", ");
}

function formatFlowtable(flowtable: string | NftFlowtable): string {
  return typeof flowtable === "string" ? flowtable : `${flowtable.name} { ${flowtable.devices.join(", ")} }`;
}

function formatTableName(table: NftTableName | undefined): string {
  return table === undefined ? "" : ` ${table.family} ${table.name}`;
}

function formatNftChanges(changes: readonly NftChange[]): string {
  return changes
    .map((change) => {
      if ("elements" in change) return `${change.do} ${change.set.name} { ${change.elements.join(", ")} }`;
      if ("flowtable" in change) return `${change.do} ${formatFlowtable(change.flowtable)}`;
      if ("set" in change) return `${change.do} ${typeof change.set === "string" ? change.set : change.set.name}`;
      if ("chain" in change)
        return `${change.do} ${typeof change.chain === "string" ? change.chain : change.chain.name}`;
      return change.do;
    })
    .join("; ");
}
