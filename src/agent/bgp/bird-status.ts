/** What `show protocols all` says, as values. Lines that this does not know are passed over: they differ between versions. */
import type { BgpChannelReport } from "../../model/bgp-report.ts";
import type { Family } from "../../model/ip.ts";
import type { BirdLine, BirdReply } from "./reply-reader.ts";

export interface BirdProtocol {
  readonly name: string;
  /** "BGP", "Kernel", "Static", "Device". */
  readonly kind: string;
  /** "up", "start", "down". */
  readonly state: string;
  /** Seconds since 1970 (our configuration's timeformat); null when it is none. */
  readonly since: number | null;
  /** "Established", "Active        Socket: Connection refused". */
  readonly info: string;
  /** "Idle" to "Established"; undefined for what is no BGP. */
  readonly bgpState: string | undefined;
  readonly lastError: string | undefined;
  readonly channels: readonly BgpChannelReport[];
}

/** Codes of BIRD's replies (doc/reply_codes). */
const PROTOCOL_LINE = 1002;
const PROTOCOL_DETAILS = 1006;
const SUMMARY = /^(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s*(.*?)\s*$/;

export function parseProtocols({ lines }: BirdReply): BirdProtocol[] {
  const protocols: { summary: RegExpExecArray; details: string[] }[] = [];
  for (const { code, text } of lines as readonly BirdLine[]) {
    if (code === PROTOCOL_LINE) {
      const summary = SUMMARY.exec(text);
      if (summary !== null) protocols.push({ summary, details: [] });
    } else if (code === PROTOCOL_DETAILS) protocols.at(-1)?.details.push(text);
  }
  return protocols.map(({ summary, details }) => describe(summary, details));
}

function describe(
  [, name = "", kind = "", , state = "", since = "", info = ""]: RegExpExecArray,
  details: string[],
): BirdProtocol {
  const firstChannel = details.findIndex((line) => /^\s*Channel /.test(line));
  const head = firstChannel < 0 ? details : details.slice(0, firstChannel);
  const seconds = /^\d+$/.test(since) ? Number(since) : null;
  return {
    name,
    kind,
    state,
    since: seconds,
    info,
    bgpState: field(head, "BGP state"),
    lastError: field(head, "Last error"),
    channels: firstChannel < 0 ? [] : channels(details.slice(firstChannel)),
  };
}

function field(lines: readonly string[], name: string): string | undefined {
  for (const line of lines) {
    const match = /^\s*([^:]+):\s*(.*?)\s*$/.exec(line);
    if (match?.[1] === name) return match[2];
  }
  return undefined;
}

function channels(lines: readonly string[]): BgpChannelReport[] {
  const groups: string[][] = [];
  for (const line of lines) {
    if (/^\s*Channel /.test(line)) groups.push([]);
    groups.at(-1)?.push(line);
  }
  return groups.flatMap((group) => {
    const family = /Channel ipv([46])/.exec(group[0] ?? "")?.[1];
    return family === undefined ? [] : [channel(Number(family) as Family, group.slice(1))];
  });
}

function channel(family: Family, lines: readonly string[]): BgpChannelReport {
  const routes = field(lines, "Routes") ?? "";
  const count = (word: string) => Number(new RegExp(`(\\d+) ${word}`).exec(routes)?.[1] ?? 0);
  // Columns: received, rejected, filtered, ignored, accepted. "ignored" is what a limit kept out, or what said nothing new.
  const updates = (field(lines, "Import updates") ?? "").split(/\s+/);
  const limitReached = /\[HIT\]/.test(field(lines, "Import limit") ?? "");
  return {
    family,
    up: field(lines, "State") === "UP",
    imported: count("imported"),
    exported: count("exported"),
    preferred: count("preferred"),
    refused: Number(updates[2] ?? 0) || 0,
    beyondLimit: limitReached ? Number(updates[3] ?? 0) || 0 : 0,
    limitReached,
    floodStopped: /\[HIT\]/.test(field(lines, "Receive limit") ?? ""),
  };
}
