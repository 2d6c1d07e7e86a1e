/**
 * The import law: model <- plan <- diff <- agent, model <- kernel <- agent, model <- kube <- agent. A module may import
 * what stands in its row and nothing else, and plan, diff and model do no I/O.
 */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { test } from "node:test";

/** Folder of src/ -> folders it may import from, with the reason where it is not obvious. */
const LAW: Readonly<Record<string, readonly string[]>> = {
  model: [],
  plan: ["model"],
  diff: ["model", "plan"],
  kernel: ["model"],
  kube: ["model"],
  // The CNI server is told what a node can do by an interface of its own; it never sees the kernel.
  cni: ["model"],
  agent: ["model", "plan", "diff", "kernel", "kube", "cni"],
  // The lab runs the agent as a process; it uses the kernel to build machines and kube to be a kubelet.
  lab: ["model", "kernel", "kube"],
  // Measures and judges, whatever the network: no agent is needed for it.
  doctor: ["model", "kernel", "kube"],
  // Benchmarks for users measure the kernel on machines that are built as the lab's are.
  bench: ["model", "kernel", "lab"],
  cli: ["model", "plan", "diff", "kernel", "kube", "cni", "agent", "lab", "bench", "doctor"],
};

/** Pure folders may use these of Node alone: computing, no clock, no environment, no files. */
const PURE_BUILTINS = new Set(["node:crypto"]);
const PURE = new Set(["model", "plan", "diff"]);
/** What a pure module must not mention: the clock, randomness, the environment. */
const IMPURE =
  /\b(Date\.now|new Date\(\)|Math\.random|performance\.now|process\.(env|argv|pid|hrtime)|setTimeout|setInterval|randomUUID|randomBytes)\b/;

const sources = globSync("src/**/*.ts").filter((file) => !file.endsWith(".test.ts"));

function importsOf(file: string): string[] {
  const text = readFileSync(file, "utf8");
  return [...text.matchAll(/(?<=^|[\s;=(])(?:from|import)\s*\(?\s*"([^"\n]+)"/gm)].map((match) => match[1] ?? "");
}

function folderOf(file: string): string {
  return file.split("/")[1] ?? "";
}

test("every module imports only what the import law allows", () => {
  const broken: string[] = [];
  for (const file of sources) {
    const folder = folderOf(file);
    const allowed = LAW[folder];
    assert.ok(allowed, `${file}: src/${folder} is not in the import law; add it, with its reason`);
    for (const name of importsOf(file).filter((candidate) => candidate.startsWith("."))) {
      const target = normalize(join(dirname(file), name));
      assert.match(name, /\.ts$/, `${file} imports ${name} without .ts`);
      const targetFolder = folderOf(target);
      if (targetFolder !== folder && !allowed.includes(targetFolder)) {
        broken.push(`${file} imports ${target}: ${folder} may import ${allowed.join(", ") || "nothing"}`);
      }
    }
  }
  assert.deepEqual(broken, []);
});

test("model, plan and diff are pure", () => {
  const broken: string[] = [];
  for (const file of sources.filter((candidate) => PURE.has(folderOf(candidate)))) {
    for (const name of importsOf(file).filter((candidate) => !candidate.startsWith("."))) {
      if (!PURE_BUILTINS.has(name)) broken.push(`${file} imports ${name}`);
    }
    const impure = IMPURE.exec(readFileSync(file, "utf8"));
    if (impure !== null) broken.push(`${file} uses ${impure[0]}`);
  }
  assert.deepEqual(broken, []);
});

test("only src/kernel calls the C library", () => {
  const broken = sources.filter((file) => importsOf(file).includes("koffi") && file !== "src/kernel/libc.ts");
  assert.deepEqual(broken, []);
});

test("ip, nft, iptables and conntrack are never spawned by the product", () => {
  const spawned =
    /(?:spawn|exec|execFile|spawnSync|execFileSync|execSync)\(\s*["'`](?:\/\S*\/)?(?:ip|nft|iptables\S*|conntrack|bridge|tc|sysctl)["'`]/;
  assert.deepEqual(
    sources.filter((file) => spawned.test(readFileSync(file, "utf8"))),
    [],
  );
});
