/**
 * nftables of the real kernel: batches over one nfnetlink socket that stays open (closing one after a deletion waits
 * for RCU). A batch is BEGIN, the steps, END; the kernel applies all of it or nothing.
 */
import { BreakwaterError } from "../../model/errors.ts";
import type { NftRule, NftSet } from "../../model/nft.ts";
import { attributes, bytes, message, struct, text } from "../netlink/codec.ts";
import * as nl from "../netlink/constants.ts";
import { decodeErrorMessage, isNotFound } from "../netlink/error.ts";
import { MessageWriter } from "../netlink/message-writer.ts";
import { type NetlinkMessage, type NetlinkRequest, NetlinkSocket } from "../netlink/socket.ts";
import { stringAttribute } from "./attributes.ts";
import { readChain, writeChain } from "./chain-messages.ts";
import * as c from "./constants.ts";
import { elementReader, observedElements } from "./element-reader.ts";
import { writeStatement } from "./expressions.ts";
import { flowtableMessage, flowtableMessageType, readFlowtable, writeFlowtableChange } from "./flowtable-messages.ts";
import { watchNftTable } from "./nft-events.ts";
import { readCounters } from "./rule-counters.ts";
import { readFingerprint, ruleUserdata } from "./rule-userdata.ts";
import { readSet, setMessage, writeElements, writeSet } from "./set-messages.ts";
import type {
  Nftables,
  NftChange,
  NftTableName,
  ObservedChain,
  ObservedCounter,
  ObservedElement,
  ObservedTable,
} from "./types.ts";

const nfgen = struct({ family: "u8", version: "u8", resourceId: "u16be" });
const named = attributes({ table: [1, text], name: [2, text] });
const byName = message(nfgen, named);
const tableMessage = message(nfgen, attributes({ name: [1, text] }));
const ruleMessage = message(nfgen, attributes({ table: [1, text], chain: [2, text], userdata: [7, bytes] }));
/** Room for what is usually written at once; it grows. */
const WRITER_BYTES = 1 << 16;
/** A table that changes while it is read is read anew this often. */
const READ_ATTEMPTS = 10;

/** Opens nftables of the calling thread's network namespace. */
export function openNftables(): Nftables {
  return new NftSocket();
}

class NftSocket implements Nftables {
  readonly #socket = new NetlinkSocket(nl.NETLINK_NETFILTER);
  /** For what is read in pieces, between which commits are made. */
  readonly #reader = new NetlinkSocket(nl.NETLINK_NETFILTER);
  #writer = new MessageWriter(WRITER_BYTES);
  #setId = 1;

  [Symbol.dispose](): void {
    this.#socket.close();
    this.#reader.close();
  }

  table(name: NftTableName): ObservedTable | undefined {
    for (let attempt = 1; ; attempt++) {
      try {
        return this.#observeTable(name);
      } catch (error) {
        // Somebody deleted the table, or a set of it, between two of our questions: ask from the start.
        if (!isNotFound(error) || attempt === READ_ATTEMPTS) throw error;
      }
    }
  }

  #observeTable(name: NftTableName): ObservedTable | undefined {
    const found = this.#get(c.NFT_MSG_GETTABLE, name, { name: name.name });
    if (found === undefined) return undefined;
    const sets = this.#listSets(name).map((set) => this.#observeSet(name, set));
    return { ...name, ...this.#observeFlowtables(name), sets, chains: this.#observeChains(name) };
  }

  #observeFlowtables(name: NftTableName): Pick<ObservedTable, "flowtables"> {
    const all = this.#dump(c.NFT_MSG_GETFLOWTABLE, name, (m) => flowtableMessage.read(m.payload).values);
    const flowtables = all.filter(({ table }) => table === name.name).map(readFlowtable);
    return flowtables.length === 0 ? {} : { flowtables };
  }

  #listSets(name: NftTableName): Omit<NftSet, "comment" | "elements">[] {
    const sets = this.#dump(c.NFT_MSG_GETSET, name, (m) => setMessage.read(m.payload).values);
    return sets.filter((set) => set.table === name.name).map((set) => readSet(set));
  }

  async tableInPieces(name: NftTableName): Promise<ObservedTable | undefined> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#observeInPieces(name);
      } catch (error) {
        if (!isNotFound(error) || attempt === READ_ATTEMPTS) throw error;
      }
    }
  }

  async #observeInPieces(name: NftTableName): Promise<ObservedTable | undefined> {
    if (this.#get(c.NFT_MSG_GETTABLE, name, { name: name.name }) === undefined) return undefined;
    const sets: Omit<NftSet, "comment">[] = [];
    for (const set of this.#listSets(name)) {
      sets.push({ ...set, elements: set.dynamic === undefined ? await this.#readInPieces(name, set) : [] });
    }
    return { ...name, ...this.#observeFlowtables(name), sets, chains: this.#observeChains(name) };
  }

  elements(table: NftTableName, set: Omit<NftSet, "elements">): ObservedElement[] {
    try {
      return this.#socket
        .dump(this.#elementsRequest(table, set.name), (message) => observedElements(set, message))
        .flat();
    } catch (error) {
      if (isNotFound(error)) return [];
      throw error;
    }
  }

  counters(table: NftTableName, chains: readonly string[]): ObservedCounter[] {
    // One question instead of one for each chain.
    if (this.#get(c.NFT_MSG_GETTABLE, table, { name: table.name }) === undefined) return [];
    return chains.flatMap((chain) => {
      const request = this.#namedRequest(c.NFT_MSG_GETRULE, table, chain);
      return this.#socket.dump(request, (m) => readCounters(m, table.name, chain)).flat();
    });
  }

  commit(table: NftTableName, changes: readonly NftChange[]): void {
    if (changes.length === 0) return;
    const steps = new Map<number, string>();
    this.#writer.reset();
    this.#batchMarker(c.NFNL_MSG_BATCH_BEGIN);
    for (const change of changes) {
      for (const sequence of this.#writeChange(table, change)) steps.set(sequence, `${change.do} ${target(change)}`);
    }
    // One acknowledgement is enough: the kernel answers a step that it refuses in any case.
    this.#writer.flagMessage(nl.NLM_F_ACK);
    this.#batchMarker(c.NFNL_MSG_BATCH_END);
    const purpose = { operation: "commit to nftables table", object: `${table.family} ${table.name}` };
    this.#socket.sendBytes(this.#writer.bytes(), purpose);
    // What a large batch took is not kept for the small ones that follow.
    if (this.#writer.length > 16 * WRITER_BYTES) this.#writer = new MessageWriter(WRITER_BYTES);
    this.#readAnswers(purpose, steps);
  }

  watch(table: NftTableName, changed: () => void): Disposable {
    return watchNftTable(table, this.#socket.port, changed);
  }

  /** Errors and the acknowledgement are queued by the time send() returns. Any error: nothing was applied. */
  #readAnswers(purpose: { operation: string; object: string }, steps: ReadonlyMap<number, string>): void {
    let failure: BreakwaterError | undefined;
    let acknowledged = false;
    for (const answer of this.#socket.receiveQueued()) {
      if (answer.type !== nl.NLMSG_ERROR) continue;
      const step = steps.get(answer.sequence) ?? "the transaction";
      const error = decodeErrorMessage(answer.payload, answer.flags, {
        operation: purpose.operation,
        object: `${purpose.object}: ${step}`,
      });
      failure ??= error && new BreakwaterError("BW_NFTABLES", error.message, { ...error, cause: error });
      acknowledged = true;
    }
    if (failure !== undefined) throw failure;
    if (!acknowledged) {
      throw new BreakwaterError("BW_NFTABLES", `Cannot ${purpose.operation} ${purpose.object}: no answer`, purpose);
    }
  }

  #batchMarker(type: number): void {
    this.#writer.beginMessage(type, nl.NLM_F_REQUEST, this.#socket.nextSequence());
    nfgen.write(this.#writer, { resourceId: c.NFNL_SUBSYS_NFTABLES });
    this.#writer.endMessage();
  }

  #message(table: NftTableName, type: number, flags: number, body: () => void): number {
    const sequence = this.#socket.nextSequence();
    this.#writer.beginMessage((c.NFNL_SUBSYS_NFTABLES << 8) | type, nl.NLM_F_REQUEST | flags, sequence);
    nfgen.write(this.#writer, { family: c.FAMILIES[table.family] });
    body();
    this.#writer.endMessage();
    return sequence;
  }

  /** Writes a change as one or more messages. @returns their sequence numbers */
  #writeChange(table: NftTableName, change: NftChange): number[] {
    const w = this.#writer;
    const create = nl.NLM_F_CREATE;
    switch (change.do) {
      case "addTable":
        return [this.#message(table, c.NFT_MSG_NEWTABLE, create, () => stringAttribute(w, 1, table.name))];
      case "deleteTable":
        return [this.#message(table, c.NFT_MSG_DELTABLE, 0, () => stringAttribute(w, 1, table.name))];
      case "addSet": {
        const body = () => {
          stringAttribute(w, 1, table.name);
          writeSet(w, change.set, this.#setId++);
        };
        return [this.#message(table, c.NFT_MSG_NEWSET, create, body)];
      }
      case "deleteSet":
        return [
          this.#message(table, c.NFT_MSG_DELSET, 0, () => named.write(w, { table: table.name, name: change.set })),
        ];
      case "addElements":
        return this.#writeElements(table, c.NFT_MSG_NEWSETELEM, create, change);
      case "deleteElements":
        return this.#writeElements(table, c.NFT_MSG_DELSETELEM, 0, change);
      case "addFlowtable":
      case "deleteFlowtable":
      case "deleteFlowtableDevices": {
        const body = () => writeFlowtableChange(w, table.name, change);
        return [this.#message(table, flowtableMessageType(change), change.do === "addFlowtable" ? create : 0, body)];
      }
      case "addChain":
        return [this.#message(table, c.NFT_MSG_NEWCHAIN, create, () => writeChain(w, table.name, change.chain))];
      case "deleteChain": {
        const body = () => this.#tableAnd(table, 3, change.chain);
        return [this.#message(table, c.NFT_MSG_DELCHAIN, 0, body)];
      }
      case "flushChain": {
        const body = () => this.#tableAnd(table, 2, change.chain);
        return [this.#message(table, c.NFT_MSG_DELRULE, 0, body)];
      }
      case "addRule": {
        const body = () => this.#writeRule(table, change.chain, change.rule);
        return [this.#message(table, c.NFT_MSG_NEWRULE, create | nl.NLM_F_APPEND, body)];
      }
    }
  }

  #tableAnd(table: NftTableName, type: number, name: string): void {
    stringAttribute(this.#writer, 1, table.name);
    stringAttribute(this.#writer, type, name);
  }

  #writeElements(
    table: NftTableName,
    type: number,
    flags: number,
    { set, elements }: { readonly set: NftSet; readonly elements: readonly string[] },
  ): number[] {
    const sequences: number[] = [];
    for (let next = 0; next < elements.length; ) {
      const from = next;
      const body = () => {
        this.#tableAnd(table, 2, set.name);
        next = writeElements(this.#writer, set, elements, from, type === c.NFT_MSG_DELSETELEM);
      };
      sequences.push(this.#message(table, type, flags, body));
    }
    return sequences;
  }

  #writeRule(table: NftTableName, chain: string, rule: NftRule): void {
    const w = this.#writer;
    this.#tableAnd(table, 2, chain);
    const expressions = () => {
      for (const statement of rule.statements) writeStatement(w, statement);
    };
    w.attribute(4, expressions, true);
    w.attribute(7, () => w.raw(ruleUserdata(rule)));
  }

  #observeChains(name: NftTableName): ObservedChain[] {
    const chains = this.#dump(c.NFT_MSG_GETCHAIN, name, (m) => readChain(m.payload));
    const rules = this.#dump(c.NFT_MSG_GETRULE, name, (m) => ruleMessage.read(m.payload).values);
    const byChain = Map.groupBy(
      rules.filter((rule) => rule.table === name.name),
      ({ chain }) => chain,
    );
    return chains
      .filter((chain) => chain.table === name.name)
      .map((chain) => ({
        name: chain.name,
        ...(chain.base === undefined ? {} : { base: chain.base }),
        fingerprints: (byChain.get(chain.name) ?? []).map((rule) => readFingerprint(rule.userdata)),
      }));
  }

  #observeSet(name: NftTableName, set: Omit<NftSet, "comment" | "elements">): Omit<NftSet, "comment"> {
    return { ...set, elements: set.dynamic === undefined ? this.#readElements(name, set) : [] };
  }

  #readElements(name: NftTableName, set: Omit<NftSet, "comment" | "elements">): string[] {
    for (let attempt = 1; attempt <= READ_ATTEMPTS; attempt++) {
      const reader = elementReader(set);
      this.#socket.dump(this.#elementsRequest(name, set.name), (m) => reader.read(m));
      const texts = reader.texts();
      if (texts !== undefined) return texts;
    }
    throw neverWhole(name, set.name);
  }

  async #readInPieces(name: NftTableName, set: Omit<NftSet, "comment" | "elements">): Promise<string[]> {
    for (let attempt = 1; attempt <= READ_ATTEMPTS; attempt++) {
      const reader = elementReader(set);
      await this.#reader.dumpInPieces(this.#elementsRequest(name, set.name), (m) => reader.read(m));
      const texts = reader.texts();
      if (texts !== undefined) return texts;
    }
    throw neverWhole(name, set.name);
  }

  #elementsRequest(table: NftTableName, set: string): NetlinkRequest {
    return this.#namedRequest(c.NFT_MSG_GETSETELEM, table, set);
  }

  #namedRequest(type: number, table: NftTableName, name: string): NetlinkRequest {
    return this.#request(type, table, (w) => named.write(w, { table: table.name, name }));
  }

  #get(type: number, table: NftTableName, values: { name: string }): object | undefined {
    try {
      const request = this.#request(type, table, (w) => stringAttribute(w, 1, values.name));
      return this.#socket.get(request, (m) => tableMessage.read(m.payload).values);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  #dump<T>(type: number, table: NftTableName, decode: (m: NetlinkMessage) => T): T[] {
    const body = (w: MessageWriter) => stringAttribute(w, 1, table.name);
    // Sets and chains are listed by family: the answer is filtered by table.
    const filtered = type === c.NFT_MSG_GETCHAIN ? () => undefined : body;
    return this.#socket.dump(this.#request(type, table, filtered), decode);
  }

  #request(type: number, table: NftTableName, body: (w: MessageWriter) => void): NetlinkRequest {
    return {
      operation: "read nftables table",
      object: `${table.family} ${table.name}`,
      type: (c.NFNL_SUBSYS_NFTABLES << 8) | type,
      flags: 0,
      body: (w) => {
        byName.write(w, { family: c.FAMILIES[table.family] }, {});
        body(w);
      },
    };
  }
}

function neverWhole({ family, name }: NftTableName, set: string): BreakwaterError {
  return new BreakwaterError(
    "BW_NETLINK_DUMP",
    `Cannot read set ${set} of nftables table ${family} ${name}: the kernel rearranged it during each of ${READ_ATTEMPTS} attempts`,
    { operation: "read nftables table", object: `${family} ${name}: ${set}` },
  );
}

function target(change: NftChange): string {
  if ("flowtable" in change) return typeof change.flowtable === "string" ? change.flowtable : change.flowtable.name;
  if ("set" in change) return typeof change.set === "string" ? change.set : change.set.name;
  if ("chain" in change) return typeof change.chain === "string" ? change.chain : change.chain.name;
  return "";
}
