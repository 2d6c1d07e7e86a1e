/**
 * The bytes between the CNI plugin (plugin/breakwater-cni.c) and the agent. Length-framed, so that a NUL byte or a
 * newline in the configuration is data and a cut connection is seen. All numbers are big endian.
 *
 *   request  "BWQ1" | u32 payload length | u64 start, ms since 1970 | 7 x (u32 length | bytes)
 *            fields: CNI_COMMAND, CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME, CNI_ARGS, CNI_PATH, stdin
 *   answer   "BWA1" | u32 exit status | u32 length | text for stdout
 *
 * A tombstone (tombstones.ts) is a file that holds one request.
 */
import { CNI_CODE, CniError } from "./cni-error.ts";

/** One call of the plugin as a runtime made it, nothing checked. */
export interface CniRequest {
  readonly command: string;
  readonly containerId: string;
  readonly netns: string;
  readonly ifname: string;
  readonly args: string;
  readonly path: string;
  readonly stdin: string;
  /** Wall clock of the plugin when it started: orders a late DEL against a newer ADD. */
  readonly startedAtMs: number;
}

export interface CniAnswer {
  /** 0, or 1 when `text` is a CNI error object. */
  readonly exitStatus: number;
  readonly text: string;
}

export const REQUEST_HEADER_BYTES = 16;
export const ANSWER_HEADER_BYTES = 12;
/** What the plugin can send: 1 MiB of stdin, six variables of 128 KiB (MAX_ARG_STRLEN of linux/binfmts.h), lengths. */
export const MAX_PAYLOAD_BYTES = 1024 * 1024 + 6 * 128 * 1024 + 7 * 4;

const REQUEST_MAGIC = "BWQ1";
const ANSWER_MAGIC = "BWA1";
const FIELD_COUNT = 7;

export function encodeRequest(request: CniRequest): Buffer {
  const { command, containerId, netns, ifname, args, path, stdin } = request;
  const fields = [command, containerId, netns, ifname, args, path, stdin].map((text) => Buffer.from(text));
  const header = Buffer.alloc(REQUEST_HEADER_BYTES);
  header.write(REQUEST_MAGIC, "latin1");
  header.writeUInt32BE(
    fields.reduce((sum, field) => sum + 4 + field.length, 0),
    4,
  );
  header.writeBigUInt64BE(BigInt(request.startedAtMs), 8);
  return Buffer.concat([header, ...fields.flatMap((field) => [uint32(field.length), field])]);
}

/**
 * Bytes of the whole request that begins in `bytes`, or undefined while its header is not complete.
 * @throws CniError when these are no request of ours, or one that is too large
 */
export function requestLength(bytes: Buffer): number | undefined {
  const magic = bytes.subarray(0, 4).toString("latin1");
  if (!REQUEST_MAGIC.startsWith(magic)) throw badFrame("what came on the CNI socket is no Breakwater request");
  if (bytes.length < REQUEST_HEADER_BYTES) return undefined;
  const payload = bytes.readUInt32BE(4);
  if (payload > MAX_PAYLOAD_BYTES) throw badFrame(`request of ${payload} bytes is larger than ${MAX_PAYLOAD_BYTES}`);
  return REQUEST_HEADER_BYTES + payload;
}

/** @throws CniError when the fields do not fill the frame exactly, or one is no UTF-8 text */
export function decodeRequest(bytes: Buffer): CniRequest {
  const length = requestLength(bytes) ?? Number.POSITIVE_INFINITY;
  if (bytes.length !== length)
    throw badFrame(bytes.length < length ? "request is cut short" : "bytes follow the request");
  const fields: string[] = [];
  let at = REQUEST_HEADER_BYTES;
  for (let i = 0; i < FIELD_COUNT; i++) {
    const end = at + 4 <= bytes.length ? at + 4 + bytes.readUInt32BE(at) : Number.POSITIVE_INFINITY;
    if (end > bytes.length) throw badFrame("a field of the request is longer than the request");
    fields.push(decodeText(bytes.subarray(at + 4, end)));
    at = end;
  }
  if (at !== bytes.length) throw badFrame("request has bytes behind its last field");
  const [command = "", containerId = "", netns = "", ifname = "", args = "", path = "", stdin = ""] = fields;
  const startedAtMs = Number(bytes.readBigUInt64BE(8));
  return { command, containerId, netns, ifname, args, path, stdin, startedAtMs };
}

export function encodeAnswer(answer: CniAnswer): Buffer {
  const text = Buffer.from(answer.text);
  const header = Buffer.alloc(ANSWER_HEADER_BYTES);
  header.write(ANSWER_MAGIC, "latin1");
  header.writeUInt32BE(answer.exitStatus, 4);
  header.writeUInt32BE(text.length, 8);
  return Buffer.concat([header, text]);
}

/** @throws SyntaxError when these are not exactly one answer */
export function decodeAnswer(bytes: Buffer): CniAnswer {
  const whole = bytes.length >= ANSWER_HEADER_BYTES && bytes.length === ANSWER_HEADER_BYTES + bytes.readUInt32BE(8);
  if (!whole || bytes.toString("latin1", 0, 4) !== ANSWER_MAGIC) {
    throw new SyntaxError(`Cannot read an answer from ${bytes.length} bytes`);
  }
  return { exitStatus: bytes.readUInt32BE(4), text: bytes.toString("utf8", ANSWER_HEADER_BYTES) };
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decodeText(bytes: Buffer): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw badFrame("a field of the request is not UTF-8 text");
  }
}

function badFrame(message: string): CniError {
  return new CniError(CNI_CODE.decodeFailure, `Cannot decode the CNI call: ${message}`, {
    remedy: "call the agent through its plugin binary only, of the same release as the agent",
  });
}
