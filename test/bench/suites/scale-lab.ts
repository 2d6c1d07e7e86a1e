/** How long a lab takes, by the command line as a person types it, and 500 pods in one. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { callLab } from "../../../src/lab/control-protocol.ts";
import { labPaths } from "../../../src/lab/paths.ts";
import type { Bench } from "../bench.ts";
import { median } from "../statistics.ts";
import { program } from "../tools.ts";

const PODS = 500;
const PORT = 8080;
const PATIENCE_MS = 120_000;

export async function measureLabs(bench: Bench): Promise<void> {
  // The lab's own modules look here too.
  process.env["BREAKWATER_LAB_DIR"] = join(bench.folder, "labs");
  const rounds = bench.options.quick ? 1 : 3;
  for (const [nodes, goalSeconds] of [
    [3, 5],
    [20, 20],
  ] as const) {
    const times: number[] = [];
    for (let round = 0; round < (nodes === 3 ? rounds : 1); round++) {
      bench.say(`lab of ${nodes} nodes`);
      times.push(await withLab(nodes, (seconds) => Promise.resolve(seconds)));
    }
    bench.row(`lab of ${nodes} nodes, up and ready`, "s", median(times), {
      reference: goalSeconds,
      referenceName: "limit",
      goal: 1,
    });
  }
  bench.say(`${PODS} pods on a lab of 3 nodes`);
  await withLab(3, () => measurePods(bench));
}

/** Brings a lab up, hands over how long that took, takes it down. */
async function withLab<T>(nodes: number, body: (seconds: number) => Promise<T>): Promise<T> {
  const name = `bench-${nodes}`;
  const started = performance.now();
  try {
    await lab("up", "--name", name, "--nodes", String(nodes), "--timeout", String(PATIENCE_MS / 1000));
    return await body((performance.now() - started) / 1000);
  } finally {
    await lab("down", "--name", name);
  }
}

async function lab(...args: readonly string[]): Promise<void> {
  await promisify(execFile)(process.execPath, [program, "lab", ...args]);
}

async function measurePods(bench: Bench): Promise<void> {
  const { control } = labPaths("bench-3");
  const names = Array.from({ length: PODS }, (_, i) => `pod${i + 1}`);
  const started = performance.now();
  await callLab(control, "apply", { objects: names.map(podObject) });
  const { waitingFor } = await callLab(control, "waitReady", { timeoutMs: PATIENCE_MS });
  bench.row(`${PODS} pods ready on a lab of 3 nodes`, "s", (performance.now() - started) / 1000);
  const failures = { reference: PODS, referenceName: "pods", goal: 0 };
  bench.row(`of ${PODS} pods: not ready`, "pods", waitingFor.length, failures);
  const probes = names.slice(1).map((name) => ({ from: "default/pod1", to: `default/${name}`, port: PORT }));
  const answers = await callLab(control, "probe", { probes });
  const silent = answers.filter(({ allowed }) => !allowed).length;
  bench.row(`of ${PODS} pods: not reached from the first`, "pods", silent, failures);
  if (waitingFor.length > 0) bench.problem(`${waitingFor.length} of ${PODS} pods are not ready: ${waitingFor[0]}`);
  if (silent > 0) bench.problem(`${silent} of ${PODS} pods cannot be reached from the first`);
}

function podObject(name: string) {
  const container = { name: "responder", image: "responder", ports: [{ containerPort: PORT }] };
  return { apiVersion: "v1", kind: "Pod", metadata: { name, namespace: "default" }, spec: { containers: [container] } };
}
