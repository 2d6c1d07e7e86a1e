/** Whose an address is: people know pods and nodes by their names. */
import type { ClusterNode } from "../../model/cluster.ts";
import type { Ip } from "../../model/ip.ts";
import type { PolicyPod } from "../../model/policy.ts";
import { prefixAddress, prefixContains } from "../../model/prefix.ts";
import type { LocalPod } from "../../model/state.ts";

export type AddressOwner =
  /** `name`: "namespace/name". */
  | { readonly kind: "pod"; readonly name: string }
  | { readonly kind: "node"; readonly name: string }
  /** A pod of that node that the API has not told of yet, or not any more. */
  | { readonly kind: "unknown pod"; readonly node: string }
  | { readonly kind: "outside" };

export interface AddressSources {
  /** All pods of the cluster, as far as they are known. */
  readonly pods: () => ReadonlyMap<string, PolicyPod>;
  /** Pods that are attached here: nobody knows better which addresses they have. */
  readonly attached: () => readonly LocalPod[];
  readonly nodes: () => ReadonlyMap<string, ClusterNode>;
}

export class AddressNames {
  readonly #sources: AddressSources;
  #owners: ReadonlyMap<Ip, AddressOwner> | undefined;

  constructor(sources: AddressSources) {
    this.#sources = sources;
  }

  /** Pods or nodes of the API changed: the next question is answered anew. */
  forget(): void {
    this.#owners = undefined;
  }

  ownerOf(ip: Ip): AddressOwner {
    const here = this.#sources.attached().find(({ ips }) => ips.includes(ip));
    if (here !== undefined) return { kind: "pod", name: here.name };
    this.#owners ??= this.#read();
    return this.#owners.get(ip) ?? this.#ownerOfRange(ip) ?? { kind: "outside" };
  }

  #read(): Map<Ip, AddressOwner> {
    const { nodes, pods } = this.#sources;
    const owners = new Map<Ip, AddressOwner>();
    for (const [name, { ips }] of pods()) for (const ip of ips) owners.set(ip, { kind: "pod", name });
    for (const { name, internalIps, externalIps = [] } of nodes().values()) {
      for (const ip of [...internalIps, ...externalIps]) owners.set(ip, { kind: "node", name });
    }
    return owners;
  }

  /** The first address of a pod CIDR is the node's own, on its VXLAN device. */
  #ownerOfRange(ip: Ip): AddressOwner | undefined {
    for (const { name, podCidrs } of this.#sources.nodes().values()) {
      const range = podCidrs.find((cidr) => prefixContains(cidr, ip));
      if (range === undefined) continue;
      return prefixAddress(range) === ip ? { kind: "node", name } : { kind: "unknown pod", node: name };
    }
    return undefined;
  }
}

/** "db/postgres", "node node1", "a pod of node2 (10.244.2.9)", "outside (203.0.113.9)". */
export function formatOwner(owner: AddressOwner, ip: Ip): string {
  if (owner.kind === "pod") return owner.name;
  if (owner.kind === "node") return `node ${owner.name}`;
  return owner.kind === "outside" ? `outside (${ip})` : `a pod of ${owner.node} (${ip})`;
}
