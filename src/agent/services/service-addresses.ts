/**
 * Addresses of Services on our dummy device: IPVS sees what comes for this node alone, so they have to be its own. The
 * kernel never chooses them as a source towards others.
 */
import { isAlreadyExists, isNotFound } from "../../kernel/netlink/error.ts";
import type { RouteChange, RouteTable } from "../../kernel/rtnetlink/types.ts";
import { type Ip, ipFamily } from "../../model/ip.ts";
import { parseFrontendKey } from "../../model/ipvs.ts";
import { IPVS_DEVICE } from "../../model/marks.ts";

export class ServiceAddresses {
  readonly #routes: RouteTable;
  #index: number | undefined;
  #bound = new Set<Ip>();
  /** Keys of frontends that need an address. */
  readonly #holders = new Map<Ip, Set<string>>();
  /** Addresses that may have lost their last holder. */
  #suspects = new Set<Ip>();

  constructor(routes: RouteTable) {
    this.#routes = routes;
  }

  /** Addresses that the device has, as far as we know. */
  get bound(): ReadonlySet<Ip> {
    return this.#bound;
  }

  /** Reads device and addresses. @throws BreakwaterError BW_NETLINK */
  read(): void {
    this.#bound = this.observe();
    this.#suspects = new Set(this.#bound);
    this.#holders.clear();
  }

  /** What the device has now. @throws BreakwaterError BW_NETLINK */
  observe(): Set<Ip> {
    this.#index = this.#routes.link(IPVS_DEVICE)?.index;
    if (this.#index === undefined) return new Set();
    const addresses = this.#routes.addresses().filter(({ index, scope }) => index === this.#index && scope !== "link");
    return new Set(addresses.map(({ address }) => address));
  }

  /** Makes the device where there is none, and switches it on. @throws BreakwaterError BW_NETLINK */
  createDevice(): void {
    const link = this.#routes.link(IPVS_DEVICE);
    if (link === undefined) this.#tryCreate();
    else if (!link.up) this.#routes.changeLink(link.index, { up: true });
    this.#index = this.#routes.link(IPVS_DEVICE)?.index;
  }

  deleteDevice(): void {
    if (this.#index === undefined) return;
    try {
      this.#routes.deleteLink(this.#index);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    this.#index = undefined;
    this.#bound.clear();
    this.#suspects.clear();
  }

  /** A frontend needs its address, or does not any more. */
  hold(key: string, isNeeded: boolean): void {
    const { address } = parseFrontendKey(key);
    const holders = this.#holders.get(address) ?? new Set();
    if (isNeeded) {
      holders.add(key);
      this.#holders.set(address, holders);
    } else if (holders.delete(key) && holders.size === 0) {
      this.#holders.delete(address);
      this.#suspects.add(address);
    }
  }

  /** @returns addresses that were added @throws BreakwaterError BW_NETLINK */
  bind(addresses: Iterable<Ip>): number {
    const missing = [...addresses].filter((address) => !this.#bound.has(address));
    if (missing.length === 0) return 0;
    const index = this.#index ?? -1;
    const changes = missing.map((address): RouteChange => {
      return {
        do: "addAddress",
        address: { index, address, length: addressLength(address), noDad: true, neverSource: true },
      };
    });
    this.#applyAll(changes, missing, isAlreadyExists, (address) => this.#bound.add(address));
    return missing.length;
  }

  /** Takes the addresses from the device that nobody needs. @returns how many @throws BreakwaterError BW_NETLINK */
  release(): number {
    const [index, gone] = [this.#index, [...this.#suspects].filter((address) => this.#isFree(address))];
    if (index !== undefined && gone.length > 0) {
      const changes = gone.map((address): RouteChange => {
        return { do: "deleteAddress", address: { index, address, length: addressLength(address) } };
      });
      this.#applyAll(changes, gone, isNotFound, (address) => this.#bound.delete(address));
    }
    this.#suspects.clear();
    return gone.length;
  }

  #isFree(address: Ip): boolean {
    return this.#bound.has(address) && !this.#holders.has(address);
  }

  #tryCreate(): void {
    try {
      this.#routes.createLink({ name: IPVS_DEVICE, up: true, kind: { type: "dummy" } });
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }

  /** What is done is noted, whatever became of the rest. @throws the first error */
  #applyAll(
    changes: readonly RouteChange[],
    addresses: readonly Ip[],
    isDone: (error: unknown) => boolean,
    note: (address: Ip) => void,
  ): void {
    let failure: Error | undefined;
    for (const [i, error] of this.#routes.applyMany(changes).entries()) {
      const address = addresses[i];
      if (error !== undefined && !isDone(error)) failure ??= error;
      else if (address !== undefined) note(address);
    }
    if (failure !== undefined) throw failure;
  }
}

export function addressLength(address: Ip): number {
  return ipFamily(address) === 4 ? 32 : 128;
}
