/** `breakwater agent`: runs until SIGTERM or SIGINT, and leaves the data path up. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startAgent } from "../agent/agent.ts";
import { openHost } from "../agent/host/open-host.ts";
import { settleV8 } from "../agent/idle-collector.ts";
import { createLog, type Log } from "../agent/log.ts";
import { CONFLIST_FILE, writeConflist } from "../cni/conflist.ts";
import { installPlugin } from "../cni/install-plugin.ts";
import { openConntrack } from "../kernel/ctnetlink/conntrack-socket.ts";
import { openIpvsKernel } from "../kernel/ipvs-kernel.ts";
import { openKernel } from "../kernel/kernel.ts";
import { openKubeProxyParts } from "../kernel/kube-proxy/open.ts";
import { findRunning } from "../kernel/kube-proxy/running.ts";
import { listeningPorts } from "../kernel/listening-sockets.ts";
import { openPacketLog } from "../kernel/nflog/nflog-socket.ts";
import { openNftables } from "../kernel/nfnetlink/nft-socket.ts";
import { openProbePort } from "../kernel/probe-port.ts";
import { pmtuCache } from "../kernel/rtnetlink/pmtu-cache.ts";
import { procSysctl } from "../kernel/sysctl.ts";
import { loadConnection } from "../kube/config.ts";
import { messageOf } from "../model/errors.ts";
import { chainOption, cniSocketPath, nodeConfig, nodeOptions, refuseWithoutRights } from "./node-options.ts";
import { type CommandSpec, formatHelp, type OptionTable, type OptionValues, parseOptions } from "./options.ts";
import { tuningOption } from "./profile-file.ts";

const options = {
  ...nodeOptions,
  "cni-conf-dir": {
    type: "string",
    value: "DIR",
    default: "/etc/cni/net.d",
    help: "Where the runtime looks for CNI configuration",
  },
  "cni-bin-dir": {
    type: "string",
    value: "DIR",
    default: "/opt/cni/bin",
    help: "Where the runtime looks for CNI plugins",
  },
  "cni-chain": {
    type: "string",
    value: "PLUGINS",
    default: "portmap",
    help: "Plugins behind ours: portmap, bandwidth, both with a comma, or none",
  },
  "metrics-address": {
    type: "string",
    value: "HOST:PORT",
    default: "127.0.0.1:9098",
    help: "/healthz, /readyz and /metrics; empty for none",
  },
  tuning: {
    type: "string",
    value: "PROFILE",
    default: "off",
    help: "Tune the node's sysctls: throughput, latency, scale, or the file of a profile; off: those that are required",
  },
  "log-level": { type: "string", value: "LEVEL", default: "info", help: "debug, info, warn or error" },
} as const satisfies OptionTable;

export const agentSpec = {
  usage: "breakwater agent --node-name NAME [options]",
  summary: "Gives this node its pod network: CNI, routes, MTU, masquerade.",
  options,
} as const satisfies CommandSpec;

export async function agent(args: readonly string[]): Promise<number> {
  settleV8();
  const parsed = parseOptions(agentSpec, args);
  if (parsed === undefined) {
    process.stdout.write(formatHelp(agentSpec));
    return 0;
  }
  const { values } = parsed;
  const config = nodeConfig(agentSpec, values);
  const chain = chainOption(agentSpec, values["cni-chain"]);
  const log = createLog(values["log-level"], config.nodeName);
  const connection = await loadConnection({
    kubeconfig: values.kubeconfig,
    context: values.context,
    server: values["api-server"],
  });
  refuseWithoutRights("agent");
  const host = await openHost(config, values["state-dir"], await tuningOption(agentSpec, values.tuning), log);
  const running = await startAgent({
    host,
    kernel: openKernel(),
    serviceKernel: {
      nftables: openNftables(),
      conntrack: openConntrack(),
      ipvs: openIpvsKernel(),
      listening: listeningPorts,
    },
    policyKernel: { nftables: openNftables(), conntrack: openConntrack(), openPacketLog },
    kubeProxyKernel: { parts: openKubeProxyParts(), findRunning: findRunning() },
    proofKernel: { openProbePort, pmtuCache: pmtuCache(procSysctl) },
    config,
    connection,
    stateDir: values["state-dir"],
    cniSocket: cniSocketPath(values),
    metricsAddress: values["metrics-address"],
    log,
    publishCni: () => publish(values, chain),
    cniIsPublished: () => existsSync(join(values["cni-conf-dir"], CONFLIST_FILE)),
  });
  await untilStopped(log);
  await running.stop();
  log.info({}, "agent stopped; the data path stays up");
  return 0;
}

async function publish(values: OptionValues<typeof options>, chain: readonly string[]): Promise<void> {
  const binDirectory = values["cni-bin-dir"];
  installPlugin(pluginPath(), binDirectory);
  await writeConflist({
    directory: values["cni-conf-dir"],
    binDirectory,
    socketPath: cniSocketPath(values),
    portmap: chain.includes("portmap"),
    bandwidth: chain.includes("bandwidth"),
  });
}

/** The compiled plugin lies in build/, beside the bundle, or two folders up from the source. */
function pluginPath(): string {
  const here = import.meta.url;
  const relative = here.includes("/src/cli/") ? "../../build/breakwater-cni" : "./breakwater-cni";
  return fileURLToPath(new URL(relative, here));
}

function untilStopped(log: Log): Promise<void> {
  process.on("unhandledRejection", (error) => {
    log.error({ error: messageOf(error), stack: error instanceof Error ? error.stack : undefined }, "unhandled error");
    process.exit(2);
  });
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      process.once(signal, () => {
        log.info({ signal }, "stopping");
        resolve();
      });
    }
  });
}
