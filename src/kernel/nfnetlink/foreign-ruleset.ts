/**
 * Tables of nf_tables that are not ours, as far as it takes to remove a known guest from them: chains, where rules jump
 * to, and deletions by handle in one transaction. Nothing of anybody's is ever written here. The transaction carries the
 * generation of the ruleset that was read, so that the kernel refuses it (ERESTART) when somebody changed it meanwhile.
 */
import { BreakwaterError, isBreakwaterError } from "../../model/errors.ts";
import { attributes, bytes, type Codec, eachAttribute, message, struct, text, u32be, u64be } from "../netlink/codec.ts";
import * as nl from "../netlink/constants.ts";
import { decodeErrorMessage } from "../netlink/error.ts";
import { MessageWriter } from "../netlink/message-writer.ts";
import { type NetlinkMessage, NetlinkSocket } from "../netlink/socket.ts";
import * as c from "./constants.ts";

/** Families of iptables-nft and of kube-proxy's own tables. */
export type ForeignFamily = "ip" | "ip6";

export interface ForeignTable {
  readonly family: ForeignFamily;
  readonly name: string;
}

export interface ForeignChain {
  readonly family: ForeignFamily;
  readonly table: string;
  readonly name: string;
  readonly handle: bigint;
  /** True for a chain that a hook calls. */
  readonly base: boolean;
  /** How many rules it has and how many things lead to it, together. */
  readonly uses: number;
}

export interface ForeignRule {
  readonly chain: string;
  readonly handle: bigint;
  /** The chain that its verdict jumps or goes to. */
  readonly jump: string | undefined;
}

export type Deletion =
  | { readonly do: "deleteTable"; readonly family: ForeignFamily; readonly table: string }
  | ({ readonly do: "deleteChain" | "flushChain" } & ChainName)
  | ({ readonly do: "deleteRule"; readonly handle: bigint } & ChainName);

interface ChainName {
  readonly family: ForeignFamily;
  readonly table: string;
  readonly chain: string;
}

/** nf_tables of one namespace. Real here, in memory for tests. */
export interface ForeignRuleset extends Disposable {
  /** Rises with every transaction of anybody. */
  generation(): number;
  tables(): ForeignTable[];
  chains(): ForeignChain[];
  rules(table: ForeignTable): ForeignRule[];
  /**
   * All of it or nothing. @throws BreakwaterError BW_NFTABLES; errno ERESTART: the ruleset is not that of `generation` any
   * more
   */
  delete(deletions: readonly Deletion[], generation: number): void;
}

const NFT_MSG_GETGEN = 16;
const NFNL_BATCH_GENID = 1;
const FAMILY_NAMES: Readonly<Record<number, ForeignFamily | undefined>> = { 2: "ip", 10: "ip6" };

/** Bytes where they are: there are many rules, and they are read before the next ones come. */
const view: Codec<Buffer> = { write: (w, value) => w.raw(value), read: (buffer) => buffer };
const nfgen = struct({ family: "u8", version: "u8", resourceId: "u16be" });
const generationMessage = message(nfgen, attributes({ id: [1, u32be] }));
const tableMessage = message(nfgen, attributes({ name: [1, text] }));
const chainMessage = message(
  nfgen,
  attributes({ table: [1, text], handle: [2, u64be], name: [3, text], hook: [4, bytes], uses: [6, u32be] }),
);
const ruleMessage = message(
  nfgen,
  attributes({ table: [1, text], chain: [2, text], handle: [3, u64be], list: [4, view] }),
);
const expression = attributes({ name: [1, text], data: [2, view] });
const verdict = attributes({ code: [1, u32be], chain: [2, text] });
const verdictData = attributes({ verdict: [2, verdict] });
const immediate = attributes({ register: [1, u32be], data: [2, verdictData] });

/** Somebody changes the ruleset between reading and deleting: it is read anew this often. */
const ATTEMPTS = 10;

/**
 * Deletes what `read` finds, from the very ruleset in which it was found.
 * @throws BreakwaterError BW_NFTABLES
 */
export function deleteUnchanged<T>(ruleset: ForeignRuleset, read: () => { deletions: Deletion[]; result: T }): T {
  for (let attempt = 1; ; attempt++) {
    const generation = ruleset.generation();
    const { deletions, result } = read();
    try {
      ruleset.delete(deletions, generation);
      return result;
    } catch (error) {
      if (!isBreakwaterError(error) || error.errno !== "ERESTART" || attempt === ATTEMPTS) throw error;
    }
  }
}

/** Handles count up: what is written anew has a higher one than all before it. */
export function newestHandle(objects: Iterable<{ readonly handle: bigint }>): bigint {
  let newest = 0n;
  for (const { handle } of objects) if (handle > newest) newest = handle;
  return newest;
}

/** Opens nf_tables of the calling thread's network namespace. */
export function openForeignRuleset(): ForeignRuleset {
  return new ForeignRulesetSocket();
}

class ForeignRulesetSocket implements ForeignRuleset {
  readonly #socket = new NetlinkSocket(nl.NETLINK_NETFILTER);
  readonly #writer = new MessageWriter(1 << 16);

  [Symbol.dispose](): void {
    this.#socket.close();
  }

  generation(): number {
    const request = this.#request(NFT_MSG_GETGEN, "the generation of nf_tables");
    return this.#socket.get(request, ({ payload }) => generationMessage.read(payload).values.id) ?? 0;
  }

  tables(): ForeignTable[] {
    return this.#socket.dump(this.#request(c.NFT_MSG_GETTABLE, "tables of nf_tables"), ({ payload }) => {
      const { header, values } = tableMessage.read(payload);
      const family = FAMILY_NAMES[header.family];
      return family === undefined ? undefined : { family, name: values.name ?? "" };
    });
  }

  chains(): ForeignChain[] {
    return this.#socket.dump(this.#request(c.NFT_MSG_GETCHAIN, "chains of nf_tables"), decodeChain);
  }

  rules({ family, name }: ForeignTable): ForeignRule[] {
    const request = this.#request(c.NFT_MSG_GETRULE, `rules of nf_tables table ${family} ${name}`);
    const body = (w: MessageWriter) => ruleMessage.write(w, { family: c.FAMILIES[family] }, { table: name });
    return this.#socket.dump({ ...request, body }, ({ payload }) => {
      const { header, values } = ruleMessage.read(payload);
      // Kernels before 4.7 list the rules of all tables.
      if (FAMILY_NAMES[header.family] !== family || values.table !== name) return undefined;
      return { chain: values.chain ?? "", handle: values.handle ?? 0n, jump: jumpOf(values.list) };
    });
  }

  delete(deletions: readonly Deletion[], generation: number): void {
    if (deletions.length === 0) return;
    const steps = new Map<number, string>();
    this.#writer.reset();
    this.#marker(c.NFNL_MSG_BATCH_BEGIN, generation);
    for (const [i, deletion] of deletions.entries()) {
      steps.set(this.#append(deletion, i === deletions.length - 1 ? nl.NLM_F_ACK : 0), formatDeletion(deletion));
    }
    this.#marker(c.NFNL_MSG_BATCH_END);
    this.#socket.sendBytes(this.#writer.bytes(), { operation: "delete from", object: "nf_tables" });
    this.#readAnswers(steps);
  }

  #marker(type: number, generation?: number): void {
    this.#writer.beginMessage(type, nl.NLM_F_REQUEST, this.#socket.nextSequence());
    nfgen.write(this.#writer, { resourceId: c.NFNL_SUBSYS_NFTABLES });
    if (generation !== undefined) this.#writer.attribute(NFNL_BATCH_GENID, () => this.#writer.u32be(generation));
    this.#writer.endMessage();
  }

  #append(deletion: Deletion, flags: number): number {
    const w = this.#writer;
    const sequence = this.#socket.nextSequence();
    w.beginMessage((c.NFNL_SUBSYS_NFTABLES << 8) | MESSAGE_TYPES[deletion.do], nl.NLM_F_REQUEST | flags, sequence);
    nfgen.write(w, { family: c.FAMILIES[deletion.family] });
    w.attribute(1, () => w.cstring(deletion.table));
    if (deletion.do === "deleteChain") w.attribute(3, () => w.cstring(deletion.chain));
    else if (deletion.do !== "deleteTable") w.attribute(2, () => w.cstring(deletion.chain));
    if (deletion.do === "deleteRule") w.attribute(3, () => w.u64be(deletion.handle));
    w.endMessage();
    return sequence;
  }

  /** Errors and the acknowledgement are queued by the time send() returns. Any error: nothing was applied. */
  #readAnswers(steps: ReadonlyMap<number, string>): void {
    const operation = "delete from nf_tables";
    let failure: BreakwaterError | undefined;
    let acknowledged = false;
    for (const answer of this.#socket.receiveQueued()) {
      if (answer.type !== nl.NLMSG_ERROR) continue;
      const object = steps.get(answer.sequence) ?? "the transaction";
      const error = decodeErrorMessage(answer.payload, answer.flags, { operation, object });
      failure ??= error && new BreakwaterError("BW_NFTABLES", error.message, { ...error, cause: error });
      acknowledged = true;
    }
    if (failure !== undefined) throw failure;
    if (!acknowledged) {
      const object = "the transaction";
      throw new BreakwaterError("BW_NFTABLES", `Cannot ${operation}: ${object}: no answer`, { operation, object });
    }
  }

  #request(type: number, object: string) {
    return {
      operation: "list",
      object,
      type: (c.NFNL_SUBSYS_NFTABLES << 8) | type,
      flags: 0,
      body: (w: MessageWriter) => nfgen.write(w, {}),
    };
  }
}

/** A rule without a handle is all rules of its chain. */
const MESSAGE_TYPES = {
  deleteTable: c.NFT_MSG_DELTABLE,
  deleteChain: c.NFT_MSG_DELCHAIN,
  flushChain: c.NFT_MSG_DELRULE,
  deleteRule: c.NFT_MSG_DELRULE,
} as const;

function decodeChain({ payload }: NetlinkMessage): ForeignChain | undefined {
  const { header, values } = chainMessage.read(payload);
  const family = FAMILY_NAMES[header.family];
  if (family === undefined) return undefined;
  const { table = "", name = "", handle = 0n, hook, uses = 0 } = values;
  return { family, table, name, handle, base: hook !== undefined, uses };
}

/** A jump is a verdict that is loaded: the last expression of a rule that has one. */
function jumpOf(list: Buffer | undefined): string | undefined {
  for (const [, element] of list === undefined ? [] : eachAttribute(list)) {
    const { name, data } = expression.read(element);
    if (name !== "immediate" || data === undefined) continue;
    const { register, data: loaded } = immediate.read(data);
    if (register === c.NFT_REG_VERDICT && loaded?.verdict?.chain !== undefined) return loaded.verdict.chain;
  }
  return undefined;
}

function formatDeletion(deletion: Deletion): string {
  const { family, table } = deletion;
  if (deletion.do === "deleteTable") return `table ${family} ${table}`;
  const rule = deletion.do === "deleteRule" ? `rule ${deletion.handle} of ` : "";
  return `${rule}chain ${family} ${table} ${deletion.chain}`;
}
