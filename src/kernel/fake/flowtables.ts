/** Flowtables of one table in memory, refused where nf_tables refuses them (nf_tables_newflowtable() and its like). */
import type { NftFlowtable } from "../../model/nft.ts";
import type { NftChange } from "../../model/nft-changes.ts";

export type Flowtables = ReadonlyMap<string, NftFlowtable>;
export type FlowtableChange = Extract<NftChange, { flowtable: unknown }>;

/** What a kernel's flowtables depend on beside the table. */
export interface FlowtableSurroundings {
  /** Whether the namespace has a link of that name. */
  readonly hasDevice: (name: string) => boolean;
  /** False: a kernel without CONFIG_NF_FLOW_TABLE. */
  readonly hasFlowtables: () => boolean;
}

type Refuse = (errno: string) => never;

/** @param isUsed whether a rule offers connections to the flowtable */
export function changeFlowtables(
  before: Flowtables,
  change: FlowtableChange,
  surroundings: FlowtableSurroundings,
  isUsed: (name: string) => boolean,
  no: Refuse,
): Flowtables {
  const after = new Map(before);
  if (change.do === "addFlowtable") {
    const { name } = change.flowtable;
    after.set(name, withDevices(before, change.flowtable, surroundings, no));
    return after;
  }
  const name = typeof change.flowtable === "string" ? change.flowtable : change.flowtable.name;
  const present = before.get(name) ?? no("ENOENT");
  if (change.do === "deleteFlowtable") {
    if (isUsed(name)) no("EBUSY");
    after.delete(name);
    return after;
  }
  const gone = new Set(change.flowtable.devices);
  for (const device of gone) if (!present.devices.includes(device)) no("ENOENT");
  return after.set(name, { ...present, devices: present.devices.filter((device) => !gone.has(device)) });
}

function withDevices(
  flowtables: Flowtables,
  { name, priority, devices }: NftFlowtable,
  { hasDevice, hasFlowtables }: FlowtableSurroundings,
  no: Refuse,
): NftFlowtable {
  if (!hasFlowtables()) no("ENOENT");
  const present = flowtables.get(name);
  if (present !== undefined && present.priority !== priority) no("EOPNOTSUPP");
  const taken = new Set([...flowtables.values()].flatMap((other) => (other.name === name ? [] : other.devices)));
  for (const device of devices) {
    if (!hasDevice(device)) no("ENOENT");
    if (taken.has(device)) no("EEXIST");
  }
  return { name, priority, devices: [...new Set([...(present?.devices ?? []), ...devices])].sort() };
}

/** A link that is deleted leaves every flowtable, without a message. */
export function withoutDevice(flowtables: Flowtables, device: string): Flowtables {
  return new Map(
    Array.from(flowtables, ([name, each]) => [
      name,
      { ...each, devices: each.devices.filter((other) => other !== device) },
    ]),
  );
}
