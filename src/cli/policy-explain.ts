/** `breakwater policy explain`: whether a connection is allowed, and why. Exit code 1 when it is denied. */
import { explain, type Question } from "../plan/policies/explain.ts";
import { type CommandSpec, formatHelp, type OptionTable, parseOptions } from "./options.ts";
import { outputOption, printer } from "./output.ts";
import { clusterOptions, type KnownServices, readCluster, readServices, withClient } from "./policy-cluster.ts";
import { explanationJson, formatExplanation } from "./policy-explain-text.ts";
import { choosePorts, findSource, findTarget, refuseForeignFamilies } from "./policy-parties.ts";
import { parseSource, parseTarget } from "./policy-target.ts";

const options = {
  ...clusterOptions,
  ...outputOption,
} as const satisfies OptionTable;

export const policyExplainSpec = {
  usage: "breakwater policy explain NS/POD|IP NS/POD[:PORT[/PROTO]]|IP:PORT[/PROTO] [options]",
  summary:
    "Says whether the first may dial the second, by which policy and rule at which end, and for a denial the smallest NetworkPolicy that would admit it. PORT is a number or a port's name (without one: every port that the pod declares), PROTO is TCP, UDP or SCTP; IPv6 in brackets.",
  positionals: [2, 2],
  options,
} as const satisfies CommandSpec;

export async function policyExplain(args: readonly string[]): Promise<number> {
  const parsed = parseOptions(policyExplainSpec, args);
  if (parsed === undefined) {
    process.stdout.write(formatHelp(policyExplainSpec));
    return 0;
  }
  const { values, positionals } = parsed;
  const print = printer(policyExplainSpec, values.output);
  const [source = "", destination = ""] = positionals;
  const who = parseSource(policyExplainSpec, source);
  const target = parseTarget(policyExplainSpec, destination);
  return withClient(values, async (client) => {
    let services: Promise<KnownServices> | undefined;
    const ask = () => {
      services ??= readServices(client);
      return services;
    };
    const cluster = await readCluster(client, values);
    const from = await findSource(who, cluster, ask);
    const to = await findTarget(target, cluster, ask);
    const ports = choosePorts(target, to, cluster);
    refuseForeignFamilies(from.party, to.party);
    const notes = [...new Set([...from.notes, ...to.notes, ...cluster.notes])];
    const answers = ports.map((port) => {
      const question: Question = { from: from.party, to: to.party, ...port };
      return { question, explanation: explain(question, cluster) };
    });
    const admitted = answers.every(({ explanation }) => explanation.admitted);
    const objects = answers.map((each) => explanationJson(each.question, each.explanation, notes));
    print(objects.length === 1 ? objects[0] : { allowed: admitted, ports: objects }, () =>
      answers.map((each) => formatExplanation(each.question, each.explanation, notes, cluster)).join("\n"),
    );
    return admitted ? 0 : 1;
  });
}
