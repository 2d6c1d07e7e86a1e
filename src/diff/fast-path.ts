/**
 * The fast path is left out of the table's own transactions: the node serves its pods without it, so what keeps it from
 * being made must keep nothing else.
 */
import { DOOMED_GROUP, isFastPathName } from "../model/marks.ts";
import type { NftFlowtable } from "../model/nft.ts";
import type { NftChange } from "../model/nft-changes.ts";
import type { Observed } from "../model/observed.ts";
import type { Operation } from "../model/operation.ts";

const CAUSE = "fast path of established connections";

/**
 * Operations of the changes that concern flowtables.
 *
 * @param fresh devices that are made in the same round: each joins by itself, for it may come to nothing
 */
export function fastPathOperations(
  changes: readonly NftChange[],
  { links }: Pick<Observed, "links">,
  fresh: ReadonlySet<string>,
): Operation[] {
  const ours = changes.filter(isFastPathChange);
  const operation = (some: readonly NftChange[]): Operation[] =>
    some.length === 0 ? [] : [{ do: "changeNft", changes: some, cause: CAUSE, optional: true }];
  const present = (device: string) => links.has(device) && !fresh.has(device);
  // What was given up leaves by itself as its link is deleted, which may happen at any moment.
  const isStaying = (device: string) => links.get(device)?.group !== DOOMED_GROUP;
  const joining = ours.flatMap((change) => (change.do === "addFlowtable" ? eachDevice(change.flowtable, fresh) : []));
  return [
    ...operation(
      ours.flatMap((change): NftChange[] => {
        if (change.do === "addFlowtable") return withDevices(change, present);
        return change.do === "deleteFlowtableDevices" ? withDevices(change, isStaying) : [change];
      }),
    ),
    ...joining.flatMap((flowtable) => operation([{ do: "addFlowtable", flowtable }])),
  ];
}

export function isFastPathChange(change: NftChange): boolean {
  if ("flowtable" in change) return true;
  if ("set" in change) return isFastPathName(typeof change.set === "string" ? change.set : change.set.name);
  return "chain" in change && isFastPathName(typeof change.chain === "string" ? change.chain : change.chain.name);
}

type DeviceChange = Extract<NftChange, { do: "addFlowtable" | "deleteFlowtableDevices" }>;

function withDevices(change: DeviceChange, keep: (device: string) => boolean): DeviceChange[] {
  const devices = change.flowtable.devices.filter(keep);
  return devices.length === 0 ? [] : [{ ...change, flowtable: { ...change.flowtable, devices } }];
}

function eachDevice(flowtable: NftFlowtable, devices: ReadonlySet<string>): NftFlowtable[] {
  return flowtable.devices
    .filter((device) => devices.has(device))
    .map((device) => ({ ...flowtable, devices: [device] }));
}
