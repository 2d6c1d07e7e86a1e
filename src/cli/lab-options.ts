/** Options that lab commands share. */
import { resolve } from "node:path";
import { ROUTER_SOFTWARE } from "../lab/fabric/plan.ts";
import { type LabPaths, labPaths } from "../lab/paths.ts";
import { type LabOptions, MAX_NODES, MAX_SUBNETS } from "../lab/topology.ts";
import { BreakwaterError } from "../model/errors.ts";
import { IPVS_SCHEDULERS } from "../model/ipvs.ts";
import { ROUTING_MODES } from "../model/node-config.ts";
import { chainOption, MOST_LINES } from "./node-options.ts";
import {
  type CommandSpec,
  choiceOption,
  integerOption,
  type OptionTable,
  type OptionValues,
  usageError,
} from "./options.ts";
import { isProfileFile } from "./profile-file.ts";

export const nameOption = {
  name: {
    type: "string",
    value: "NAME",
    default: "lab",
    env: "BREAKWATER_LAB",
    help: "Which lab, where there are several",
  },
} as const satisfies OptionTable;

export const clusterOptions = {
  ...nameOption,
  nodes: { type: "string", value: "N", default: "3", help: `Number of nodes, up to ${MAX_NODES}` },
  subnets: {
    type: "string",
    value: "M",
    default: "1",
    help: "Subnets, with a router between them; nodes go round-robin",
  },
  zones: {
    type: "string",
    value: "N",
    help: "Zones, zone1 to zoneN: the nodes' label topology.kubernetes.io/zone, round-robin; without it a subnet is a zone",
  },
  mtu: { type: "string", value: "BYTES", default: "1500", help: "MTU of every wire" },
  routing: { type: "string", value: "MODE", default: "auto", help: "As of the agent: auto, direct, vxlan or bgp" },
  fabric: {
    type: "string",
    value: "ROUTERS",
    default: "frr,gobgp",
    help: "With --routing bgp and several subnets: what their top-of-rack routers run, round-robin; the spine is FRR",
  },
  "cni-chain": {
    type: "string",
    value: "PLUGINS",
    default: "none",
    help: "As of the agent: portmap (hostPort), bandwidth, both with a comma, or none",
  },
  "service-proxy": {
    type: "string",
    value: "BACKEND",
    default: "nftables",
    help: "As of the agent: nftables, or ipvs where this machine's kernel has it",
  },
  "ipvs-scheduler": { type: "string", value: "NAME", help: "As of the agent: how IPVS chooses an endpoint" },
  flowtable: { type: "boolean", help: "As of the agent: established connections take the kernel's fast path" },
  "cluster-network-policies": {
    type: "boolean",
    help: "Install the definition of ClusterNetworkPolicies, and as of the agent: enforce them",
  },
  "load-balancer": {
    type: "boolean",
    help: "Install the definition of LoadBalancerPools, and as of the agent: Services of type LoadBalancer get addresses",
  },
  "log-denied": {
    type: "string",
    value: "N",
    help: "As of the agent: so many lines a second tell of packets that NetworkPolicies deny",
  },
  tuning: {
    type: "string",
    value: "PROFILE",
    default: "off",
    help: "As of the agent: a profile of sysctls, of those that a network namespace has; the machine's others are not touched",
  },
  "dual-stack": { type: "boolean", help: "IPv4 and IPv6 for nodes, pods and Services" },
} as const satisfies OptionTable;

/** @throws BreakwaterError BW_USAGE */
export function labOptions(spec: CommandSpec, values: OptionValues<typeof clusterOptions>): LabOptions {
  const nodes = integerOption(spec, "nodes", values.nodes, 1, MAX_NODES);
  const subnets = integerOption(spec, "subnets", values.subnets, 1, MAX_SUBNETS);
  if (subnets > nodes) {
    throw new BreakwaterError(
      "BW_USAGE",
      `--subnets ${subnets} is more than --nodes ${nodes}: a subnet would be empty`,
      {
        remedy: "Give at least as many nodes as subnets",
      },
    );
  }
  const routing = choiceOption(spec, "routing", values.routing, ROUTING_MODES);
  const fabric = values.fabric.split(",").map((word) => choiceOption(spec, "fabric", word, ROUTER_SOFTWARE));
  const zones = values.zones === undefined ? undefined : integerOption(spec, "zones", values.zones, 1, nodes);
  return {
    name: values.name,
    nodes,
    subnets,
    ...(zones === undefined ? {} : { zones }),
    mtuBytes: integerOption(spec, "mtu", values.mtu, 1280, 65535),
    routing,
    ...(routing === "bgp" && subnets > 1 ? { fabric } : {}),
    dualStack: values["dual-stack"],
    ...ipvsOptions(spec, values),
    ...(values.flowtable ? { flowtable: true } : {}),
    ...(values["log-denied"] === undefined
      ? {}
      : { logDenied: integerOption(spec, "log-denied", values["log-denied"], 1, MOST_LINES) }),
    ...(values["load-balancer"] ? { loadBalancer: true } : {}),
    ...(values["cluster-network-policies"] ? { clusterNetworkPolicies: true } : {}),
    ...(values.tuning === "off" ? {} : { tuning: tuningArgument(values.tuning) }),
    cniChain: chainOption(spec, values["cni-chain"]),
  };
}

/** Agents run elsewhere: a file has its whole path. */
function tuningArgument(text: string): string {
  return isProfileFile(text) ? resolve(text) : text;
}

function ipvsOptions(
  spec: CommandSpec,
  values: OptionValues<typeof clusterOptions>,
): Pick<LabOptions, "serviceProxy" | "ipvsScheduler"> {
  const backend = choiceOption(spec, "service-proxy", values["service-proxy"], ["nftables", "ipvs"]);
  const scheduler = values["ipvs-scheduler"];
  if (backend === "nftables") {
    if (scheduler !== undefined) throw usageError(spec, "--ipvs-scheduler is for --service-proxy ipvs");
    return {};
  }
  if (scheduler === undefined) return { serviceProxy: backend };
  return { serviceProxy: backend, ipvsScheduler: choiceOption(spec, "ipvs-scheduler", scheduler, IPVS_SCHEDULERS) };
}

export function pathsOf(values: { readonly name: string }): LabPaths {
  return labPaths(values.name);
}
