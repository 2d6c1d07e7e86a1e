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
  | "ct state"
  | "ct status"
  | "ct original ip daddr"
  | "ct original ip6 daddr"
  | "ct original proto-dst";

/** A field, or several that are looked up together: `ip daddr . meta l4proto . th dport`. */
export type NftKey = NftField | readonly NftField[];

export type NftVerdict = "accept" | "drop" | "return" | { readonly jump: string } | { readonly goto: string };

export type NftStatement =
  /** Compares a field with a value. Numbers for numeric fields, text for names and addresses. */
  | {
      readonly match: NftField;
      readonly op: "==" | "!=" | "<" | ">";
      readonly value: string | number;
    }
  /** Looks a key up in a set of the same table; with `slot` it ends with that number. */
  | { readonly lookup: NftKey; readonly set: string; readonly negate?: boolean; readonly slot?: number }
  /** Looks a key up in a verdict map of the same table and does what it says; goes on where it holds nothing. */
  | { readonly vmap: NftKey; readonly map: string }
  /**
   * Destination NAT to the address and port that a map of the same table holds for the key; goes on where it holds
   * nothing. With `index` the key ends with a number below it, drawn anew for each packet, with `slot` with that number.
   */
  | {
      readonly dnat: readonly NftField[];
      readonly family: 4 | 6;
      readonly map: string;
      readonly index?: number;
      readonly slot?: number;
    }
  /** Makes or renews an element of a dynamic set. The rule ends here where the set is full. */
  | {
      readonly update: readonly NftField[];
      readonly set: string;
      readonly slot?: number;
      readonly timeoutSeconds: number;
    }
  /** Makes or renews an element of a dynamic map; one that is there keeps its data. The rule ends here where it is full. */
  | {
      readonly update: readonly NftField[];
      readonly map: string;
      readonly data: readonly NftField[];
      readonly timeoutSeconds: number;
    }
  /** True for packets from (saddr) or to (daddr) an address of this machine. */
  | { readonly local: "saddr" | "daddr" }
  /** True for packets to an address that some other machine has: no broadcast, no multicast, not this machine's. */
  | { readonly unicast: "daddr" }
  /** Refuses with the ICMP message of the table's family: port unreachable; or with a TCP RST. */
  | { readonly reject: "icmp" | "icmpv6" | "tcp reset" }
  /** True for `below` of `modulus` packets, at random: `numgen random mod modulus < below`. */
  | { readonly random: { readonly modulus: number; readonly below: number } }
  | { readonly counter: true }
  /** True for so many packets a second and, after a silence, `burst` at once. Each rule has its own measure. */
  | { readonly limit: { readonly perSecond: number; readonly burst: number } }
  /** Tells whoever listens to nflog's group of the packet: `prefix` (at most 127 characters) and its first `snaplen` bytes. */
  | { readonly log: { readonly prefix: string; readonly group: number; readonly snaplen: number } }
  /** TCP segments that open a connection. */
  | { readonly tcpSyn: true }
  /** Lowers the MSS option of a TCP segment to what its route carries, in both directions; never raises it. */
  | { readonly clampMss: true }
  /** Source NAT to the address of the outgoing device, ports chosen fully at random. */
  | { readonly masquerade: true }
  /** Takes the packet's connection, both directions, onto the fast path of a flowtable of the same table. */
  | { readonly flowAdd: string }
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

/** "index" is what `numgen random mod N` draws. */
export type NftKeyType = "ipv4_addr" | "ipv6_addr" | "inet_service" | "inet_proto" | "ifname" | "index";

/**
 * A set, or with `data` a map. An element is text as nft prints it: `10.0.0.0/8`; concatenated `10.96.0.1 . tcp . 80`;
 * of a map `10.96.0.1 . tcp . 80 comment "default/web" : goto lb-3`, `… . 0 : 10.244.1.5 . 8080`; what is put into a
 * dynamic set ends by itself: `fd00::9 . … . 0 timeout 10000ms expires 4300ms`, or without what is left of the timeout.
 */
export interface NftSet {
  readonly name: string;
  readonly key: NftKeyType | readonly NftKeyType[];
  readonly data?: "verdict" | readonly NftKeyType[];
  /** Elements are disjoint prefixes; of a concatenated key the last part is one. Without it single values. */
  readonly interval: boolean;
  /** Packets make its elements, at most so many, and each ends by itself: they are no part of a plan. */
  readonly dynamic?: { readonly size: number };
  /** Each element counts the packets that found it. */
  readonly counter?: boolean;
  /** Sorted, each once. */
  readonly elements: readonly string[];
  readonly comment?: string;
}

/** Packets of its connections go from device to device at the hook ingress, past every other hook: nf_flow_table. */
export interface NftFlowtable {
  readonly name: string;
  readonly priority: number;
  /** Where packets are looked up as they come in. Sorted. */
  readonly devices: readonly string[];
}

export interface NftTable {
  readonly family: "inet" | "ip" | "ip6" | "netdev" | "bridge";
  readonly name: string;
  /** Absent: none. */
  readonly flowtables?: readonly NftFlowtable[];
  readonly sets: readonly NftSet[];
  readonly chains: readonly NftChain[];
}

/** The table as nft(8) would print it. */
export function formatNftTable(table: NftTable): string {
  const lines = [`table ${table.family} ${table.name} {`];
  for (const flowtable of table.flowtables ?? []) lines.push(...formatFlowtable(flowtable).map((line) => `  ${line}`));
  for (const set of table.sets) lines.push(...formatSet(set).map((line) => `  ${line}`));
  for (const chain of table.chains) lines.push(...formatChain(chain).map((line) => `  ${line}`));
  return `${[...lines, "}"].join("\n")}\n`;
}

function formatFlowtable({ name, priority, devices }: NftFlowtable): string[] {
  const list = devices.map((device) => `"${device}"`).join(", ");
  return [
    `flowtable ${name} {`,
    `  hook ingress priority ${priority};`,
    ...(devices.length === 0 ? [] : [`  devices = { ${list} };`]),
    "}",
  ];
}

function formatSet(set: NftSet): string[] {
  const [key, data] = [joinParts(set.key), set.data === undefined ? "" : ` : ${joinParts(set.data)}`];
  return [
    `${set.data === undefined ? "set" : "map"} ${set.name} {`,
    `  type ${key}${data}`,
    ...(set.dynamic === undefined ? [] : [`  size ${set.dynamic.size}`, "  flags dynamic,timeout"]),
    ...(set.interval ? ["  flags interval"] : []),
    ...(set.counter === true ? ["  counter"] : []),
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

/** Parts of a concatenation as nft writes them. */
export function joinParts(parts: string | readonly string[]): string {
  return typeof parts === "string" ? parts : parts.join(" . ");
}

function formatStatement(statement: NftStatement): string {
  if ("match" in statement) {
    const op = statement.op === "==" ? "" : `${statement.op} `;
    return `${statement.match} ${op}${formatValue(statement.value)}`;
  }
  if ("lookup" in statement) {
    const { lookup, set, negate, slot } = statement;
    return `${joinParts([lookup, slotText(slot)].flat())} ${negate === true ? "!= " : ""}@${set}`;
  }
  if ("vmap" in statement) return `${joinParts(statement.vmap)} vmap @${statement.map}`;
  if ("dnat" in statement) {
    const index = statement.index === undefined ? slotText(statement.slot) : [`numgen random mod ${statement.index}`];
    return `dnat ${statement.family === 4 ? "ip" : "ip6"} to ${joinParts([...statement.dnat, ...index])} map @${statement.map}`;
  }
  if ("update" in statement) {
    const { update, timeoutSeconds } = statement;
    if ("set" in statement) {
      return `update @${statement.set} { ${joinParts([...update, ...slotText(statement.slot)])} timeout ${timeoutSeconds}s }`;
    }
    return `update @${statement.map} { ${joinParts(update)} timeout ${timeoutSeconds}s : ${joinParts(statement.data)} }`;
  }
  if ("local" in statement) return `fib ${statement.local} type local`;
  if ("unicast" in statement) return `fib ${statement.unicast} type unicast`;
  if ("reject" in statement) {
    return statement.reject === "tcp reset"
      ? "reject with tcp reset"
      : `reject with ${statement.reject} port-unreachable`;
  }
  if ("random" in statement) return `numgen random mod ${statement.random.modulus} < ${statement.random.below}`;
  if ("counter" in statement) return "counter";
  if ("limit" in statement) {
    const { perSecond, burst } = statement.limit;
    return `limit rate ${perSecond}/second burst ${burst} packets`;
  }
  if ("log" in statement) {
    const { prefix, group, snaplen } = statement.log;
    return `log prefix "${prefix}" group ${group} snaplen ${snaplen}`;
  }
  if ("tcpSyn" in statement) return "tcp flags & (syn | rst) == syn";
  if ("clampMss" in statement) return "tcp option maxseg size set rt mtu";
  if ("masquerade" in statement) return "masquerade fully-random";
  if ("flowAdd" in statement) return `flow add @${statement.flowAdd}`;
  const { verdict } = statement;
  if (typeof verdict === "string") return verdict;
  return "jump" in verdict ? `jump ${verdict.jump}` : `goto ${verdict.goto}`;
}

/** nft reads no constant inside a concatenation: of what is drawn below 1, which is 0, the offset is one. */
function slotText(slot: number | undefined): string[] {
  if (slot === undefined) return [];
  return [`numgen random mod 1${slot === 0 ? "" : ` offset ${slot}`}`];
}

function formatValue(value: string | number): string {
  return typeof value === "string" && /[^0-9a-fA-F.:/,a-z_-]/.test(value) ? `"${value}"` : String(value);
}
