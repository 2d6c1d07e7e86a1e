/**
 * Features of a device (offloads), as `ethtool -k` lists and `ethtool -K` switches them, over ethtool netlink: Linux 5.6,
 * include/uapi/linux/ethtool_netlink.h. Features go by the kernel's names, netdev_features_strings of net/ethtool/common.c.
 */
import { BreakwaterError, isBreakwaterError } from "../../model/errors.ts";
import { attributes, type Codec, listOf, text, u32 } from "../netlink/codec.ts";
import { isNotFound } from "../netlink/error.ts";
import { type GenericCommand, GenericNetlink } from "./genetlink-socket.ts";

const ETHTOOL_MSG_FEATURES_GET = 11;
const ETHTOOL_MSG_FEATURES_SET = 12;
/** The acknowledgement alone answers a change: what became of it is read afterwards. */
const ETHTOOL_FLAG_OMIT_REPLY = 2;

/** An attribute without a payload: being there says true. */
const flag: Codec<boolean> = { write: () => undefined, read: () => true };
const header = attributes({ index: [1, u32], name: [2, text], flags: [3, u32] });
const bit = attributes({ index: [1, u32], name: [2, text], value: [3, flag] });
const bitset = attributes({ noMask: [1, flag], size: [2, u32], bits: [3, listOf(1, bit)] });
const features = attributes({ header: [1, header], wanted: [3, bitset], active: [4, bitset] });

export interface DeviceFeatures extends Disposable {
  /** Why this kernel tells nothing about features (BW_GENETLINK_FAMILY); undefined when it does. */
  readonly unavailable: BreakwaterError | undefined;
  /** Whether a feature is on; undefined where there is no such device, or where features are unavailable. */
  read(device: string, feature: string): boolean | undefined;
  /** @throws BreakwaterError BW_NETLINK; BW_DEVICE_FEATURE when the device keeps it as it is */
  write(device: string, feature: string, on: boolean): void;
}

/** Opens the features of the devices in the calling thread's network namespace. */
export function openDeviceFeatures(): DeviceFeatures {
  return new EthtoolFeatures();
}

class EthtoolFeatures implements DeviceFeatures {
  readonly #generic = new GenericNetlink();
  readonly unavailable: BreakwaterError | undefined;

  constructor() {
    this.unavailable = this.#findFamily();
  }

  [Symbol.dispose](): void {
    this.#generic[Symbol.dispose]();
  }

  read(device: string, feature: string): boolean | undefined {
    if (this.unavailable !== undefined) return undefined;
    try {
      return this.#active(device)?.some(({ name }) => name === feature);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  write(device: string, feature: string, on: boolean): void {
    const operation = `switch ${feature} ${on ? "on" : "off"} on`;
    const wanted = { bits: [{ name: feature, ...(on ? { value: true } : {}) }] };
    this.#generic.request(this.#generic.family("ethtool"), {
      operation,
      object: device,
      command: ETHTOOL_MSG_FEATURES_SET,
      body: (w) => features.write(w, { header: { name: device, flags: ETHTOOL_FLAG_OMIT_REPLY }, wanted }),
    });
    // The kernel acknowledges a wish that the driver does not grant.
    if (this.read(device, feature) !== on) throw notSwitched(operation, device, feature);
  }

  #findFamily(): BreakwaterError | undefined {
    try {
      this.#generic.family("ethtool");
      return undefined;
    } catch (error) {
      if (isBreakwaterError(error, "BW_GENETLINK_FAMILY")) return error;
      throw error;
    }
  }

  #active(device: string) {
    const command: GenericCommand = {
      operation: "read the features of",
      object: device,
      command: ETHTOOL_MSG_FEATURES_GET,
      body: (w) => features.write(w, { header: { name: device } }),
    };
    const family = this.#generic.family("ethtool");
    return this.#generic.get(family, command, ({ payload }) => features.read(payload).active?.bits);
  }
}

export function notSwitched(operation: string, device: string, feature: string): BreakwaterError {
  return new BreakwaterError("BW_DEVICE_FEATURE", `Cannot ${operation} ${device}: the device keeps it as it is`, {
    operation,
    object: device,
    remedy: `See what the device allows: ethtool -k ${device} | grep ${feature}`,
  });
}
