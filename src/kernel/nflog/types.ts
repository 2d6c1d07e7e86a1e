/** Packets that rules log to a group of nflog: nflog-socket.ts hears the real kernel, fake/ says what a test gives it. */
import type { PacketHeaders } from "../../model/packet-headers.ts";

export interface LoggedPacket {
  /** As the rule says it. */
  readonly prefix: string;
  /** Indexes of the devices that it came by and was to leave by. */
  readonly inIndex?: number;
  readonly outIndex?: number;
  /** Undefined for what is no IP packet. */
  readonly headers: PacketHeaders | undefined;
}

export interface HeardPackets {
  readonly packets: readonly LoggedPacket[];
  /** So many that rules logged are missing before the last of these. */
  readonly lost: number;
  /** The socket overran: some are missing; how many, the next packet tells. */
  readonly overran: boolean;
}

/**
 * Hears the packets of one group, in the network namespace of the calling thread, until disposed.
 * @throws BreakwaterError BW_NETLINK where the kernel has no nflog, or somebody else listens to the group
 */
export type OpenPacketLog = (group: number, onPackets: (heard: HeardPackets) => void) => Disposable;
