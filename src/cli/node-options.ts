/** Options that `agent` and `plan` share: what the node's network is to be, and how to reach the API. */
import { BreakwaterError, messageOf } from "../model/errors.ts";
import { IPVS_SCHEDULERS } from "../model/ipvs.ts";
import { DEFAULT_PROBE_PORT, DEFAULT_VNI, DEFAULT_VXLAN_PORT } from "../model/marks.ts";
import { type ForbiddenConnections, type NodeConfig, ROUTING_MODES, type ServiceConfig } from "../model/node-config.ts";
import { parsePrefix, prefixesOverlap, prefixLength } from "../model/prefix.ts";
import {
  type CommandSpec,
  choiceOption,
  integerOption,
  type OptionTable,
  type OptionValues,
  usageError,
} from "./options.ts";

const FORBIDDEN_CONNECTIONS: readonly ForbiddenConnections[] = ["cut", "keep"];

/** How to reach the API. */
export const connectionOptions = {
  kubeconfig: {
    type: "string",
    value: "FILE",
    help: "How to reach the API; default KUBECONFIG, ~/.kube/config, then in-cluster",
  },
  context: { type: "string", value: "NAME", help: "Context of the kubeconfig" },
  "api-server": { type: "string", value: "URL", help: "API address instead of the kubeconfig's or the cluster's own" },
} as const satisfies OptionTable;

export const nodeOptions = {
  "node-name": { type: "string", value: "NAME", env: "NODE_NAME", help: "Name of this machine's Node object" },
  ...connectionOptions,
  routing: {
    type: "string",
    value: "MODE",
    default: "auto",
    help: "auto: direct on a shared subnet, VXLAN behind a router; direct; vxlan; bgp: BIRD makes the routes (package bird2)",
  },
  vni: { type: "string", value: "N", default: String(DEFAULT_VNI), help: "VXLAN network identifier" },
  "vxlan-port": { type: "string", value: "PORT", default: String(DEFAULT_VXLAN_PORT), help: "UDP port of VXLAN" },
  mtu: { type: "string", value: "BYTES", help: "Upper limit of the pods' MTU; planned from the underlay when absent" },
  "probe-port": {
    type: "string",
    value: "PORT",
    default: String(DEFAULT_PROBE_PORT),
    help: "UDP port on which agents prove the MTU of their paths, the same on all nodes; 0: plan it only",
  },
  "no-masquerade": { type: "boolean", help: "Let pods leave the cluster with their own addresses" },
  "masquerade-except": {
    type: "string",
    multiple: true,
    value: "CIDR",
    help: "Destinations that see the pod's own address",
  },
  flowtable: {
    type: "boolean",
    help: "Let established connections of pods take the kernel's fast path (nf_flow_table), where it has one",
  },
  "service-proxy": {
    type: "string",
    value: "BACKEND",
    default: "nftables",
    help: "Who serves Services, in place of kube-proxy: nftables; ipvs, behind rules of nftables; none: another proxy does",
  },
  "ipvs-scheduler": {
    type: "string",
    value: "NAME",
    help: `With --service-proxy ipvs, how it chooses an endpoint; default rr. Of ${IPVS_SCHEDULERS.join(", ")} those that the kernel has`,
  },
  "ipvs-drain-seconds": {
    type: "string",
    value: "N",
    help: "With --service-proxy ipvs, how long connections to an endpoint that is gone may go on; default 900",
  },
  "replace-kube-proxy": {
    type: "boolean",
    help: "Remove what a kube-proxy left in this node's kernel, once Breakwater serves all Services",
  },
  "keep-kube-proxy": { type: "boolean", help: "Leave Services to the kube-proxy that runs on this node" },
  "nodeport-addresses": {
    type: "string",
    multiple: true,
    value: "CIDR",
    help: "NodePorts answer on this node's addresses in there; default: on its InternalIPs",
  },
  "service-cidr": {
    type: "string",
    multiple: true,
    value: "CIDR",
    help: "Where the cluster's Services have their addresses: one that no Service has is dropped",
  },
  "conntrack-tcp-be-liberal": {
    type: "boolean",
    help: "Let TCP segments outside the window pass, where the node sees one direction only, instead of dropping them",
  },
  "service-counters": { type: "boolean", help: "Count the new connections of each Service address" },
  "load-balancer": {
    type: "boolean",
    help: "Give Services of type LoadBalancer addresses of LoadBalancerPools: of all agents with this option one does",
  },
  "forbidden-connections": {
    type: "string",
    value: "WHAT",
    default: "cut",
    help: "What becomes of established connections that a new NetworkPolicy forbids: cut, or keep until they end",
  },
  "log-denied": {
    type: "string",
    value: "N",
    help: "Log packets that NetworkPolicies deny, by the names of pods and policies: so many lines a second at most",
  },
  "no-network-policy": { type: "boolean", help: "Leave NetworkPolicies to somebody else" },
  "cluster-network-policies": {
    type: "boolean",
    help: "Enforce ClusterNetworkPolicies (policy.networking.k8s.io/v1alpha2), where the cluster has their definition",
  },
  "state-dir": {
    type: "string",
    value: "DIR",
    default: "/run/breakwater",
    help: "Journal of pod addresses, and the CNI socket",
  },
} as const satisfies OptionTable;

/** @throws BreakwaterError BW_USAGE */
export function nodeConfig(spec: CommandSpec, values: OptionValues<typeof nodeOptions>): NodeConfig {
  const nodeName = values["node-name"] ?? "";
  if (nodeName === "") throw usageError(spec, "--node-name is missing (or NODE_NAME)");
  const masquerade = !values["no-masquerade"];
  const masqueradeExceptions = values["masquerade-except"].map((text) => parseCidr("masquerade-except", text));
  if (!masquerade && masqueradeExceptions.length > 0) {
    throw usageError(spec, "--no-masquerade and --masquerade-except contradict each other");
  }
  return {
    nodeName,
    routing: choiceOption(spec, "routing", values.routing, ROUTING_MODES),
    vni: integerOption(spec, "vni", values.vni, 1, 0xffffff),
    vxlanPort: integerOption(spec, "vxlan-port", values["vxlan-port"], 1, 65535),
    probePort: integerOption(spec, "probe-port", values["probe-port"], 0, 65535),
    masquerade,
    masqueradeExceptions,
    ...(values.flowtable ? { flowtable: true } : {}),
    ...serviceConfig(spec, values),
    ...(values["load-balancer"] ? { loadBalancer: true } : {}),
    networkPolicy: !values["no-network-policy"],
    ...clusterPolicyConfig(spec, values),
    ...logDeniedConfig(spec, values),
    forbiddenConnections: choiceOption(
      spec,
      "forbidden-connections",
      values["forbidden-connections"],
      FORBIDDEN_CONNECTIONS,
    ),
    ...kubeProxyConfig(spec, values),
    ...(values.mtu === undefined ? {} : { mtuBytes: integerOption(spec, "mtu", values.mtu, 1280, 65535) }),
  };
}

function clusterPolicyConfig(
  spec: CommandSpec,
  values: OptionValues<typeof nodeOptions>,
): Pick<NodeConfig, "clusterNetworkPolicies"> | undefined {
  if (!values["cluster-network-policies"]) return undefined;
  if (values["no-network-policy"]) {
    throw usageError(spec, "--no-network-policy and --cluster-network-policies contradict each other");
  }
  return { clusterNetworkPolicies: true };
}

/** More lines a second than this are nobody's to read. */
export const MOST_LINES = 1000;

function logDeniedConfig(
  spec: CommandSpec,
  values: OptionValues<typeof nodeOptions>,
): Pick<NodeConfig, "logDenied"> | undefined {
  const lines = values["log-denied"];
  if (lines === undefined) return undefined;
  if (values["no-network-policy"]) {
    throw usageError(spec, "--no-network-policy and --log-denied contradict each other");
  }
  return { logDenied: integerOption(spec, "log-denied", lines, 1, MOST_LINES) };
}

const SERVICE_OPTIONS = [
  "ipvs-scheduler",
  "ipvs-drain-seconds",
  "nodeport-addresses",
  "service-cidr",
  "conntrack-tcp-be-liberal",
  "service-counters",
] as const satisfies readonly (keyof typeof nodeOptions)[];

/** Whether anything is said of how Services are to be served. */
export function tellsOfServices(values: OptionValues<typeof nodeOptions>): boolean {
  return values["service-proxy"] !== "nftables" || givenServiceOption(values) !== undefined;
}

function givenServiceOption(values: OptionValues<typeof nodeOptions>): string | undefined {
  return SERVICE_OPTIONS.find((name) => {
    const value = values[name];
    return Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false;
  });
}

function serviceConfig(
  spec: CommandSpec,
  values: OptionValues<typeof nodeOptions>,
): Pick<NodeConfig, "services"> | undefined {
  const backend = choiceOption(spec, "service-proxy", values["service-proxy"], ["nftables", "ipvs", "none"]);
  if (backend === "none" || values["keep-kube-proxy"]) {
    const given = givenServiceOption(values);
    const why = values["keep-kube-proxy"] ? "--keep-kube-proxy" : "--service-proxy none";
    if (given !== undefined) throw usageError(spec, `${why} and --${given} contradict each other`);
    return undefined;
  }
  return {
    services: {
      nodePortAddresses: values["nodeport-addresses"].map((text) => parseNodePortCidr(spec, text)),
      serviceCidrs: values["service-cidr"].map((text) => parseCidr("service-cidr", text)),
      dropInvalid: !values["conntrack-tcp-be-liberal"],
      counters: values["service-counters"] === true,
      ...ipvsConfig(spec, values, backend === "ipvs"),
    },
  };
}

const DEFAULT_DRAIN_SECONDS = "900";

function ipvsConfig(
  spec: CommandSpec,
  values: OptionValues<typeof nodeOptions>,
  isChosen: boolean,
): Pick<ServiceConfig, "ipvs"> | undefined {
  const { "ipvs-scheduler": scheduler, "ipvs-drain-seconds": drain } = values;
  if (!isChosen) {
    const given = scheduler !== undefined ? "ipvs-scheduler" : drain !== undefined ? "ipvs-drain-seconds" : undefined;
    if (given !== undefined) throw usageError(spec, `--${given} is for --service-proxy ipvs`);
    return undefined;
  }
  if (values.flowtable) {
    throw usageError(
      spec,
      "--flowtable and --service-proxy ipvs contradict each other: the fast path knows nothing of what IPVS translates",
    );
  }
  return {
    ipvs: {
      scheduler: choiceOption(spec, "ipvs-scheduler", scheduler ?? "rr", IPVS_SCHEDULERS),
      drainSeconds: integerOption(spec, "ipvs-drain-seconds", drain ?? DEFAULT_DRAIN_SECONDS, 1, 86_400),
      ...(values["replace-kube-proxy"] ? { adopt: true } : {}),
    },
  };
}

function kubeProxyConfig(
  spec: CommandSpec,
  values: OptionValues<typeof nodeOptions>,
): Pick<NodeConfig, "kubeProxy"> | undefined {
  const { "replace-kube-proxy": replace, "keep-kube-proxy": keep } = values;
  if (replace && keep) throw usageError(spec, "--replace-kube-proxy and --keep-kube-proxy contradict each other");
  if (replace && values["service-proxy"] === "none") {
    throw usageError(spec, "--replace-kube-proxy and --service-proxy none contradict each other: who would serve?");
  }
  if (!replace && !keep) return undefined;
  return { kubeProxy: replace ? "replace" : "keep" };
}

/** docs/adr/0008-services-in-nftables.md says why not there. */
function parseNodePortCidr(spec: CommandSpec, text: string) {
  const prefix = parseCidr("nodeport-addresses", text);
  const isLoopback = prefixesOverlap("127.0.0.0/8", prefix) || prefixesOverlap("::1/128", prefix);
  if (isLoopback && prefixLength(prefix) >= 8) {
    throw usageError(
      spec,
      `--nodeport-addresses ${text}: NodePorts cannot answer on localhost safely: the kernel would have to route 127.0.0.0/8, and others on the network could then reach what listens there`,
    );
  }
  return prefix;
}

function parseCidr(option: string, text: string) {
  try {
    return parsePrefix(text);
  } catch (error) {
    throw new BreakwaterError("BW_USAGE", `--${option}: ${messageOf(error)}`, {
      cause: error,
      remedy: "Give a CIDR such as 10.0.0.0/8 or fd00::/8",
    });
  }
}

const CHAINABLE = ["portmap", "bandwidth"] as const;

/** "portmap,bandwidth" or "none". @throws BreakwaterError BW_USAGE naming the word */
export function chainOption(spec: CommandSpec, text: string): (typeof CHAINABLE)[number][] {
  if (text === "" || text === "none") return [];
  return text.split(",").map((word) => choiceOption(spec, "cni-chain", word, CHAINABLE));
}

export function cniSocketPath(values: OptionValues<typeof nodeOptions>): string {
  return `${values["state-dir"]}/cni.sock`;
}

/** Changing a network namespace takes CAP_NET_ADMIN in it; root of a user namespace has that too. */
export function refuseWithoutRights(verb: string): void {
  if (process.geteuid?.() === 0) return;
  throw new BreakwaterError(
    "BW_NOT_ROOT",
    `breakwater ${verb} must run as root: it reads and changes this machine's network`,
    {
      operation: verb,
      remedy: `Run it with sudo, or in a privileged pod; to try it without root there is 'breakwater lab up'`,
    },
  );
}
