/**
 * The MTU of a running cluster follows its network: each fault of the lab, with transfers that run across the change,
 * pod to pod and through a Service's address, in both families.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, afterEach, before, test } from "node:test";
import { eventually, LabHome, podManifest } from "./lab-fixture.ts";

const home = new LabHome();
const NAME = "proof";
const lab = (verb: string, ...args: string[]) => home.lab(NAME, verb, ...args);
/** What a cluster is given when the network changed: then its pods are right, in both directions. */
const DEADLINE_MS = 10_000;
const MEGABYTES = 100;
const SERVICE = { 4: "10.96.77.77", 6: "fd00:10:96::77" } as const;

/** Answers each connection with the number and the hash of the bytes that it sent. */
const RECEIVER = `
const { createHash } = require("node:crypto");
require("node:net").createServer({ allowHalfOpen: true }, (socket) => {
  const hash = createHash("sha256");
  let bytes = 0;
  socket.on("data", (chunk) => { hash.update(chunk); bytes += chunk.length; });
  socket.on("end", () => socket.end(bytes + " " + hash.digest("hex")));
  socket.on("error", () => socket.destroy());
}).listen(9000, "::");`;

/** Sends ${MEGABYTES} MB in eight seconds and prints what the other end says of them. */
const SENDER = `
const socket = require("node:net").connect({ host: process.argv[1], port: 9000 });
const chunk = Buffer.alloc(1 << 20);
for (let i = 0; i < chunk.length; i++) chunk[i] = (i * 31 + (i >> 8)) & 255;
let sent = 0;
const next = () => {
  if (sent++ === ${MEGABYTES}) return socket.end();
  chunk.writeUInt32BE(sent, 0);
  socket.write(Buffer.from(chunk), () => setTimeout(next, 80));
};
socket.on("connect", next);
socket.on("error", (error) => { console.log(error.message); process.exit(1); });
socket.pipe(process.stdout);`;

/** The answer of a receiver that got every byte, once and in order. */
function intact(): string {
  const chunk = Buffer.alloc(1 << 20);
  for (let i = 0; i < chunk.length; i++) chunk[i] = (i * 31 + (i >> 8)) & 255;
  const hash = createHash("sha256");
  for (let sent = 1; sent <= MEGABYTES; sent++) {
    chunk.writeUInt32BE(sent, 0);
    hash.update(chunk);
  }
  return `${MEGABYTES << 20} ${hash.digest("hex")}`;
}
const INTACT = intact();

const PODS = ["a", "b", "c"] as const;
type Pod = (typeof PODS)[number];
const addresses = new Map<Pod, { 4: string; 6: string }>();
const addressOf = (pod: Pod, family: 4 | 6) => addresses.get(pod)?.[family] ?? "";

async function exec(target: string, ...command: string[]): Promise<string> {
  const outcome = await lab("exec", target, "--", ...command);
  assert.equal(outcome.code, 0, `${target}: ${command.join(" ")}: ${outcome.stdout}${outcome.stderr}`);
  return outcome.stdout;
}

async function fault(...args: string[]): Promise<void> {
  const { code, stderr } = await lab("fault", ...args);
  assert.equal(code, 0, `fault ${args.join(" ")}: ${stderr}`);
}

/**
 * Pods have these MTUs, and packets of that size that nobody may cut up arrive between all of them, in both families. One
 * process a pod asks all of it: starting many would take seconds.
 */
async function podsAreRight(expected: Readonly<Record<Pod, number>>): Promise<void> {
  await Promise.all(PODS.map((pod) => podIsRight(pod, expected)));
}

async function podIsRight(pod: Pod, expected: Readonly<Record<Pod, number>>): Promise<void> {
  const pings = PODS.filter((to) => to !== pod).flatMap((to) =>
    ([4, 6] as const).map((family) => {
      // What a smaller pod may not receive, its node says: that is no fault of the network.
      const size = Math.min(expected[pod], expected[to]) - (family === 4 ? 28 : 48);
      return `(ping -n -c 1 -W 1 -M do -s ${size} ${addressOf(to, family)} >/dev/null 2>&1 && echo "${to}${family}") &`;
    }),
  );
  const output = await exec(`default/${pod}`, "sh", "-c", `ip link show eth0; ${pings.join(" ")} wait`);
  assert.equal(Number(/mtu (\d+)/.exec(output)?.[1]), expected[pod], `MTU of pod ${pod}`);
  const reached = output.match(/^[abc][46]$/gm)?.sort();
  const all = PODS.filter((to) => to !== pod).flatMap((to) => [`${to}4`, `${to}6`]);
  assert.deepEqual(reached, all, `packets of pod ${pod}'s MTU arrive`);
}

/** Transfers that are under way while something happens. */
function startTransfers(): Promise<void> {
  const ways: [Pod, string][] = [
    ["a", addressOf("b", 4)],
    ["a", addressOf("b", 6)],
    ["b", addressOf("c", 4)],
    ["a", SERVICE[4]],
    ["a", SERVICE[6]],
  ];
  const transfers = ways.map(async ([from, to]) => {
    const { stdout } = await lab("exec", `default/${from}`, "--", "timeout", "90", process.execPath, "-e", SENDER, to);
    assert.equal(stdout.trim(), INTACT, `transfer from ${from} to ${to}`);
  });
  return Promise.all(transfers).then(() => undefined);
}

/** `breakwater mtu` on a node. */
async function mtuText(node: string): Promise<string> {
  const { stdout } = await lab("exec", `node/${node}`, "--", "bin/breakwater", "mtu", "--seconds", "0");
  return stdout;
}

before(async () => {
  const receiver = { containers: [{ name: "c", image: "x", command: [process.execPath, "-e", RECEIVER] }] };
  const items = PODS.map((name, i) => podManifest(name, { nodeName: `node${i + 1}`, ...receiver }));
  const file = home.write("pods.json", JSON.stringify({ apiVersion: "v1", kind: "List", items }));
  const up = await lab("up", "--nodes", "3", "--subnets", "2", "--dual-stack", "--manifests", file);
  assert.equal(up.code, 0, up.stderr);
  for (const pod of PODS) {
    const { stdout } = await home.kubectl(NAME, ["get", "pod", pod, "-o", "jsonpath={.status.podIPs[*].ip}"]);
    const [four = "", six = ""] = stdout.split(" ");
    addresses.set(pod, { 4: four, 6: six });
  }
  // What a kube-proxy would have on node 1 for a Service with pod b behind it.
  const rules = `table inet service-stand-in {
    chain prerouting {
      type nat hook prerouting priority dstnat;
      ip daddr ${SERVICE[4]} dnat ip to ${addressOf("b", 4)};
      ip6 daddr ${SERVICE[6]} dnat ip6 to ${addressOf("b", 6)};
    }
  }`;
  await exec("node/node1", "sh", "-c", `echo '${rules}' | nft -f -`);
  await eventually(DEADLINE_MS, () => podsAreRight({ a: 1450, b: 1450, c: 1450 }));
});

after(() => home.close());
afterEach(async () => {
  await lab("fault", "clear");
});

interface Case {
  readonly name: string;
  readonly faults: readonly (readonly string[])[];
  readonly pods: Readonly<Record<Pod, number>>;
  /** Where, and what it says there. */
  readonly place: readonly [string, RegExp];
  /** The agents put it right while the fault stands. */
  readonly mended?: true;
}

const cases: readonly Case[] = [
  {
    name: "a node's wire drops to 1400",
    faults: [["underlay-mtu", "--node", "node3"]],
    pods: { a: 1400, b: 1350, c: 1350 },
    place: ["node2", /node2 +node3 +vxlan +1500 +50 +1450 +1350 +1350 +black-hole/],
  },
  {
    name: "the router drops to 1400",
    faults: [["router-mtu", "--size", "1400"]],
    pods: { a: 1350, b: 1350, c: 1350 },
    place: ["node1", /node1 to node2: .* 192\.168\.1\.1 answers ICMP "too big, 1400", 1400 of 1500 bytes pass/],
  },
  {
    name: "switches swallow what is above 1450",
    faults: [["mtu-blackhole"]],
    pods: { a: 1400, b: 1400, c: 1400 },
    place: ["node1", /node1 to node3: .* packets above 1450 of 1500 bytes vanish in silence/],
  },
  {
    name: "the router drops to 1400 and its ICMP is filtered",
    faults: [["icmp-filtered"], ["router-mtu", "--size", "1400"]],
    pods: { a: 1350, b: 1350, c: 1350 },
    place: ["node1", /node1 +node2 +vxlan +1500 +50 +1450 +1350 +1350 +black-hole/],
  },
  {
    name: "two faults at once: the narrower one counts on each path",
    faults: [["mtu-blackhole"], ["router-mtu", "--size", "1400"]],
    pods: { a: 1350, b: 1350, c: 1350 },
    place: ["node1", /node1 +node3 +direct +1500 +0 +1500 +1450 +1450 +black-hole/],
  },
  {
    name: "somebody sets a pod's device wrong",
    faults: [["pod-mtu", "--pod", "default/a"]],
    pods: { a: 1450, b: 1450, c: 1450 },
    place: ["node1", /node1 +node2 +vxlan +1500 +50 +1450 +1450 +1450 +passes/],
    mended: true,
  },
  {
    name: "somebody makes the VXLAN device believe in 1500",
    faults: [["vxlan-mtu-1500"]],
    pods: { a: 1450, b: 1450, c: 1450 },
    place: ["node1", /node1 +node2 +vxlan +1500 +50 +1450 +1450 +1450 +passes/],
    mended: true,
  },
];

for (const { name, faults, pods, place, mended } of cases) {
  test(`${name}: pods are right within 10 s, there and back, and transfers go on`, async (t) => {
    let since = performance.now();
    const lap = (what: string) => {
      t.diagnostic(`${what} after ${((performance.now() - since) / 1000).toFixed(1)} s`);
      since = performance.now();
    };
    const transfers = startTransfers();
    // It may fail before anybody waits for it.
    transfers.catch(() => undefined);
    await new Promise((next) => setTimeout(next, 1000));
    for (const each of faults) await fault("add", ...each);
    since = performance.now();
    await eventually(DEADLINE_MS, () => podsAreRight(pods));
    lap("right");
    const [node, says] = place;
    await eventually(DEADLINE_MS, async () => assert.match(await mtuText(node), says));
    if (mended !== true) await transfers;
    lap("transfers done");
    await fault("clear");
    await eventually(DEADLINE_MS, () => podsAreRight({ a: 1450, b: 1450, c: 1450 }));
    lap("back");
    await transfers;
  });
}

test("the Node's Events and the metrics tell of a narrow path, and of its end", async () => {
  const events = async () => (await home.kubectl(NAME, ["get", "events", "-A", "-o", "json"])).stdout;
  const metrics = () => exec("node/node1", "curl", "-s", "http://127.0.0.1:9098/metrics");
  await fault("add", "router-mtu", "--size", "1350");
  await eventually(DEADLINE_MS, async () => {
    assert.match(
      await events(),
      /Path to node node2: IPv4 underlay to 192\.168\.2\.12: 192\.168\.1\.1 answers ICMP[^\n]*1350 of 1500/,
    );
    const text = await metrics();
    assert.match(text, /breakwater_path_verdict\{peer="node2",verdict="too-big"\} 1/);
    assert.match(text, /breakwater_path_proven_mtu_bytes\{peer="node2",mode="vxlan"\} 1300/);
    assert.match(text, /breakwater_path_verdict\{peer="node3",verdict="passes"\} 1/);
  });
  await fault("clear");
  await eventually(2 * DEADLINE_MS, async () => {
    assert.match(await events(), /"reason": ?"PathMtuRestored"/);
    assert.match(await metrics(), /breakwater_path_verdict\{peer="node2",verdict="passes"\} 1/);
  });
});

test("an agent that is killed while a path is narrow finds it again, and changes nothing", async () => {
  const narrow = { a: 1350, b: 1350, c: 1350 };
  await fault("add", "router-mtu", "--size", "1400");
  await eventually(DEADLINE_MS, () => podsAreRight(narrow));
  await fault("add", "kill-agent", "--node", "node1");
  await fault("clear", "kill-agent");
  await eventually(DEADLINE_MS, async () => assert.match(await mtuText("node1"), /node1 +node2 .* 1350 +too-big/));
  const log = readFileSync(home.kubeconfig(NAME).replace(/kubeconfig$/, "log/agent-node1.log"), "utf8");
  const since = log.slice(log.lastIndexOf("agent started"));
  assert.match(since, /answers ICMP/);
  assert.doesNotMatch(since, /"trigger"/, "operations after the restart");
  await podsAreRight(narrow);
});
