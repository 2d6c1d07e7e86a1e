/** Who has which address while a plan is made. */
import type { Ip } from "../../model/ip.ts";
import type { BalancedService } from "../../model/load-balancer.ts";
import { sharingRefusal } from "./sharing.ts";

export class Claims {
  readonly #holders = new Map<Ip, BalancedService[]>();
  /** Addresses by the key under which they are shared. */
  readonly #shared = new Map<string, Set<Ip>>();

  isTaken(ip: Ip): boolean {
    return this.#holders.has(ip);
  }

  /** Every address that somebody has. */
  taken(): Iterable<Ip> {
    return this.#holders.keys();
  }

  /** Addresses that Services with this key have. */
  sharedUnder(key: string): readonly Ip[] {
    return key === "" ? [] : [...(this.#shared.get(key) ?? [])];
  }

  /** Why the Service cannot have the address beside those that have it; undefined when it can. */
  refusal(service: BalancedService, ip: Ip): string | undefined {
    for (const holder of this.#holders.get(ip) ?? []) {
      const why = holder === service ? undefined : sharingRefusal(holder, service);
      if (why !== undefined) return why;
    }
    return undefined;
  }

  take(service: BalancedService, ip: Ip): void {
    const holders = this.#holders.get(ip);
    if (holders === undefined) this.#holders.set(ip, [service]);
    else if (!holders.includes(service)) holders.push(service);
    if (!service.isOurs || service.sharingKey === "") return;
    const addresses = this.#shared.get(service.sharingKey) ?? new Set();
    this.#shared.set(service.sharingKey, addresses.add(ip));
  }

  release(service: BalancedService, ip: Ip): void {
    const holders = (this.#holders.get(ip) ?? []).filter((holder) => holder !== service);
    if (holders.length > 0) this.#holders.set(ip, holders);
    else this.#holders.delete(ip);
    if (!holders.some(({ sharingKey }) => sharingKey === service.sharingKey)) {
      this.#shared.get(service.sharingKey)?.delete(ip);
    }
  }
}
