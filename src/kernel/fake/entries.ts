/** Addresses, neighbours, forwarding entries and rules in memory, refused where the kernel refuses. */
import { ipFamily } from "../../model/ip.ts";
import type { Address, FdbEntry, Neighbour, NewAddress, Rule } from "../../model/kernel-objects.ts";
import type { Mac } from "../../model/mac.ts";
import type { Purpose } from "../netlink/error.ts";
import { refuse } from "./failures.ts";
import type { FakeNamespace } from "./namespace.ts";

export function addAddress(namespace: FakeNamespace, address: NewAddress, purpose: Purpose): void {
  const { index, length } = address;
  const link = namespace.links.get(index);
  if (link === undefined) refuse("ENODEV", purpose, "ipv4: Device not found");
  const v6 = ipFamily(address.address) === 6;
  if (v6 && namespace.sysctls.get(`net/ipv6/conf/${link.name}/disable_ipv6`) === "1") {
    refuse("EACCES", purpose, "ipv6: IPv6 is disabled on this device");
  }
  const before = namespace.addresses.find((other) => sameAddress(other, address));
  if (before !== undefined) {
    // NLM_F_REPLACE: announced again, nothing else.
    namespace.events.emit({ type: "address", address: before, deleted: false });
    return;
  }
  const scope = address.neverSource === true && !v6 ? "host" : scopeOf(address.address);
  namespace.addAddress({ index, address: address.address, length, scope });
}

function scopeOf(address: string): Address["scope"] {
  if (address.startsWith("fe80:")) return "link";
  return address.startsWith("127.") || address === "::1" ? "host" : "global";
}

function sameAddress(a: Omit<Address, "scope">, b: Omit<Address, "scope">): boolean {
  return a.index === b.index && a.address === b.address && a.length === b.length;
}

export function deleteAddress(namespace: FakeNamespace, address: Omit<Address, "scope">, purpose: Purpose): void {
  if (!namespace.links.has(address.index)) refuse("ENODEV", purpose);
  const found = namespace.addresses.find((other) => sameAddress(other, address));
  if (found === undefined) refuse("EADDRNOTAVAIL", purpose, "Address not found");
  namespace.removeAddress(found);
}

export function setNeighbour(
  namespace: FakeNamespace,
  { index, ip, mac }: Omit<Neighbour, "permanent"> & { readonly mac: Mac },
  purpose: Purpose,
  permanent = true,
): void {
  if (!namespace.links.has(index)) refuse("ENODEV", purpose);
  const neighbour = { index, ip, mac, permanent };
  const place = namespace.neighbours.findIndex((other) => other.index === index && other.ip === ip);
  if (place < 0) namespace.neighbours.push(neighbour);
  else namespace.neighbours[place] = neighbour;
  namespace.events.emit({ type: "neighbour", neighbour, deleted: false });
}

export function deleteNeighbour(
  namespace: FakeNamespace,
  { index, ip }: Pick<Neighbour, "index" | "ip">,
  purpose: Purpose,
): void {
  if (!namespace.links.has(index)) refuse("ENODEV", purpose);
  const found = namespace.neighbours.find((other) => other.index === index && other.ip === ip);
  if (found === undefined) refuse("ENOENT", purpose);
  namespace.removeNeighbour(found);
}

/** A unicast MAC leads to one place: setting another replaces it, and only the new one is announced. */
export function setFdb(namespace: FakeNamespace, entry: FdbEntry, purpose: Purpose): void {
  checkVxlan(namespace, entry.index, purpose);
  const place = namespace.fdb.findIndex((other) => other.index === entry.index && other.mac === entry.mac);
  // NLM_F_REPLACE is for what leads to one place alone.
  if (!isUnicast(entry.mac)) refuse("EOPNOTSUPP", purpose, "Cannot replace non-unicast fdb entries");
  if (namespace.fdb[place]?.destination === entry.destination) return;
  const { index, mac, destination } = entry;
  const value = { index, mac, destination };
  if (place < 0) namespace.fdb.push(value);
  else namespace.fdb[place] = value;
  namespace.events.emit({ type: "fdb", entry: value, deleted: false });
}

function isUnicast(mac: Mac): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 0 && mac !== "00:00:00:00:00:00";
}

/** Naming a destination that the MAC does not lead to deletes nothing, and is no error. */
export function deleteFdb(namespace: FakeNamespace, entry: FdbEntry, purpose: Purpose): void {
  checkVxlan(namespace, entry.index, purpose);
  const found = namespace.fdb.find((other) => other.index === entry.index && other.mac === entry.mac);
  if (found === undefined) refuse("ENOENT", purpose);
  if (found.destination === entry.destination) namespace.removeFdb(found);
}

function checkVxlan(namespace: FakeNamespace, index: number, purpose: Purpose): void {
  const link = namespace.links.get(index);
  if (link === undefined) refuse("ENODEV", purpose, "unknown ifindex");
  if (link.kind !== "vxlan") refuse("EOPNOTSUPP", purpose);
}

export function addRule(namespace: FakeNamespace, rule: Rule, purpose: Purpose): void {
  if (namespace.rules.some((other) => sameRule(other, rule))) refuse("EEXIST", purpose);
  namespace.rules.push({ ...rule });
}

export function deleteRule(namespace: FakeNamespace, rule: Rule, purpose: Purpose): void {
  const found = namespace.rules.find((other) => sameRule(other, rule));
  if (found === undefined) refuse("ENOENT", purpose);
  namespace.rules = namespace.rules.filter((other) => other !== found);
}

function sameRule(a: Rule, b: Rule): boolean {
  return (
    a.family === b.family &&
    a.priority === b.priority &&
    a.table === b.table &&
    a.source === b.source &&
    a.destination === b.destination &&
    a.mark === b.mark &&
    a.protocol === b.protocol
  );
}
