/**
 * One packet through one base chain of an nftables table, by the rules of nft(8): a statement that does not match ends
 * its rule; jump comes back, goto does not; masquerade and dnat accept. What this walk does not know it refuses.
 */
import type { Ip } from "../../model/ip.ts";
import {
  formatNftRule,
  type NftBaseChain,
  type NftChain,
  type NftField,
  type NftKey,
  type NftRule,
  type NftSet,
  type NftStatement,
  type NftTable,
  type NftVerdict,
} from "../../model/nft.ts";
import { prefixContains } from "../../model/prefix.ts";
import type { DynamicElements } from "./dynamic-elements.ts";
import { findElement } from "./set-lookup.ts";
import type { TracedPacket } from "./traced-packet.ts";

/** What becomes of a packet at the end of a base chain. */
export type ChainVerdict = "accept" | "drop" | { readonly reject: "icmp" | "icmpv6" | "tcp reset" };

export interface WalkSurroundings {
  readonly packet: TracedPacket;
  readonly hook: NftBaseChain["hook"];
  readonly dynamic: DynamicElements;
  /** True for addresses of this node. */
  readonly isLocal: (ip: Ip) => boolean;
  /** A number below `modulus`, of those that make a difference. */
  readonly draw: (modulus: number, different?: readonly number[]) => number;
  /** What a translation does to the packet; the walk of the chain ends there. */
  readonly translate: (change: { readonly destination: Ip; readonly port: number } | "masquerade") => void;
  readonly note: (line: string) => void;
}

/** nf_tables refuses rulesets that jump deeper (NFT_JUMP_STACK_SIZE). */
const MAX_DEPTH = 16;

/** "next": no verdict, go on with the next statement or rule. "break": the rule does not match. */
type Step = ChainVerdict | "next" | "break" | { readonly jump: string } | { readonly goto: string } | "return";

export function walkBaseChain(table: NftTable, chain: NftChain, surroundings: WalkSurroundings): ChainVerdict {
  const verdict = new RuleWalk(table, surroundings).chain(chain, 0);
  if (verdict !== "return") return verdict;
  const policy = chain.base?.policy ?? "accept";
  if (policy === "drop") surroundings.note(`${table.family} ${chain.name}: policy drop`);
  return policy;
}

class RuleWalk {
  readonly #table: NftTable;
  readonly #around: WalkSurroundings;

  constructor(table: NftTable, around: WalkSurroundings) {
    this.#table = table;
    this.#around = around;
  }

  chain(chain: NftChain, depth: number): ChainVerdict | "return" {
    if (depth > MAX_DEPTH) throw new RangeError(`Chain ${chain.name} is jumped to more than ${MAX_DEPTH} deep`);
    for (const rule of chain.rules) {
      const step = this.#rule(chain, rule);
      if (step === "next" || step === "break") continue;
      if (step === "return") return "return";
      if (typeof step === "object" && "goto" in step) return this.chain(this.#target(chain, step.goto), depth + 1);
      if (typeof step === "object" && "jump" in step) {
        const verdict = this.chain(this.#target(chain, step.jump), depth + 1);
        if (verdict !== "return") return verdict;
      } else return step;
    }
    return "return";
  }

  #target(from: NftChain, name: string): NftChain {
    const target = this.#table.chains.find((chain) => chain.name === name);
    if (target === undefined) throw new TypeError(`Chain ${from.name} leads to ${name}, which the table lacks`);
    return target;
  }

  #rule(chain: NftChain, rule: NftRule): Step {
    const elements: string[] = [];
    for (const statement of rule.statements) {
      const step = this.#statement(statement, elements);
      if (step === "break") return "break";
      if (step === "next") continue;
      this.#note(chain, rule, elements);
      return step;
    }
    this.#note(chain, rule, elements);
    return "next";
  }

  #note(chain: NftChain, rule: NftRule, elements: readonly string[]): void {
    const found = elements.length === 0 ? "" : ` [${elements.join("; ")}]`;
    this.#around.note(`${this.#table.family} ${chain.name}: ${formatNftRule(rule)}${found}`);
  }

  /** @param elements takes the elements that were found */
  #statement(statement: NftStatement, elements: string[]): Step {
    if ("match" in statement) return this.#match(statement) ? "next" : "break";
    if ("lookup" in statement) return this.#lookup(statement, elements);
    if ("vmap" in statement) return this.#vmap(statement, elements);
    if ("dnat" in statement) return this.#dnat(statement, elements);
    if ("update" in statement) return this.#update(statement);
    if ("local" in statement) {
      const { source, destination } = this.#around.packet;
      return this.#around.isLocal(statement.local === "saddr" ? source : destination) ? "next" : "break";
    }
    if ("unicast" in statement) return this.#isUnicast(this.#around.packet.destination) ? "next" : "break";
    if ("random" in statement) {
      const { modulus, below } = statement.random;
      return this.#around.draw(modulus, [0, modulus - 1]) < below ? "next" : "break";
    }
    if ("reject" in statement) return this.#reject(statement.reject);
    if ("masquerade" in statement) return this.#masquerade();
    // How many packets came before is not known: both ways are gone.
    if ("limit" in statement) return this.#around.draw(2) === 0 ? "next" : "break";
    if ("counter" in statement || "log" in statement) return "next";
    if ("tcpSyn" in statement) return this.#around.packet.isSyn ? "next" : "break";
    if ("clampMss" in statement || "flowAdd" in statement) return "next";
    if ("verdict" in statement) return statement.verdict;
    throw new TypeError(`Teach this walk what ${JSON.stringify(statement)} does`);
  }

  #isUnicast(ip: Ip): boolean {
    const others = ["224.0.0.0/4", "255.255.255.255/32", "ff00::/8"];
    return !this.#around.isLocal(ip) && !others.some((prefix) => prefixContains(prefix, ip));
  }

  #match({ match, op, value }: Extract<NftStatement, { match: NftField }>): boolean {
    const { packet } = this.#around;
    if (match === "ct state") return String(value).split(",").includes(packet.state) === (op === "==");
    if (match === "ct status") {
      const words = String(value).split(",");
      return words.some((word) => packet.status.has(word as "dnat")) === (op === "==");
    }
    const actual = packet.read(match);
    if (op === "<" || op === ">") return op === "<" ? actual < value : actual > value;
    return isEqual(match, actual, value) === (op === "==");
  }

  #lookup(statement: Extract<NftStatement, { lookup: NftKey }>, elements: string[]): Step {
    const { lookup, set: name, negate = false, slot } = statement;
    const set = this.#set(name);
    const key = [...this.#key(lookup), ...slotPart(slot)];
    const found = set.dynamic === undefined ? findElement(set, key) : this.#around.dynamic.find(this.#table, set, key);
    if (found !== undefined) elements.push(found.text);
    return (found !== undefined) !== negate ? "next" : "break";
  }

  #vmap({ vmap, map: name }: Extract<NftStatement, { vmap: NftKey }>, elements: string[]): Step {
    const found = findElement(this.#set(name), this.#key(vmap));
    if (found === undefined) return "break";
    elements.push(found.text);
    return parseVerdict(found.data);
  }

  #dnat({ dnat, map: name, index, slot }: Extract<NftStatement, { dnat: NftKey }>, elements: string[]): Step {
    const set = this.#set(name);
    const drawn = index === undefined ? slotPart(slot) : [String(this.#around.draw(index))];
    const key = [...this.#key(dnat), ...drawn];
    const found = set.dynamic === undefined ? findElement(set, key) : this.#around.dynamic.find(this.#table, set, key);
    if (found === undefined) return "break";
    elements.push(found.text);
    const [destination = "", port] = found.data.split(" . ");
    this.#around.translate({ destination, port: Number(port) });
    return "accept";
  }

  #update(statement: Extract<NftStatement, { update: NftKey }>): Step {
    const { update, timeoutSeconds } = statement;
    const set = this.#set("map" in statement ? statement.map : statement.set);
    const [key, data] =
      "data" in statement
        ? [this.#key(update), this.#key(statement.data)]
        : [[...this.#key(update), ...slotPart(statement.slot)], undefined];
    return this.#around.dynamic.update(this.#table, set, key, data, timeoutSeconds) ? "next" : "break";
  }

  #reject(how: "icmp" | "icmpv6" | "tcp reset"): Step {
    if (this.#around.hook === "postrouting") throw new TypeError("The kernel rejects nothing in postrouting");
    return { reject: how };
  }

  #masquerade(): Step {
    if (this.#around.hook !== "postrouting") throw new TypeError("The kernel masquerades in postrouting only");
    this.#around.translate("masquerade");
    return "accept";
  }

  #set(name: string): NftSet {
    const set = this.#table.sets.find((candidate) => candidate.name === name);
    if (set === undefined) throw new TypeError(`A rule uses set ${name}, which the table lacks`);
    return set;
  }

  #key(key: NftKey): string[] {
    return (typeof key === "string" ? [key] : key).map((field) => this.#around.packet.readKey(field));
  }
}

function slotPart(slot: number | undefined): string[] {
  return slot === undefined ? [] : [String(slot)];
}

function isEqual(field: NftField, actual: string | number, value: string | number): boolean {
  const text = String(value);
  if (field.endsWith("addr") && text.includes("/")) return prefixContains(text, String(actual));
  if (field.endsWith("ifname") && text.endsWith("*")) return String(actual).startsWith(text.slice(0, -1));
  return String(actual) === text;
}

function parseVerdict(text: string): NftVerdict {
  if (text === "accept" || text === "drop" || text === "return") return text;
  const [word, chain = ""] = text.split(" ");
  if (word === "goto") return { goto: chain };
  if (word === "jump") return { jump: chain };
  throw new SyntaxError(`Cannot read verdict "${text}" of a map`);
}
