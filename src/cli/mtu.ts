/** `breakwater mtu`: what every path carries, proven; what a pod has; and the counters that a wrong MTU moves. */
import { setTimeout as pause } from "node:timers/promises";
import { counterRates, IP_COUNTERS, type IpCounterName, type IpCounters } from "../kernel/ip-counters.ts";
import { KubeClient } from "../kube/client.ts";
import { loadConnection } from "../kube/config.ts";
import { asObject, asString } from "../kube/json.ts";
import { configMaps } from "../kube/resource.ts";
import { BreakwaterError, isBreakwaterError } from "../model/errors.ts";
import {
  type MtuReport,
  type PathReport,
  type PodMtuReport,
  PUBLISHED,
  type PublishedMtuReport,
  REPORT_LIFETIME_MS,
} from "../model/mtu-report.ts";
import { agentAddressOption, askAgent } from "./agent-documents.ts";
import { connectionOptions } from "./node-options.ts";
import {
  type CommandSpec,
  formatHelp,
  integerOption,
  type OptionTable,
  type OptionValues,
  parseOptions,
  usageError,
} from "./options.ts";
import { outputOption, type Print, printer } from "./output.ts";
import { formatTable } from "./table.ts";

const options = {
  ...agentAddressOption,
  all: {
    type: "boolean",
    help: "The paths of all nodes, as their agents published them; so too where no agent is, but KUBECONFIG is set",
  },
  ...connectionOptions,
  pod: { type: "string", value: "NS/POD", help: "What this pod of the node has, beside what it should have" },
  seconds: { type: "string", value: "N", default: "1", help: "Count fragments and ICMP for so long; 0: do not count" },
  ...outputOption,
} as const satisfies OptionTable;

export const mtuSpec = {
  usage: "breakwater mtu [options]",
  summary: "Prints the MTU of this node's paths: planned, proven by probes, why they differ, what to do.",
  options,
} as const satisfies CommandSpec;

interface Rates {
  /** "" is the node itself. */
  readonly namespace: string;
  readonly perSecond: IpCounters;
}

export async function mtu(args: readonly string[]): Promise<number> {
  const parsed = parseOptions(mtuSpec, args);
  if (parsed === undefined) {
    process.stdout.write(formatHelp(mtuSpec));
    return 0;
  }
  const { values } = parsed;
  const print = printer(mtuSpec, values.output);
  if (values.all || (await isAwayFromNodes(values))) return allNodes(values, print);
  if (values.pod !== undefined) {
    const report = await podReport(values, values.pod);
    print(report, () => formatPod(report));
    return podIsRight(report) ? 0 : 1;
  }
  const rates = await countFor(values);
  const report = await askAgent<MtuReport>(values["metrics-address"], "/mtu");
  if (report === undefined) throw new BreakwaterError("BW_AGENT_AWAY", "The agent does not know the paths yet");
  const counters = Object.fromEntries(rates.map((r) => [r.namespace, r.perSecond]));
  print({ ...report, counters }, () => formatReport(report, rates, Date.now()));
  return report.notProbing !== null || report.paths.some(isBad) ? 1 : 0;
}

/** Nobody asked for a node, none is here, and there is a cluster to ask. */
async function isAwayFromNodes(values: OptionValues<typeof options>): Promise<boolean> {
  const isGiven = values.kubeconfig !== undefined || values["api-server"] !== undefined || process.env["KUBECONFIG"];
  if (!isGiven || values.pod !== undefined) return false;
  try {
    await askAgent(values["metrics-address"], "/mtu");
    return false;
  } catch (error) {
    return isBreakwaterError(error, "BW_AGENT_AWAY") && /ECONNREFUSED/.test(error.message);
  }
}

/** @returns the exit code */
async function allNodes(values: OptionValues<typeof options>, print: Print): Promise<number> {
  if (values.pod !== undefined)
    throw usageError(mtuSpec, "--all and --pod contradict each other: a pod is asked on its node");
  const reports = await publishedReports(values);
  print(reports, () => formatAll(reports, Date.now()));
  return reports.some(({ at, paths }) => isStale(at, Date.now()) || paths.some(isBad)) ? 1 : 0;
}

async function publishedReports(values: OptionValues<typeof options>): Promise<PublishedMtuReport[]> {
  const { kubeconfig, context, "api-server": server } = values;
  const client = new KubeClient(await loadConnection({ kubeconfig, context, server }));
  const { namespace, label, key } = PUBLISHED;
  try {
    const objects = await client.list(configMaps, { namespace, labelSelector: `${label.key}=${label.value}` });
    const texts = objects.flatMap((object) => asString(asObject(object["data"])?.[key]) ?? []);
    if (texts.length > 0) return texts.map((text) => JSON.parse(text) as PublishedMtuReport);
  } finally {
    client.close();
  }
  throw new BreakwaterError(
    "BW_AGENT_AWAY",
    `No agent has published a report (ConfigMaps with ${label.key}=${label.value} in ${namespace})`,
    {
      operation: "read the agents' reports",
      object: namespace,
      remedy:
        "See that the agents run, and that they may create and patch ConfigMaps in kube-system (their logs say so)",
    },
  );
}

async function podReport(values: OptionValues<typeof options>, pod: string): Promise<PodMtuReport> {
  const path = `/mtu/pod?name=${encodeURIComponent(pod)}`;
  const report = await askAgent<PodMtuReport>(values["metrics-address"], path);
  if (report !== undefined) return report;
  throw new BreakwaterError("BW_USAGE", `This node's agent has no pod "${pod}"`, {
    object: pod,
    remedy: "Give NAMESPACE/NAME of a pod that runs here and is not on the host network (kubectl get pods -A -o wide)",
  });
}

/** Two samples of every namespace; only what moved is kept, the node always. */
async function countFor(values: OptionValues<typeof options>): Promise<Rates[]> {
  const seconds = integerOption(mtuSpec, "seconds", values.seconds, 0, 3600);
  if (seconds === 0) return [];
  const sample = async () => ({
    at: performance.now(),
    counters: (await askAgent<Record<string, IpCounters>>(values["metrics-address"], "/mtu/counters")) ?? {},
  });
  const before = await sample();
  await pause(seconds * 1000);
  const after = await sample();
  return Object.entries(after.counters)
    .filter(([namespace]) => before.counters[namespace] !== undefined)
    .map(([namespace, counters]) => ({
      namespace,
      perSecond: counterRates(before.counters[namespace] ?? {}, counters, (after.at - before.at) / 1000),
    }));
}

/** Something that needs a person. */
function isBad({ verdict }: Row): boolean {
  return verdict !== "passes" && verdict !== "unproven";
}

/** One table for all nodes; what is not right is explained below it. */
export function formatAll(reports: readonly PublishedMtuReport[], now: number): string {
  const sorted = [...reports].sort((a, b) => (a.node < b.node ? -1 : 1));
  const paths = sorted.flatMap((report) => report.paths);
  const further = sorted.filter((report) => report.further > 0);
  const silent = sorted.filter(({ notProbing }) => notProbing !== null);
  return [
    formatTable(
      ["NODE", "UNDERLAY", "UNDERLAY MTU", "POD MTU", "REPORTED"],
      sorted.map(({ node, underlay, podMtuBytes, at }) => [
        node,
        underlay?.device ?? "-",
        underlay === null ? "-" : String(underlay.mtuBytes),
        podMtuBytes === null ? "-" : String(podMtuBytes),
        `${age(now - Date.parse(at))}${isStale(at, now) ? ": the agent is gone" : ""}`,
      ]),
    ),
    formatTable(
      HEAD,
      paths.map((path) => row(path, now)),
    ),
    ...further.map(({ node, further: count }) => `${node}: ${count} further paths carry what was planned\n`),
    ...silent.map(({ node, notProbing }) => `${node}: nothing is proven there: ${notProbing}\n`),
    ...remarks(paths),
  ].join("\n");
}

function isStale(at: string, now: number): boolean {
  return now - Date.parse(at) > REPORT_LIFETIME_MS;
}

const HEAD = ["FROM", "TO", "ROUTE", "UNDERLAY", "OVERHEAD", "PLANNED", "PROVEN", "IN USE", "VERDICT", "SINCE"];

export function formatReport(report: MtuReport, rates: readonly Rates[], now: number): string {
  const underlay = report.underlay === null ? "" : `, underlay ${report.underlay.device} ${report.underlay.mtuBytes}`;
  return [
    `${report.node}: pods have MTU ${report.podMtuBytes ?? "unknown"}${underlay}\n`,
    ...(report.notProbing === null ? [] : [`Nothing is proven here: ${report.notProbing}\n`]),
    formatTable(
      HEAD,
      report.paths.map((path) => row(path, now)),
    ),
    ...remarks(report.paths),
    ...(rates.length === 0 ? [] : [formatRates(rates)]),
  ].join("\n");
}

type Row = Omit<PathReport, "targets">;

function row(path: Row, now: number): string[] {
  return [
    path.from,
    path.to,
    path.mode,
    String(path.underlayBytes),
    String(path.overheadBytes),
    String(path.plannedBytes),
    path.provenBytes === null ? "-" : String(path.provenBytes),
    String(path.mtuBytes),
    path.verdict,
    path.since === "" ? "-" : age(now - Date.parse(path.since)),
  ];
}

/** What is not as planned, in sentences; nothing when all is. */
function remarks(paths: readonly Row[]): string[] {
  const lines = paths
    .filter(({ why }) => why !== "")
    .map(({ from, to, why, remedy }) => `${from} to ${to}: ${why}\n${remedy === "" ? "" : `  -> ${remedy}\n`}`);
  return lines.length === 0 ? [] : [lines.join("")];
}

/** "12s", "5m", "3h", "2d", as kubectl prints ages. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`;
}

function formatRates(rates: readonly Rates[]): string {
  const rows = rates.flatMap(({ namespace, perSecond }) =>
    (Object.keys(IP_COUNTERS) as IpCounterName[])
      // To compare with; it says nothing alone.
      .filter((name) => name !== "TcpOutSegs" && (perSecond[name] ?? 0) > 0)
      .map((name) => [
        namespace === "" ? "(node)" : namespace,
        name,
        (perSecond[name] ?? 0).toFixed(1),
        IP_COUNTERS[name],
      ]),
  );
  if (rows.length === 0)
    return "Fragments, reassemblies, ICMP and retransmissions: none, on the node and in its pods\n";
  return formatTable(["NAMESPACE", "COUNTER", "PER SECOND", "MEANING"], rows);
}

function podIsRight({ plannedBytes, device, hostDevice, routes }: PodMtuReport): boolean {
  return (
    device.mtuBytes === plannedBytes &&
    hostDevice.mtuBytes === plannedBytes &&
    routes.every(({ mtuBytes }) => mtuBytes === null || mtuBytes === plannedBytes)
  );
}

function formatPod(report: PodMtuReport): string {
  const { plannedBytes, device, hostDevice, routes, learned } = report;
  const line = (what: string, has: number | null, should: number) => [
    what,
    has === null ? "missing" : String(has),
    String(should),
    has === should ? "right" : "WRONG",
  ];
  const rows = [
    line(`${device.name} in the pod`, device.mtuBytes, plannedBytes),
    line(`${hostDevice.name} on the node`, hostDevice.mtuBytes, plannedBytes),
    ...routes.map(({ destination, gateway, mtuBytes }) => [
      `route ${destination}${gateway === null ? "" : ` via ${gateway}`}`,
      mtuBytes === null ? "as the device" : String(mtuBytes),
      "as the device",
      mtuBytes === null || mtuBytes === plannedBytes ? "right" : "WRONG",
    ]),
  ];
  const cache = learned.map(({ destination, mtuBytes }) => [destination, String(mtuBytes)]);
  return [
    `${report.pod}\n`,
    formatTable(["WHAT", "HAS", "SHOULD HAVE", ""], rows),
    cache.length === 0
      ? "The pod's kernel has learned of no narrower path.\n"
      : formatTable(["DESTINATION", "LEARNED BY ICMP"], cache),
  ].join("\n");
}
