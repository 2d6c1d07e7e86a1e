/**
 * Transactions of nf_tables by raw netlink, as src/kernel/nfnetlink makes them, with what the agent has no use for:
 * anonymous maps, one chain for each Service and endpoint. For rulesets as kube-proxy makes them.
 */

import * as nl from "../../../src/kernel/netlink/constants.ts";
import { decodeErrorMessage } from "../../../src/kernel/netlink/error.ts";
import { MessageWriter } from "../../../src/kernel/netlink/message-writer.ts";
import { NetlinkSocket } from "../../../src/kernel/netlink/socket.ts";
import { dataAttribute, stringAttribute, u32Attribute } from "../../../src/kernel/nfnetlink/attributes.ts";
import * as c from "../../../src/kernel/nfnetlink/constants.ts";
import { REGISTER } from "../../../src/kernel/nfnetlink/constants.ts";
import { verdictData, writeStatement } from "../../../src/kernel/nfnetlink/expressions.ts";
import { writeElements, writeSet } from "../../../src/kernel/nfnetlink/set-messages.ts";
import type { NftBaseChain, NftSet, NftStatement } from "../../../src/model/nft.ts";

/** Writes expressions of its own. */
export type RawExpression = (w: MessageWriter) => void;
export type PeerStatement = NftStatement | RawExpression;

const NFT_SET_ANONYMOUS = 0x1;
const NFT_SET_CONSTANT = 0x2;
const ANONYMOUS_MAP = "__map%d";

export class PeerNftables implements Disposable {
  readonly #table: string;
  readonly #socket = new NetlinkSocket(nl.NETLINK_NETFILTER);
  #writer = new MessageWriter(1 << 16);
  #setId = 1;

  /** In the namespace of the calling thread. @param table of family ip */
  constructor(table: string) {
    this.#table = table;
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }

  /** Everything that `body` writes is one transaction. @throws BreakwaterError with the first step that was refused */
  transaction(body: () => void): void {
    this.#writer.reset();
    this.#marker(c.NFNL_MSG_BATCH_BEGIN);
    body();
    this.#writer.flagMessage(nl.NLM_F_ACK);
    this.#marker(c.NFNL_MSG_BATCH_END);
    const purpose = { operation: "commit to nftables table", object: `ip ${this.#table}` };
    this.#socket.sendBytes(this.#writer.bytes(), purpose);
    for (const answer of this.#socket.receiveQueued()) {
      const error = decodeErrorMessage(answer.payload, answer.flags, purpose);
      if (error !== undefined) throw error;
    }
  }

  addTable(): void {
    this.#message(c.NFT_MSG_NEWTABLE, nl.NLM_F_CREATE, () => undefined);
  }

  deleteTable(): void {
    this.#message(c.NFT_MSG_DELTABLE, 0, () => undefined);
  }

  addSet(set: NftSet): void {
    this.#message(c.NFT_MSG_NEWSET, nl.NLM_F_CREATE, (w) => writeSet(w, set, this.#setId++));
  }

  addElements(set: NftSet, elements: readonly string[]): void {
    for (let next = 0; next < elements.length; ) {
      this.#message(c.NFT_MSG_NEWSETELEM, nl.NLM_F_CREATE, (w) => {
        stringAttribute(w, 2, set.name);
        next = writeElements(w, set, elements, next, false);
      });
    }
  }

  addChain(name: string, base?: NftBaseChain): void {
    this.#message(c.NFT_MSG_NEWCHAIN, nl.NLM_F_CREATE, (w) => {
      stringAttribute(w, 3, name);
      if (base === undefined) return;
      const hook = () => {
        u32Attribute(w, 1, c.HOOKS[base.hook]);
        u32Attribute(w, 2, base.priority);
      };
      w.attribute(4, hook, true);
      u32Attribute(w, 5, c.NF_ACCEPT);
      stringAttribute(w, 7, base.type);
    });
  }

  flushChain(name: string): void {
    this.#message(c.NFT_MSG_DELRULE, 0, (w) => stringAttribute(w, 2, name));
  }

  deleteChain(name: string): void {
    this.#message(c.NFT_MSG_DELCHAIN, 0, (w) => stringAttribute(w, 3, name));
  }

  addRule(chain: string, ...statements: readonly PeerStatement[]): void {
    this.#message(c.NFT_MSG_NEWRULE, nl.NLM_F_CREATE | nl.NLM_F_APPEND, (w) => {
      stringAttribute(w, 2, chain);
      const expressions = () => {
        for (const statement of statements) {
          if (typeof statement === "function") statement(w);
          else writeStatement(w, statement);
        }
      };
      w.attribute(4, expressions, true);
    });
  }

  /** `numgen random mod N vmap { 0 : goto CHAIN, … }`: a rule, and the map without a name that belongs to it. */
  addRandomGoto(chain: string, targets: readonly string[]): void {
    const id = this.#setId++;
    this.#message(c.NFT_MSG_NEWSET, nl.NLM_F_CREATE, (w) => {
      stringAttribute(w, 2, ANONYMOUS_MAP);
      u32Attribute(w, 3, NFT_SET_ANONYMOUS | NFT_SET_CONSTANT | c.NFT_SET_MAP);
      u32Attribute(w, 4, c.KEY_TYPES.index.type);
      u32Attribute(w, 5, c.KEY_TYPES.index.bytes);
      u32Attribute(w, 6, c.NFT_DATA_VERDICT);
      w.attribute(9, () => u32Attribute(w, 1, targets.length), true);
      u32Attribute(w, 10, id);
    });
    this.#message(c.NFT_MSG_NEWSETELEM, nl.NLM_F_CREATE, (w) => {
      stringAttribute(w, 2, ANONYMOUS_MAP);
      u32Attribute(w, 4, id);
      w.attribute(3, () => writeTargets(w, targets), true);
    });
    this.addRule(chain, (w) => writeRandomLookup(w, targets.length, id));
  }

  #marker(type: number): void {
    this.#writer.beginMessage(type, nl.NLM_F_REQUEST, this.#socket.nextSequence());
    this.#header(0, c.NFNL_SUBSYS_NFTABLES);
    this.#writer.endMessage();
  }

  /** Attribute 1 is the table's name in every message of nf_tables. */
  #message(type: number, flags: number, body: RawExpression): void {
    const w = this.#writer;
    w.beginMessage((c.NFNL_SUBSYS_NFTABLES << 8) | type, nl.NLM_F_REQUEST | flags, this.#socket.nextSequence());
    this.#header(c.FAMILIES.ip, 0);
    stringAttribute(w, 1, this.#table);
    body(w);
    w.endMessage();
  }

  /** struct nfgenmsg of include/uapi/linux/netfilter/nfnetlink.h. */
  #header(family: number, resource: number): void {
    this.#writer.u8(family);
    this.#writer.u8(0);
    this.#writer.u16be(resource);
  }
}

function writeTargets(w: MessageWriter, targets: readonly string[]): void {
  const key = Buffer.alloc(4);
  for (const [i, target] of targets.entries()) {
    const element = () => {
      key.writeUInt32LE(i);
      dataAttribute(w, 1, key);
      verdictData(w, { goto: target });
    };
    w.attribute(1, element, true);
  }
}

function writeRandomLookup(w: MessageWriter, modulus: number, setId: number): void {
  expression(w, "numgen", () => {
    u32Attribute(w, 1, REGISTER);
    u32Attribute(w, 2, modulus);
    u32Attribute(w, 3, c.NFT_NG_RANDOM);
    u32Attribute(w, 4, 0);
  });
  expression(w, "lookup", () => {
    stringAttribute(w, 1, ANONYMOUS_MAP);
    u32Attribute(w, 2, REGISTER);
    u32Attribute(w, 3, c.NFT_REG_VERDICT);
    u32Attribute(w, 4, setId);
  });
}

/** `meta mark set meta mark or BITS`, or with "xor". */
export function setMark(operation: "or" | "xor", bits: number): RawExpression {
  return (w) => {
    meta(w, 1);
    expression(w, "bitwise", () => {
      u32Attribute(w, 1, REGISTER);
      u32Attribute(w, 2, REGISTER);
      u32Attribute(w, 3, 4);
      dataAttribute(w, 4, hostOrder(operation === "or" ? ~bits : 0xffffffff));
      dataAttribute(w, 5, hostOrder(bits));
    });
    meta(w, 3);
  };
}

/** True when none of the bits is set. */
export function markHasNot(bits: number): RawExpression {
  return (w) => {
    meta(w, 1);
    expression(w, "bitwise", () => {
      u32Attribute(w, 1, REGISTER);
      u32Attribute(w, 2, REGISTER);
      u32Attribute(w, 3, 4);
      dataAttribute(w, 4, hostOrder(bits));
      dataAttribute(w, 5, hostOrder(0));
    });
    expression(w, "cmp", () => {
      u32Attribute(w, 1, REGISTER);
      u32Attribute(w, 2, c.CMP["=="]);
      dataAttribute(w, 3, hostOrder(0));
    });
  };
}

/** `dnat to ADDRESS:PORT`, both in network order. */
export function dnatTo(address: Uint8Array, port: Uint8Array): RawExpression {
  return (w) => {
    for (const [i, data] of [address, port].entries()) {
      expression(w, "immediate", () => {
        u32Attribute(w, 1, REGISTER + i);
        dataAttribute(w, 2, data);
      });
    }
    expression(w, "nat", () => {
      u32Attribute(w, 1, c.NFT_NAT_DNAT);
      u32Attribute(w, 2, c.FAMILIES.ip);
      u32Attribute(w, 3, REGISTER);
      u32Attribute(w, 5, REGISTER + 1);
      u32Attribute(w, 7, c.NF_NAT_RANGE_PROTO_SPECIFIED);
    });
  };
}

/** @param register attribute that names it: 1 loads the mark, 3 stores it */
function meta(w: MessageWriter, register: 1 | 3): void {
  expression(w, "meta", () => {
    u32Attribute(w, register, REGISTER);
    u32Attribute(w, 2, c.META.mark);
  });
}

function expression(w: MessageWriter, name: string, body: () => void): void {
  const content = () => {
    stringAttribute(w, 1, name);
    w.attribute(2, body, true);
  };
  w.attribute(1, content, true);
}

function hostOrder(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}
