/**
 * The lab that convergence is measured in: two racks behind FRR, a Service with an endpoint on both nodes of the first rack,
 * and from the host behind the spine a stream of 1,000 datagrams a second that comes back.
 *
 *   outside ── spine ══ tor1 ── node1 [echo 1], node3 [echo 3]
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { BirdControl } from "../../../src/agent/bgp/bird-control.ts";
import { birdPaths } from "../../../src/agent/bgp/bird-process.ts";
import { inNamespaceAt } from "../../../src/kernel/netns.ts";
import { type ActiveFault, callLab } from "../../../src/lab/control-protocol.ts";
import { labInitPid } from "../../../src/lab/launch.ts";
import { labPaths, nodePaths } from "../../../src/lab/paths.ts";
import { BreakwaterError } from "../../../src/model/errors.ts";
import { program, tool } from "../tools.ts";

const NAME = "bgp";
export const SERVICE_IP = "198.51.100.10";
const ECHO_PORT = 7007;
const PATIENCE_S = 120;
const POLL_MS = 50;

/** What became of a stream; times are CLOCK_MONOTONIC, nanoseconds. */
export interface StreamOutcome {
  readonly sent: number;
  readonly lost: number;
  readonly firstLost: number;
  readonly lastLost: number;
  /** Number of the echo that answered last. */
  readonly server: number;
}

export interface Stream {
  /** Number of the echo that answers now. @throws BreakwaterError BW_BENCH_BGP while none has answered */
  server(): number;
  /** Answers came again behind a silence. */
  back(patienceMs: number): Promise<boolean>;
  end(): Promise<StreamOutcome>;
}

export class BgpLab implements AsyncDisposable {
  readonly paths = labPaths(NAME);
  #initPid = 0;

  static async start(software: string): Promise<BgpLab> {
    const shape = ["--routing", "bgp", "--subnets", "2", "--nodes", "4", "--fabric", software, "--load-balancer"];
    await cli("lab", "up", "--name", NAME, ...shape, "--timeout", String(PATIENCE_S));
    const lab = new BgpLab();
    lab.#initPid = labInitPid(NAME);
    await callLab(lab.paths.control, "apply", { objects: objects() });
    const { ready, waitingFor } = await callLab(lab.paths.control, "waitReady", { timeoutMs: PATIENCE_S * 1000 });
    if (!ready) throw benchError(`pods are not ready: ${waitingFor.join(", ")}`);
    return lab;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await cli("lab", "down", "--name", NAME);
  }

  /** Path of a machine's or a pod's namespace, as this process sees it. */
  async netns(target: string): Promise<string> {
    const { netns } = await callLab(this.paths.control, "resolve", { target });
    return `/proc/${this.#initPid}/root${netns}`;
  }

  async podIp(name: string): Promise<string> {
    return (await this.kubectl("get", "pod", name, "-o", "jsonpath={.status.podIP}")).trim();
  }

  addFault(name: string, node: string, parameters: Record<string, string> = {}): Promise<ActiveFault> {
    return callLab(this.paths.control, "addFault", { name, node, parameters });
  }

  async clearFaults(): Promise<void> {
    await callLab(this.paths.control, "clearFaults", {});
  }

  async kubectl(...args: readonly string[]): Promise<string> {
    const { stdout } = await promisify(execFile)("kubectl", [...args], {
      env: { ...process.env, KUBECONFIG: this.paths.kubeconfig, HOME: this.paths.root },
    });
    return stdout;
  }

  /** FRR's shell on a router. */
  async vtysh(router: string, ...commands: readonly string[]): Promise<string> {
    const netns = await this.netns(`node/${router}`);
    const args = ["--vty_socket", `${this.paths.routers}/${router}`, ...commands.flatMap((line) => ["-c", line])];
    return (await inNamespaceAt(netns, () => promisify(execFile)("vtysh", args))).stdout;
  }

  /** What BIRD on a node answers, also where it refuses. */
  async bird(node: string, command: string): Promise<string> {
    const control = await BirdControl.open(birdPaths(nodePaths(this.paths, node).stateDir).socket);
    const { lines } = await control.command(command);
    control.close();
    return lines.map(({ text }) => text).join("\n");
  }

  /** A stream from the host behind the fabric. The port decides which of several ways it takes. */
  async stream(to: string, fromPort: number, rate = 1000): Promise<Stream> {
    const netns = await this.netns("node/outside");
    const options = { to, port: ECHO_PORT, "from-port": fromPort, rate };
    const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const path = tool("datagram-stream");
    return follow(inNamespaceAt(netns, () => spawn(path, args, { stdio: ["ignore", "pipe", "inherit"] })));
  }

  /** Resolves when nothing of a stream is lost. */
  async answers(to: string, fromPort: number): Promise<void> {
    for (let left = PATIENCE_S * 2; left > 0; left--) {
      const stream = await this.stream(to, fromPort);
      await pause(200);
      const { lost } = await stream.end();
      if (lost === 0) return;
    }
    throw benchError(`nobody answers at ${to}`);
  }

  /** @throws BreakwaterError BW_BENCH_BGP naming what did not come */
  async until(what: string, check: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + PATIENCE_S * 1000;
    while (!(await check())) {
      if (performance.now() > deadline) throw benchError(`${what}: not within ${PATIENCE_S} s`);
      await pause(POLL_MS);
    }
  }
}

function follow(child: ChildProcess & { readonly stdout: NodeJS.ReadableStream }): Stream {
  let outcome: StreamOutcome | undefined;
  let server: number | undefined;
  const back = Promise.withResolvers<boolean>();
  const exited = new Promise<void>((resolve) => child.once("close", () => resolve()));
  createInterface({ input: child.stdout }).on("line", (line) => {
    const answers = /^server (\d+)$/.exec(line);
    if (line === "back") back.resolve(true);
    else if (answers !== null) server = Number(answers[1]);
    else outcome = JSON.parse(line) as StreamOutcome;
  });
  return {
    server: () => {
      if (server === undefined) throw benchError("nobody answers the stream");
      return server;
    },
    back: (patienceMs) => Promise.race([back.promise, pause(patienceMs, false)]),
    end: async () => {
      child.kill("SIGTERM");
      await exited;
      if (outcome === undefined) throw benchError("the stream ended without figures");
      return outcome;
    },
  };
}

async function cli(...args: readonly string[]): Promise<void> {
  await promisify(execFile)(process.execPath, [program, ...args]);
}

export function benchError(message: string): BreakwaterError {
  return new BreakwaterError("BW_BENCH_BGP", `BGP cannot be measured: ${message}`, {
    operation: "measure BGP",
    remedy: "Are bird2 and frr installed? Try the same with 'breakwater lab up --routing bgp --subnets 2'",
  });
}

/** Echoes on node1 and node3, behind FRR, and on node2 behind the other rack's router; a Service before the first two. */
function objects() {
  const echo = (number: number) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `echo${number}`, namespace: "default", labels: { app: `rack${number % 2}` } },
    spec: {
      nodeName: `node${number}`,
      containers: [
        {
          name: "main",
          image: "echo",
          command: [tool("datagram-stream"), "--echo", String(number), "--port", String(ECHO_PORT)],
          ports: [{ containerPort: ECHO_PORT, protocol: "UDP" }],
        },
      ],
    },
  });
  const pool = {
    apiVersion: "breakwater.dev/v1alpha1",
    kind: "LoadBalancerPool",
    metadata: { name: "bench" },
    spec: { addresses: [`${SERVICE_IP}/32`] },
  };
  const service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "echo", namespace: "default" },
    spec: {
      type: "LoadBalancer",
      externalTrafficPolicy: "Local",
      selector: { app: "rack1" },
      ports: [{ port: ECHO_PORT, protocol: "UDP" }],
    },
  };
  return [echo(1), echo(2), echo(3), pool, service];
}
