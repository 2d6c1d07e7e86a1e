/**
 * NFTA_SET_USERDATA: what nft(8) keeps with a set to print it again. The kernel only stores it. Without it nft cannot
 * print a set whose key holds the result of `numgen`, which has no named type: such a set names, as nft's `typeof` does,
 * the expressions that its key is made of. Numbers: enum nftnl_udata_set_types (libnftnl/udata.h), and nft's own
 * include/expression.h, include/proto.h.
 */
import type { NftKeyType, NftSet } from "../../model/nft.ts";

const KEY_BYTEORDER = 0;
const DATA_BYTEORDER = 1;
const KEY_TYPEOF = 3;
const DATA_TYPEOF = 4;
const DATA_INTERVAL = 6;

const HOST_ORDER = 1;
const NETWORK_ORDER = 2;

const EXPR_PAYLOAD = 7;
const EXPR_META = 9;
const EXPR_CONCAT = 13;
const EXPR_NUMGEN = 23;

const PROTO_DESC = { th: 11, ip: 12, ip6: 13 } as const;
const META_L4PROTO = 16;
const NUMGEN_RANDOM = 1;
/** `numgen random mod N` of any N has the same type: this one is printed. */
const PRINTED_MODULUS = 16;

export function setUserdata(set: Pick<NftSet, "key" | "data">): Uint8Array | undefined {
  if (typeof set.key === "string") {
    return tlv(KEY_BYTEORDER, u32(set.key === "ifname" || set.key === "index" ? HOST_ORDER : NETWORK_ORDER));
  }
  if (!set.key.includes("index")) return undefined;
  return Buffer.concat([
    tlv(KEY_BYTEORDER, u32(0)),
    tlv(DATA_BYTEORDER, u32(0)),
    tlv(KEY_TYPEOF, concat(set.key)),
    ...(set.data === undefined || set.data === "verdict"
      ? []
      : [tlv(DATA_TYPEOF, concat(set.data)), tlv(DATA_INTERVAL, u32(0))]),
  ]);
}

function concat(types: readonly NftKeyType[]): Buffer {
  return expression(EXPR_CONCAT, Buffer.concat(types.map((type, i) => tlv(i, typeofPart(types, type, i)))));
}

/** Of two addresses the first is whom a packet comes from. */
function typeofPart(types: readonly NftKeyType[], type: NftKeyType, i: number): Buffer {
  const isSource = type === "ipv6_addr" && types.indexOf(type, i + 1) > i;
  return isSource ? payload(PROTO_DESC.ip6, 8) : typeofExpression(type);
}

/** The expression that stands for a type: where such a value usually comes from. */
function typeofExpression(type: NftKeyType): Buffer {
  switch (type) {
    case "ipv4_addr":
      return payload(PROTO_DESC.ip, 12);
    case "ipv6_addr":
      return payload(PROTO_DESC.ip6, 9);
    case "inet_service":
      return payload(PROTO_DESC.th, 2);
    case "inet_proto":
      return expression(EXPR_META, tlv(0, u32(META_L4PROTO)));
    case "index":
      return expression(
        EXPR_NUMGEN,
        Buffer.concat([tlv(0, u32(NUMGEN_RANDOM)), tlv(1, u32(PRINTED_MODULUS)), tlv(2, u32(0))]),
      );
    case "ifname":
      throw new RangeError("An interface name has no place in a typeof key");
  }
}

/** @param field nft's number of the header field: enum ip_hdr_fields, ip6_hdr_fields, th_hdr_fields */
function payload(description: number, field: number): Buffer {
  return expression(EXPR_PAYLOAD, Buffer.concat([tlv(0, u32(description)), tlv(1, u32(field))]));
}

function expression(type: number, data: Buffer): Buffer {
  return Buffer.concat([tlv(0, u32(type)), tlv(1, data)]);
}

function tlv(type: number, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type, value.length]), value]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
