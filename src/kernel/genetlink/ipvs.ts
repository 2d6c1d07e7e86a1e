/** IPVS over generic netlink: virtual servers and their destinations (include/uapi/linux/ip_vs.h). */
import type { BreakwaterError } from "../../model/errors.ts";
import type { IpvsChange, ObservedDestination } from "../../model/ipvs.ts";
import { type GenericFamily, GenericNetlink } from "./genetlink-socket.ts";
import {
  changeCommand,
  decodeDestination,
  decodeServer,
  decodeTcpTimeout,
  deleteCommand,
  destinationsCommand,
  getTimeoutsCommand,
  listCommand,
  setTcpTimeoutCommand,
  type VirtualServer,
} from "./ipvs-messages.ts";

/** IPVS of one namespace. */
export interface Ipvs extends Disposable {
  /** All of them, others' too. */
  virtualServers(): VirtualServer[];
  /** @throws BreakwaterError BW_NETLINK; errno ESRCH when there is none */
  deleteVirtualServer(server: VirtualServer): void;
  /** Of the virtual server with this key; none where there is no such server. */
  destinations(key: string): ObservedDestination[];
  /** Tries each, many in one system call. @returns one entry a change: undefined or its error */
  applyMany(changes: readonly IpvsChange[]): (BreakwaterError | undefined)[];
  /** Seconds that an established TCP connection may be silent. @throws BreakwaterError BW_NETLINK */
  tcpTimeout(): number;
  /** @param seconds a whole number above 0 @throws BreakwaterError BW_NETLINK */
  setTcpTimeout(seconds: number): void;
}

const FAMILY_NAME = "IPVS";
/** Of a kernel that was built without TCP's part of IPVS, and tells none: ip_vs_proto_tcp.c. */
const DEFAULT_TCP_TIMEOUT_SECONDS = 900;

/** Undefined when the kernel has no IPVS now: the list of families is read, for asking by name would load the module. */
export function openIpvs(): Ipvs | undefined {
  const generic = new GenericNetlink();
  const family = generic.families().find(({ name }) => name === FAMILY_NAME);
  if (family !== undefined) return new IpvsSocket(generic, family);
  generic[Symbol.dispose]();
  return undefined;
}

/** The same where IPVS is wanted: the kernel loads its module. @throws BreakwaterError BW_GENETLINK_FAMILY */
export function loadIpvs(): Ipvs {
  const generic = new GenericNetlink();
  try {
    return new IpvsSocket(generic, generic.family(FAMILY_NAME));
  } catch (error) {
    generic[Symbol.dispose]();
    throw error;
  }
}

class IpvsSocket implements Ipvs {
  readonly #generic: GenericNetlink;
  readonly #family: GenericFamily;

  constructor(generic: GenericNetlink, family: GenericFamily) {
    this.#generic = generic;
    this.#family = family;
  }

  [Symbol.dispose](): void {
    this.#generic[Symbol.dispose]();
  }

  virtualServers(): VirtualServer[] {
    return this.#generic.dump(this.#family, listCommand(), decodeServer).filter((server) => server !== undefined);
  }

  deleteVirtualServer(server: VirtualServer): void {
    this.#generic.request(this.#family, deleteCommand(server));
  }

  destinations(key: string): ObservedDestination[] {
    const found = this.#generic.dump(this.#family, destinationsCommand(key), decodeDestination);
    return found.filter((destination) => destination !== undefined);
  }

  applyMany(changes: readonly IpvsChange[]): (BreakwaterError | undefined)[] {
    return this.#generic.requestMany(this.#family, changes.map(changeCommand));
  }

  tcpTimeout(): number {
    const found = this.#generic.get(this.#family, getTimeoutsCommand(), decodeTcpTimeout);
    return found ?? DEFAULT_TCP_TIMEOUT_SECONDS;
  }

  setTcpTimeout(seconds: number): void {
    this.#generic.request(this.#family, setTcpTimeoutCommand(seconds));
  }
}
