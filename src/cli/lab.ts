/** `breakwater lab`: finds the verb of the lab and runs it. */
import { BreakwaterError } from "../model/errors.ts";
import type { Verb } from "./main.ts";

interface LabVerb {
  readonly summary: string;
  readonly load: () => Promise<Verb>;
}

export const labVerbs: Readonly<Record<string, LabVerb>> = {
  demo: {
    summary: "Bring up a small cluster with an application, and show what was proved",
    load: async () => (await import("./lab-demo.ts")).labDemo,
  },
  up: { summary: "Bring up a cluster", load: async () => (await import("./lab-up.ts")).labUp },
  down: {
    summary: "Take a cluster down and leave nothing behind",
    load: async () => (await import("./lab-up.ts")).labDown,
  },
  status: { summary: "Show nodes, pods and faults", load: async () => (await import("./lab-status.ts")).labStatus },
  kubeconfig: {
    summary: "Print the path of the kubeconfig",
    load: async () => (await import("./lab-status.ts")).labKubeconfig,
  },
  exec: { summary: "Run a command in a pod or on a node", load: async () => (await import("./lab-exec.ts")).labExec },
  probe: {
    summary: "Dial once, or many times, and say what happened",
    load: async () => (await import("./lab-probe.ts")).labProbe,
  },
  fault: { summary: "List, add and clear faults", load: async () => (await import("./lab-fault.ts")).labFault },
};

export async function lab(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    process.stdout.write(overview());
    return name === undefined ? 2 : 0;
  }
  const verb = Object.hasOwn(labVerbs, name) ? labVerbs[name] : undefined;
  if (verb === undefined) {
    throw new BreakwaterError("BW_USAGE", `Unknown lab command "${name}"`, { remedy: "See 'breakwater lab --help'" });
  }
  return (await verb.load())(rest);
}

function overview(): string {
  const width = Math.max(...Object.keys(labVerbs).map((name) => name.length));
  const lines = Object.entries(labVerbs).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`);
  return [
    "A Kubernetes cluster out of network namespaces on this machine.",
    "",
    "Usage: breakwater lab COMMAND [options]",
    "",
    "Commands:",
    ...lines,
    "",
  ].join("\n");
}
