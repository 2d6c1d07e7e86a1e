/** Interface addresses: RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR (include/uapi/linux/if_addr.h). */
import { ipFamily } from "../../model/ip.ts";
import { attributes, bytes, ip, message, struct, u32 } from "../netlink/codec.ts";
import * as c from "../netlink/constants.ts";
import type { NetlinkMessage, NetlinkRequest } from "../netlink/socket.ts";
import type { Address, NewAddress } from "./types.ts";

export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
export const AF_INET = 2;
export const AF_INET6 = 10;
/** No duplicate address detection: the address can be used at once (RFC 4862 would wait a second). */
const IFA_F_NODAD = 0x02;
const RT_SCOPE_LINK = 253;
const RT_SCOPE_HOST = 254;

const ifaddr = struct({ family: "u8", prefixLength: "u8", flags: "u8", scope: "u8", index: "u32" });
const addressMessage = message(
  ifaddr,
  attributes({ address: [1, ip], local: [2, ip], lifetime: [6, bytes], flags: [8, u32] }),
);

export function familyNumber(address: string): number {
  return ipFamily(address) === 4 ? AF_INET : AF_INET6;
}

export function addressesRequest(): NetlinkRequest {
  return {
    operation: "list",
    object: "addresses",
    type: RTM_GETADDR,
    flags: 0,
    body: (w) => addressMessage.write(w, {}, {}),
  };
}

type AddressKey = Omit<Address, "scope">;

/** struct ifa_cacheinfo: preferred for no time, valid for ever (INFINITY_LIFE_TIME). */
const DEPRECATED = Buffer.from("00000000ffffffff0000000000000000", "hex");

function body(address: AddressKey & { neverSource?: boolean }, flags: number | undefined): NetlinkRequest["body"] {
  const family = familyNumber(address.address);
  const isHidden = address.neverSource === true;
  return (w) =>
    addressMessage.write(
      w,
      {
        family,
        prefixLength: address.length,
        index: address.index,
        ...(isHidden && family === AF_INET ? { scope: RT_SCOPE_HOST } : {}),
      },
      {
        local: address.address,
        address: address.address,
        ...(isHidden && family === AF_INET6 ? { lifetime: DEPRECATED } : {}),
        flags,
      },
    );
}

export function addAddressRequest(address: NewAddress): NetlinkRequest {
  return {
    operation: "add address",
    object: `${address.address}/${address.length} to link ${address.index}`,
    type: RTM_NEWADDR,
    flags: c.NLM_F_CREATE | c.NLM_F_REPLACE,
    body: body(address, address.noDad === true ? IFA_F_NODAD : undefined),
  };
}

export function deleteAddressRequest(address: AddressKey): NetlinkRequest {
  return {
    operation: "delete address",
    object: `${address.address}/${address.length} from link ${address.index}`,
    type: RTM_DELADDR,
    flags: 0,
    body: body(address, undefined),
  };
}

export function decodeAddress(received: NetlinkMessage): Address | undefined {
  if (received.type !== RTM_NEWADDR && received.type !== RTM_DELADDR) return undefined;
  const { header, values } = addressMessage.read(received.payload);
  // On point-to-point links IFA_ADDRESS is the other end; IFA_LOCAL is always ours where it exists.
  const address = values.local ?? values.address;
  if (address === undefined) return undefined;
  const scope = header.scope === RT_SCOPE_LINK ? "link" : header.scope >= RT_SCOPE_HOST ? "host" : "global";
  return { index: header.index, address, length: header.prefixLength, scope };
}
