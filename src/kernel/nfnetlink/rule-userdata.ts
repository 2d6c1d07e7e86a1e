/** What is stored with a rule in the kernel: its comment as nft(8) reads it, and its fingerprint, by which we know it again. */
import type { NftRule } from "../../model/nft.ts";
import { ruleFingerprint } from "./types.ts";

/** TLV types inside NFTA_RULE_USERDATA: 0 is libnftnl's comment; the fingerprint's is ours, which nft skips. */
const UDATA_COMMENT = 0;
const UDATA_FINGERPRINT = 98;

export function ruleUserdata(rule: NftRule): Uint8Array {
  const fingerprint = Buffer.from(ruleFingerprint(rule), "hex");
  const parts = [Buffer.from([UDATA_FINGERPRINT, fingerprint.length]), fingerprint];
  if (rule.comment !== undefined) {
    const comment = Buffer.from(`${rule.comment.slice(0, 127)}\0`);
    parts.unshift(Buffer.from([UDATA_COMMENT, comment.length]), comment);
  }
  return Buffer.concat(parts);
}

export function readFingerprint(userdata: Uint8Array | undefined): string {
  if (userdata === undefined) return "";
  let offset = 0;
  while (offset + 2 <= userdata.length) {
    const [type = 0, length = 0] = userdata.subarray(offset, offset + 2);
    const value = userdata.subarray(offset + 2, offset + 2 + length);
    if (type === UDATA_FINGERPRINT) return Buffer.from(value).toString("hex");
    offset += 2 + length;
  }
  return "";
}
