/** Pools and Services for tests of the allocator, with what is usual filled in. */
import type { ClusterNamespace } from "../../../model/cluster.ts";
import type { AddressPool, AddressRange, BalancedService } from "../../../model/load-balancer.ts";
import type { Selector } from "../../../model/selector.ts";

export function aBalanced(name: string, fields: Partial<BalancedService> = {}): BalancedService {
  return {
    namespace: "default",
    name,
    uid: `uid-${name}`,
    resourceVersion: "1",
    createdAt: "2026-01-01T00:00:00Z",
    labels: {},
    isOurs: true,
    families: [4],
    needsAllFamilies: false,
    ports: [{ protocol: "TCP", port: 80 }],
    selector: `app=${name}`,
    externalPolicy: "Cluster",
    wantedIps: [],
    wantedPool: "",
    sharingKey: "",
    held: [],
    problems: [],
    ...fields,
  };
}

/** Ranges as `FIRST-LAST`, or one address. */
export function aPool(name: string, ranges: readonly string[], fields: Partial<AddressPool> = {}): AddressPool {
  return {
    name,
    uid: `uid-${name}`,
    generation: 1,
    ranges: ranges.map(aRange),
    autoAssign: true,
    avoidBuggyIps: false,
    ...fields,
  };
}

export function aRange(text: string): AddressRange {
  const [first = "", last = first] = text.split("-");
  return { first, last };
}

export const labelled = (key: string, value: string): Selector => [{ key, operator: "In", values: [value] }];

export function namespaces(...names: readonly (readonly [string, Record<string, string>])[]) {
  return new Map(names.map(([name, labels]): [string, ClusterNamespace] => [name, { name, labels }]));
}
