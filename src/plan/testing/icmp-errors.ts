/**
 * The messages that carry a path's MTU to a pod, walked through a planned table: ICMP type 3 code 4 (RFC 1191) and ICMPv6
 * type 2 (RFC 8201). Who drops one makes a black hole of a path. The walk knows nothing of addresses, devices and ports:
 * what depends on those may match. A statement that it does not know is refused, not guessed at.
 */
import type { NftChain, NftField, NftRule, NftStatement, NftTable } from "../../model/nft.ts";

export interface IcmpError {
  readonly name: string;
  /** Fields with a value that is certain; "ct state" is the word of nft(8). */
  readonly fields: Partial<Readonly<Record<NftField, string | number>>>;
}

/**
 * Rules compare bytes of the transport's header, whatever protocol it is of: "icmpv6 type" of an ICMP message is its own
 * type, and "th sport" the type and the code.
 */
const transport = (type: number, code: number) => ({
  "icmp type": type,
  "icmp code": code,
  "icmpv6 type": type,
  "th sport": type * 256 + code,
});

const MESSAGES = [
  {
    name: "ICMP fragmentation needed",
    fields: { "meta nfproto": 2, "meta l4proto": 1, "ip protocol": 1, ...transport(3, 4) },
  },
  { name: "ICMPv6 packet too big", fields: { "meta nfproto": 10, "meta l4proto": 58, ...transport(2, 0) } },
] as const;
/** Of a flow that conntrack knows, of one that it has forgotten, and of one that it never saw. */
const STATES = ["related", "invalid", "untracked"] as const;

export const ICMP_ERRORS: readonly IcmpError[] = MESSAGES.flatMap(({ name, fields }) =>
  STATES.map((state) => ({ name: `${name}, ${state}`, fields: { ...fields, "ct state": state } })),
);

/** Whether a packet of which little is known matches. */
type Match = "never" | "maybe" | "always";

/** Whether a walk of a chain can come to its end; it may have met drops on its way. */
interface Walk {
  readonly falls: boolean;
  readonly drops: readonly string[];
}

/** Every place where the table may drop the message, as text; none when it is safe. @throws TypeError unknown statement */
export function dropsOf(table: NftTable, message: IcmpError): string[] {
  return table.chains.flatMap((chain) => {
    if (chain.base === undefined) return [];
    const { falls, drops } = walk(table, chain, message);
    const policy = falls && chain.base.policy !== "accept" ? [`${chain.name}: policy ${chain.base.policy}`] : [];
    return [...drops, ...policy];
  });
}

function walk(table: NftTable, chain: NftChain, message: IcmpError): Walk {
  const drops: string[] = [];
  for (const rule of chain.rules) {
    const match = matchRule(rule, message);
    if (match === "never") continue;
    const end = verdictOf(table, chain, rule, message);
    drops.push(...end.drops);
    if (match === "always" && end.ends !== "next") return { falls: end.ends === "return", drops };
  }
  return { falls: true, drops };
}

/** What a rule that matches does with the walk: goes on, ends the packet's way, or leaves this chain as at its end. */
interface RuleEnd {
  readonly ends: "next" | "packet" | "return";
  readonly drops: readonly string[];
}

function verdictOf(table: NftTable, chain: NftChain, rule: NftRule, message: IcmpError): RuleEnd {
  const statement = rule.statements.find((candidate) => "verdict" in candidate);
  if (statement === undefined) return { ends: "next", drops: [] };
  const { verdict } = statement;
  if (verdict === "accept") return { ends: "packet", drops: [] };
  if (verdict === "return") return { ends: "return", drops: [] };
  if (verdict === "drop") return { ends: "packet", drops: [`${chain.name}: ${rule.comment ?? "drop"}`] };
  const name = "jump" in verdict ? verdict.jump : verdict.goto;
  const target = table.chains.find((candidate) => candidate.name === name);
  if (target === undefined) throw new TypeError(`Chain ${chain.name} leads to ${name}, which the table lacks`);
  const { falls, drops } = walk(table, target, message);
  if (!falls) return { ends: "packet", drops };
  return { ends: "jump" in verdict ? "next" : "return", drops };
}

function matchRule({ statements }: NftRule, message: IcmpError): Match {
  const matches = statements.map((statement) => matchStatement(statement, message));
  if (matches.includes("never")) return "never";
  return matches.includes("maybe") ? "maybe" : "always";
}

function matchStatement(statement: NftStatement, { fields }: IcmpError): Match {
  if ("match" in statement) return compare(statement, fields[statement.match]);
  if ("lookup" in statement || "random" in statement || "limit" in statement) return "maybe";
  // Without a look at the protocol these read other bytes of ICMP as if they were TCP's.
  if ("tcpSyn" in statement || "clampMss" in statement) return "maybe";
  // A chain of type nat is not run for an error of a known flow; translated it would not be dropped either.
  if ("counter" in statement || "log" in statement || "masquerade" in statement || "verdict" in statement)
    return "always";
  throw new TypeError(`Teach this walk what ${JSON.stringify(statement)} does to an ICMP error`);
}

function compare(
  { match, op, value }: Extract<NftStatement, { match: NftField }>,
  actual: string | number | undefined,
): Match {
  if (actual === undefined) return "maybe";
  const isEqual = match === "ct state" ? String(value).split(",").includes(String(actual)) : value === actual;
  const holds = { "==": isEqual, "!=": !isEqual, "<": actual < value, ">": actual > value }[op];
  return holds ? "always" : "never";
}
