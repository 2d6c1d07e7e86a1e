/**
 * RTA_MULTIPATH: the next hops of a route that has several, each a struct rtnexthop with attributes behind it
 * (include/uapi/linux/rtnetlink.h). Read only: we make no such routes, BIRD does.
 */
import type { NextHop } from "../../model/kernel-objects.ts";
import { attributes, type Codec, ip } from "../netlink/codec.ts";

/** rtnh_len, rtnh_flags, rtnh_hops, rtnh_ifindex. */
const HEAD_BYTES = 8;
const IFINDEX_OFFSET = 4;
const hopAttributes = attributes({ gateway: [5, ip] });

export const nextHops: Codec<readonly NextHop[]> = {
  write: () => {
    throw new RangeError("Routes with several next hops are not written");
  },
  read(buffer) {
    const hops: NextHop[] = [];
    let offset = 0;
    // Up to the first malformed one, as the kernel's rtnh_ok does.
    while (offset + HEAD_BYTES <= buffer.length) {
      const size = buffer.readUInt16LE(offset);
      if (size < HEAD_BYTES || offset + size > buffer.length) break;
      const { gateway } = hopAttributes.read(buffer.subarray(offset + HEAD_BYTES, offset + size));
      hops.push({ gateway, oif: buffer.readInt32LE(offset + IFINDEX_OFFSET) });
      offset += (size + 3) & ~3;
    }
    return hops;
  },
};
