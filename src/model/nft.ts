/**
 * An nftables table as a value: what a plan wants and what `nft list table` would print. Statements carry the words of
 * nft(8), so that a golden file of a plan can be read, and pasted, by anybody who knows nftables. `src/kernel/nfnetlink`
 * turns them into the kernel's expressions.
 */

/** Fields of a packet that rules here look at. */
export type NftField =
  | "ip saddr"
  | "ip daddr"
  | "ip6 saddr"
  | "ip6 daddr"
  | "ip protocol"
  | "icmp type"
  | "icmp code"
  | "icmpv6 type"
  | "th sport"
  | "th dport"
  | "meta l4proto"
  | "meta nfproto"
  | "meta iifname"
  | "meta oifname"
  | "meta length"
  | "meta mark"
  | "ct state";

export type NftVerdict = "accept" | "drop" | "return" | { readonly jump: string } | { readonly goto: string };

export type NftStatement =
  /** Compares a field with a value. Numbers for numeric fields, text for names and addresses. */
  | {
      readonly match: NftField;
      readonly op: "==" | "!=" | "<" | ">";
      readonly value: string | number;
    }
  /** Looks a field up in a set of the same table. */
  | { readonly lookup: NftField; readonly set: string; readonly negate?: boolean }
  /** True for `below` of `modulus` packets, at random: `numgen random mod modulus < below`. */
  | { readonly random: { readonly modulus: number; readonly below: number } }
  | { readonly counter: true }
  /** TCP segments that open a connection. */
  | { readonly tcpSyn: true }
  /** Lowers the MSS option of a TCP segment to what its route carries, in both directions; never raises it. */
  | { readonly clampMss: true }
  /** Source NAT to the address of the outgoing device, ports chosen fully at random. */
  | { readonly masquerade: true }
  | { readonly verdict: NftVerdict };

export interface NftRule {
  readonly statements: readonly NftStatement[];
  /** Printed by nft behind the rule; says what the rule is for. At most 127 characters. */
  readonly comment?: string;
}

export interface NftBaseChain {
  readonly type: "filter" | "nat" | "route";
  readonly hook: "prerouting" | "input" | "forward" | "output" | "postrouting" | "ingress";
  readonly priority: number;
  readonly policy: "accept" | "drop";
  /** For hook ingress of family netdev. */
  readonly device?: string;
}

export interface NftChain {
  readonly name: string;
  readonly base?: NftBaseChain;
  readonly rules: readonly NftRule[];
}

export type NftKeyType = "ipv4_addr" | "ipv6_addr" | "inet_service" | "inet_proto" | "ifname";

export interface NftSet {
  readonly name: string;
  readonly key: NftKeyType;
  /** Elements are disjoint prefixes; without it single values. */
  readonly interval: boolean;
  /** Sorted, each once. */
  readonly elements: readonly string[];
  readonly comment?: string;
}

export interface NftTable {
  readonly family: "inet" | "ip" | "ip6" | "netdev" | "bridge";
  readonly name: string;
  readonly sets: readonly NftSet[];
  readonly chains: readonly NftChain[];
}

/** The table as nft(8) would print it. */
export function formatNftTable(table: NftTable): string {
  const lines = [`table ${table.family} ${table.name} {`];
  for (const set of table.sets) lines.push(...formatSet(set).map((line) => `  ${line}`));
  for (const chain of table.chains) lines.push(...formatChain(chain).map((line) => `  ${line}`));
  return `${[...lines, "}"].join("\n")}\n`;
}

function formatSet(set: NftSet): string[] {
  return [
    `set ${set.name} {`,
    `  type ${set.key}`,
    ...(set.interval ? ["  flags interval"] : []),
    ...(set.comment === undefined ? [] : [`  comment "${set.comment}"`]),
    ...(set.elements.length === 0 ? [] : [`  elements = { ${set.elements.join(", ")} }`]),
    "}",
  ];
}

function formatChain(chain: NftChain): string[] {
  const { base } = chain;
  const device = base?.device === undefined ? "" : ` device "${base.device}"`;
  return [
    `chain ${chain.name} {`,
    ...(base === undefined
      ? []
      : [`  type ${base.type} hook ${base.hook}${device} priority ${base.priority}; policy ${base.policy};`]),
    ...chain.rules.map((rule) => `  ${formatNftRule(rule)}`),
    "}",
  ];
}

export function formatNftRule(rule: NftRule): string {
  const text = rule.statements.map(formatStatement).join(" ");
  return rule.comment === undefined ? text : `${text} comment "${rule.comment}"`;
}

function formatStatement(statement: NftStatement): string {
  if ("match" in statement) {
    const op = statement.op === "==" ? "" : `${statement.op} `;
    return `${statement.match} ${op}${formatValue(statement.value)}`;
  }
  if ("lookup" in statement) return `${statement.lookup} ${statement.negate === true ? "!= " : ""}@${statement.set}`;
  if ("random" in statement) return `numgen random mod ${statement.random.modulus} < ${statement.random.below}`;
  if ("counter" in statement) return "counter";
  if ("tcpSyn" in statement) return "tcp flags & (syn | rst) == syn";
  if ("clampMss" in statement) return "tcp option maxseg size set rt mtu";
  if ("masquerade" in statement) return "masquerade fully-random";
  const { verdict } = statement;
  if (typeof verdict === "string") return verdict;
  return "jump" in verdict ? `jump ${verdict.jump}` : `goto ${verdict.goto}`;
}

function formatValue(value: string | number): string {
  return typeof value === "string" && /[^0-9a-fA-F.:/,a-z_-]/.test(value) ? `"${value}"` : String(value);
}
