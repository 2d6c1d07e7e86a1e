/** `breakwater plan`: the dry run of the agent. Exit code 1 when there is something to change. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { planTakeover, type TakeoverStep } from "../agent/kube-proxy-dry-run.ts";
import { createLog } from "../agent/log.ts";
import { Mirror } from "../agent/mirror.ts";
import { planPolicyOperations } from "../agent/policies/dry-run.ts";
import { planServiceOperations } from "../agent/services/dry-run.ts";
import { replayJournal } from "../cni/journal-entry.ts";
import { JOURNAL_FILE } from "../cni/server.ts";
import { diffNode } from "../diff/diff.ts";
import { openIpvsKernel } from "../kernel/ipvs-kernel.ts";
import { openKernel } from "../kernel/kernel.ts";
import { openKubeProxyParts } from "../kernel/kube-proxy/open.ts";
import { findRunning } from "../kernel/kube-proxy/running.ts";
import type { Nftables } from "../kernel/nfnetlink/types.ts";
import { KubeClient } from "../kube/client.ts";
import { loadConnection } from "../kube/config.ts";
import type { ApiConnection } from "../kube/connection.ts";
import { parseEndpointSlice } from "../kube/parse-endpoint-slice.ts";
import { parseNode } from "../kube/parse-node.ts";
import { parseService } from "../kube/parse-service.ts";
import { endpointSlices, nodes, services as serviceObjects } from "../kube/resource.ts";
import { SharedValues } from "../kube/shared-values.ts";
import type { ClusterNode } from "../model/cluster.ts";
import { BreakwaterError, isBreakwaterError } from "../model/errors.ts";
import { NFLOG_GROUP } from "../model/marks.ts";
import type { MtuReport } from "../model/mtu-report.ts";
import { formatNftTable } from "../model/nft.ts";
import { mayUseIpvs, type NodeConfig } from "../model/node-config.ts";
import { formatOperation, type Operation } from "../model/operation.ts";
import type { PoliciesReport } from "../model/policy-report.ts";
import type { ServicesReport } from "../model/service-report.ts";
import type { DesiredState, LocalPod } from "../model/state.ts";
import { planNode } from "../plan/plan.ts";
import { podsOfCluster } from "../plan/policies/policy-input.ts";
import { serviceContext } from "../plan/services/node-ports.ts";
import { agentAddressOption, askAgent } from "./agent-documents.ts";
import { nodeConfig, nodeOptions, refuseWithoutRights, tellsOfServices } from "./node-options.ts";
import { type CommandSpec, choiceOption, formatHelp, type OptionTable, parseOptions } from "./options.ts";
import { type BirdDryRun, type BirdDryRunInput, planBird } from "./plan-bird.ts";
import { readCluster } from "./policy-cluster.ts";
import { formatTable } from "./table.ts";

const options = {
  ...nodeOptions,
  ...agentAddressOption,
  output: {
    type: "string",
    short: "o",
    value: "FORMAT",
    default: "text",
    help: "text, or json: operations, BIRD's configuration, paths and problems",
  },
} as const satisfies OptionTable;

export const planSpec = {
  usage: "breakwater plan --node-name NAME [options]",
  summary: "Prints what the agent would change on this node, and which object asks for it.",
  options,
} as const satisfies CommandSpec;

export async function plan(args: readonly string[]): Promise<number> {
  const parsed = parseOptions(planSpec, args);
  if (parsed === undefined) {
    process.stdout.write(formatHelp(planSpec));
    return 0;
  }
  const { values } = parsed;
  const told = nodeConfig(planSpec, values);
  const format = choiceOption(planSpec, "output", values.output, ["text", "json"]);
  const connection = await loadConnection({
    kubeconfig: values.kubeconfig,
    context: values.context,
    server: values["api-server"],
  });
  refuseWithoutRights("plan");
  const config = await asTheAgent(told, tellsOfServices(values), values["metrics-address"]);
  const known = await listNodes(new KubeClient(connection), config.nodeName);
  const pods = readPods(values["state-dir"]);
  using kernel = openKernel();
  const mirror = new Mirror(kernel);
  mirror.list();
  const facts = mirror.facts(config);
  const provenMtuBytes = await provenByAgent(values["metrics-address"]);
  const input = { config, facts, nodes: known, pods, provenMtuBytes };
  const planned = planNode(input);
  if ("notReady" in planned) {
    const { code, message, remedy, object } = planned.notReady;
    throw new BreakwaterError(code, message, { operation: "plan", object, remedy });
  }
  const takeover = await planTakeover(config, openKubeProxyParts(), findRunning());
  const bird = await birdChanges(connection, config, known, {
    facts,
    state: planned.state,
    routes: kernel.routes,
    stateDir: values["state-dir"],
  });
  const problems = [...planned.state.problems, ...takeover.problems, ...bird.problems];
  const final = planNode({ ...input, announced: bird.announces });
  const state = { ...("state" in final ? final : planned).state, problems };
  const operations = [
    ...diffNode(state, mirror.observed(state)),
    ...(await serviceOperations(new KubeClient(connection), config, kernel.nftables, mirror, known)),
    ...(await policyOperations(new KubeClient(connection), config, kernel.nftables, pods, values)),
  ];
  const print = format === "json" ? formatJson : formatText;
  process.stdout.write(print(state, operations, takeover.steps, bird.changes));
  return operations.length + takeover.steps.length + bird.changes.length === 0 ? 0 : 1;
}

async function birdChanges(
  connection: ApiConnection,
  config: NodeConfig,
  nodes: ReadonlyMap<string, ClusterNode>,
  node: Pick<BirdDryRunInput, "facts" | "state" | "routes" | "stateDir">,
): Promise<BirdDryRun> {
  const client = new KubeClient(connection);
  try {
    return await planBird({ ...node, client, config, nodes });
  } finally {
    client.close();
  }
}

/** What the agent was told of Services, where one runs and nothing else is said here: it is its plan that is asked for. */
async function asTheAgent(config: NodeConfig, isTold: boolean, address: string): Promise<NodeConfig> {
  if (config.services === undefined || isTold) return config;
  const report = await unlessAway(askAgent<ServicesReport>(address, "/services"));
  return report === undefined ? config : { ...config, services: report.config };
}

async function unlessAway<T>(answer: Promise<T | undefined>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (isBreakwaterError(error, "BW_AGENT_AWAY")) return undefined;
    throw error;
  }
}

/** What the agent's probes found, where one runs: without that its routes would look wrong. */
async function provenByAgent(address: string): Promise<Map<string, number> | undefined> {
  const report = await unlessAway(askAgent<MtuReport>(address, "/mtu"));
  if (report === undefined) return undefined;
  return new Map(
    report.paths.flatMap(({ to, provenBytes }) => (provenBytes === null ? [] : [[to, provenBytes] as const])),
  );
}

async function listNodes(client: KubeClient, nodeName: string): Promise<Map<string, ClusterNode>> {
  const log = createLog("error", nodeName);
  try {
    const objects = await client.list(nodes);
    const parsed = objects.map((object) => parseNode(object, (field, why) => log.warn({ field }, why)));
    return new Map(parsed.flatMap((node) => (node === undefined ? [] : [[node.name, node]])));
  } finally {
    client.close();
  }
}

async function serviceOperations(
  client: KubeClient,
  config: NodeConfig,
  nftables: Nftables,
  mirror: Mirror,
  known: ReadonlyMap<string, ClusterNode>,
): Promise<Operation[]> {
  const own = known.get(config.nodeName);
  if (config.services === undefined || own === undefined) return [];
  const ignore = () => undefined;
  const shared = new SharedValues();
  try {
    const [services, slices] = await Promise.all([client.list(serviceObjects), client.list(endpointSlices)]);
    return planServiceOperations({
      nftables,
      ipvs: openIpvsKernel(),
      services: services.flatMap((object) => parseService(object, ignore) ?? []),
      slices: slices.flatMap((object) => parseEndpointSlice(object, ignore, shared) ?? []),
      context: serviceContext(own, mirror.nodeAddresses(), config.services, known.values()),
      config: config.services,
    });
  } finally {
    client.close();
  }
}

/** Denied packets are logged as the agent that runs here does it. */
async function policyOperations(
  client: KubeClient,
  config: NodeConfig,
  nftables: Nftables,
  pods: readonly LocalPod[],
  values: Parameters<typeof readCluster>[1] & { readonly "metrics-address": string },
): Promise<Operation[]> {
  const { nodeName, networkPolicy, logDenied } = config;
  if (networkPolicy !== true) return [];
  try {
    const cluster = await readCluster(client, values);
    const known = new Map(cluster.pods.map((pod) => [`${pod.namespace}/${pod.name}`, pod]));
    const here = pods.flatMap(({ name, ips }) => {
      const pod = known.get(name);
      return pod === undefined ? [] : [{ ...pod, ips, nodeName }];
    });
    const report = await unlessAway(askAgent<PoliciesReport>(values["metrics-address"], "/policies"));
    const perSecond = report === undefined ? logDenied : (report.logDeniedPerSecond ?? undefined);
    return planPolicyOperations(nftables, {
      ...cluster,
      ...{ nodeName, pods: podsOfCluster(nodeName, here, known), throughIpvs: mayUseIpvs(config) },
      logDenied: perSecond === undefined ? undefined : { group: NFLOG_GROUP, perSecond },
    });
  } finally {
    client.close();
  }
}

function readPods(stateDir: string): LocalPod[] {
  const path = join(stateDir, JOURNAL_FILE);
  if (!existsSync(path)) return [];
  return [...replayJournal(readFileSync(path), path).records.values()].map(
    ({ containerId, ifname, netns, ips, pod }) => ({
      containerId,
      ifname,
      netns,
      ips,
      name: pod === undefined ? containerId : `${pod.namespace}/${pod.name}`,
    }),
  );
}

function formatJson(
  state: DesiredState,
  operations: readonly Operation[],
  takeover: readonly TakeoverStep[],
  bird: readonly string[],
): string {
  const { paths, podMtuBytes, problems } = state;
  const steps = operations.map((operation) => ({ ...operation, text: formatOperation(operation) }));
  return `${JSON.stringify({ operations: steps, takeover, bird, paths, podMtuBytes, problems }, null, 2)}\n`;
}

function formatText(
  state: DesiredState,
  operations: readonly Operation[],
  takeover: readonly TakeoverStep[],
  bird: readonly string[],
): string {
  const paths = state.paths.map(({ node, mode, peer, device, mtuBytes }) => [
    node,
    mode,
    peer,
    device,
    String(mtuBytes),
  ]);
  const steps = [
    ...operations.map((operation) => [formatOperation(operation), operation.cause]),
    ...takeover.map(({ text, cause }) => [text, cause]),
  ];
  const nothing = `Nothing to change${bird.length === 0 ? ": the node is as planned" : " but BIRD"}.\n`;
  return [
    formatTable(["NODE", "MODE", "PEER", "DEVICE", "MTU"], paths),
    steps.length === 0 ? nothing : formatTable(["CHANGE", "BECAUSE OF"], steps),
    ...(bird.length === 0 ? [] : [`BIRD:\n${bird.map((line) => `  ${line}\n`).join("")}`]),
    ...state.problems.map(({ message, remedy }) => `Problem: ${message}\n  -> ${remedy}\n`),
    formatNftTable(state.nft),
  ].join("\n");
}
