/**
 * Makes wires carry frames instead of super-packets. veth pairs hand a sender's segments on as one buffer of up to 64 KB
 * (segmentation offload, as a network card would cut it up), so a rule that looks at lengths in the switch would see, and
 * drop, what no real switch sees. While a fault depends on lengths, the machines cut segments up before they send them.
 *
 *   pod -> veth -> bwvxlan -> eth0 | cut here | -> switch port -> bridge, rules -> switch port -> eth0
 */
import { type DeviceFeatures, openDeviceFeatures } from "../../kernel/genetlink/ethtool.ts";
import type { LabHost } from "../underlay/host.ts";
import type { Underlay } from "../underlay/underlay.ts";

/** A device that sends into a switch. */
export type Sender = readonly [host: LabHost, device: string];

/**
 * Everything that lets a buffer with more than one segment pass (NETIF_F_GSO_SOFTWARE and NETIF_F_GSO_ENCAP_ALL of
 * include/linux/netdev_features.h), by the kernel's names. A device may lack some.
 */
const SEGMENTATION_FEATURES = [
  "tx-tcp-segmentation",
  "tx-tcp-ecn-segmentation",
  "tx-tcp-accecn-segmentation",
  "tx-tcp-mangleid-segmentation",
  "tx-tcp6-segmentation",
  "tx-udp-segmentation",
  "tx-sctp-segmentation",
  "tx-gso-list",
  "tx-gre-segmentation",
  "tx-gre-csum-segmentation",
  "tx-ipxip4-segmentation",
  "tx-ipxip6-segmentation",
  "tx-udp_tnl-segmentation",
  "tx-udp_tnl-csum-segmentation",
] as const;

interface SwitchedOff {
  readonly host: LabHost;
  readonly device: string;
  readonly feature: string;
}

/** Counts who needs it: it ends, exactly as it was before, with the last one. */
export class Segmentation {
  readonly #senders: () => readonly Sender[];
  #holders = 0;
  #switchedOff: SwitchedOff[] = [];

  constructor(senders: () => readonly Sender[]) {
    this.#senders = senders;
  }

  /** From now on wires carry single frames. @returns what gives that up; further calls of it do nothing */
  hold(): () => void {
    if (this.#holders === 0) this.#switchOff();
    this.#holders++;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#holders--;
      if (this.#holders === 0) this.#switchOn();
    };
  }

  #switchOff(): void {
    try {
      for (const [host, device] of this.#senders()) {
        withFeatures(host, (features) => {
          for (const feature of SEGMENTATION_FEATURES) {
            if (features.read(device, feature) !== true) continue;
            features.write(device, feature, false);
            this.#switchedOff.push({ host, device, feature });
          }
        });
      }
    } catch (error) {
      this.#switchOn();
      throw error;
    }
  }

  #switchOn(): void {
    for (const { host, device, feature } of this.#switchedOff.toReversed()) {
      withFeatures(host, (features) => features.write(device, feature, true));
    }
    this.#switchedOff = [];
  }
}

/** Everything of a lab that sends into one of its switches. */
export function switchSenders({ nodes, gateways }: Underlay): Sender[] {
  return [...[...nodes.values()].map((host): Sender => [host, "eth0"]), ...gateways];
}

function withFeatures(host: LabHost, body: (features: DeviceFeatures) => void): void {
  host.run(() => {
    using features = openDeviceFeatures();
    if (features.unavailable !== undefined) throw features.unavailable;
    body(features);
  });
}
