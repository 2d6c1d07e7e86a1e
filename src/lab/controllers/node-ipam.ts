/**
 * Pod CIDRs of nodes: "nodeI" gets the I-th subnet of the cluster's ranges (10.244.I.0/24, fd00:10:244:I::/64), every
 * other node the next one that is free. Once given, a node keeps it.
 */
import { type Family, familyBits, ipFromBigInt } from "../../model/ip.ts";
import { type Prefix, parsePrefix, prefixesOverlap, prefixRange } from "../../model/prefix.ts";
import { at, fieldsOf, type KubeObject, listOf } from "../api/object/object.ts";
import type { ControllerContext } from "./controller.ts";

/** --node-cidr-mask-size-ipv4 and -ipv6 of kube-controller-manager, their defaults. */
const NODE_PREFIX_LENGTH = { 4: 24, 6: 64 } as const;

export function startNodeIpam({ store, queue, clusterCidrs, events }: ControllerContext): void {
  const work = queue("nodes", (name) => {
    const node = store.get("nodes", undefined, name);
    if (node === undefined || podCidrs(node).length > 0) return;
    const used = store.list("nodes").flatMap(podCidrs);
    const cidrs = chooseCidrs(name, clusterCidrs, used);
    if (cidrs === undefined) {
      events.record(
        node,
        "node-ipam",
        "Warning",
        "CIDRNotAvailable",
        `no pod CIDR is left in ${clusterCidrs.join(", ")}`,
      );
      return;
    }
    store.modify("nodes", undefined, name, (draft) => {
      draft["spec"] = { ...fieldsOf(draft["spec"]), podCIDR: cidrs[0], podCIDRs: cidrs };
    });
  });
  store.subscribe("nodes", ({ type, object }) => {
    if (type !== "DELETED" && podCidrs(object).length === 0) work.add(object.metadata.name);
    // A subnet is free again for nodes that found none.
    if (type === "DELETED")
      for (const node of store.list("nodes")) if (podCidrs(node).length === 0) work.add(node.metadata.name);
  });
}

function podCidrs(node: KubeObject): Prefix[] {
  return listOf(at(node, "spec", "podCIDRs")).map((cidr) => parsePrefix(String(cidr)));
}

/** One subnet of each range, all with the same number; undefined when every number is taken. */
export function chooseCidrs(name: string, ranges: readonly Prefix[], used: readonly Prefix[]): Prefix[] | undefined {
  const own = /^node(\d{1,6})$/.exec(name)?.[1];
  const preferred = own === undefined ? undefined : subnets(ranges, Number(own), used);
  if (preferred !== undefined) return preferred;
  const [first] = ranges;
  if (first === undefined) return undefined;
  // Number 0 comes last: people expect the first node at .1.
  for (let i = 1; i <= count(first); i++) {
    const free = subnets(ranges, i % count(first), used);
    if (free !== undefined) return free;
  }
  return undefined;
}

function subnets(ranges: readonly Prefix[], index: number, used: readonly Prefix[]): Prefix[] | undefined {
  const chosen: Prefix[] = [];
  for (const range of ranges) {
    const subnet = subnet4or6(range, index);
    if (subnet === undefined || used.some((other) => prefixesOverlap(other, subnet))) return undefined;
    chosen.push(subnet);
  }
  return chosen;
}

function nodeLength(family: Family, rangeLength: number): number {
  return Math.max(NODE_PREFIX_LENGTH[family], rangeLength);
}

function count(range: Prefix): number {
  const { family, length } = prefixRange(range);
  return Math.min(2 ** (nodeLength(family, length) - length), 65536);
}

/** IPv6 subnets carry the number as it is written: node 12 has …:12::/64, so that both families read the same. */
function subnet4or6(range: Prefix, index: number): Prefix | undefined {
  const { family, length, first, last } = prefixRange(range);
  const size = nodeLength(family, length);
  const number = family === 6 ? BigInt(`0x${index}`) : BigInt(index);
  const start = first + (number << BigInt(familyBits(family) - size));
  return start > last ? undefined : `${ipFromBigInt(start, family)}/${size}`;
}
