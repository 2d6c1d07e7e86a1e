/** `breakwater bgp`: the BGP sessions of this node, as its BIRD says. */
import type { BgpPrefixReport, BgpReport, BgpSessionReport } from "../model/bgp-report.ts";
import type { BgpVerification } from "../model/bgp-verification.ts";
import { BreakwaterError } from "../model/errors.ts";
import { agentAddressOption, askAgent } from "./agent-documents.ts";
import { type CommandSpec, formatHelp, type OptionTable, parseOptions, usageError } from "./options.ts";
import { outputOption, type Print, printer } from "./output.ts";
import { formatTable } from "./table.ts";

const options = {
  ...agentAddressOption,
  ...outputOption,
} as const satisfies OptionTable;

export const bgpSpec = {
  usage: "breakwater bgp [verify | refused [PEER] | announced [PEER]] [options]",
  summary:
    "Prints the BGP sessions of this node: state and since when, prefixes in and out, the last error; what it announces, and what keeps a peer from having a session. verify: compares the routes of the API, of BIRD and of the kernel. refused: prefixes that were not taken, one by one, and which filter or limit kept them out. announced: what each peer is told, and why.",
  positionals: [0, 2],
  options,
} as const satisfies CommandSpec;

const ACTIONS: readonly string[] = ["verify", "refused", "announced"];

export async function bgp(args: readonly string[]): Promise<number> {
  const parsed = parseOptions(bgpSpec, args);
  if (parsed === undefined) {
    process.stdout.write(formatHelp(bgpSpec));
    return 0;
  }
  const { values, positionals } = parsed;
  const print = printer(bgpSpec, values.output);
  const [action, peer] = positionals;
  if (action !== undefined && !ACTIONS.includes(action)) throw usageError(bgpSpec, `Unknown word "${action}"`);
  if (action === "verify" && peer !== undefined) throw usageError(bgpSpec, `Unknown word "${peer}"`);
  if (action === "verify") return verify(values["metrics-address"], print);
  if (action !== undefined) return prefixes(values["metrics-address"], action, peer, print);
  const report = await askAgent<BgpReport>(values["metrics-address"], "/bgp");
  if (report === undefined) throw noBgp(values["metrics-address"]);
  print(report, () => formatBgp(report, Date.now() / 1000));
  return isWell(report) ? 0 : 1;
}

async function prefixes(address: string, action: string, peer: string | undefined, print: Print): Promise<number> {
  const of = peer === undefined ? "" : `?peer=${encodeURIComponent(peer)}`;
  const report = await askAgent<BgpPrefixReport>(address, `/bgp/${action}${of}`);
  if (report === undefined) throw noBgp(address);
  if (peer !== undefined && report.failure === null && report.sessions.length === 0)
    throw noSuchPeer(report.node, peer);
  print(report, () => formatBgpPrefixes(report, action));
  const isFound = action === "refused" && report.sessions.some(({ count }) => count > 0);
  return report.failure !== null || isFound ? 1 : 0;
}

/** @param action "refused" or "announced" */
export function formatBgpPrefixes({ node, failure, sessions }: BgpPrefixReport, action: string): string {
  if (failure !== null) return `Node ${node} cannot say what is ${action}: ${failure}\n`;
  const rows = sessions.flatMap(({ peer, prefixes: listed }) => listed.map(({ prefix, why }) => [peer, prefix, why]));
  const left = sessions
    .filter(({ count, prefixes: listed }) => count > listed.length)
    .map(
      ({ peer, count, prefixes: listed }) =>
        `${peer}: ${count - listed.length} more; breakwater bgp ${action} ${peer}\n`,
    );
  if (rows.length === 0) return `Node ${node}: nothing is ${action}\n`;
  return `${formatTable(["PEER", "PREFIX", action === "refused" ? "REFUSED BECAUSE" : "BECAUSE OF"], rows)}${left.join("")}`;
}

async function verify(address: string, print: Print): Promise<number> {
  const report = await askAgent<BgpVerification>(address, "/bgp/verify");
  if (report === undefined) throw noBgp(address);
  print(report, () => formatBgpVerification(report));
  return report.failure === null && report.differences.length === 0 ? 0 : 1;
}

export function formatBgpVerification({ node, failure, prefixes, differences }: BgpVerification): string {
  if (failure !== null) return `Routes of node ${node} cannot be compared: ${failure}\n`;
  if (differences.length === 0) return `Node ${node}: API, BIRD and kernel agree on ${prefixes} prefixes\n`;
  const rows = differences.map(({ prefix, api, bird, kernel }) => [prefix, api ?? "-", bird ?? "-", kernel ?? "-"]);
  return `Node ${node}: they differ on ${differences.length} prefixes\n\n${formatTable(["PREFIX", "API", "BIRD", "KERNEL"], rows)}`;
}

function isWell({ failure, sessions, problems }: BgpReport): boolean {
  return failure === null && problems.length === 0 && sessions.every(({ state }) => state === "Established");
}

function noBgp(address: string): BreakwaterError {
  return new BreakwaterError("BW_BGP", "This node's agent has nothing to do with BGP", {
    operation: "ask the agent",
    object: address,
    remedy: "Start it with --routing bgp, or make a BGPPeer that selects this node",
  });
}

function noSuchPeer(node: string, peer: string): BreakwaterError {
  return new BreakwaterError("BW_USAGE", `Node ${node} has no BGP session with "${peer}"`, {
    operation: "ask the agent",
    object: peer,
    remedy: "Give a name of the column PEER of breakwater bgp",
  });
}

/** @param now seconds since 1970 */
export function formatBgp(report: BgpReport, now: number): string {
  const { node, routerId, bird, failure, announced, sessions, problems } = report;
  const version = bird.running ? `${bird.version}, pid ${bird.pid ?? "unknown"}` : "BIRD does not run";
  const head = [
    `Node ${node}, router id ${routerId ?? "-"}: ${version}, started anew ${bird.restarts} times`,
    ...(failure === null ? [] : [`Routing by BGP does NOT work: ${failure}`]),
    `Announced: ${announced.join(", ") || "nothing"}`,
    ...some(
      "Announced",
      report.services.map(({ prefix, reasons }) => `${prefix} for ${reasons.map(reasonText).join(", ")}`),
    ),
    ...some(
      "Not announced",
      report.withheld.map(
        ({ address, service, kind, why }) => `${address} of ${reasonText({ service, kind })}: ${why}`,
      ),
    ),
    "",
  ];
  const rows = sessions.map((session) => [
    session.peer,
    session.kind,
    session.address,
    String(session.asNumber),
    session.state,
    session.since === null ? "-" : formatAge(now - session.since),
    count(session, "imported"),
    count(session, "exported"),
    remark(session),
  ]);
  const columns = ["PEER", "KIND", "ADDRESS", "AS", "STATE", "SINCE", "IN", "OUT", "REMARK"];
  const body = sessions.length === 0 ? "No sessions.\n" : formatTable(columns, rows);
  const tail = problems.map(({ message, remedy, code }) => `${message} (${code})\n  -> ${remedy}\n`);
  return `${head.join("\n")}\n${body}${tail.length === 0 ? "" : `\n${tail.join("")}`}`;
}

/** More lines than this are for programs. */
const MOST_LINES = 50;

function some(word: string, lines: readonly string[]): string[] {
  const shown = lines.slice(0, MOST_LINES).map((line) => `${word}: ${line}`);
  const left = lines.length - shown.length;
  return left === 0 ? shown : [...shown, `${word}: ${left} more Service addresses, by -o json`];
}

function reasonText({ service, kind }: { readonly service: string; readonly kind: string }): string {
  return `${service} (${kind})`;
}

/** "1" for one family, "1+1" for IPv4 and IPv6. */
function count({ channels }: BgpSessionReport, direction: "imported" | "exported"): string {
  return channels.length === 0 ? "-" : channels.map((channel) => channel[direction]).join("+");
}

function remark({ channels, lastError }: BgpSessionReport): string {
  const words = [
    ...(lastError === null ? [] : [lastError]),
    ...channels.filter(({ limitReached }) => limitReached).map(({ family }) => `IPv${family}: prefix limit reached`),
    ...channels.filter(({ floodStopped }) => floodStopped).map(({ family }) => `IPv${family}: flood stopped`),
    // What exactly, and why: breakwater bgp refused.
    ...channels.filter(({ refused }) => refused > 0).map(({ family, refused }) => `IPv${family}: ${refused} refused`),
  ];
  return words.join("; ") || "-";
}

const UNITS = [
  [86_400, "d"],
  [3600, "h"],
  [60, "m"],
] as const;

/** As kubectl prints ages: "45s", "12m", "3h", "9d". @param seconds may be fractional */
export function formatAge(seconds: number): string {
  for (const [size, letter] of UNITS) if (seconds >= 2 * size) return `${Math.floor(seconds / size)}${letter}`;
  return `${Math.max(0, Math.floor(seconds))}s`;
}
