/**
 * The elements of a set as a dump lists them -> texts, straight out of the messages: all Services of a cluster are a hundred
 * thousand elements. src/kernel/nfnetlink/element-writer.ts goes the other way.
 */
import type { ObservedElement } from "../../model/nft-changes.ts";
import { text, walkAttributes } from "../netlink/codec.ts";
import type { NetlinkMessage } from "../netlink/socket.ts";
import { ELEM_DATA, ELEM_KEY, ELEM_USERDATA, LIST_ELEM } from "./element-writer.ts";
import {
  commentText,
  dataText,
  elementTexts,
  partsText,
  type RawElement,
  type SetShape,
  verdictText,
} from "./set-elements.ts";
import { elementsMessage, readComment, readElement, readVerdict } from "./set-messages.ts";

const NFGENMSG_BYTES = 4;
const ATTRIBUTE_HEADER_BYTES = 4;
/** NFTA_SET_ELEM_LIST_ELEMENTS. */
const LIST_ELEMENTS = 3;
/** NFTA_DATA_VERDICT, NFTA_VERDICT_CODE, NFTA_VERDICT_CHAIN. */
const [DATA_VERDICT, VERDICT_CODE, VERDICT_CHAIN] = [2, 1, 2];
/** NFTA_SET_ELEM_EXPIRATION, NFTA_SET_ELEM_EXPR; of that NFTA_EXPR_DATA, NFTA_COUNTER_BYTES, NFTA_COUNTER_PACKETS. */
const [ELEM_EXPIRATION, ELEM_EXPR, EXPR_DATA, COUNTER_BYTES, COUNTER_PACKETS] = [5, 7, 2, 1, 2];

/**
 * Gathers the elements of a dump's messages as texts. What a dump that is begun anew had read before is forgotten.
 *
 * A dump goes on where its last part ended by counting (nft_rhash_walk() of the kernel). While the hash table is made
 * larger or smaller, which the kernel does behind a large commit, elements move from counted places to later ones: they
 * come again, and others that took their places never. No generation changes, so the kernel does not say so.
 */
export function elementReader(set: SetShape) {
  const raw: RawElement[] = [];
  const texts: string[] = [];
  let sequence: number | undefined;
  return {
    read(received: NetlinkMessage): void {
      if (received.sequence !== sequence) raw.length = texts.length = 0;
      sequence = received.sequence;
      if (!set.interval) readTexts(set, received.payload, texts);
      else raw.push(...(elementsMessage.read(received.payload).values.elements ?? []).map(readElement));
    },
    /** Sorted; undefined where some came twice: as many did not come at all. */
    texts: (): string[] | undefined => {
      // Bounds of intervals make sense together only.
      if (set.interval) return elementTexts(set, raw);
      texts.sort();
      return texts.some((text, i) => text === texts[i + 1]) ? undefined : texts;
    },
  };
}

/**
 * The elements of one message of a dump with what the kernel counts at them, as it lists them; not for intervals, whose
 * bounds make sense together only.
 */
export function observedElements(set: SetShape, { payload }: NetlinkMessage): ObservedElement[] {
  const found: ObservedElement[] = [];
  eachElement(payload, (start, end) => {
    found.push({ text: elementText(set, payload, start, end), ...countedAt(payload, start, end) });
  });
  return found;
}

function countedAt(payload: Buffer, from: number, to: number): Omit<ObservedElement, "text"> {
  const counted: { endsInMs?: number; packets?: bigint; bytes?: bigint } = {};
  const visitCounter = (type: number, start: number, end: number) => {
    if (end - start < 8) return;
    if (type === COUNTER_BYTES) counted.bytes = payload.readBigUInt64BE(start);
    else if (type === COUNTER_PACKETS) counted.packets = payload.readBigUInt64BE(start);
  };
  const visitExpression = (type: number, start: number, end: number) => {
    if (type === EXPR_DATA) walkAttributes(payload, visitCounter, start, end);
  };
  const visit = (type: number, start: number, end: number) => {
    if (type === ELEM_EXPR) walkAttributes(payload, visitExpression, start, end);
    // A number in milliseconds is exact as a float.
    else if (type === ELEM_EXPIRATION && end - start >= 8) {
      counted.endsInMs = payload.readUInt32BE(start) * 2 ** 32 + payload.readUInt32BE(start + 4);
    }
  };
  walkAttributes(payload, visit, from, to);
  return counted;
}

function readTexts(set: SetShape, payload: Buffer, into: string[]): void {
  eachElement(payload, (start, end) => void into.push(elementText(set, payload, start, end)));
}

function eachElement(payload: Buffer, visit: (start: number, end: number) => void): void {
  const visitElement = (type: number, start: number, end: number) => {
    if (type === LIST_ELEM) visit(start, end);
  };
  const visitList = (type: number, start: number, end: number) => {
    if (type === LIST_ELEMENTS) walkAttributes(payload, visitElement, start, end);
  };
  walkAttributes(payload, visitList, NFGENMSG_BYTES);
}

function elementText(set: SetShape, payload: Buffer, from: number, to: number): string {
  let [key, comment, value] = ["", "", ""];
  const visit = (type: number, start: number, end: number) => {
    // A key, and data, are an attribute in an attribute.
    if (type === ELEM_KEY) key = partsText(set.key, payload, start + ATTRIBUTE_HEADER_BYTES);
    else if (type === ELEM_DATA && set.data === "verdict") value = verdictIn(payload, start, end);
    else if (type === ELEM_DATA) value = dataText(set, payload, start + ATTRIBUTE_HEADER_BYTES);
    else if (type === ELEM_USERDATA) {
      const found = readComment(payload.subarray(start, end));
      if (found !== undefined) comment = commentText(found);
    }
  };
  walkAttributes(payload, visit, from, to);
  // One flat text: what "+" makes is put together when it is first compared, and takes thrice the memory until then.
  return [key, comment, value].join("");
}

function verdictIn(payload: Buffer, from: number, to: number): string {
  let code: number | undefined;
  let chain: string | undefined;
  const visitVerdict = (type: number, start: number, end: number) => {
    if (type === VERDICT_CODE && end - start >= 4) code = payload.readUInt32BE(start);
    else if (type === VERDICT_CHAIN) chain = text.read(payload.subarray(start, end));
  };
  const visit = (type: number, start: number, end: number) => {
    if (type === DATA_VERDICT) walkAttributes(payload, visitVerdict, start, end);
  };
  walkAttributes(payload, visit, from, to);
  const verdict = readVerdict({ ...(code === undefined ? {} : { code }), ...(chain === undefined ? {} : { chain }) });
  return verdict === undefined ? "" : verdictText(verdict);
}
