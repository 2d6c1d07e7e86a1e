/** The words of `breakwater policy explain`: NS/POD, IP, and behind the second one :PORT[/PROTO]. */
import { type Ip, tryParseIp } from "../model/ip.ts";
import type { ServiceProtocol } from "../model/service.ts";
import { type CommandSpec, usageError } from "./options.ts";

const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const;

export type Who =
  | { readonly kind: "pod"; readonly namespace: string; readonly name: string }
  | { readonly kind: "ip"; readonly ip: Ip };

export interface Target {
  readonly who: Who;
  /** A number as text, or a port's name; undefined where none is given. */
  readonly port: string | undefined;
  /** Undefined where none is given. */
  readonly protocol: ServiceProtocol | undefined;
}

const POD = /^([^/:[\]\s]+)\/([^/:[\]\s]+?)(?::([^/:\s]+))?(?:\/([A-Za-z]+))?$/;
const IPV4 = /^(\d+(?:\.\d+){3})(?::([^/:\s]+))?(?:\/([A-Za-z]+))?$/;
const IPV6 = /^\[([^\]\s]+)\](?::([^/:\s]+))?(?:\/([A-Za-z]+))?$/;

/** @throws BreakwaterError BW_USAGE */
export function parseSource(spec: CommandSpec, text: string): Who {
  const ip = tryParseIp(text.replace(/^\[(.*)\]$/, "$1"));
  if (ip !== undefined) return { kind: "ip", ip };
  const { who, port, protocol } = parseTarget(spec, text);
  if (port === undefined && protocol === undefined) return who;
  throw usageError(spec, `"${text}" dials: only the second word has a port`);
}

/** @throws BreakwaterError BW_USAGE */
export function parseTarget(spec: CommandSpec, text: string): Target {
  if (/^[^[/]*\/\d+$/.test(text) && tryParseIp(text.slice(0, text.indexOf("/"))) !== undefined)
    throw usageError(spec, `"${text}" is a block: give one address of it`);
  if (tryParseIp(text)?.includes(":") === true)
    throw usageError(spec, `"${text}" has no port: write [${tryParseIp(text)}]:PORT`);
  const address = IPV4.exec(text) ?? IPV6.exec(text);
  if (address !== null) {
    const [, written = "", port, protocol] = address;
    const ip = tryParseIp(written);
    if (ip === undefined) throw usageError(spec, `"${written}" is no IP address`);
    return { who: { kind: "ip", ip }, port, protocol: protocolOf(spec, protocol) };
  }
  const pod = POD.exec(text);
  if (pod === null) throw usageError(spec, `"${text}" is neither NAMESPACE/POD nor an IP address`);
  const [, namespace = "", name = "", port, protocol] = pod;
  return { who: { kind: "pod", namespace, name }, port, protocol: protocolOf(spec, protocol) };
}

function protocolOf(spec: CommandSpec, text: string | undefined): ServiceProtocol | undefined {
  if (text === undefined) return undefined;
  const protocol = PROTOCOLS.find((word) => word === text.toUpperCase());
  if (protocol === undefined) throw usageError(spec, `"${text}" is none of ${PROTOCOLS.join(", ")}`);
  return protocol;
}
