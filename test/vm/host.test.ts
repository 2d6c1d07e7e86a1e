/** Modules and the node's own sysctls on Debian's stock kernel, where nothing is loaded yet: run by `npm run test:vm`. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { openHost } from "../../src/agent/host/open-host.ts";
import type { Log } from "../../src/agent/log.ts";
import { tune } from "../../src/cli/tune.ts";
import { readHostTexts } from "../../src/kernel/host-texts.ts";
import { modprobe } from "../../src/kernel/modules/modprobe.ts";
import { isBreakwaterError } from "../../src/model/errors.ts";
import { DEFAULT_SERVICE_CONFIG, type NodeConfig } from "../../src/model/node-config.ts";
import { KNOWN_SYSCTLS } from "../../src/plan/host/known-sysctls.ts";
import { moduleFacts } from "../../src/plan/host/module-facts.ts";
import { moduleName } from "../../src/plan/host/module-files.ts";
import { MODULE_NEEDS } from "../../src/plan/host/module-table.ts";
import { planModule } from "../../src/plan/host/modules.ts";
import { run, twoNodes } from "./two-nodes.ts";

const LOCAL = "/etc/modprobe.d/breakwater-test.conf";
const facts = () => moduleFacts(readHostTexts().modules);

/** The machine's files are memory: they are gone with it. */
function modprobeSays(t: TestContext, text: string): void {
  fs.mkdirSync("/etc/modprobe.d", { recursive: true });
  fs.writeFileSync(LOCAL, text);
  t.after(() => fs.rmSync(LOCAL));
}

/** What modprobe itself would load. */
function showDepends(module: string): string[] {
  const text = execFileSync("modprobe", ["--show-depends", "--use-blacklist", module], { encoding: "utf8" });
  const files = text.split("\n").flatMap((line) => /^insmod (\S+)/.exec(line)?.[1] ?? []);
  return files.map(moduleName);
}

test("planModule() plans what modprobe does, for every module that is used", (t) => {
  modprobeSays(t, "softdep vxlan pre: dummy post: veth\n");
  let compared = 0;
  for (const need of MODULE_NEEDS) {
    const { state, load } = planModule(need, facts());
    if (state !== "loadable") continue;
    compared++;
    const there = facts().loaded ?? new Set();
    assert.deepEqual(
      load,
      showDepends(need.module).filter((name) => !there.has(name)),
      need.module,
    );
  }
  assert.ok(compared > 15, `${compared} modules to load`);
});

test("an agent loads what it needs into a kernel that has nothing of it", async () => {
  const stateDir = fs.mkdtempSync(join(tmpdir(), "breakwater-host-"));
  const quiet = () => undefined;
  const log: Log = { debug: quiet, info: quiet, warn: quiet, error: quiet };
  const services = { ...DEFAULT_SERVICE_CONFIG, ipvs: { scheduler: "wrr", drainSeconds: 1 } } as const;
  const config: NodeConfig = {
    nodeName: "node1",
    routing: "auto",
    vni: 1,
    vxlanPort: 4789,
    masquerade: true,
    masqueradeExceptions: [],
    networkPolicy: true,
    logDenied: 5,
    flowtable: true,
    services,
  };
  for (const name of ["vxlan", "nf_tables", "ip_vs"]) assert.equal(facts().loaded?.has(name), false, name);
  assert.equal(fs.existsSync("/proc/sys/net/netfilter/nf_conntrack_max"), false);
  const { prepared } = await openHost(config, stateDir, undefined, log);
  assert.deepEqual(prepared.failures, []);
  const names = [
    "vxlan",
    "nf_tables",
    "nft_fib_ipv6",
    "nf_conntrack_netlink",
    "ip_vs",
    "ip_vs_wrr",
    "nft_flow_offload",
  ];
  for (const name of names) assert.equal(facts().loaded?.has(name), true, name);
  assert.equal(facts().loaded?.has("ip_vs_mh"), false, "a scheduler that nobody chose");
  assert.ok(fs.existsSync("/proc/sys/net/netfilter/nf_conntrack_max"));
  const again = await openHost(config, stateDir, undefined, log);
  assert.deepEqual(again.prepared, { loaded: [], failures: [] });
});

test("a blacklisted module, one with an install line, and one that does not exist", async (t) => {
  modprobeSays(t, "blacklist wireguard\ninstall br_netfilter /bin/true\n");
  assert.match(planModule({ module: "wireguard" }, facts()).detail, new RegExp(`${LOCAL}:1 blacklists it`));
  assert.equal(planModule({ module: "br_netfilter" }, facts()).state, "diverted");
  // modprobe is content, and loads neither.
  await modprobe()("br_netfilter");
  for (const name of ["wireguard", "br_netfilter"]) assert.equal(facts().loaded?.has(name), false, name);
  await assert.rejects(
    modprobe()("no_such_module"),
    (error) => isBreakwaterError(error, "BW_MODULE") && /no_such_module not found/.test(error.message),
  );
  const old = planModule({ module: "nf_conntrack_ipv4" }, facts());
  assert.match(old.detail, /gone since Linux 4\.19/);
  await assert.rejects(modprobe()("nf_conntrack_ipv4"), /nf_conntrack_ipv4 not found/);
});

test("the loop sets required sysctls again, on a kernel whose reverse path filter is strict", async (t) => {
  // New namespaces begin with what the first one has: a machine that was hardened by the book.
  fs.writeFileSync("/proc/sys/net/ipv4/conf/all/rp_filter", "1");
  t.after(() => fs.writeFileSync("/proc/sys/net/ipv4/conf/all/rp_filter", "0"));
  const [node] = await twoNodes(t, { routing: "vxlan" });
  assert.ok(node);
  const tunnel = "net/ipv4/conf/bwvxlan/rp_filter";
  const read = (name: string) => node.kernel.sysctl.read(name);
  assert.deepEqual([read("net/ipv4/conf/all/rp_filter"), read(tunnel)], ["1", "2"]);
  const damages: [name: string, bad: string, good: string][] = [
    [tunnel, "1", "2"],
    ["net/ipv4/ip_forward", "0", "1"],
    ["net/ipv4/conf/eth0/forwarding", "0", "1"],
    ["net/ipv4/conf/default/forwarding", "0", "1"],
  ];
  for (const [name, bad, good] of damages) {
    run(node.ns, `echo ${bad} > /proc/sys/${name}`);
    const until = performance.now() + 20_000;
    while (read(name) !== good) {
      assert.ok(performance.now() < until, `${name} is ${read(name)}: ${node.said.join("\n")}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  // By way of the kernel's events, not by the loop's own listing every minute.
  assert.ok(node.said.some((line) => /set sysctl net\/ipv4\/conf\/bwvxlan\/rp_filter to 2 \(was 1\)/.test(line)));
});

/** What a document gives as a default: numbers, alternatives behind ";" or ",", a range "A to B", or a word. */
function isDocumented(kernelDefault: string, found: string): boolean {
  const range = /(\d+) to (\d+)/.exec(kernelDefault)?.slice(1).map(Number);
  if (range !== undefined) return Number(found) >= (range[0] ?? 0) && Number(found) <= (range[1] ?? 0);
  if (found === "") return kernelDefault === "none";
  return new RegExp(`(^|[:;,] )${found.replaceAll(/\s+/g, " ")}($|[ ;,])`).test(kernelDefault);
}

test("the defaults of the reference are those of a stock kernel that nobody has tuned", () => {
  execFileSync("modprobe", ["nf_conntrack"]);
  const wrong: string[] = [];
  let compared = 0;
  for (const { name, kernelDefault } of KNOWN_SYSCTLS.values()) {
    // Debian builds another one in, as any distribution may.
    if (/as the kernel was built/.test(kernelDefault)) continue;
    const found = fs.readFileSync(`/proc/sys/${name}`, "utf8").trim();
    compared++;
    if (!isDocumented(kernelDefault, found)) wrong.push(`${name} is ${found}, not ${kernelDefault}`);
  }
  assert.deepEqual(wrong, []);
  assert.ok(compared > 25, `${compared} sysctls`);
});

const VOLATILE =
  /random\/|-nr$|-state$|ns_last_pid|_count$|\/tcp_fastopen_key|stable_secret|quota\/|cad_pid|dentry|inode/;

function everySysctl(folder = "/proc/sys"): Map<string, string> {
  const values = new Map<string, string>();
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (VOLATILE.test(path)) continue;
    try {
      if (entry.isDirectory()) for (const [name, value] of everySysctl(path)) values.set(name, value);
      else values.set(path, fs.readFileSync(path, "utf8"));
    } catch {
      // Write-only ones.
    }
  }
  return values;
}

test("tune: profiles one behind the other on a whole machine, and undo leaves all of /proc/sys as it was", async () => {
  const stateDir = fs.mkdtempSync(join(tmpdir(), "breakwater-tune-"));
  const run = (...words: string[]) => tune([...words, "--state-dir", stateDir]);
  const before = everySysctl();
  const differs = () => [...everySysctl()].filter(([name, value]) => before.get(name) !== value).map(([name]) => name);
  assert.deepEqual(differs(), [], "what changes by itself is left out");
  assert.equal(await run("apply", "scale"), 0);
  const value = (name: string) => fs.readFileSync(`/proc/sys/${name}`, "utf8").trim();
  assert.equal(value("net/netfilter/nf_conntrack_max"), "1048576");
  assert.equal(value("fs/inotify/max_user_instances"), "8192");
  assert.ok(differs().length >= 10, differs().join());
  assert.equal(await run("apply", "throughput"), 0);
  assert.equal(value("net/core/rmem_max"), "67108864");
  assert.equal(value("fs/inotify/max_user_instances"), "128", "the profile before is taken back");
  assert.equal(await run("undo"), 0);
  assert.deepEqual(differs(), []);
});
