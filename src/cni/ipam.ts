/**
 * Gives addresses to pods out of this node's pod CIDRs (host-local, dual stack) and knows who has which. Pure: the
 * journal (journal.ts) makes it durable, the kernel and the clock are arguments.
 *
 * Invariant: an address has at most one owner, across CIDR changes too; an owner has at most one address a family.
 */
import { BreakwaterError } from "../model/errors.ts";
import { type Ip, ipFamily } from "../model/ip.ts";
import type { Prefix } from "../model/prefix.ts";
import { IpPool } from "./ip-pool.ts";

export interface AllocationRequest {
  /** Who gets the addresses, as messages name it: "pod default/web, container 4f… eth0". */
  readonly owner: string;
  /** At most one a family; those families get exactly these. */
  readonly requested: readonly Ip[];
  readonly nowMs: number;
  /** True when the kernel of this node routes the address already. */
  readonly addressInUse: (ip: Ip) => boolean;
}

export interface RestingAddress {
  readonly ip: Ip;
  readonly atMs: number;
}

/** How long a freed address rests: longer than peers' neighbour and conntrack entries usually remember its last owner. */
export const DEFAULT_HOLD_BACK_MS = 60_000;

export class Ipam {
  private readonly holdBackMs: number;
  private pools: readonly IpPool[] = [];
  private readonly owners = new Map<Ip, string>();
  /** Where each CIDR's walk goes on and what rests, kept while a CIDR is away or not known yet. */
  private readonly remembered: { cursors: readonly Ip[]; resting: readonly RestingAddress[] };

  constructor(holdBackMs: number = DEFAULT_HOLD_BACK_MS) {
    this.holdBackMs = holdBackMs;
    this.remembered = { cursors: [], resting: [] };
  }

  /** Follows the node's pod CIDRs. Addresses of a CIDR that went keep their owners. */
  setCidrs(cidrs: readonly Prefix[]): void {
    const same = cidrs.length === this.pools.length && cidrs.every((cidr, i) => this.pools[i]?.cidr === cidr);
    if (same) return;
    const { cursors, resting } = this.snapshot();
    this.pools = cidrs.map((cidr) => new IpPool(cidr));
    this.restore(cursors, resting);
    for (const ip of this.owners.keys()) this.poolOf(ip)?.markUsed(ip);
  }

  /**
   * One address a pod CIDR, IPv4 first.
   * @throws BreakwaterError BW_IPAM_NO_CIDR, _EXHAUSTED, _OUTSIDE, _RESERVED, _IN_USE; nothing is then taken
   */
  allocate(request: AllocationRequest): readonly Ip[] {
    if (this.pools.length === 0) throw noCidr();
    for (const ip of request.requested) this.checkRequested(ip, request);
    const taken: Ip[] = [];
    try {
      for (const pool of this.pools) taken.push(this.takeFrom(pool, request));
    } catch (error) {
      for (const ip of taken) this.release([ip], request.nowMs);
      throw error;
    }
    return taken.sort((a, b) => ipFamily(a) - ipFamily(b));
  }

  /** Notes addresses that were given out in an earlier life. */
  adopt(ips: readonly Ip[], owner: string): void {
    for (const ip of ips) this.own(ip, owner);
  }

  release(ips: readonly Ip[], atMs: number): void {
    for (const ip of ips) {
      this.owners.delete(ip);
      const pool = this.poolOf(ip);
      if (pool === undefined) this.rememberResting(ip, atMs);
      else pool.release(ip, atMs);
    }
  }

  ownerOf(ip: Ip): string | undefined {
    return this.owners.get(ip);
  }

  /** Addresses in use and addresses there are, a CIDR; for metrics. */
  usage(): readonly { readonly cidr: Prefix; readonly used: number; readonly capacity: number }[] {
    return this.pools.map(({ cidr, usedCount, capacity }) => ({ cidr, used: usedCount, capacity }));
  }

  /** What a restart must know beside the owners. */
  snapshot(): { readonly cursors: readonly Ip[]; readonly resting: readonly RestingAddress[] } {
    const covered = (ip: Ip) => this.poolOf(ip) !== undefined;
    return {
      cursors: [
        ...this.remembered.cursors.filter((ip) => !covered(ip)),
        ...this.pools.filter((pool) => pool.capacity > 0).map((pool) => pool.nextAddress),
      ],
      resting: [
        ...this.remembered.resting.filter(({ ip }) => !covered(ip)),
        ...this.pools.flatMap((pool) => pool.restingAddresses()),
      ],
    };
  }

  restore(cursors: readonly Ip[], resting: readonly RestingAddress[]): void {
    const covered = (ip: Ip) => this.poolOf(ip) !== undefined;
    this.remembered.cursors = cursors.filter((ip) => !covered(ip));
    this.remembered.resting = resting.filter(({ ip }) => !covered(ip));
    for (const pool of this.pools) {
      for (const ip of cursors) pool.nextAddress = ip;
    }
    for (const { ip, atMs } of resting) {
      if (!this.owners.has(ip)) this.poolOf(ip)?.release(ip, atMs);
    }
  }

  /** A CIDR that is away may come back within the hold-back time. */
  private rememberResting(ip: Ip, atMs: number): void {
    const recent = this.remembered.resting.filter((one) => atMs - one.atMs < this.holdBackMs);
    this.remembered.resting = [...recent, { ip, atMs }];
  }

  private takeFrom(pool: IpPool, request: AllocationRequest): Ip {
    const wanted = request.requested.find((ip) => pool.contains(ip));
    const ip = wanted ?? pool.take(request.nowMs, this.holdBackMs, (candidate) => this.isFree(candidate, request));
    if (ip === undefined) throw exhausted(pool);
    this.own(ip, request.owner);
    return ip;
  }

  private isFree(ip: Ip, request: AllocationRequest): boolean {
    return !this.owners.has(ip) && !request.requested.includes(ip) && !request.addressInUse(ip);
  }

  private own(ip: Ip, owner: string): void {
    this.owners.set(ip, owner);
    this.poolOf(ip)?.markUsed(ip);
  }

  private poolOf(ip: Ip): IpPool | undefined {
    return this.pools.find((pool) => pool.contains(ip));
  }

  private checkRequested(ip: Ip, request: AllocationRequest): void {
    const pool = this.poolOf(ip);
    if (pool === undefined) {
      const cidrs = this.pools.map(({ cidr }) => cidr).join(" and ");
      throw refused("BW_IPAM_OUTSIDE", ip, `it is outside this node's pod CIDR ${cidrs}`);
    }
    if (pool.isReserved(ip)) {
      throw refused("BW_IPAM_RESERVED", ip, `it is the network or broadcast address of ${pool.cidr}`);
    }
    const owner = this.owners.get(ip);
    if (owner !== undefined) throw refused("BW_IPAM_IN_USE", ip, `${owner} has it`);
    if (request.addressInUse(ip))
      throw refused("BW_IPAM_IN_USE", ip, "the kernel of this node routes it to a device already");
  }
}

function refused(code: string, ip: Ip, why: string): BreakwaterError {
  return new BreakwaterError(code, `Cannot give the requested address ${ip}: ${why}`, {
    operation: "allocate address",
    object: ip,
    remedy: "ask for another address, or bind the pod to the node whose pod CIDR holds it",
  });
}

function exhausted(pool: IpPool): BreakwaterError {
  const { cidr, usedCount, capacity } = pool;
  const byOthers =
    capacity > usedCount ? `, the kernel routes the other ${capacity - usedCount} to devices already` : "";
  const message = `No free address in pod CIDR ${cidr}: ${usedCount} of ${capacity} are in use by pods${byOthers}`;
  return new BreakwaterError("BW_IPAM_EXHAUSTED", message, {
    operation: "allocate address",
    object: cidr,
    remedy:
      "delete pods of this node, or give nodes larger pod CIDRs (--node-cidr-mask-size of kube-controller-manager)",
  });
}

function noCidr(): BreakwaterError {
  return new BreakwaterError("BW_IPAM_NO_CIDR", "This node has no pod CIDR", {
    operation: "allocate address",
    remedy: "see spec.podCIDRs of the Node; kube-controller-manager gives it with --allocate-node-cidrs=true",
  });
}
