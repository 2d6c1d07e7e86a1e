/**
 * A cluster in which nothing is wrong, under load for ten minutes: whatever its agents say of a path's MTU meanwhile is a
 * false alarm. Three nodes, two subnets, both families; streams between pods all the time, a batch of dials every second.
 *
 *   node_modules/.bin/node test/soak/healthy.ts [--minutes 10]
 *
 * Exit code 1 when a verdict left "passes", an Event told of a narrow path, an agent logged a change of an MTU, a dial
 * failed, or a stream stood still. docs/reference/benchmarks.md says how to read what it prints.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { callLab, type ProbeRequest } from "../../src/lab/control-protocol.ts";
import type { DialResult } from "../../src/lab/dial.ts";
import type { MtuReport } from "../../src/model/mtu-report.ts";
import { eventually, LabHome, podManifest } from "../e2e/lab-fixture.ts";

const NAME = "soak";
const NODES = [1, 2, 3] as const;
const FAMILIES = [4, 6] as const;
/** A stream as fast as this machine can would starve the agents of a lab on two cores, and say nothing of networks. */
const STREAM_MEGABYTES_A_SECOND = 50;
const COUNT_PORT = 9001;
const READY_MS = 60_000;

const podAddress = (i: number, family: 4 | 6) => (family === 4 ? `10.244.${i}.11` : `fd00:10:244:${i}::11`);

/** Takes in streams and tells who asks how many bytes came, and how often its own streams broke; sends to the addresses given. */
const STREAMER = `
const net = require("node:net");
let [bytes, breaks] = [0, 0];
net.createServer((socket) => {
  socket.on("data", (data) => (bytes += data.length));
  socket.on("error", () => socket.destroy());
}).listen(9000, "::");
net.createServer((socket) => {
  socket.on("error", () => socket.destroy());
  socket.end(bytes + " " + breaks + "\\n");
}).listen(${COUNT_PORT}, "::");
const chunk = Buffer.alloc(1 << 20, 7);
function send(host) {
  const socket = net.connect({ host, port: 9000 });
  let opened = false;
  const next = () => socket.write(chunk, () => setTimeout(next, ${1000 / STREAM_MEGABYTES_A_SECOND}));
  socket.on("connect", () => ((opened = true), next()));
  socket.on("error", () => undefined);
  socket.on("close", () => ((breaks += opened ? 1 : 0), setTimeout(send, 200, host)));
}
process.argv.slice(1).forEach(send);`;

const { values } = parseArgs({ options: { minutes: { type: "string", default: "10" } } });
const minutes = Number(values.minutes);
const home = new LabHome();
const labFolder = join(home.folder, "labs", NAME);
const findings: string[] = [];

/** Pods in a ring, each sends to the next one in both families: two of the three ways are VXLAN, one is direct. */
async function startLab(): Promise<void> {
  const items = NODES.map((i) => {
    const to = FAMILIES.map((family) => podAddress((i % NODES.length) + 1, family));
    const container = { name: "c", image: "x", command: [process.execPath, "-e", STREAMER, ...to] };
    const annotations = { "breakwater.dev/ip": FAMILIES.map((family) => podAddress(i, family)).join(",") };
    return podManifest(`pod${i}`, { nodeName: `node${i}`, containers: [container] }, { annotations });
  });
  const file = home.write("pods.json", JSON.stringify({ apiVersion: "v1", kind: "List", items }));
  const options = ["--nodes", String(NODES.length), "--subnets", "2", "--dual-stack", "--manifests", file];
  const up = await home.lab(NAME, "up", ...options);
  assert.equal(up.code, 0, up.stderr);
}

async function report(node: number): Promise<MtuReport> {
  const command = ["bin/breakwater", "mtu", "--seconds", "0", "--output", "json"];
  const { stdout, stderr } = await home.lab(NAME, "exec", `node/node${node}`, "--", ...command);
  assert.notEqual(stdout, "", stderr);
  return JSON.parse(stdout) as MtuReport;
}

async function allPass(): Promise<void> {
  for (const node of NODES) {
    const { paths } = await report(node);
    assert.equal(paths.length, NODES.length - 1);
    for (const { from, to, verdict } of paths) assert.equal(verdict, "passes", `${from} to ${to}`);
  }
}

/** What the agents' logs held when the soak began. */
function agentLogs(): Map<string, number> {
  const folder = join(labFolder, "log");
  const files = readdirSync(folder).filter((name) => /^node\d+.*agent|agent.*node\d+/.test(name));
  assert.equal(files.length, NODES.length, `one agent's log a node in ${folder}: ${files.join(", ")}`);
  return new Map(files.map((name) => [join(folder, name), statSync(join(folder, name)).size]));
}

/** Dials between all pods in both families; the answers carry the streams' counters. */
class Dialler {
  readonly #probes: readonly ProbeRequest[] = NODES.flatMap((from) =>
    NODES.filter((to) => to !== from).flatMap((to) =>
      FAMILIES.map((family) => ({
        from: `default/pod${from}`,
        to: podAddress(to, family),
        port: COUNT_PORT,
        timeoutMs: 2000,
      })),
    ),
  );
  readonly #bytes = new Map<string, number>();
  breaks = 0;
  dials = 0;

  async dial(): Promise<void> {
    const control = join(labFolder, "control.sock");
    const results = await callLab(control, "probe", { probes: this.#probes, batch: true });
    const latest = new Map<string, number>();
    this.breaks = 0;
    for (const [i, result] of results.entries()) this.#read(this.#probes[i] as ProbeRequest, result, latest);
    for (const [pod, bytes] of latest) {
      const before = this.#bytes.get(pod);
      if (before !== undefined && bytes <= before) findings.push(`${at()}: the streams to ${pod} stand still`);
      this.#bytes.set(pod, bytes);
    }
  }

  #read({ from, to }: ProbeRequest, { allowed, answer, error }: DialResult, latest: Map<string, number>): void {
    this.dials++;
    if (!allowed || answer === null) {
      findings.push(`${at()}: ${from} does not reach ${to}: ${error ?? "no answer"}`);
      return;
    }
    const [bytes = 0, breaks = 0] = answer.split(" ").map(Number);
    const pod = `pod${/10[.:]244[.:](\d)/.exec(to)?.[1]}`;
    latest.set(pod, Math.max(latest.get(pod) ?? 0, bytes));
    this.breaks = Math.max(this.breaks, breaks);
  }

  get gigabytes(): number {
    return [...this.#bytes.values()].reduce((sum, bytes) => sum + bytes, 0) / 1e9;
  }
}

const at = () => new Date().toISOString();

/** Everything that agents log about an MTU in a cluster that does not change is a finding. */
function readLogs(began: ReadonlyMap<string, number>): number {
  let lines = 0;
  for (const [file, size] of began) {
    const news = readFileSync(file).subarray(size).toString("utf8").split("\n").filter(Boolean);
    lines += news.length;
    for (const line of news) if (/mtu|verdict|path to/i.test(line)) findings.push(`${file}: ${line}`);
  }
  return lines;
}

async function readEvents(): Promise<number> {
  const { stdout, stderr } = await home.kubectl(NAME, ["get", "events", "--all-namespaces", "-o", "json"]);
  assert.notEqual(stdout, "", stderr);
  const { items } = JSON.parse(stdout) as { items: { reason: string; message: string }[] };
  for (const { reason, message } of items) {
    if (reason.startsWith("PathMtu")) findings.push(`Event ${reason}: ${message}`);
  }
  return items.length;
}

/** A verdict that came and went leaves its time behind. */
async function readVerdicts(beganMs: number): Promise<number> {
  let targets = 0;
  for (const node of NODES) {
    for (const path of (await report(node)).paths) {
      for (const { layer, family, verdict, since } of path.targets) {
        targets++;
        const what = `${path.from} to ${path.to}, IPv${family} ${layer}`;
        if (verdict !== "passes") findings.push(`${what}: ${verdict}`);
        else if (Date.parse(since) > beganMs) findings.push(`${what}: passes only since ${since}`);
      }
    }
  }
  return targets;
}

async function soak(): Promise<void> {
  await startLab();
  await eventually(READY_MS, allPass);
  const dialler = new Dialler();
  await eventually(READY_MS, async () => {
    const before = findings.length;
    await dialler.dial();
    assert.equal(findings.splice(before).length, 0, "pods listen");
  });
  const [logs, began] = [agentLogs(), Date.now()];
  process.stdout.write(`${at()}: all paths pass; ${minutes} minutes begin\n`);
  for (let second = 1; second <= minutes * 60; second++) {
    await pause(Math.max(0, began + second * 1000 - Date.now()));
    await dialler.dial();
  }
  const [lines, events, targets] = [readLogs(logs), await readEvents(), await readVerdicts(began)];
  const { dials, breaks, gigabytes } = dialler;
  if (breaks > 0) findings.push(`a pod's streams broke ${breaks} times`);
  process.stdout.write(
    `${at()}: ${targets} targets, ${dials} dials, ${gigabytes.toFixed(0)} GB in streams; ` +
      `agents logged ${lines} lines, the cluster has ${events} Events; ${findings.length} findings\n`,
  );
}

try {
  await soak();
} catch (error) {
  findings.push(`the soak itself failed: ${error instanceof Error ? error.stack : error}`);
} finally {
  await home.close();
}
for (const finding of findings.slice(0, 100)) process.stdout.write(`FINDING ${finding}\n`);
process.exitCode = findings.length === 0 ? 0 : 1;
