/** `breakwater host chain`: from a disk to this node's kernel, which link is slow. */
import { existsSync, readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { CHAIN_LIMITS, diskLink, failed, judgeChain, measured, unmeasured } from "../doctor/checks/chain.ts";
import { etcdLinks } from "../doctor/checks/etcd.ts";
import { agentLinks } from "../doctor/facts/agent-stages.ts";
import { measureApi } from "../doctor/facts/api-latency.ts";
import { measureDiskSync } from "../doctor/facts/disk-sync.ts";
import { type EtcdAddress, readEtcdMetrics } from "../doctor/facts/etcd-metrics.ts";
import { KubeClient } from "../kube/client.ts";
import { loadConnection } from "../kube/config.ts";
import type { ChainLink, ChainReport, ChainStage } from "../model/chain-report.ts";
import { BreakwaterError, isBreakwaterError } from "../model/errors.ts";
import { parseMetrics } from "../model/metrics-text.ts";
import { agentAddressOption, askAgentText } from "./agent-documents.ts";
import { connectionOptions } from "./node-options.ts";
import {
  type CommandSpec,
  formatHelp,
  integerOption,
  type OptionTable,
  type OptionValues,
  parseOptions,
} from "./options.ts";
import { outputOption, printer } from "./output.ts";
import { formatTable } from "./table.ts";

const options = {
  disk: { type: "string", value: "DIR", help: "Where etcd writes; default /var/lib/etcd, where that is there" },
  etcd: {
    type: "string",
    value: "URL",
    help: "etcd's client or metrics URL; default kubeadm's, where its files are there",
  },
  "etcd-ca": { type: "string", value: "FILE", help: "Who signed etcd's certificate" },
  "etcd-cert": { type: "string", value: "FILE", help: "A client certificate that etcd accepts" },
  "etcd-key": { type: "string", value: "FILE", help: "Its key" },
  ...connectionOptions,
  namespace: {
    type: "string",
    value: "NS",
    default: "kube-system",
    help: "Where a ConfigMap is written to measure the API",
  },
  "no-api": { type: "boolean", help: "Write nothing to the API: do not measure it" },
  ...agentAddressOption,
  seconds: { type: "string", value: "N", default: "3", help: "So long the disk is measured and etcd watched" },
  ...outputOption,
} as const satisfies OptionTable;

export const hostChainSpec = {
  usage: "breakwater host chain [options]",
  summary:
    "Measures the way of a change as one chain: disk, etcd, API, watch, plan, kernel; names the first link that is slow. Gently: small writes with pauses, one ConfigMap that is changed 20 times and deleted.",
  options,
} as const satisfies CommandSpec;

type Values = OptionValues<typeof options>;

const KUBEADM = {
  disk: "/var/lib/etcd",
  url: "https://127.0.0.1:2379",
  ca: "/etc/kubernetes/pki/etcd/ca.crt",
  cert: "/etc/kubernetes/pki/etcd/healthcheck-client.crt",
  key: "/etc/kubernetes/pki/etcd/healthcheck-client.key",
} as const;

const KUBEADM_FILES = [KUBEADM.ca, KUBEADM.cert, KUBEADM.key];
const ENDING = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export async function hostChain(args: readonly string[]): Promise<number> {
  const parsed = parseOptions(hostChainSpec, args);
  if (parsed === undefined) {
    process.stdout.write(formatHelp(hostChainSpec));
    return 0;
  }
  const { values } = parsed;
  const print = printer(hostChainSpec, values.output);
  const seconds = integerOption(hostChainSpec, "seconds", values.seconds, 1, 60);
  const address = namedEtcd(values);
  const links = await cleanly((signal) => measureLinks(values, address, { seconds, signal }));
  const report = judgeChain(links);
  print(report, () => formatChain(report));
  return report.cause === null ? 0 : 1;
}

/** Whoever is asked to end takes away what it wrote, a file beside etcd's and an object of the API, and ends by that signal. */
async function cleanly<T>(measure: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stop = new AbortController();
  const end = (signal: NodeJS.Signals) => stop.abort(signal);
  for (const signal of ENDING) process.once(signal, end);
  try {
    return await measure(stop.signal);
  } finally {
    for (const signal of ENDING) process.off(signal, end);
    if (stop.signal.aborted) process.kill(process.pid, stop.signal.reason);
  }
}

interface Patience {
  /** So long the disk is measured and etcd watched. */
  readonly seconds: number;
  readonly signal: AbortSignal;
}

async function measureLinks(values: Values, etcd: EtcdAddress | undefined, patience: Patience): Promise<ChainLink[]> {
  // etcd is watched while its disk is measured and the API writes to it: then there is something to see.
  const settled = await Promise.allSettled([
    etcdStage(etcd, patience),
    diskStage(values, patience).then(async (disk) => [...disk, ...(await apiStage(values, patience))]),
  ]);
  // Behind the end of both: what fails in one leaves the other time to take its file away.
  const links = settled.map((stage) => {
    if (stage.status === "rejected") throw stage.reason;
    return stage.value;
  });
  return [...links.flat(), ...(await agentStages(values))];
}

/** A stage that cannot be asked is told of in its place; the others are measured all the same. */
async function attempt(stage: ChainStage, what: string, measure: () => Promise<ChainLink[]>): Promise<ChainLink[]> {
  try {
    return await measure();
  } catch (error) {
    if (!isBreakwaterError(error) || error.code === "BW_USAGE") throw error;
    return [failed(stage, what, error.message, error.remedy)];
  }
}

async function diskStage(values: Values, patience: Patience): Promise<ChainLink[]> {
  // An etcd that is named may be anywhere, and write anywhere.
  const isHere = values.etcd === undefined && existsSync(KUBEADM.disk);
  const folder = values.disk ?? (isHere ? KUBEADM.disk : undefined);
  if (folder === undefined)
    return [unmeasured("disk", "fdatasync", "where etcd writes is not known here: give --disk")];
  return attempt("disk", `fdatasync of ${folder}`, async () => [
    diskLink(await measureDiskSync({ folder, ...patience })),
  ]);
}

async function etcdStage(named: EtcdAddress | undefined, { seconds, signal }: Patience): Promise<ChainLink[]> {
  if (named === undefined && !KUBEADM_FILES.every((path) => existsSync(path))) {
    return [unmeasured("etcd", "etcd's own metrics", "no etcd is known here: give --etcd")];
  }
  return attempt("etcd", named?.url ?? KUBEADM.url, async () => {
    const address = named ?? etcdAddress(KUBEADM.url, KUBEADM);
    const before = await readEtcdMetrics(address);
    await pause(seconds * 1000, undefined, { signal });
    const after = await readEtcdMetrics(address);
    const links = etcdLinks({ url: address.url, before, after, seconds });
    return links.length > 0 ? links : [unmeasured("etcd", address.url, "it has written nothing since it was started")];
  });
}

/** @throws BreakwaterError BW_ETCD when a file of a certificate cannot be read */
function namedEtcd(values: Values): EtcdAddress | undefined {
  const { etcd: url, "etcd-ca": ca, "etcd-cert": cert, "etcd-key": key } = values;
  const isNamed = url !== undefined || [ca, cert, key].some((path) => path !== undefined);
  if (!isNamed) return undefined;
  const own = (url === undefined || url === KUBEADM.url) && existsSync(KUBEADM.key) ? KUBEADM : undefined;
  return etcdAddress(url ?? KUBEADM.url, { ca: ca ?? own?.ca, cert: cert ?? own?.cert, key: key ?? own?.key });
}

type CertificateFiles = Partial<Record<"ca" | "cert" | "key", string | undefined>>;

function etcdAddress(url: string, { ca, cert, key }: CertificateFiles): EtcdAddress {
  return { url, ca: readPem(ca), cert: readPem(cert), key: readPem(key) };
}

function readPem(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new BreakwaterError("BW_ETCD", `Cannot read ${path}: ${(cause as NodeJS.ErrnoException).code}`, {
      operation: "read certificate",
      object: path,
      cause,
      remedy: "Name a PEM file that you may read; etcd's own are for root alone",
    });
  }
}

async function apiStage(values: Values, { signal }: Patience): Promise<ChainLink[]> {
  if (values["no-api"]) return [unmeasured("api", "a write", "--no-api"), unmeasured("watch", "its event", "--no-api")];
  const { kubeconfig, context, "api-server": server, namespace } = values;
  const links = await attempt("api", "write a ConfigMap", async () => {
    const client = new KubeClient(await loadConnection({ kubeconfig, context, server }));
    try {
      const { write, writeToWatch, behind } = await measureApi({ client, namespace, signal });
      const seen = `from the request to the event: p50 ${writeToWatch.p50Ms.toFixed(1)} ms, p99 ${writeToWatch.p99Ms.toFixed(1)} ms`;
      return [
        measured("api", `change of a ConfigMap in ${namespace}`, write, CHAIN_LIMITS.write, {
          remedy: "See the API server's load and its latency to etcd (etcd_request_duration_seconds of its metrics)",
        }),
        measured("watch", "its event, behind the answer", behind, CHAIN_LIMITS.watch, {
          notes: [seen],
          remedy: "See the API server's load: it tells all watchers of every change",
        }),
      ];
    } finally {
      client.close();
    }
  });
  const isAnswered = links.some(({ stage }) => stage === "watch");
  return isAnswered ? links : [...links, unmeasured("watch", "its event", "the API cannot be written to")];
}

async function agentStages(values: Values): Promise<ChainLink[]> {
  const address = values["metrics-address"];
  try {
    return agentLinks(parseMetrics(await askAgentText(address, "/metrics")), address);
  } catch (error) {
    if (!isBreakwaterError(error, "BW_AGENT_AWAY")) throw error;
    const away = `no agent answers on ${address}`;
    return [unmeasured("plan", "planning", away), unmeasured("kernel", "applying", away)];
  }
}

export function formatChain({ links, summary }: ChainReport): string {
  const ms = (value: number | null) => (value === null ? "-" : String(value));
  const rows = links.map(({ stage, what, verdict, samples, p50Ms, p99Ms, p999Ms, limitMs }) => [
    stage,
    verdict,
    ms(p50Ms),
    ms(p99Ms),
    ms(p999Ms),
    limitMs === null ? "-" : `p99 ${limitMs}`,
    ms(samples),
    what,
  ]);
  const notes = links.flatMap(({ stage, verdict, notes: said, remedy, source }) => [
    ...said.map((note) => `${stage}: ${note}\n`),
    ...(verdict === "slow" ? [`${stage}: the limit is of ${source}\n`] : []),
    ...(remedy === null ? [] : [`  -> ${remedy}\n`]),
  ]);
  const head = ["STAGE", "VERDICT", "P50 MS", "P99 MS", "P99.9 MS", "LIMIT", "SAMPLES", "WHAT"];
  return `${summary}\n\n${formatTable(head, rows)}\n${[...new Set(notes)].join("")}`;
}
