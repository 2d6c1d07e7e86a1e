/** What a runtime or a person does wrong on a node: the agent's answers, through the real plugin and program. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { after, before, test } from "node:test";
import { eventually, LabHome, podManifest, run } from "./lab-fixture.ts";

const home = new LabHome();
const NAME = "answers";
const lab = (verb: string, ...args: string[]) => home.lab(NAME, verb, ...args);
const node = (name: string) => home.kubeconfig(NAME).replace(/kubeconfig$/, `nodes/${name}`);
const onNode = (name: string, script: string) => lab("exec", `node/${name}`, "--", "sh", "-c", script);

before(async () => {
  const up = await lab("up", "--nodes", "2");
  assert.equal(up.code, 0, up.stderr);
});
after(() => home.close());

/** Calls the plugin on node1 as a runtime does; `config` goes to its standard input. */
async function cni(command: string, netns: string, containerId: string, config = configuration()) {
  const env = `CNI_COMMAND=${command} CNI_CONTAINERID=${containerId} CNI_NETNS=${netns} CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin CNI_ARGS=`;
  const script = `printf '%s' '${config}' | env ${env} ${node("node1")}/cni/bin/breakwater`;
  const outcome = await onNode("node1", script);
  return { ...outcome, answer: outcome.stdout === "" ? {} : JSON.parse(outcome.stdout) };
}

function configuration(): string {
  const socket = `${node("node1")}/run/cni.sock`;
  return JSON.stringify({ cniVersion: "1.0.0", name: "breakwater", type: "breakwater", socket });
}

test("an ADD that names the node's own namespace is refused and leaves the node's routes alone", async () => {
  const before = (await onNode("node1", "ip route; ip link")).stdout;
  const { code, answer } = await cni("ADD", "/proc/self/ns/net", "own");
  assert.notEqual(code, 0);
  assert.equal(answer.code, 4);
  assert.match(answer.msg + answer.details, /the node's own network namespace/);
  assert.equal((await onNode("node1", "ip route; ip link")).stdout, before);
});

test("a namespace can be given to another container right after DEL", async () => {
  const netns = `${home.kubeconfig(NAME).replace(/kubeconfig$/, "netns")}/again`;
  await onNode("node1", `touch ${netns}; unshare --net=${netns} true`);
  for (const container of ["first", "second", "third"]) {
    const added = await cni("ADD", netns, container);
    assert.equal(added.code, 0, added.stdout);
    const deleted = await cni("DEL", netns, container);
    assert.equal(deleted.code, 0, deleted.stdout);
  }
  await onNode("node1", `umount ${netns}; rm ${netns}`);
});

test("a configuration that is cut off is answered as such, and asks no other agent", async () => {
  for (const command of ["ADD", "DEL"]) {
    const { code, answer } = await cni(
      command,
      "/proc/self/ns/net",
      "cut",
      '{"cniVersion": "1.0.0", "socket": "/run/some',
    );
    assert.notEqual(code, 0, command);
    assert.equal(answer.code, 6, command);
  }
  assert.equal(existsSync("/run/breakwater/pending-del"), false);
});

test("a CNI configuration that somebody removed is put back", async () => {
  const { code } = await onNode("node1", `rm ${node("node1")}/cni/net.d/10-breakwater.conflist`);
  assert.equal(code, 0);
  await eventually(3000, async () => assert.ok(existsSync(`${node("node1")}/cni/net.d/10-breakwater.conflist`)));
});

test("forwarding that was switched off on the underlay alone is switched on again", async () => {
  await onNode("node1", "echo 0 > /proc/sys/net/ipv4/conf/eth0/forwarding");
  await eventually(1000, async () => {
    assert.equal((await onNode("node1", "cat /proc/sys/net/ipv4/conf/eth0/forwarding")).stdout, "1\n");
  });
});

test("an agent that cannot start says why and ends", async () => {
  const kubeconfig = home.kubeconfig(NAME).replace(/kubeconfig$/, "node-kubeconfig");
  const agent = (...args: string[]) =>
    onNode(
      "node1",
      `timeout 20 ${resolve("bin/breakwater")} agent --node-name node1 --kubeconfig ${kubeconfig} ${args.join(" ")}`,
    );
  const cases: [string[], RegExp][] = [
    [["--state-dir", `${home.folder}/other`, "--metrics-address", "127.0.0.1:9098"], /127\.0\.0\.1:9098: EADDRINUSE/],
    [["--state-dir", `${home.folder}/other`, "--metrics-address", "here"], /"here" is no HOST:PORT/],
    [["--state-dir", `${node("node1")}/run`, "--metrics-address", "''"], /another agent answers there/],
  ];
  for (const [args, message] of cases) {
    const { code, stderr } = await agent(...args);
    assert.match(stderr, message);
    assert.ok(code === 1 || code === 2, `exit code ${code}`);
  }
});

test("cleanup refuses while the agent runs, and after its death takes everything of ours and nothing else", async () => {
  const own = node("node2");
  const command = `${resolve("bin/breakwater")} cleanup --state-dir ${own}/run --cni-conf-dir ${own}/cni/net.d --cni-bin-dir ${own}/cni/bin`;
  const refused = await onNode("node2", command);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /An agent serves .*cni\.sock/);
  await onNode("node2", "nft add table inet other; ip route add 198.51.100.0/24 via 192.168.1.1");
  await lab("fault", "add", "kill-agent", "--node", "node2");
  const dry = await onNode("node2", `${command} --dry-run`);
  assert.match(dry.stdout, /delete route 10\.244\.1\.0\/24/);
  assert.match(dry.stdout, /10-breakwater\.conflist/);
  const done = await onNode("node2", command);
  assert.equal(done.code, 0, done.stderr);
  const left = await onNode("node2", "ip route; nft list tables; ip -o link");
  assert.doesNotMatch(left.stdout, /proto 98|breakwater|bwh|bwvxlan/);
  assert.match(left.stdout, /198\.51\.100\.0\/24/);
  assert.match(left.stdout, /table inet other/);
  assert.equal(existsSync(`${own}/cni/net.d/10-breakwater.conflist`), false);
  await lab("fault", "clear");
  await eventually(10_000, async () => assert.match((await onNode("node2", "ip route")).stdout, /10\.244\.1\.0\/24/));
});

test("pods that cannot run harm neither their kubelet nor their neighbours", async () => {
  const probe = (readinessProbe: object) => ({
    containers: [{ name: "c", image: "x", command: ["sleep", "60"], readinessProbe }],
  });
  const pods = [
    podManifest("bad-path", probe({ httpGet: { port: 80, path: "/a b" } })),
    podManifest("bad-exec", probe({ exec: { command: [""] } })),
    podManifest("bad-command", { containers: [{ name: "c", image: "x", command: [""] }] }),
    ...Array.from({ length: 12 }, (_, i) =>
      podManifest(`stuck${i}`, { nodeName: "node1" }, { annotations: { "breakwater.dev/ip": "10.99.0.1" } }),
    ),
    podManifest("neighbour", { nodeName: "node1" }),
  ];
  const list = JSON.stringify({ apiVersion: "v1", kind: "List", items: pods });
  const kubelets = async () =>
    JSON.parse((await lab("status", "-o", "json")).stdout).nodes.map((n: { kubeletPid: number }) => n.kubeletPid);
  const before = await kubelets();
  const applied = await home.kubectl(NAME, ["apply", "-f", "-"], list);
  assert.equal(applied.code, 0, applied.stderr);
  const waited = await home.kubectl(NAME, ["wait", "pod/neighbour", "--for=condition=Ready", "--timeout=30s"]);
  assert.equal(waited.code, 0, waited.stderr);
  await eventually(10_000, async () => {
    const { stdout } = await home.kubectl(NAME, ["get", "pod", "bad-command", "-o", "json"]);
    assert.match(stdout, /Cannot start/);
  });
  assert.deepEqual(await kubelets(), before, "no kubelet died of a pod");
  await home.kubectl(NAME, ["delete", "pods", "--all", "--wait=false"]);
  await eventually(20_000, async () => {
    assert.equal((await home.kubectl(NAME, ["get", "pods", "-o", "name"])).stdout, "");
  });
});

test("what a dead kubelet left running ends when its successor takes the pod over", async () => {
  await startSleeper();
  const first = await sleeperPids();
  assert.equal(first.length, 1);
  await killKubelet();
  await eventually(20_000, async () => {
    const now = await sleeperPids();
    assert.equal(now.length, 1);
    assert.notDeepEqual(now, first);
  });
  await home.kubectl(NAME, ["delete", "pod", "sleeper", "--wait=false"]);
  await eventually(20_000, async () => assert.deepEqual(await sleeperPids(), []));
});

test("a pod that is deleted while its kubelet is dead is ended by the successor, its network given back", async () => {
  const links = async () => (await onNode("node2", "ip -o link")).stdout.match(/bwh\w+/g)?.length ?? 0;
  const before = await links();
  await startSleeper();
  assert.equal(await links(), before + 1);
  await killKubelet();
  await home.kubectl(NAME, ["delete", "pod", "sleeper", "--wait=false"]);
  await eventually(20_000, async () => {
    assert.deepEqual(await sleeperPids(), []);
    assert.equal(await links(), before);
    assert.equal((await home.kubectl(NAME, ["get", "pods", "-o", "name"])).stdout, "");
  });
});

async function startSleeper(): Promise<void> {
  const command = ["sleep", "4242"];
  const pod = podManifest("sleeper", { nodeName: "node2", containers: [{ name: "c", image: "x", command }] });
  await home.kubectl(NAME, ["apply", "-f", "-"], JSON.stringify(pod));
  const waited = await home.kubectl(NAME, ["wait", "pod/sleeper", "--for=condition=Ready", "--timeout=30s"]);
  assert.equal(waited.code, 0, waited.stderr);
}

async function sleeperPids(): Promise<string[]> {
  const { stdout } = await onNode("node2", "pgrep -f '^sleep 4242'");
  return stdout.split("\n").filter((pid) => pid !== "");
}

async function killKubelet(): Promise<void> {
  const { code } = await onNode("node2", "pkill -9 -f 'lab-kubele[t].*nodeName.:.node2'");
  assert.equal(code, 0);
}

test("a lab whose daemon hangs can be taken down", async () => {
  await home.lab("hung", "up", "--nodes", "1");
  const { stdout } = await run("pgrep", ["-f", `lab-daemon.*"name":"hung"`]);
  for (const pid of stdout.trim().split("\n")) process.kill(Number(pid), "SIGSTOP");
  const down = await home.lab("hung", "down");
  assert.equal(down.code, 0, down.stderr);
});
