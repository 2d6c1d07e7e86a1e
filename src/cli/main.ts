/**
 * The program: finds the verb and runs it.
 * Verbs are loaded when they are asked for, so that `lab exec` does not pay for the agent.
 */
import { BreakwaterError } from "../model/errors.ts";
import { runToEnd } from "./run.ts";

/** Runs with the words behind the verb. @returns the exit code */
export type Verb = (args: readonly string[]) => Promise<number>;

interface VerbEntry {
  readonly summary: string;
  readonly load: () => Promise<Verb>;
}

const verbs: Readonly<Record<string, VerbEntry>> = {
  agent: {
    summary: "Give this node its pod network (run by the DaemonSet)",
    load: async () => (await import("./agent.ts")).agent,
  },
  plan: {
    summary: "Print what the agent would change on this node, and why",
    load: async () => (await import("./plan.ts")).plan,
  },
  mtu: {
    summary: "Print what this node's paths carry, planned and proven, and what to do where they differ",
    load: async () => (await import("./mtu.ts")).mtu,
  },
  services: {
    summary: "Print how this node serves the cluster's Services, or compare the kernel with the API",
    load: async () => (await import("./services.ts")).services,
  },
  policy: {
    summary: "Explain why a connection is allowed or denied by NetworkPolicies, or audit them",
    load: async () => (await import("./policy.ts")).policy,
  },
  bgp: {
    summary: "Print this node's BGP sessions: state, since when, prefixes, the last error",
    load: async () => (await import("./bgp.ts")).bgp,
  },
  host: {
    summary: "Print this node's kernel modules and required sysctls: what is there, what is off without it",
    load: async () => (await import("./host.ts")).host,
  },
  tune: {
    summary: "Show, apply or take back a tuning profile of sysctls, which never lowers a better value",
    load: async () => (await import("./tune.ts")).tune,
  },
  cleanup: {
    summary: "Remove everything Breakwater made on this node, and nothing else",
    load: async () => (await import("./cleanup.ts")).cleanup,
  },
  lab: {
    summary: "A whole cluster on this machine, to try and to rehearse",
    load: async () => (await import("./lab.ts")).lab,
  },
  bench: {
    summary: "Measure on this machine what a wrong MTU costs, or an overlay in place of direct routes",
    load: async () => (await import("./bench.ts")).bench,
  },
};

/** Processes that the lab and benchmarks start; no command for people. */
const internal: Readonly<Record<string, () => Promise<Verb>>> = {
  "bench-peer": async () => (await import("./bench-peer.ts")).benchPeer,
  "lab-daemon": async () => (await import("./lab-processes.ts")).labDaemon,
  "lab-frontend": async () => (await import("./lab-processes.ts")).labFrontend,
  "lab-kubelet": async () => (await import("./lab-processes.ts")).labKubelet,
};

async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    process.stdout.write(overview());
    return name === undefined ? 2 : 0;
  }
  const hidden = Object.hasOwn(internal, name) ? internal[name] : undefined;
  if (hidden !== undefined) return (await hidden())(rest);
  const verb = Object.hasOwn(verbs, name) ? verbs[name] : undefined;
  if (verb === undefined) {
    throw new BreakwaterError("BW_USAGE", `Unknown command "${name}"`, { remedy: "See 'breakwater --help'" });
  }
  return (await verb.load())(rest);
}

function overview(): string {
  const width = Math.max(...Object.keys(verbs).map((name) => name.length));
  const lines = Object.entries(verbs).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`);
  return [
    "Bare-metal Kubernetes pod network.",
    "",
    "Usage: breakwater COMMAND [options]",
    "",
    "Commands:",
    ...lines,
    "",
    "'breakwater COMMAND --help' says more.",
    "",
  ].join("\n");
}

await runToEnd(() => main(process.argv.slice(2)));
