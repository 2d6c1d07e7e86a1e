/**
 * `breakwater lab probe`: dials once, or a whole batch side by side. One dial that was not let through is exit code 1; a
 * batch answers an array, and its exit code says only that it was carried out.
 */
import { readFileSync } from "node:fs";
import { callLab, type ProbeRequest } from "../lab/control-protocol.ts";
import type { DialResult } from "../lab/dial.ts";
import { BreakwaterError, messageOf } from "../model/errors.ts";
import { nameOption, pathsOf } from "./lab-options.ts";
import { type CommandSpec, choiceOption, formatHelp, integerOption, parseOptions, usageError } from "./options.ts";
import { isJsonOutput, outputOption } from "./output.ts";

const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const;

export const labProbeSpec = {
  usage: "breakwater lab probe --from NS/POD|node/NODE --to NS/POD|IP|SERVICE.NS --port P [options]",
  summary: "Dials once and says whether it was let through; exit code 1 when it was not.",
  options: {
    ...nameOption,
    ...outputOption,
    from: { type: "string", value: "WHO", help: "NS/POD or node/NODE (also node/router, node/outside)" },
    to: { type: "string", value: "WHERE", help: "NS/POD, an IP address, SERVICE.NS or node/NODE" },
    port: { type: "string", value: "PORT", help: "1 to 65535" },
    protocol: { type: "string", value: "PROTO", default: "TCP", help: "TCP, UDP or SCTP" },
    timeout: { type: "string", value: "MS", default: "2000", help: "How long silence is waited for, milliseconds" },
    batch: {
      type: "string",
      value: "FILE",
      help: "JSON array of {from, to, port, protocol}; - for standard input. Answers an array",
    },
  },
} as const satisfies CommandSpec;

export async function labProbe(args: readonly string[]): Promise<number> {
  const parsed = parseOptions(labProbeSpec, args);
  if (parsed === undefined) {
    process.stdout.write(formatHelp(labProbeSpec));
    return 0;
  }
  const { values } = parsed;
  const isJson = isJsonOutput(labProbeSpec, values.output);
  const timeoutMs = integerOption(labProbeSpec, "timeout", values.timeout, 1, 600_000);
  const { control } = pathsOf(values);
  if (values.batch !== undefined) {
    if (values.from !== undefined || values.to !== undefined)
      throw usageError(labProbeSpec, "--batch takes no --from and --to");
    const probes = readBatch(values.batch).map((probe) => ({ timeoutMs, ...probe }));
    const results = await callLab(control, "probe", { probes, batch: true });
    process.stdout.write(
      isJson ? `${JSON.stringify(results)}\n` : results.map((result, i) => formatResult(probes[i], result)).join(""),
    );
    return 0;
  }
  const probe = {
    from: required("from", values.from),
    to: required("to", values.to),
    port: integerOption(labProbeSpec, "port", required("port", values.port), 1, 65535),
    protocol: choiceOption(labProbeSpec, "protocol", values.protocol.toUpperCase(), PROTOCOLS),
    timeoutMs,
  };
  const [result] = await callLab(control, "probe", { probes: [probe] });
  if (result === undefined) throw new BreakwaterError("BW_LAB", "The lab answered no result");
  process.stdout.write(isJson ? `${JSON.stringify(result)}\n` : formatResult(probe, result));
  return result.allowed ? 0 : 1;
}

function required(name: string, value: string | undefined): string {
  if (value === undefined || value === "") throw usageError(labProbeSpec, `--${name} is missing`);
  return value;
}

function formatResult(
  probe: ProbeRequest | undefined,
  { allowed, answer, clientIp, rttMs, error }: DialResult,
): string {
  const what = `${probe?.from} -> ${probe?.to} ${probe?.protocol ?? "TCP"} ${probe?.port}`;
  return allowed
    ? `${what}: allowed, ${rttMs} ms, ${answer === null ? "connected; nobody spoke first" : `answered by ${answer}${clientIp === undefined ? "" : `, which saw ${clientIp}`}`}\n`
    : `${what}: not allowed: ${error}\n`;
}

/** @throws BreakwaterError BW_USAGE naming the file and the entry */
function readBatch(file: string): ProbeRequest[] {
  const refuse = (why: string) =>
    new BreakwaterError("BW_USAGE", `Cannot use the batch ${file}: ${why}`, {
      object: file,
      remedy: 'Give a JSON array such as [{"from": "default/a", "to": "default/b", "port": 80, "protocol": "TCP"}]',
    });
  let entries: unknown;
  try {
    entries = JSON.parse(readFileSync(file === "-" ? 0 : file, "utf8"));
  } catch (error) {
    throw refuse(messageOf(error));
  }
  if (!Array.isArray(entries)) throw refuse("it is no array");
  return entries.map((entry: Partial<ProbeRequest> | null, i) => {
    const { from, to, port, protocol = "TCP", timeoutMs } = entry ?? {};
    const portNumber = Number(port);
    if (typeof from !== "string" || typeof to !== "string") throw refuse(`entry ${i} has no "from" and "to"`);
    if (!Number.isInteger(portNumber) || portNumber < 1 || portNumber > 65535)
      throw refuse(`entry ${i} has port ${port}`);
    if (!PROTOCOLS.includes(protocol)) throw refuse(`entry ${i} has protocol "${protocol}"`);
    return { from, to, port: portNumber, protocol, ...(timeoutMs === undefined ? {} : { timeoutMs }) };
  });
}
