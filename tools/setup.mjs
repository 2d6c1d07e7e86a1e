/**
 * Makes a checkout ready to run: npm packages (Node 24 among them), Debian packages, the CNI plugin, the bundle. Each
 * step looks first and does nothing when its work is done. Runs on whatever Node the machine has, from 18 on, and prints
 * to standard error alone.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const modules = join(root, "node_modules");
const build = join(root, "build");

/** Node 24 from the npm registry, whatever the machine's own is. */
export function nodeBinary() {
  return join(modules, `node-linux-${process.arch}`, "bin", "node");
}

export function say(text) {
  process.stderr.write(`breakwater: ${text}\n`);
}

function fail(what, remedy) {
  say(`${what}\n  -> ${remedy}`);
  process.exit(2);
}

/** Debian packages: the program that shows it is there, the package that brings it, and what needs it. */
const DEBIAN = {
  run: [
    ["openssl", "openssl", "the lab's certificate"],
    ["nsenter", "util-linux", "lab exec"],
    ["cc", "gcc", "compiling the CNI plugin"],
    ["/usr/include/stdio.h", "libc6-dev", "compiling the CNI plugin"],
    ["kubectl", "kubernetes-client", "talking to the lab's API"],
    // The server's own program without its service: Debian's redis-server is a link to it.
    ["redis-check-rdb", "redis-tools", "the lab's demonstration"],
  ],
  test: [
    ["ip", "iproute2", "tests that look at the kernel with another's eyes"],
    ["nft", "nftables", "tests that print our tables"],
    ["iptables", "iptables", "the portmap plugin behind ours"],
    ["ipset", "ipset", "tests that look at the kernel with another's eyes"],
    ["conntrack", "conntrack", "tests that look at the kernel with another's eyes"],
    ["/usr/lib/cni/portmap", "containernetworking-plugins", "chained plugins; the peers of the benchmarks"],
    ["ping", "iputils-ping", "tests of reachability"],
    ["bird", "bird2", "tests of routing by BGP"],
    ["/usr/lib/frr/bgpd", "frr", "routers of the lab's fabric"],
    ["gobgpd", "gobgpd", "routers of the lab's fabric"],
    ["etcd", "etcd-server", "tests of the way from a disk to the kernel"],
    ["ethtool", "ethtool", "benchmarks of the data path"],
  ],
  vm: [
    ["qemu-system-x86_64", "qemu-system-x86", "a machine with another kernel"],
    ["busybox", "busybox-static", "the first root of that machine"],
    ["depmod", "kmod", "modules of that machine"],
    ["cpio", "cpio", "the first root of that machine"],
    ["xz", "xz-utils", "unpacking its kernel"],
    ["ipvsadm", "ipvsadm", "tests that look at IPVS with another's eyes"],
  ],
};

function isInstalled(program) {
  if (program.startsWith("/")) return existsSync(program);
  const folders = [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/sbin"];
  return folders.some((folder) => existsSync(join(folder, program)));
}

function installNpmPackages() {
  const lock = readFileSync(join(root, "package-lock.json"));
  const wanted = createHash("sha256").update(lock).digest("hex");
  const stamp = join(modules, ".breakwater-lock");
  if (existsSync(nodeBinary()) && existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  say("installing npm packages");
  // Not "npm ci": it refuses a lock file without the optional packages of other platforms, which a registry mirror may
  // not have. Versions come from the lock all the same.
  const result = spawnSync("npm", ["install", "--no-save", "--ignore-scripts", "--loglevel=error"], {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  if (result.status !== 0)
    fail("Cannot install the npm packages", "Read npm's message above; is the registry reachable?");
  if (!existsSync(nodeBinary())) fail(`There is no Node 24 for linux ${process.arch}`, "Use an x64 or arm64 machine");
  writeFileSync(stamp, wanted);
}

function installDebianPackages(kinds) {
  const missing = kinds.flatMap((kind) => DEBIAN[kind]).filter(([program]) => !isInstalled(program));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map(([, name]) => name))];
  const list = missing.map(([, name, why]) => `${name} (${why})`).join(", ");
  if (process.getuid() !== 0) fail(`Missing: ${list}`, `Run: sudo apt-get install ${packages.join(" ")}`);
  say(`installing Debian packages: ${packages.join(" ")}`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const options = { env, stdio: ["ignore", 2, 2] };
  const install = ["install", "-y", "-q", "--no-install-recommends", ...packages];
  if (spawnSync("apt-get", install, options).status !== 0) {
    spawnSync("apt-get", ["update", "-q"], options);
    if (spawnSync("apt-get", install, options).status !== 0) {
      fail(`Cannot install ${packages.join(" ")}`, "Read apt's message above, or install them by hand");
    }
  }
  for (const name of packages) if (SERVICES[name] !== undefined) stopService(SERVICES[name]);
}

/** Debian starts these on the machine itself, with an example for their configuration; tests want the programs alone. */
const SERVICES = { bird2: "bird.service", frr: "frr.service", gobgpd: "gobgpd.service" };

function stopService(name) {
  if (!existsSync("/run/systemd/system")) return;
  spawnSync("systemctl", ["disable", "--now", name], { stdio: ["ignore", 2, 2] });
}

function newestChange(folder, pattern) {
  let newest = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) newest = Math.max(newest, newestChange(path, pattern));
    else if (pattern.test(entry.name)) newest = Math.max(newest, statSync(path).mtimeMs);
  }
  return newest;
}

function isFresh(output, changed) {
  return existsSync(output) && statSync(output).mtimeMs > changed;
}

function buildPlugin() {
  const source = join(root, "src", "cni", "plugin");
  const output = join(build, "breakwater-cni");
  if (isFresh(output, newestChange(source, /\.(c|h|sh)$/))) return;
  say("compiling the CNI plugin");
  mkdirSync(build, { recursive: true });
  const result = spawnSync("sh", [join(source, "build.sh"), output], { stdio: ["ignore", 2, 2] });
  if (result.status !== 0) fail("Cannot compile the CNI plugin", "Read the compiler's message above");
}

/** The program as it ships: a launcher and its parts (bundle.mjs), beside them the lock's native addon in node_modules. */
function buildBundle() {
  const output = join(build, "breakwater.mjs");
  const changed = Math.max(
    newestChange(join(root, "src"), /^(?!.*\.test\.ts$).*\.ts$/),
    statSync(join(root, "package-lock.json")).mtimeMs,
    statSync(join(root, "tools", "bundle.mjs")).mtimeMs,
  );
  if (isFresh(output, changed)) return;
  say("building the program");
  execFileSync(nodeBinary(), [join(root, "tools", "bundle.mjs"), output], { cwd: root, stdio: ["ignore", 2, 2] });
}

/** redis-check-rdb is redis-server under another name; Debian's link to it comes with a service that nobody wants here. */
function linkRedis() {
  const link = join(build, "redis-server");
  if (existsSync(link)) return;
  rmSync(link, { force: true });
  symlinkSync("/usr/bin/redis-check-rdb", link);
}

/** @param kinds which Debian packages: "run", "test", "vm" */
export function setUp(kinds = ["run"]) {
  if (process.platform !== "linux") fail("Breakwater runs on Linux", "Use a Linux machine, or a VM of one");
  installDebianPackages(kinds);
  installNpmPackages();
  buildPlugin();
  linkRedis();
  buildBundle();
}
