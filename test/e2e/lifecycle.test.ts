/** Labs come and go: with kubectl, side by side, killed, misused, without root. What they leave behind is nothing. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { eventually, LabHome, podManifest, run } from "./lab-fixture.ts";

/** What a watch tells is there long before. */
const WATCHED_MS = 30_000;

const home = new LabHome();
after(() => home.close());

/** What of a lab can be seen from outside: namespaces, links, mounts, processes. */
async function footprint(): Promise<string[]> {
  const ip = await run("ip", ["netns", "list"]);
  const links = await run("ip", ["-o", "link", "show"]);
  const mounts = readFileSync("/proc/mounts", "utf8")
    .split("\n")
    .filter((line) => line.includes(home.folder));
  const processes = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => commandOf(pid).includes(home.folder) && !commandOf(pid).includes("--test"));
  const names = links.stdout.split("\n").map((line) => line.split(":")[1] ?? "");
  return [ip.stdout.trim(), ...names, ...mounts, ...processes.map((pid) => commandOf(pid))];
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return "";
  }
}

test("a lab is up in seconds, kubectl works against it, and down leaves everything as before", async () => {
  const before = await footprint();
  const up = await home.lab("one", "up");
  assert.equal(up.code, 0, up.stderr);
  assert.match(up.stdout, /Lab "one" is ready after \d/);
  const service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web" },
    spec: { selector: { app: "web" }, ports: [{ port: 80 }] },
  };
  const pod = podManifest("web", {}, { labels: { app: "web" } });
  const list = JSON.stringify({ apiVersion: "v1", kind: "List", items: [pod, service] });
  const applied = await home.kubectl("one", ["apply", "-f", "-"], list);
  assert.equal(applied.code, 0, applied.stderr);
  const waited = await home.kubectl("one", ["wait", "pod/web", "--for=condition=Ready", "--timeout=30s"]);
  assert.equal(waited.code, 0, waited.stderr);
  const wide = await home.kubectl("one", ["get", "pods", "-o", "wide"]);
  assert.match(wide.stdout, /NAME +READY +STATUS +RESTARTS +AGE +IP +NODE/);
  assert.match(wide.stdout, /web +1\/1 +Running +0 +\S+ +10\.244\.\d\.\d+ +node\d/);
  const slices = await home.kubectl("one", [
    "get",
    "endpointslices",
    "-o",
    "jsonpath={.items[*].endpoints[*].targetRef.name}",
  ]);
  assert.match(slices.stdout, /web/);
  const probe = await home.lab(
    "one",
    "probe",
    "--from",
    "node/node1",
    "--to",
    "default/web",
    "--port",
    "80",
    "-o",
    "json",
  );
  assert.equal(JSON.parse(probe.stdout).answer, "default/web");
  const deleted = await home.kubectl("one", ["delete", "pod", "web", "--timeout=30s"]);
  assert.equal(deleted.code, 0, deleted.stderr);
  assert.deepEqual(podLinks(await home.lab("one", "exec", "node/node1", "--", "ip", "-o", "link")), []);
  const down = await home.lab("one", "down");
  assert.equal(down.code, 0, down.stderr);
  assert.deepEqual(await footprint(), before);
  assert.equal(existsSync(join(home.folder, "labs", "one")), false);
});

function podLinks({ stdout }: { stdout: string }): string[] {
  return stdout.split("\n").filter((line) => line.includes("bwh"));
}

test("kubectl get pods -w sees a pod come and go", async (t) => {
  await home.lab("watched", "up", "--nodes", "1");
  const kubectl = (args: readonly string[], pod?: string) =>
    home.kubectl("watched", args, pod && JSON.stringify(podManifest(pod)));
  await kubectl(["apply", "-f", "-"], "first");
  const env = { ...process.env, KUBECONFIG: home.kubeconfig("watched"), HOME: home.folder };
  const watching = spawn("kubectl", ["get", "pods", "--watch"], { env, stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => watching.kill());
  let said = "";
  watching.stdout.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const says = (pattern: RegExp) => eventually(WATCHED_MS, async () => assert.match(said, pattern));
  await says(/^first /m);
  await kubectl(["apply", "-f", "-"], "seen");
  await kubectl(["wait", "pod/seen", "--for=condition=Ready", "--timeout=30s"]);
  await kubectl(["delete", "pod", "seen"]);
  await says(/^seen .*Pending[\s\S]*^seen .*Running[\s\S]*^seen .*Terminating/m);
  await home.lab("watched", "down");
});

test("several labs run side by side and do not see each other", async () => {
  const before = await footprint();
  const both = await Promise.all(["left", "right"].map((name) => home.lab(name, "up", "--nodes", "2")));
  for (const { code, stderr } of both) assert.equal(code, 0, stderr);
  await home.kubectl("left", ["apply", "-f", "-"], JSON.stringify(podManifest("only-left")));
  const right = await home.kubectl("right", ["get", "pods", "-A", "-o", "name"]);
  assert.doesNotMatch(right.stdout, /only-left/);
  const again = await home.lab("left", "up");
  assert.equal(again.code, 1);
  assert.match(again.stderr, /Lab "left" is up already .*\n.*lab down --name left/);
  await Promise.all(["left", "right"].map((name) => home.lab(name, "down")));
  assert.deepEqual(await footprint(), before);
});

for (const victim of ["daemon", "agent", "kubelet", "launcher"] as const) {
  test(`a lab whose ${victim} was killed with SIGKILL leaves nothing behind when it is taken down`, async () => {
    const before = await footprint();
    const name = `killed-${victim}`;
    await home.lab(name, "up", "--nodes", "2");
    const own = readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && commandOf(pid).includes(home.folder));
    const word = { daemon: "lab-daemon", agent: " agent --node-name", kubelet: "lab-kubelet", launcher: "unshare" }[
      victim
    ];
    const labs = readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && commandOf(pid).includes(name));
    const pid = [...own, ...labs].find(
      (candidate) => commandOf(candidate).includes(word) && !commandOf(candidate).startsWith("sh "),
    );
    assert.ok(pid, `${victim} is running`);
    process.kill(Number(pid), "SIGKILL");
    const down = await home.lab(name, "down");
    assert.equal(down.code, 0, down.stderr);
    await eventually(3000, async () => assert.deepEqual(await footprint(), before));
  });
}

test("a lab comes up where a dead one of the same name left its folder", async () => {
  await home.lab("stale", "up", "--nodes", "1");
  const { stdout } = await home.lab("stale", "kubeconfig");
  const { pid } = JSON.parse(readFileSync(stdout.trim().replace(/kubeconfig$/, "process.json"), "utf8"));
  process.kill(pid, "SIGKILL");
  const up = await home.lab("stale", "up", "--nodes", "1");
  assert.equal(up.code, 0, up.stderr);
  assert.equal((await home.lab("stale", "down")).code, 0);
});

test("mistakes get one clear error, a non-zero exit, and nothing half made", async () => {
  const unknownKind = home.write("kind.yaml", "apiVersion: v1\nkind: Gadget\nmetadata: {name: x}\n");
  const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "x" }, spec: { containers: [], colour: "red" } };
  const unknownField = home.write("field.json", JSON.stringify(pod));
  const broken = home.write("broken.yaml", "a: [1,\n");
  const badConfig = home.write("kubeconfig", "clusters: {");
  const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
    [["fly"], 1, /Unknown command "fly"/],
    [["lab", "fly"], 1, /Unknown lab command "fly"/],
    [["lab", "up", "--nodse", "3"], 1, /--nodse/],
    [["lab", "up", "--nodes", "0"], 1, /--nodes "0" is no whole number from 1 to 200/],
    [["lab", "up", "--nodes", "2", "--subnets", "3"], 1, /--subnets 3 is more than --nodes 2/],
    [["lab", "up", "--nodes", "2", "--nodes", "3"], 1, /--nodes is given twice/],
    [["lab", "up", "--routing", "magic"], 1, /"magic" is none of auto, direct, vxlan/],
    [["lab", "up", "--mtu", "1000"], 1, /--mtu "1000"/],
    [["lab", "up", "--name", "No Such"], 1, /cannot be a lab's name/],
    [["lab", "up", "--name", "bad", "--manifests", "/nowhere"], 2, /Cannot use the manifest \/nowhere/],
    [["lab", "up", "--name", "bad", "--manifests", unknownKind], 2, /kind\.yaml, document 1: .*Gadget/],
    [["lab", "up", "--name", "bad", "--manifests", unknownField], 2, /field\.json, document 1: .*colour/],
    [["lab", "up", "--name", "bad", "--manifests", broken], 2, /broken\.yaml, document 1/],
    [["lab", "status", "--name", "nolab"], 2, /There is no lab "nolab"/],
    [["lab", "kubeconfig", "--name", "nolab"], 2, /is not up/],
    [["lab", "exec", "--name", "nolab", "a/b"], 1, /no command behind --/],
    [["lab", "probe", "--from", "a/b", "--port", "80"], 1, /--to is missing/],
    [["lab", "probe", "--from", "a/b", "--to", "c/d", "--port", "http"], 1, /--port "http"/],
    [["lab", "probe", "--batch", broken], 1, /Cannot use the batch/],
    [["agent"], 1, /--node-name is missing/],
    [["agent", "--node-name", "n", "--routing", "bgp2"], 1, /"bgp2"/],
    [["agent", "--node-name", "n", "--no-masquerade", "--masquerade-except", "10.0.0.0/8"], 1, /contradict/],
    [["agent", "--node-name", "n", "--masquerade-except", "10.0.0.0/40"], 1, /10\.0\.0\.0\/40/],
    [["agent", "--node-name", "n", "--kubeconfig", badConfig], 2, /kubeconfig/],
    [["agent", "--node-name", "n", "--kubeconfig", "/nowhere/config"], 2, /\/nowhere\/config/],
    [["plan"], 1, /--node-name is missing/],
  ];
  for (const [args, code, message] of cases) {
    const outcome = await home.program(...args);
    assert.equal(outcome.code, code, `${args.join(" ")}: ${outcome.stderr}`);
    assert.match(outcome.stderr, message, args.join(" "));
    assert.doesNotMatch(outcome.stderr, /^ {4}at /m, `${args.join(" ")} prints a stack trace`);
  }
  assert.equal(existsSync(join(home.folder, "labs", "bad")), false, "nothing is left of labs that could not be made");
});

test("targets that do not exist are named", async () => {
  await home.lab("words", "up", "--nodes", "1");
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [["exec", "default/nobody", "--", "true"], /"default\/nobody" cannot be used: there is no such pod/],
    [["exec", "node/node9", "--", "true"], /node1, router, outside/],
    [["probe", "--from", "node/node1", "--to", "default/nobody", "--port", "1"], /there is no such pod/],
    [["probe", "--from", "node/node1", "--to", "no-such", "--port", "1"], /no-such/],
    [["fault", "add", "earthquake"], /There is no fault "earthquake"[\s\S]*stale-fdb/],
    [["fault", "add", "mtu", "--node", "node9"], /no node "node9"/],
    [["fault", "add", "mtu", "--set", "bytes=9000"], /bytes="9000" is no MTU from 576 to 1499/],
    [["fault", "add", "mtu", "--pod", "default/nobody"], /There is no pod "default\/nobody"/],
    [["fault", "add", "mtu", "--set", "colour=red"], /no parameter "colour"/],
    [["fault", "add", "stale-fdb"], /no VXLAN forwarding entry/],
  ];
  for (const [[verb = "", ...args], message] of cases) {
    const outcome = await home.lab("words", verb, ...args);
    assert.notEqual(outcome.code, 0, args.join(" "));
    assert.match(outcome.stderr, message, args.join(" "));
  }
  const batch = home.write(
    "words.json",
    JSON.stringify([
      { from: "node/node1", to: "default/nobody", port: 1 },
      { from: "node/node1", to: "127.0.0.1", port: 6443 },
    ]),
  );
  const answers = JSON.parse((await home.lab("words", "probe", "--batch", batch, "-o", "json")).stdout);
  assert.match(answers[0].error, /there is no such pod/, "one bad entry costs the others nothing");
  assert.equal(answers[1].allowed, true);
  const exit = await home.lab("words", "exec", "node/node1", "--", "sh", "-c", "exit 7");
  assert.equal(exit.code, 7, "the command's exit code is ours");
  await home.lab("words", "down");
});

test("without root a lab runs in a user namespace", { skip: userNamespaces() }, async () => {
  const folder = join(home.folder, "rootless");
  const NOBODY = 65534;
  mkdirSync(folder, { mode: 0o755 });
  chownSync(folder, NOBODY, NOBODY);
  // Not BREAKWATER_LAB_DIR: without it the folder is the user's own, also for the daemon, which is root in its namespaces.
  const env = { HOME: folder, XDG_RUNTIME_DIR: folder, BREAKWATER_LAB_DIR: "" };
  const as = ["--reuid=65534", "--regid=65534", "--clear-groups", join(process.cwd(), "bin/breakwater"), "lab"];
  await run("chmod", ["755", home.folder]);
  const up = await run("setpriv", [...as, "up", "--name", "mine", "--nodes", "2"], env);
  assert.equal(up.code, 0, up.stderr);
  const address = await run("setpriv", [...as, "exec", "--name", "mine", "node/node1", "--", "ip", "route"], env);
  assert.match(address.stdout, /10\.244\.2\.0\/24 via 192\.168\.1\.12 dev eth0 proto 98/, address.stderr);
  const down = await run("setpriv", [...as, "down", "--name", "mine"], env);
  assert.equal(down.code, 0, down.stderr);
});

function userNamespaces(): string | false {
  const files = ["/proc/sys/user/max_user_namespaces", "/proc/sys/kernel/unprivileged_userns_clone"];
  const off = files.find((file) => existsSync(file) && readFileSync(file, "utf8").trim() === "0");
  return off === undefined ? false : `user namespaces are switched off by ${off}`;
}
