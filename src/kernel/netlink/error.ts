/**
 * What the kernel answers when it refuses: errno, and since 4.12 a sentence and the attribute it disliked (extended
 * ack, enum nlmsgerr_attrs of include/uapi/linux/netlink.h).
 */
import { BreakwaterError, isBreakwaterError } from "../../model/errors.ts";
import { errnoName } from "../libc.ts";
import { attributes, text, u32 } from "./codec.ts";
import { NLM_F_ACK_TLVS, NLM_F_CAPPED } from "./constants.ts";

const EPROTO = 71;
/** struct nlmsghdr: what an error quotes of the request at least. */
const HEADER_BYTES = 16;

const extendedAck = attributes({ message: [1, text], offset: [2, u32], missingType: [5, u32] });

/** What the request was for; both go into the error. */
export interface Purpose {
  readonly operation: string;
  readonly object: string;
}

/** The errno of an NLMSG_ERROR message: 0 for an acknowledgement. */
export function answeredErrno(payload: Buffer): number {
  // An answer without an answer counts as EPROTO: silence must not pass for success.
  return payload.length < 4 ? EPROTO : -payload.readInt32LE(0);
}

/** The answer of an NLMSG_ERROR message: undefined for an acknowledgement. */
export function decodeErrorMessage(payload: Buffer, flags: number, purpose: Purpose): BreakwaterError | undefined {
  const errno = answeredErrno(payload);
  if (errno === 0) return undefined;
  return netlinkError(errno, readExtendedAck(payload, flags), purpose);
}

function readExtendedAck(payload: Buffer, flags: number): string {
  if ((flags & NLM_F_ACK_TLVS) === 0 || payload.length < 4 + HEADER_BYTES) return "";
  // The request's header is always quoted; its body only when the answer is not capped.
  const quoted = (flags & NLM_F_CAPPED) !== 0 ? HEADER_BYTES : (payload.readUInt32LE(4) + 3) & ~3;
  const ack = extendedAck.read(payload.subarray(4 + quoted));
  const place = ack.offset === undefined ? "" : ` at byte ${ack.offset}`;
  const missing = ack.missingType === undefined ? "" : ` (attribute ${ack.missingType} is missing)`;
  return ack.message === undefined ? `${place}${missing}` : `: ${ack.message}${place}${missing}`;
}

const remedies: Readonly<Record<string, string>> = {
  EPERM: "Run as root, or with CAP_NET_ADMIN in this network namespace",
  EOPNOTSUPP: "The kernel lacks this feature: see the list of kernel options in docs/reference",
  EPROTONOSUPPORT: "The kernel lacks this netlink protocol: load its module or build it in",
};

export function netlinkError(errno: number, detail: string, purpose: Purpose): BreakwaterError {
  const name = errnoName(errno);
  const remedy = remedies[name];
  return new BreakwaterError(
    "BW_NETLINK",
    `Cannot ${purpose.operation} ${purpose.object}: the kernel answered ${name}${detail}`,
    { ...purpose, errno: name, ...(remedy === undefined ? {} : { remedy }) },
  );
}

/** Answers that say the object is not there. */
export const NOT_FOUND: readonly string[] = ["ENOENT", "ESRCH", "ENODEV", "EADDRNOTAVAIL", "ENXIO"];

/** True for errors that say the object is not there: nothing is left to delete. */
export function isNotFound(error: unknown): boolean {
  return isBreakwaterError(error) && NOT_FOUND.includes(error.errno ?? "");
}

export function isAlreadyExists(error: unknown): boolean {
  return isBreakwaterError(error) && error.errno === "EEXIST";
}
