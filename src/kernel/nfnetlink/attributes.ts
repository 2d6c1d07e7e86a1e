/** Attributes as nf_tables has them: numbers in network order, data in an attribute of their own. */
import type { MessageWriter } from "../netlink/message-writer.ts";

/** One list element (NFTA_LIST_ELEM) of a rule: an expression by its name, and what `body` writes. */
export function expression(w: MessageWriter, name: string, body: () => void): void {
  const content = () => {
    stringAttribute(w, 1, name);
    w.attribute(2, body, true);
  };
  w.attribute(1, content, true);
}

export function u32Attribute(w: MessageWriter, type: number, value: number): void {
  const start = w.openAttribute(type);
  w.u32be(value);
  w.closeAttribute(start);
}

export function u64Attribute(w: MessageWriter, type: number, value: bigint): void {
  w.attribute(type, () => w.u64be(value));
}

export function stringAttribute(w: MessageWriter, type: number, value: string): void {
  const start = w.openAttribute(type);
  w.cstring(value);
  w.closeAttribute(start);
}

export function dataAttribute(w: MessageWriter, type: number, data: Uint8Array): void {
  const start = w.openAttribute(type, true);
  const value = w.openAttribute(1);
  w.raw(data);
  w.closeAttribute(value);
  w.closeAttribute(start);
}
