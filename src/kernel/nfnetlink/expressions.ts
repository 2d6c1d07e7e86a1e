/**
 * Statements -> the kernel's expressions: each loads something into a register or acts on one. The encodings are those
 * that nft(8) makes, so that `nft list ruleset` prints what was planned.
 */
import { ipBytes } from "../../model/ip.ts";
import type { NftField, NftKey, NftStatement, NftVerdict } from "../../model/nft.ts";
import { prefixAddress, prefixLength } from "../../model/prefix.ts";
import type { MessageWriter } from "../netlink/message-writer.ts";
import { dataAttribute, expression, stringAttribute, u32Attribute, u64Attribute } from "./attributes.ts";
import * as c from "./constants.ts";

/** Writes the expressions of one statement; each is one list element (NFTA_LIST_ELEM) of the rule. */
export function writeStatement(w: MessageWriter, statement: NftStatement): void {
  if ("match" in statement) writeMatch(w, statement);
  else if ("lookup" in statement) writeLookup(w, statement);
  else if ("vmap" in statement) writeVerdictMap(w, statement);
  else if ("dnat" in statement) writeDnat(w, statement);
  else if ("update" in statement) writeUpdate(w, statement);
  else if ("local" in statement) writeAddressType(w, statement.local, c.RTN_LOCAL);
  else if ("unicast" in statement) writeAddressType(w, statement.unicast, c.RTN_UNICAST);
  else if ("reject" in statement) writeReject(w, statement.reject);
  else if ("random" in statement) writeRandom(w, statement.random);
  else if ("counter" in statement) expression(w, "counter", () => undefined);
  else if ("limit" in statement) writeLimit(w, statement.limit);
  else if ("log" in statement) writeLog(w, statement.log);
  else if ("tcpSyn" in statement) writeTcpSyn(w);
  else if ("clampMss" in statement) writeClampMss(w);
  else if ("masquerade" in statement) {
    expression(w, "masq", () => u32Attribute(w, 1, c.NF_NAT_RANGE_PROTO_RANDOM_FULLY));
  } else if ("flowAdd" in statement) expression(w, "flow_offload", () => stringAttribute(w, 1, statement.flowAdd));
  else writeVerdict(w, statement.verdict);
}

function writeMatch(w: MessageWriter, { match, op, value }: Extract<NftStatement, { match: NftField }>): void {
  loadField(w, match);
  if (match === "ct state") writeCtBits(w, match, c.CT_STATE, String(value), op === "!=");
  else if (match === "ct status") writeCtBits(w, match, c.CT_STATUS, String(value), op === "!=");
  else writeCompare(w, match, op, value);
}

function writeLookup(w: MessageWriter, statement: Extract<NftStatement, { lookup: NftKey }>): void {
  const { lookup, set, negate, slot } = statement;
  const behind = loadKey(w, lookup);
  if (slot !== undefined) writeNumgen(w, behind, 1, slot);
  expression(w, "lookup", () => {
    stringAttribute(w, 1, set);
    u32Attribute(w, 2, c.REGISTER);
    // NFT_LOOKUP_F_INV
    if (negate === true) u32Attribute(w, 5, 1);
  });
}

function writeVerdictMap(w: MessageWriter, { vmap, map }: Extract<NftStatement, { vmap: NftKey }>): void {
  loadKey(w, vmap);
  writeMapLookup(w, map, c.NFT_REG_VERDICT);
}

function writeMapLookup(w: MessageWriter, map: string, destination: number): void {
  expression(w, "lookup", () => {
    stringAttribute(w, 1, map);
    u32Attribute(w, 2, c.REGISTER);
    u32Attribute(w, 3, destination);
  });
}

/** What the map holds takes the key's place in the registers: the address, then the port. */
function writeDnat(w: MessageWriter, statement: Extract<NftStatement, { dnat: NftKey }>): void {
  const { dnat, family, map, index, slot } = statement;
  const behind = loadKey(w, dnat);
  if (index !== undefined) writeNumgen(w, behind, index);
  else if (slot !== undefined) writeNumgen(w, behind, 1, slot);
  writeMapLookup(w, map, c.REGISTER);
  const port = c.REGISTER + (family === 4 ? 1 : 4);
  expression(w, "nat", () => {
    u32Attribute(w, 1, c.NFT_NAT_DNAT);
    u32Attribute(w, 2, c.FAMILIES[family === 4 ? "ip" : "ip6"]);
    u32Attribute(w, 3, c.REGISTER);
    u32Attribute(w, 4, c.REGISTER);
    u32Attribute(w, 5, port);
    u32Attribute(w, 6, port);
    u32Attribute(w, 7, c.NF_NAT_RANGE_PROTO_SPECIFIED);
  });
}

function writeUpdate(w: MessageWriter, statement: Extract<NftStatement, { update: NftKey }>): void {
  const behind = loadKey(w, statement.update);
  if ("data" in statement) loadKey(w, statement.data, behind);
  else if (statement.slot !== undefined) writeNumgen(w, behind, 1, statement.slot);
  expression(w, "dynset", () => {
    stringAttribute(w, 1, "map" in statement ? statement.map : statement.set);
    u32Attribute(w, 3, c.NFT_DYNSET_OP_UPDATE);
    u32Attribute(w, 4, c.REGISTER);
    if ("data" in statement) u32Attribute(w, 5, behind);
    u64Attribute(w, 6, BigInt(statement.timeoutSeconds) * 1000n);
  });
}

function writeAddressType(w: MessageWriter, side: "saddr" | "daddr", type: number): void {
  expression(w, "fib", () => {
    u32Attribute(w, 1, c.REGISTER);
    u32Attribute(w, 2, c.NFT_FIB_RESULT_ADDRTYPE);
    u32Attribute(w, 3, c.NFT_FIB_F[side]);
  });
  expression(w, "cmp", () => {
    u32Attribute(w, 1, c.REGISTER);
    u32Attribute(w, 2, c.CMP["=="]);
    dataAttribute(w, 3, hostOrder(type));
  });
}

function writeReject(w: MessageWriter, how: "icmp" | "icmpv6" | "tcp reset"): void {
  expression(w, "reject", () => {
    u32Attribute(w, 1, how === "tcp reset" ? c.NFT_REJECT_TCP_RST : c.NFT_REJECT_ICMP_UNREACH);
    w.attribute(2, () => w.u8(how === "tcp reset" ? 0 : c.PORT_UNREACHABLE[how]));
  });
}

function hostOrder(value: number): Buffer {
  const data = Buffer.alloc(4);
  data.writeUInt32LE(value);
  return data;
}

interface PayloadField {
  readonly base: number;
  readonly offset: number;
  readonly length: number;
}

/** Offsets of RFC 791, RFC 8200, RFC 792 and of every transport's port pair. */
const payloads: Partial<Record<NftField, PayloadField>> = {
  "ip saddr": { base: c.PAYLOAD_NETWORK_HEADER, offset: 12, length: 4 },
  "ip daddr": { base: c.PAYLOAD_NETWORK_HEADER, offset: 16, length: 4 },
  "ip protocol": { base: c.PAYLOAD_NETWORK_HEADER, offset: 9, length: 1 },
  "ip6 saddr": { base: c.PAYLOAD_NETWORK_HEADER, offset: 8, length: 16 },
  "ip6 daddr": { base: c.PAYLOAD_NETWORK_HEADER, offset: 24, length: 16 },
  "icmp type": { base: c.PAYLOAD_TRANSPORT_HEADER, offset: 0, length: 1 },
  "icmp code": { base: c.PAYLOAD_TRANSPORT_HEADER, offset: 1, length: 1 },
  "icmpv6 type": { base: c.PAYLOAD_TRANSPORT_HEADER, offset: 0, length: 1 },
  "th sport": { base: c.PAYLOAD_TRANSPORT_HEADER, offset: 0, length: 2 },
  "th dport": { base: c.PAYLOAD_TRANSPORT_HEADER, offset: 2, length: 2 },
};

const metas: Partial<Record<NftField, number>> = {
  "meta l4proto": c.META.l4proto,
  "meta nfproto": c.META.nfproto,
  "meta iifname": c.META.iifname,
  "meta oifname": c.META.oifname,
  "meta length": c.META.length,
  "meta mark": c.META.mark,
};

/** Loads the parts of a key into one register after the other. @returns the register behind them */
function loadKey(w: MessageWriter, key: NftKey, first: number = c.REGISTER): number {
  let register = first;
  for (const field of typeof key === "string" ? [key] : key) {
    loadField(w, field, register);
    register += Math.ceil(fieldBytes(field) / 4);
  }
  return register;
}

function fieldBytes(field: NftField): number {
  if (field.endsWith("ifname") || field === "ct original ip6 daddr") return 16;
  return payloads[field]?.length ?? 4;
}

function loadField(w: MessageWriter, field: NftField, register: number = c.REGISTER): void {
  const payload = payloads[field];
  const meta = metas[field];
  if (payload !== undefined) {
    expression(w, "payload", () => {
      u32Attribute(w, 1, register);
      u32Attribute(w, 2, payload.base);
      u32Attribute(w, 3, payload.offset);
      u32Attribute(w, 4, payload.length);
    });
  } else if (meta !== undefined) {
    expression(w, "meta", () => {
      u32Attribute(w, 1, register);
      u32Attribute(w, 2, meta);
    });
  } else {
    expression(w, "ct", () => {
      u32Attribute(w, 1, register);
      u32Attribute(w, 2, cts[field] ?? c.CT.state);
      if (field.startsWith("ct original")) w.attribute(3, () => w.u8(c.CT_ORIGINAL));
    });
  }
}

const cts: Partial<Record<NftField, number>> = {
  "ct state": c.CT.state,
  "ct status": c.CT.status,
  "ct original ip daddr": c.CT.dstIp,
  "ct original ip6 daddr": c.CT.dstIp6,
  "ct original proto-dst": c.CT.protoDst,
};

function writeCompare(w: MessageWriter, field: NftField, op: keyof typeof c.CMP, value: string | number): void {
  const { data, mask } = fieldValue(field, value);
  if (field === "meta length") writeByteorder(w);
  if (mask !== undefined) writeBitwise(w, mask);
  expression(w, "cmp", () => {
    u32Attribute(w, 1, c.REGISTER);
    u32Attribute(w, 2, c.CMP[op]);
    dataAttribute(w, 3, data);
  });
}

/** Bytes to compare with, and the mask for a prefix that is not a whole address. */
function fieldValue(field: NftField, value: string | number): { data: Uint8Array; mask?: Uint8Array } {
  if (field.endsWith("addr")) return addressValue(String(value));
  if (field.endsWith("ifname")) return { data: ifnameBytes(String(value)) };
  const number = Number(value);
  if (!Number.isInteger(number)) throw new RangeError(`Cannot compare ${field} with "${value}"`);
  const data = Buffer.alloc(valueBytes(field));
  // Payload is in network order and so is meta length behind writeByteorder(); a mark stays in host order.
  if (field === "meta mark") data.writeUInt32LE(number);
  else data.writeUIntBE(number, 0, data.length);
  return { data };
}

function valueBytes(field: NftField): number {
  if (field === "meta length" || field === "meta mark") return 4;
  if (field === "ct original proto-dst") return 2;
  return payloads[field]?.length ?? 1;
}

function addressValue(text: string): { data: Uint8Array; mask?: Uint8Array } {
  if (!text.includes("/")) return { data: ipBytes(text) };
  const data = ipBytes(prefixAddress(text));
  const length = prefixLength(text);
  const mask = data.map((_, i) => 0xff & (0xff00 >> Math.max(0, Math.min(8, length - i * 8))));
  return { data, mask };
}

/** Names are compared whole (16 bytes); a trailing "*" compares the beginning only, as nft writes wildcards. */
function ifnameBytes(name: string): Uint8Array {
  if (name.endsWith("*")) return Buffer.from(name.slice(0, -1));
  const data = Buffer.alloc(16);
  data.write(name);
  return data;
}

function writeBitwise(w: MessageWriter, mask: Uint8Array): void {
  expression(w, "bitwise", () => {
    u32Attribute(w, 1, c.REGISTER);
    u32Attribute(w, 2, c.REGISTER);
    u32Attribute(w, 3, mask.length);
    dataAttribute(w, 4, mask);
    dataAttribute(w, 5, new Uint8Array(mask.length));
  });
}

/** ct state and ct status are bit masks in host order: value & mask != 0. */
function writeCtBits(
  w: MessageWriter,
  field: NftField,
  names: Readonly<Record<string, number>>,
  values: string,
  negate: boolean,
): void {
  let bits = 0;
  for (const name of values.split(",")) {
    const bit = names[name];
    if (bit === undefined) throw new RangeError(`Unknown ${field} "${name}"`);
    bits |= bit;
  }
  writeBitwise(w, hostOrder(bits));
  expression(w, "cmp", () => {
    u32Attribute(w, 1, c.REGISTER);
    u32Attribute(w, 2, negate ? c.CMP["=="] : c.CMP["!="]);
    dataAttribute(w, 3, new Uint8Array(4));
  });
}

function writeRandom(w: MessageWriter, random: { readonly modulus: number; readonly below: number }): void {
  writeNumgen(w, c.REGISTER, random.modulus);
  writeByteorder(w);
  const data = Buffer.alloc(4);
  data.writeUInt32BE(random.below);
  expression(w, "cmp", () => {
    u32Attribute(w, 1, c.REGISTER);
    u32Attribute(w, 2, c.CMP["<"]);
    dataAttribute(w, 3, data);
  });
}

function writeNumgen(w: MessageWriter, register: number, modulus: number, offset = 0): void {
  expression(w, "numgen", () => {
    u32Attribute(w, 1, register);
    u32Attribute(w, 2, modulus);
    u32Attribute(w, 3, c.NFT_NG_RANDOM);
    u32Attribute(w, 4, offset);
  });
}

/** Host order -> network order in the register (NFT_BYTEORDER_HTON): less-than compares bytes. */
function writeByteorder(w: MessageWriter, bytes = 4): void {
  expression(w, "byteorder", () => {
    u32Attribute(w, 1, c.REGISTER);
    u32Attribute(w, 2, c.REGISTER);
    u32Attribute(w, 3, 1);
    u32Attribute(w, 4, bytes);
    u32Attribute(w, 5, bytes);
  });
}

/** Units are seconds; without its type (NFT_LIMIT_PKTS) and flags nft(8) would print another limit. */
function writeLimit(w: MessageWriter, { perSecond, burst }: Extract<NftStatement, { limit: object }>["limit"]): void {
  expression(w, "limit", () => {
    u64Attribute(w, 1, BigInt(perSecond));
    u64Attribute(w, 2, 1n);
    u32Attribute(w, 3, burst);
    u32Attribute(w, 4, c.NFT_LIMIT_PKTS);
    u32Attribute(w, 5, 0);
  });
}

/** With a group the packet goes to nfnetlink_log. The group has 16 bits. */
function writeLog(w: MessageWriter, { prefix, group, snaplen }: Extract<NftStatement, { log: object }>["log"]): void {
  expression(w, "log", () => {
    w.attribute(1, () => w.u16be(group));
    stringAttribute(w, 2, prefix);
    u32Attribute(w, 3, snaplen);
  });
}

/** Byte 13 of the TCP header (RFC 9293): SYN without RST. The protocol has to be matched before. */
function writeTcpSyn(w: MessageWriter): void {
  const SYN = 0x02;
  const RST = 0x04;
  expression(w, "payload", () => {
    u32Attribute(w, 1, c.REGISTER);
    u32Attribute(w, 2, c.PAYLOAD_TRANSPORT_HEADER);
    u32Attribute(w, 3, 13);
    u32Attribute(w, 4, 1);
  });
  writeBitwise(w, Uint8Array.of(SYN | RST));
  expression(w, "cmp", () => {
    u32Attribute(w, 1, c.REGISTER);
    u32Attribute(w, 2, c.CMP["=="]);
    dataAttribute(w, 3, Uint8Array.of(SYN));
  });
}

/**
 * nft_rt_get_eval() loads the smaller MTU of the route there and the route back, less the headers; nft_exthdr's writer
 * only ever lowers an MSS (RFC 9293, option kind 2, the value at offset 2).
 */
function writeClampMss(w: MessageWriter): void {
  expression(w, "rt", () => {
    u32Attribute(w, 1, c.REGISTER);
    u32Attribute(w, 2, c.NFT_RT_TCPMSS);
  });
  writeByteorder(w, 2);
  expression(w, "exthdr", () => {
    w.attribute(2, () => w.u8(c.TCPOPT_MSS));
    u32Attribute(w, 3, 2);
    u32Attribute(w, 4, 2);
    u32Attribute(w, 6, c.NFT_EXTHDR_OP_TCPOPT);
    u32Attribute(w, 7, c.REGISTER);
  });
}

function writeVerdict(w: MessageWriter, verdict: NftVerdict): void {
  expression(w, "immediate", () => {
    u32Attribute(w, 1, c.NFT_REG_VERDICT);
    verdictData(w, verdict);
  });
}

/** NFTA_IMMEDIATE_DATA and NFTA_SET_ELEM_DATA have the same number and the same content. */
export function verdictData(w: MessageWriter, verdict: NftVerdict): void {
  const data = w.openAttribute(2, true);
  const value = w.openAttribute(2, true);
  verdictAttributes(w, verdict);
  w.closeAttribute(value);
  w.closeAttribute(data);
}

function verdictAttributes(w: MessageWriter, verdict: NftVerdict): void {
  if (typeof verdict === "object") {
    const [code, chain] = "jump" in verdict ? [c.NFT_JUMP, verdict.jump] : [c.NFT_GOTO, verdict.goto];
    u32Attribute(w, 1, code);
    stringAttribute(w, 2, chain);
    return;
  }
  u32Attribute(w, 1, { accept: c.NF_ACCEPT, drop: c.NF_DROP, return: c.NFT_RETURN }[verdict]);
}
