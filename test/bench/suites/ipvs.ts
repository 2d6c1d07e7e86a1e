/**
 * Services through IPVS beside the maps of nftables, in one emulated machine: this machine's kernel has no IPVS. The
 * processor is emulated, so that only ratios mean something.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BreakwaterError } from "../../../src/model/errors.ts";
import { bundle } from "../../vm/bundle.ts";
import type { Bench, Suite } from "../bench.ts";
import { median } from "../statistics.ts";
import type { StageLine } from "./ipvs-stage.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const kernel = join(root, "build", "vm", "kernel");
const script = (name: string) => join(root, "test", "vm", name);
const SIZES = { services: [100, 10_000], changes: 60 } as const;
const QUICK = { services: [100, 1000], changes: 20 } as const;
const REFERENCE = "nftables backend";

/** Brings the machine's kernel, where the network can be reached. @throws BreakwaterError BW_BENCH_PEER */
export function prepareMachine(): void {
  if (process.arch !== "x64" || existsSync(join(kernel, "ready"))) return;
  const { status } = spawnSync(script("prepare-kernel.sh"), [kernel], { stdio: ["ignore", 2, 2] });
  if (status !== 0) throw noMachine("the kernel of the emulated machine cannot be brought");
}

export const ipvs: Suite = {
  name: "ipvs",
  run: async (bench) => {
    if (process.arch !== "x64") throw noMachine(`the emulated machine is an x86-64 one, and this is ${process.arch}`);
    const { services, changes } = bench.options.quick ? QUICK : SIZES;
    for (const count of services) measure(bench, count, changes);
  },
};

function measure(bench: Bench, count: number, changes: number): void {
  bench.say(`${count} Services of 10 endpoints in an emulated machine; minutes`);
  const lines = runStage(count, changes);
  const of = (what: StageLine["what"], backend: StageLine["backend"]) =>
    median(lines.filter((line) => line.what === what && line.backend === backend).map(({ ms }) => ms));
  const row = (name: string, unit: "s" | "ms", what: StageLine["what"]) => {
    const scale = unit === "s" ? 1000 : 1;
    const reference = of(what, "nftables") / scale;
    bench.row(name, unit, of(what, "ipvs") / scale, { reference, referenceName: REFERENCE });
  };
  const services = `${count} Services x 10 endpoints`;
  row(`${services}: an agent's start from nothing`, "s", "load");
  row(`${services}: one endpoint replaced`, "ms", "change");
  row(`${services}: an agent's start where all of it is there`, "s", "start");
}

function runStage(count: number, changes: number): StageLine[] {
  const stage = bundle("test/bench/suites/ipvs-stage.ts");
  const node = [process.execPath, "--disable-warning=ExperimentalWarning", stage, String(count), String(changes)];
  const { status, stdout } = spawnSync(script("run-in-vm.sh"), [kernel, ...node], {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, VM_MEMORY: "2048", VM_TIMEOUT: "1200" },
    stdio: ["ignore", "pipe", 2],
  });
  const isLine = (line: string) => line.startsWith("{");
  if (status === 0)
    return stdout
      .split("\n")
      .filter(isLine)
      .map((line): StageLine => JSON.parse(line));
  throw noMachine(`the emulated machine ended with ${status}: ${stdout.slice(-2000)}`);
}

function noMachine(why: string): BreakwaterError {
  return new BreakwaterError("BW_BENCH_PEER", `IPVS cannot be measured: ${why}`, {
    operation: "measure",
    object: "IPVS",
    remedy: "Run 'npm run test:vm test/vm/ipvs.test.ts': it installs what the machine needs, and says what it lacks",
  });
}
