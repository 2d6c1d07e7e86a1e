/** `breakwater host`: what this node's kernel has for Breakwater and what it lacks, which sysctls it requires. */
import { statSync } from "node:fs";
import { dirname } from "node:path";
import { writeFileAtomic } from "../cni/atomic-file.ts";
import { readHostTexts } from "../kernel/host-texts.ts";
import { sysctlsAt } from "../kernel/sysctl.ts";
import { BreakwaterError, isBreakwaterError } from "../model/errors.ts";
import { isPresent } from "../model/host-modules.ts";
import type { HostReport } from "../model/host-report.ts";
import { DEFAULT_SERVICE_CONFIG, type IpvsConfig, ROUTING_MODES } from "../model/node-config.ts";
import {
  type HostSettings,
  modulesLoadFile,
  neededFeatures,
  planModules,
  planNamedModule,
} from "../plan/host/features.ts";
import { moduleFacts } from "../plan/host/module-facts.ts";
import { planHostReport } from "../plan/host/report.ts";
import { requiredSysctls } from "../plan/host/required-sysctls.ts";
import { ipvsSettings } from "../plan/services/ipvs.ts";
import { agentAddressOption, askAgent } from "./agent-documents.ts";
import { formatHost, formatModule } from "./host-text.ts";
import { nodeOptions } from "./node-options.ts";
import {
  type CommandSpec,
  choiceOption,
  formatHelp,
  type OptionTable,
  type OptionValues,
  parseOptions,
  usageError,
} from "./options.ts";
import { outputOption, printer } from "./output.ts";

const { routing, flowtable, "no-masquerade": noMasquerade, "no-network-policy": noPolicy } = nodeOptions;
const { "service-proxy": serviceProxy, "log-denied": logDenied } = nodeOptions;

const options = {
  ...agentAddressOption,
  routing,
  "service-proxy": serviceProxy,
  flowtable,
  "no-masquerade": noMasquerade,
  "no-network-policy": noPolicy,
  "log-denied": logDenied,
  "write-modules-load": {
    type: "string",
    value: "FILE",
    help: "Write what is needed into this file, such as /etc/modules-load.d/breakwater.conf, to be loaded at boot",
  },
  root: { type: "string", value: "DIR", default: "", help: "Where the machine's own / is mounted, in a container" },
  ...outputOption,
} as const satisfies OptionTable;

export const hostSpec = {
  usage: "breakwater host [module NAME | chain] [options]",
  summary:
    "Prints how this node's kernel stands: each module that a mode of Breakwater uses, why, and what is off without it; the sysctls that it requires, who else sets them, and what was repaired. As its agent says; where options name a mode, or no agent answers, by the options. module: one module by name. chain: from the disk to the kernel, which link is slow; it has options of its own.",
  positionals: [0, 2],
  options,
} as const satisfies CommandSpec;

const SERVICE_PROXIES = ["nftables", "ipvs", "none"] as const;

type Values = OptionValues<typeof options>;

export async function host(args: readonly string[]): Promise<number> {
  if (args[0] === "chain") return (await import("./host-chain.ts")).hostChain(args.slice(1));
  const parsed = parseOptions(hostSpec, args);
  if (parsed === undefined) {
    process.stdout.write(formatHelp(hostSpec));
    return 0;
  }
  const { values, positionals } = parsed;
  const print = printer(hostSpec, values.output);
  const [word, name] = positionals;
  if (word !== undefined && (word !== "module" || name === undefined)) {
    throw usageError(hostSpec, `Unknown words "${positionals.join(" ")}"`);
  }
  if (name !== undefined) {
    const status = planNamedModule(name, moduleFacts(readHostTexts(values.root).modules));
    print(status, () => formatModule(status));
    return isPresent(status) || status.state === "loadable" ? 0 : 1;
  }
  if (values["write-modules-load"] !== undefined) return writeModulesLoad(values, values["write-modules-load"]);
  const report = (await agentReport(values)) ?? localReport(values);
  print(report, () => formatHost(report));
  return isWell(report) ? 0 : 1;
}

/** What would a mode need here? The agent knows of its own alone. */
function namesMode(values: Values): boolean {
  return (
    values.routing !== nodeOptions.routing.default ||
    values["service-proxy"] !== nodeOptions["service-proxy"].default ||
    values["log-denied"] !== undefined ||
    [values.flowtable, values["no-masquerade"], values["no-network-policy"]].includes(true)
  );
}

/** Undefined: no agent answers, or the options ask for another mode than it may have. */
async function agentReport(values: Values): Promise<HostReport | undefined> {
  if (values.root !== "" || namesMode(values)) return undefined;
  try {
    return await askAgent<HostReport>(values["metrics-address"], "/host");
  } catch (error) {
    if (isBreakwaterError(error, "BW_AGENT_AWAY")) return undefined;
    throw error;
  }
}

function localReport(values: Values): HostReport {
  const settings = localSettings(values);
  const facts = { interfaces: [] };
  const texts = readHostTexts(values.root);
  const ofIpvs = settings.services?.ipvs === undefined ? [] : ipvsSettings(moduleFacts(texts.modules).release);
  return planHostReport({
    texts,
    features: neededFeatures(settings),
    required: [
      ...requiredSysctls({ podCidrs: [], underlay: undefined, usesVxlan: false, facts, services: settings.services }),
      ...ofIpvs,
    ],
    read: (name) => sysctlsAt(values.root).read(name),
  });
}

/** As the agent reads the same options. */
function localSettings(values: Values): HostSettings {
  const proxy = choiceOption(hostSpec, "service-proxy", values["service-proxy"], SERVICE_PROXIES);
  return {
    routing: choiceOption(hostSpec, "routing", values.routing, ROUTING_MODES),
    masquerade: !values["no-masquerade"],
    services: proxy === "none" ? undefined : servedBy(proxy),
    networkPolicy: !values["no-network-policy"],
    ...(values["log-denied"] === undefined ? {} : { logDenied: 1 }),
    ...(values.flowtable ? { flowtable: true } : {}),
  };
}

/** The scheduler that IPVS has unless told otherwise. */
function servedBy(proxy: "nftables" | "ipvs"): HostSettings["services"] {
  const ipvs: IpvsConfig = { scheduler: "rr", drainSeconds: 1 };
  return { ...DEFAULT_SERVICE_CONFIG, ...(proxy === "ipvs" ? { ipvs } : {}) };
}

function isWell({ features, sysctls, staleRequests, agent }: HostReport): boolean {
  return (
    features.every(({ needed, off }) => !needed || off.length === 0) &&
    staleRequests.length === 0 &&
    // Without an agent nobody has set them yet.
    (agent === null || (sysctls.every(({ fine }) => fine) && agent.drift.length === 0))
  );
}

function writeModulesLoad(values: Values, file: string): number {
  const rows = planModules(moduleFacts(readHostTexts(values.root).modules), neededFeatures(localSettings(values)));
  const text = modulesLoadFile(rows);
  try {
    // Its folder is not made: one that nobody reads is a typing error.
    statSync(dirname(file));
    writeFileAtomic(file, text, 0o644);
  } catch (cause) {
    const errno = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new BreakwaterError("BW_MODULE", `Cannot write ${file}: ${errno}`, {
      operation: "write",
      object: file,
      errno,
      cause,
      remedy: "Run it as root, and name a file in a folder that can be written",
    });
  }
  const count = text.split("\n").filter((line) => line !== "" && !line.startsWith("#")).length;
  process.stdout.write(`${file}: ${count} modules, loaded at boot by systemd-modules-load.service\n`);
  return 0;
}
