/** `breakwater services`: how this node serves the cluster's Services; `verify` compares the kernel with the API. */
import { BreakwaterError } from "../model/errors.ts";
import type { FrontendReport, ServicesReport, VerificationReport } from "../model/service-report.ts";
import { agentAddressOption, askAgent } from "./agent-documents.ts";
import { type CommandSpec, formatHelp, type OptionTable, parseOptions, usageError } from "./options.ts";
import { outputOption, type Print, printer } from "./output.ts";
import { formatTable } from "./table.ts";

const options = {
  ...agentAddressOption,
  service: { type: "string", value: "NS/NAME", help: "Only this Service" },
  ...outputOption,
} as const satisfies OptionTable;

export const servicesSpec = {
  usage: "breakwater services [verify] [options]",
  summary:
    "Prints where Services answer on this node and which endpoints they have; verify: compares, element by element, what the kernel holds with the API, and repairs it.",
  positionals: [0, 1],
  options,
} as const satisfies CommandSpec;

export async function services(args: readonly string[]): Promise<number> {
  const parsed = parseOptions(servicesSpec, args);
  if (parsed === undefined) {
    process.stdout.write(formatHelp(servicesSpec));
    return 0;
  }
  const { values, positionals } = parsed;
  const print = printer(servicesSpec, values.output);
  const [action] = positionals;
  if (action !== undefined && action !== "verify") throw usageError(servicesSpec, `Unknown word "${action}"`);
  if (action === "verify") return verify(values["metrics-address"], print);
  const report = await askAgent<ServicesReport>(values["metrics-address"], "/services");
  if (report === undefined) throw leftToAnother(values["metrics-address"]);
  const chosen = values.service === undefined ? report : onlyOne(report, values.service);
  print(chosen, () => formatServices(chosen));
  return report.failure === null ? 0 : 1;
}

async function verify(address: string, print: Print): Promise<number> {
  const report = await askAgent<VerificationReport>(address, "/services/verify");
  if (report === undefined) throw leftToAnother(address);
  print(report, () => formatVerification(report));
  return report.failure === null && report.differences.length === 0 ? 0 : 1;
}

function leftToAnother(address: string): BreakwaterError {
  return new BreakwaterError("BW_SERVICES", "This node's agent leaves Services to another proxy", {
    operation: "ask the agent",
    object: address,
    remedy: "Start it without --service-proxy none, or ask that proxy",
  });
}

function onlyOne(report: ServicesReport, name: string): ServicesReport {
  const services = report.services.filter(({ service }) => service === name);
  if (services.length > 0) return { ...report, services };
  throw new BreakwaterError("BW_SERVICES", `Node ${report.node} knows no Service ${name}`, {
    operation: "find",
    object: `Service ${name}`,
    remedy: "Give NAMESPACE/NAME as kubectl get services -A prints them",
  });
}

export function formatServices({ node, failure, services }: ServicesReport): string {
  const rows = services.flatMap(({ service, frontends, notServed, conflicts }) => {
    const lost = new Map(conflicts.map(({ frontend, winner }) => [frontend, winner]));
    if (notServed !== null) return [[service, "-", "-", `not served: ${notServed}`]];
    if (frontends.length === 0) return [[service, "-", "-", "not served: it has no address here"]];
    return frontends.map((frontend) => {
      const { address, protocol, port, kind } = frontend;
      const winner = lost.get(`${address} . ${protocol.toLowerCase()} . ${port}`);
      const where = `${address.includes(":") ? `[${address}]` : address}:${port}/${protocol}`;
      return [service, kind, where, winner === undefined ? destination(frontend) : `not served: ${winner} has it`];
    });
  });
  const head = failure === null ? "" : `Services on ${node} are NOT up to date: ${failure}\n\n`;
  return `${head}${formatTable(["SERVICE", "KIND", "ADDRESS", "ENDPOINTS"], rows)}`;
}

const SHOWN = 4;

function destination({
  endpoints,
  outside,
  otherwise,
  affinitySeconds,
  sourceRanges,
  connections,
}: FrontendReport): string {
  const list = (all: readonly string[]) => {
    const more = all.length > SHOWN ? ` and ${all.length - SHOWN} more` : "";
    return `${all.slice(0, SHOWN).join(", ")}${more}`;
  };
  const words = [endpoints.length === 0 ? `none: ${otherwise === "drop" ? "dropped" : "refused"}` : list(endpoints)];
  if (outside !== null) words.push(`from outside: ${outside.length === 0 ? "dropped" : list(outside)}`);
  if (affinitySeconds !== null) words.push(`a client keeps its endpoint for ${affinitySeconds} s`);
  if (sourceRanges !== null) words.push(`only from ${sourceRanges.join(", ") || "nobody"}`);
  if (connections !== null) words.push(`${connections} connections`);
  return words.join("; ");
}

export function formatVerification(report: VerificationReport): string {
  const { node, failure, services, frontends, elements, differences } = report;
  if (failure !== null) return `Services on ${node} cannot be compared: ${failure}\n`;
  const what = `${services} Services, ${frontends} frontends, ${elements} elements`;
  if (differences.length === 0) return `Node ${node}: the kernel holds what the API asks for (${what})\n`;
  const rows = differences.map(({ set, service, api, kernel }) => [set, service ?? "-", api ?? "-", kernel ?? "-"]);
  return `Node ${node}: ${differences.length} differences in ${what}; repaired now\n\n${formatTable(["SET", "SERVICE", "API", "KERNEL"], rows)}`;
}
