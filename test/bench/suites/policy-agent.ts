/**
 * A pod's label change with 1,000 policies and 10,000 pods: from the write in the API, and from the event of the watch, until
 * the kernel announces the first element that has the pod's address. A real agent, and an API server in this process.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { createNamespace } from "../../../src/kernel/netns.ts";
import type { NewObject } from "../../../src/lab/api/store.ts";
import { CniRuntime } from "../../../src/lab/kubelet/cni-exec.ts";
import type { LabHost } from "../../../src/lab/underlay/host.ts";
import { BreakwaterError } from "../../../src/model/errors.ts";
import type { Ip } from "../../../src/model/ip.ts";
import type { AgentProcess } from "../agent-process.ts";
import type { Bench } from "../bench.ts";
import { BenchCluster } from "../cluster.ts";
import { type EventLatency, eventLatency } from "../event-latency.ts";
import { residentMegabytes } from "../process-usage.ts";
import { quantile } from "../statistics.ts";
import { addUnderlay, largeNode } from "./large-cluster.ts";
import { PolicyEvents } from "./policy-events.ts";
import { LOCAL_PODS, labelsOf, type PolicyPopulation, policyPopulation, TIERS } from "./policy-population.ts";

const NODE = largeNode(1);
const CHANGE_LIMIT_MS = 5;
const PATIENCE_MS = 60_000;
/** Until everything that follows from one change has followed. */
const QUIET_MS = 40;
const ENFORCED = "NetworkPolicies are enforced";

export async function measurePolicyAgent(bench: Bench): Promise<void> {
  const [policies, pods] = bench.options.quick ? [200, 2000] : [1000, 10_000];
  const what = `${policies} policies, ${LOCAL_PODS} local pods of ${pods}`;
  bench.say(`an agent with ${what}`);
  await using cluster = await BenchCluster.start(join(bench.folder, "agent"), false);
  const host = await cluster.host(NODE.name);
  addUnderlay(host);
  cluster.addNode(NODE);
  const population = policyPopulation(policies, pods);
  fill(cluster, population);
  const started = performance.now();
  const agent = await cluster.startAgent(NODE.name, host);
  await enforced(cluster.agentSettings(NODE.name, host).folder);
  bench.row(
    `agent's start until it has read ${policies} policies and ${pods} pods`,
    "s",
    (performance.now() - started) / 1000,
  );
  await attachLocal(cluster, agent, population);
  bench.row(`agent's memory, ${what}`, "MB", residentMegabytes(agent.pid));
  using changes = new LabelChanges(cluster, host);
  await pause(2000);
  const rounds = bench.options.quick ? 50 : 300;
  const [local, remote] = [population.pods.slice(0, LOCAL_PODS), population.pods.slice(LOCAL_PODS)];
  await measureChanges(bench, changes, "a remote pod's label change", remote, otherTier, rounds);
  await measureChanges(bench, changes, "a local pod gets another's labels", local, labelsOfAnother, rounds);
  await measureChanges(bench, changes, "a local pod gets labels of its own", local, otherTier, rounds);
  bench.row("agent's memory behind these changes", "MB", residentMegabytes(agent.pid));
}

/** Objects, and statuses as kubelets would write them: pods of the first node get their addresses from its agent. */
function fill({ api: { store } }: BenchCluster, { namespaces, pods, policies }: PolicyPopulation): void {
  for (const object of [...namespaces, ...policies, ...pods]) store.create(object);
  for (const [i, pod] of pods.entries()) {
    if (i < LOCAL_PODS) continue;
    const { namespace, name } = identityOf(pod);
    const set = (draft: Record<string, unknown>) => Object.assign(draft, { status: pod["status"] });
    store.modify("pods", namespace, name, set, { subresource: "status" });
  }
}

function identityOf({ metadata }: NewObject): { readonly namespace: string; readonly name: string } {
  return { namespace: String(metadata["namespace"]), name: String(metadata["name"]) };
}

async function enforced(folder: string): Promise<void> {
  for (const until = performance.now() + PATIENCE_MS; performance.now() < until; await pause(20)) {
    if (readFileSync(join(folder, "agent.log"), "utf8").includes(ENFORCED)) return;
  }
  throw new BreakwaterError("BW_BENCH_AGENT", `The agent did not enforce policies within ${PATIENCE_MS / 1000} s`);
}

/** By the real plugin, one after the other. */
async function attachLocal(cluster: BenchCluster, agent: AgentProcess, { pods }: PolicyPopulation): Promise<void> {
  const runtime = new CniRuntime(agent.cniConfDir, [agent.cniBinDir]);
  for (const pod of pods.slice(0, LOCAL_PODS)) {
    const { namespace, name } = identityOf(pod);
    const netns = join(cluster.netns, name);
    createNamespace(netns);
    const args = `IgnoreUnknown=1;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${name}`;
    await runtime.add({ containerId: `bench-${name}`, netns, ifname: "eth0", args, capabilities: {} });
  }
}

type Labels = Record<string, string>;
/** A pod's next labels. @param turn number of the change */
type Relabel = (labels: Labels, turn: number) => Labels;

/** Policies select the pod and speak of it by that. */
const otherTier: Relabel = (labels, turn) => {
  const others = TIERS.filter((tier) => tier !== labels["tier"]);
  return { ...labels, tier: others[turn % others.length] ?? "" };
};

/** Those that other pods of the node began with: the same policies select it as them. */
const labelsOfAnother: Relabel = (labels, turn) => {
  const [one, other] = [labelsOf(turn), labelsOf(turn + 1)];
  return one.app === labels["app"] && one.tier === labels["tier"] ? other : one;
};

interface Change extends EventLatency {
  readonly elements: number;
  readonly objects: number;
}

class LabelChanges implements Disposable {
  readonly #cluster: BenchCluster;
  readonly #events: PolicyEvents;
  readonly #waiting = new Map<Ip, (at: number) => void>();
  #made = 0;

  constructor(cluster: BenchCluster, host: LabHost) {
    this.#cluster = cluster;
    this.#events = new PolicyEvents(host, (ip) => {
      this.#waiting.get(ip)?.(performance.now());
      this.#waiting.delete(ip);
    });
  }

  [Symbol.dispose](): void {
    this.#events[Symbol.dispose]();
  }

  async one(pod: NewObject, relabel: Relabel): Promise<Change> {
    const { namespace, name } = identityOf(pod);
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.#waiting.set((pod["status"] as { podIP: Ip }).podIP, resolve);
    const timer = setTimeout(() => reject(late(`${namespace}/${name}`)), PATIENCE_MS);
    const turn = ++this.#made;
    this.#events.take();
    const write = () => {
      this.#cluster.api.store.modify("pods", namespace, name, ({ metadata }) => {
        Object.assign(metadata, { labels: relabel(metadata["labels"] as Labels, turn) });
      });
    };
    const latency = await eventLatency(write, promise);
    clearTimeout(timer);
    await pause(QUIET_MS + (turn % 7));
    return { ...latency, ...this.#events.take() };
  }
}

function late(pod: string): BreakwaterError {
  return new BreakwaterError("BW_BENCH_AGENT", `The kernel had no change of ${pod} within ${PATIENCE_MS / 1000} s`);
}

async function measureChanges(
  bench: Bench,
  changes: LabelChanges,
  what: string,
  pods: readonly NewObject[],
  relabel: Relabel,
  rounds: number,
): Promise<void> {
  bench.say(what);
  const made: Change[] = [];
  for (let round = 0; round < rounds; round++) {
    made.push(await changes.one(pods[(round * 7919) % pods.length] as NewObject, relabel));
  }
  const ms = made.map(({ fromEvent }) => fromEvent);
  const written = made.map(({ fromWrite }) => fromWrite);
  const limit = { reference: CHANGE_LIMIT_MS, referenceName: "limit", goal: 1 };
  bench.row(`${what}, from the watch's event to the kernel, median`, "ms", quantile(ms, 0.5), limit);
  bench.row(`${what}, 99th percentile`, "ms", quantile(ms, 0.99), limit);
  bench.row(`${what}, from the write in the API, median`, "ms", quantile(written, 0.5));
  for (const kind of ["elements", "objects"] as const) {
    const counts = made.map((change) => change[kind]);
    const most = Math.max(...counts);
    const unit = kind === "elements" ? "elements" : "rules, chains, sets";
    const details = most === 0 ? {} : { reference: most, referenceName: "at most" };
    bench.row(`what ${what} changes in the kernel`, unit, quantile(counts, 0.5), details);
  }
}
