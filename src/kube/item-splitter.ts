/**
 * Cuts a Kubernetes list, while its bytes arrive, into its items and the envelope around them. A list of 500 nodes
 * is several megabytes and one of 10,000 EndpointSlices tens of them; parsed whole, it would stay in the agent's
 * resident memory for good. Like this only one item is ever held.
 *
 *   {"kind":"NodeList","metadata":{…},"items":[ {item} , {item} ]}     -> onItem twice,
 *   {"kind":"NodeList","metadata":{…},"items":[]}                      <- end() returns this, parsed
 */
import { MAX_OBJECT_BYTES } from "./line-splitter.ts";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** Tail of the envelope when the array of items opens: the key, its colon, the bracket. */
const ITEMS_KEY = /[{,]\s*"items"\s*:\s*\[$/;

export class ItemSplitter {
  readonly #onItem: (item: unknown) => void;
  /** Bytes of the envelope; items left out. */
  readonly #envelope: Buffer[] = [];
  /** Bytes of the item under way. */
  #item: Buffer[] = [];
  #heldBytes = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;
  #inItems = false;

  constructor(onItem: (item: unknown) => void) {
    this.#onItem = onItem;
  }

  /** @throws SyntaxError from an item that is not JSON, RangeError when one is too large */
  push(chunk: Buffer): void {
    let start = 0;
    for (let at = this.#inString ? this.#skipString(chunk, 0) : 0; at < chunk.length; at++) {
      const byte = chunk[at];
      if (byte === QUOTE) {
        this.#inString = true;
        // Leaves `at` on the closing quote, or beyond the chunk.
        at = this.#skipString(chunk, at + 1) - 1;
      } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        start = this.#open(chunk, start, at);
      } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        start = this.#close(chunk, start, at);
      }
    }
    this.#hold(chunk.subarray(start));
  }

  /**
   * Position after the string that goes on at `from`. Most bytes of a list are in strings, so they are left to the
   * machine's own search; a quote behind an odd number of backslashes does not end one.
   */
  #skipString(chunk: Buffer, from: number): number {
    let begin = from;
    for (;;) {
      const quote = chunk.indexOf(QUOTE, begin);
      const end = quote < 0 ? chunk.length : quote;
      let first = end;
      while (first > begin && chunk[first - 1] === BACKSLASH) first--;
      // A run that reaches back to the chunk before goes on from there.
      const escaped = (end - first + (first === begin && this.#escaped ? 1 : 0)) % 2 === 1;
      this.#escaped = quote < 0 && escaped;
      if (quote < 0) return chunk.length;
      begin = quote + 1;
      if (escaped) continue;
      this.#inString = false;
      return begin;
    }
  }

  /** The envelope, parsed. @throws SyntaxError when the list is cut short or no JSON */
  end(): unknown {
    return JSON.parse(Buffer.concat(this.#envelope).toString("utf8"));
  }

  /** Depth 1 is inside the envelope's object, 2 inside the array of items, 3 inside an item. */
  #open(chunk: Buffer, start: number, at: number): number {
    this.#depth++;
    if (this.#inItems && this.#depth === 3) {
      this.#hold(chunk.subarray(start, at));
      this.#expectSeparator();
      return at;
    }
    if (this.#inItems || this.#depth !== 2 || chunk[at] !== OPEN_BRACKET) return start;
    this.#hold(chunk.subarray(start, at + 1));
    this.#inItems = ITEMS_KEY.test(Buffer.concat(this.#envelope).subarray(-64).toString("latin1"));
    this.#heldBytes = 0;
    return at + 1;
  }

  #close(chunk: Buffer, start: number, at: number): number {
    this.#depth--;
    if (!this.#inItems || this.#depth > 2) return start;
    this.#hold(chunk.subarray(start, this.#depth === 2 ? at + 1 : at));
    if (this.#depth === 2) {
      this.#onItem(JSON.parse(this.#takeItem()));
      return at + 1;
    }
    this.#expectSeparator();
    this.#inItems = false;
    return at;
  }

  #hold(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#heldBytes += bytes.length;
    if (this.#heldBytes > MAX_OBJECT_BYTES)
      throw new RangeError(`an object in the list is longer than ${MAX_OBJECT_BYTES} bytes`);
    (this.#inItems ? this.#item : this.#envelope).push(bytes);
  }

  #takeItem(): string {
    const [first] = this.#item;
    const whole = first !== undefined && this.#item.length === 1 ? first : Buffer.concat(this.#item);
    const text = whole.toString("utf8");
    this.#item = [];
    this.#heldBytes = 0;
    return text;
  }

  /** Between items there is white space and at most one comma; anything else is an item that is no object. */
  #expectSeparator(): void {
    const gap = this.#takeItem();
    if (gap === "," || gap === "") return;
    if (!/^\s*,?\s*$/.test(gap)) throw new SyntaxError(`an item of the list is no object: ${gap.trim().slice(0, 40)}`);
  }
}
