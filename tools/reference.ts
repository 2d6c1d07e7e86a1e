/**
 * Writes docs/reference from the code: options, metrics, error codes, faults; and the CustomResourceDefinitions of deploy/.
 * With --check it only compares, and fails when a file says something else than the code.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { stringify } from "yaml";
import { createBgpMetrics } from "../src/agent/bgp/bgp-metrics.ts";
import { createHostMetrics } from "../src/agent/host/host-metrics.ts";
import { createKubeProxyMetrics } from "../src/agent/kube-proxy-metrics.ts";
import { createLoadBalancerMetrics } from "../src/agent/load-balancer/load-balancer-metrics.ts";
import { createMetrics } from "../src/agent/metrics.ts";
import { createPolicyMetrics } from "../src/agent/policies/policy-metrics.ts";
import { createServiceMetrics } from "../src/agent/services/service-metrics.ts";
import { agentSpec } from "../src/cli/agent.ts";
import { benchSpec } from "../src/cli/bench.ts";
import { bgpSpec } from "../src/cli/bgp.ts";
import { cleanupSpec } from "../src/cli/cleanup.ts";
import { hostSpec } from "../src/cli/host.ts";
import { hostChainSpec } from "../src/cli/host-chain.ts";
import { labDemoSpec } from "../src/cli/lab-demo.ts";
import { labExecSpec } from "../src/cli/lab-exec.ts";
import { labFaultSpec } from "../src/cli/lab-fault.ts";
import { labProbeSpec } from "../src/cli/lab-probe.ts";
import { labKubeconfigSpec, labStatusSpec } from "../src/cli/lab-status.ts";
import { labDownSpec, labUpSpec } from "../src/cli/lab-up.ts";
import { mtuSpec } from "../src/cli/mtu.ts";
import { type CommandSpec, commandOf, optionLabel } from "../src/cli/options.ts";
import { planSpec } from "../src/cli/plan.ts";
import { policyAuditSpec } from "../src/cli/policy-audit.ts";
import { policyExplainSpec } from "../src/cli/policy-explain.ts";
import { policyStatusSpec } from "../src/cli/policy-status.ts";
import { servicesSpec } from "../src/cli/services.ts";
import { tuneSpec } from "../src/cli/tune.ts";
import { CLUSTER_NETWORK_POLICY_CRD } from "../src/kube/cluster-network-policy-crd.ts";
import { OWN_CRDS } from "../src/kube/own-crds.ts";
import { faultKinds } from "../src/lab/faults/catalogue.ts";
import { ERROR_CODES } from "../src/model/error-codes.ts";
import { IPVS_MARK } from "../src/model/ipvs.ts";
import * as marks from "../src/model/marks.ts";
import { sysctlDotted } from "../src/model/sysctl-value.ts";
import { KNOWN_SYSCTLS } from "../src/plan/host/known-sysctls.ts";
import { FORMER_MODULES, MODULE_NEEDS } from "../src/plan/host/module-table.ts";
import { PROFILES } from "../src/plan/host/profiles.ts";

const NOTICE =
  "<!-- Written by tools/reference.ts from the code. Do not edit: run `node tools/run.mjs reference`. -->\n";

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll("\n", " ")).join(" | ")} |`;
  return [line(head), `| ${head.map(() => "---").join(" | ")} |`, ...rows.map(line), ""].join("\n");
}

const specs: readonly CommandSpec[] = [
  agentSpec,
  planSpec,
  mtuSpec,
  servicesSpec,
  policyExplainSpec,
  policyAuditSpec,
  policyStatusSpec,
  bgpSpec,
  hostSpec,
  hostChainSpec,
  tuneSpec,
  cleanupSpec,
  benchSpec,
  labDemoSpec,
  labUpSpec,
  labDownSpec,
  labStatusSpec,
  labKubeconfigSpec,
  labExecSpec,
  labProbeSpec,
  labFaultSpec,
];

function optionsPage(): string {
  const sections = specs.map(({ usage, summary, options }) => {
    const rows = Object.entries(options).map(([name, option]) => [
      `\`${optionLabel(name, option)}\``,
      option.default === undefined ? "" : `\`${option.default}\``,
      option.env === undefined ? "" : `\`${option.env}\``,
      `${option.help}${option.multiple === true ? " (may be repeated)" : ""}`,
    ]);
    const command = commandOf({ usage });
    return [
      `## ${command}`,
      "",
      summary,
      "",
      `\`${usage}\``,
      "",
      table(["option", "default", "environment", "meaning"], rows),
    ].join("\n");
  });
  const codes =
    "Exit codes of every command: 0 fine, 1 found something or refused (also a mistake on the command line), 2 could not.\n";
  return ["# Commands and options", "", codes, ...sections].join("\n");
}

async function metricsPage(): Promise<string> {
  const { registry } = createMetrics();
  createServiceMetrics(registry);
  createPolicyMetrics(registry);
  createKubeProxyMetrics(registry);
  createBgpMetrics(registry);
  createLoadBalancerMetrics(registry);
  createHostMetrics(registry, { missing: () => [], drifted: () => [] });
  const metrics = await registry.getMetricsAsJSON();
  const own = metrics.filter(({ name }) => /^(breakwater|kubeproxy)_/.test(name));
  const rows = own.map(({ name, type, help }) => [`\`${name}\``, String(type), help]);
  return [
    "# Metrics",
    "",
    "Served by the agent on `/metrics` (`--metrics-address`), with Node's own `process_` and `nodejs_` metrics beside them.",
    "",
    table(["metric", "type", "meaning"], rows),
  ].join("\n");
}

function errorsPage(): string {
  const rows = Object.entries(ERROR_CODES).map(([code, { meaning, remedy }]) => [`\`${code}\``, meaning, remedy]);
  return [
    "# Error codes",
    "",
    "Codes never change once released. Each error says what was tried, on which object, what the system answered and,",
    "behind `->`, what to do next. The codes that a container runtime sees are in [the design of CNI](../design/cni.md).",
    "",
    table(["code", "meaning", "what helps"], rows),
  ].join("\n");
}

function faultsPage(): string {
  const rows = faultKinds.map(({ name, summary, parameters = {} }) => [
    `\`${name}\``,
    Object.entries(parameters)
      .map(([key, value]) => `\`${key}=${value}\``)
      .join(" "),
    summary,
  ]);
  return [
    "# Faults of the lab",
    "",
    "`breakwater lab fault add NAME [--node NODE] [--pod NS/POD] [--size BYTES] [--set KEY=VALUE]`, taken back by `breakwater lab fault clear [NAME]`.",
    "",
    table(["fault", "parameters", "what happens"], rows),
  ].join("\n");
}

function marksPage(): string {
  const rows: [string, string, string][] = [
    ["route protocol", String(marks.ROUTE_PROTOCOL), "every route of ours (`ip route show proto 98`)"],
    [
      "route protocol and metric",
      `${marks.BIRD_PROTOCOL}, ${marks.BGP_METRIC}`,
      "routes that our BIRD makes with `--routing bgp` (`ip route show proto bird`)",
    ],
    [
      "link names",
      "names",
      `\`${marks.VXLAN_DEVICE}\`, \`${marks.IPVS_DEVICE}\` (addresses of Services) and a pod's host end, \`${marks.POD_LINK_PREFIX}\` and 11 hexadecimal digits`,
    ],
    [
      "flag of virtual servers",
      `0x${IPVS_MARK.toString(16)}`,
      "IP_VS_SVC_F_SCHED3: virtual servers of ours with `--service-proxy ipvs` (`ipvsadm -Ln` prints `flag-3`)",
    ],
    ["link group", `0x${marks.DOOMED_GROUP.toString(16)}`, "host ends of deleted pods that wait for their deletion"],
    [
      "nftables table",
      [marks.NFT_TABLE, ...Object.values(marks.SERVICE_TABLES), ...Object.values(marks.POLICY_TABLES)]
        .map(({ family, name }) => `${family} ${name}`)
        .join(", "),
      "all our rules and sets; one table of Services and one of NetworkPolicies a family (`nft list table ip breakwater`)",
    ],
    [
      "rule priorities",
      `${marks.RULE_PRIORITIES.first}-${marks.RULE_PRIORITIES.last}`,
      "ip rules of ours, with the same protocol number",
    ],
    ["nflog group", String(marks.NFLOG_GROUP), "packets that NetworkPolicies deny, with `--log-denied`"],
    ["neighbours and forwarding entries", "on our links", "permanent entries of `bw…` devices"],
  ];
  return [
    "# How Breakwater marks what is its own",
    "",
    "Only objects with these marks are ever changed or deleted, by the agent and by `breakwater cleanup`.",
    "",
    table(["kind", "mark", "what carries it"], rows),
  ].join("\n");
}

function sysctlsPage(): string {
  const scopes = { node: "the node", namespace: "the host's network", inherited: "the host's network, pods to come" };
  const sections = Object.values(PROFILES)
    .filter(({ values }) => values.length > 0)
    .map(({ name, values }) => {
      const rows = values.map(({ name: sysctl, value, reason }) => {
        const known = KNOWN_SYSCTLS.get(sysctl);
        const scope = known === undefined ? "" : scopes[known.scope];
        const about = [known?.rule ?? "", known?.unit ?? "", known?.kernelDefault ?? "", scope];
        return [`\`${sysctlDotted(sysctl)}\``, `\`${value}\``, ...about, reason, known?.source ?? ""];
      });
      const head = ["sysctl", "value", "rule", "unit", "kernel's default", "concerns", "reason", "source"];
      return [`## ${name}`, "", table(head, rows)].join("\n");
    });
  const intro =
    "Opt-in (`breakwater tune`, the agent's `--tuning`). No value is lowered that is better on the machine.\n";
  return ["# Sysctls of the tuning profiles", "", intro, ...sections].join("\n");
}

function modulesPage(): string {
  const rows = MODULE_NEEDS.map(({ module, features, reason, option, since, without }) => {
    return [`\`${module}\``, features.join(", "), reason, `\`${option}\``, since ?? "", without];
  });
  const former = Object.entries(FORMER_MODULES).map(([name, { goneSince, instead }]) => {
    return [`\`${name}\``, goneSince, `\`${instead}\``];
  });
  return [
    "# Kernel modules",
    "",
    "What they depend on is loaded with them. `breakwater host` says how each stands on a machine.",
    "",
    table(["module", "for", "what it does", "kernel option", "since Linux", "without it"], rows),
    "Names that old guides ask for:",
    "",
    table(["module", "gone since Linux", "instead"], former),
  ].join("\n");
}

const check = process.argv.includes("--check");
const pages: Readonly<Record<string, string>> = {
  "options.md": optionsPage(),
  "metrics.md": await metricsPage(),
  "errors.md": errorsPage(),
  "faults.md": faultsPage(),
  "marks.md": marksPage(),
  "modules.md": modulesPage(),
  "sysctls.md": sysctlsPage(),
};
const definitions = [
  { definition: CLUSTER_NETWORK_POLICY_CRD, source: "src/kube/cluster-network-policy-crd.ts" },
  ...OWN_CRDS.map((definition) => ({ definition, source: "src/kube/own-crds.ts" })),
];
const files: readonly (readonly [string, string])[] = [
  ...Object.entries(pages).map(([name, body]) => {
    return [join("docs", "reference", name), `${NOTICE}\n${body.trimEnd()}\n`] as const;
  }),
  ...definitions.map(({ definition, source }) => {
    const notice = `# Written by tools/reference.ts from ${source}. Do not edit.\n`;
    const text = stringify(definition, { aliasDuplicateObjects: false });
    return [join("deploy", "crds", `${definition.metadata.name}.yaml`), `${notice}${text}`] as const;
  }),
];
for (const [path, text] of files) {
  if (existsSync(path) && readFileSync(path, "utf8") === text) continue;
  if (check) {
    process.stderr.write(`${path} is not what the code says: run 'node tools/run.mjs reference'\n`);
    process.exitCode = 1;
    continue;
  }
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
