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
    // Locals, not fields: this loop sees every byte of every list.
    let [inString, escaped, start] = [this.#inString, this.#escaped, 0];
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i];
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === BACKSLASH) escaped = true;
        else if (byte === QUOTE) inString = false;
      } else if (byte === QUOTE) {
        inString = true;
      } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        start = this.#open(chunk, start, i);
      } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        start = this.#close(chunk, start, i);
      }
    }
    this.#inString = inString;
    this.#escaped = escaped;
    this.#hold(chunk.subarray(start));
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
    const text = Buffer.concat(this.#item).toString("utf8");
    this.#item = [];
    this.#heldBytes = 0;
    return text;
  }

  /** Between items there is white space and at most one comma; anything else is an item that is no object. */
  #expectSeparator(): void {
    const gap = this.#takeItem();
    if (!/^\s*,?\s*$/.test(gap)) throw new SyntaxError(`an item of the list is no object: ${gap.trim().slice(0, 40)}`);
  }
}
