/** Faults of sizes: each is there when it is added, for real packets of both families, and gone when it is cleared. */
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { eventually, LabHome, podManifest } from "./lab-fixture.ts";

const home = new LabHome();
const NAME = "sizes";
const lab = (verb: string, ...args: string[]) => home.lab(NAME, verb, ...args);

/** Nodes 1 and 3 share a switch, node 2 is behind the router. */
const NODE = {
  node1: ["192.168.1.11", "fd00:192:168:1::b"],
  node2: ["192.168.2.12", "fd00:192:168:2::c"],
  node3: ["192.168.1.13", "fd00:192:168:1::d"],
} as const;
const HEADERS = { 4: 28, 6: 48 } as const;
const families = [4, 6] as const;
type Machine = keyof typeof NODE;

const addressOf = (name: Machine, family: 4 | 6) => NODE[name][family === 4 ? 0 : 1];

async function fault(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await lab("fault", ...args);
  assert.equal(code, 0, `fault ${args.join(" ")}: ${stderr}`);
  return stdout;
}

async function exec(target: string, ...command: string[]): Promise<string> {
  const outcome = await lab("exec", target, "--", ...command);
  assert.equal(outcome.code, 0, `${target}: ${command.join(" ")}: ${outcome.stdout}${outcome.stderr}`);
  return outcome.stdout;
}

/** One IP packet of exactly so many bytes, never to be fragmented. @returns "ok", "lost" (silence), or the error's MTU */
async function ping(from: string, to: string, bytes: number): Promise<string> {
  const size = String(bytes - HEADERS[to.includes(":") ? 6 : 4]);
  const { code, stdout, stderr } = await lab(
    "exec",
    from,
    "--",
    ...["ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", size, to],
  );
  if (code === 0) return "ok";
  const error = /(?:From \S+ icmp_seq|local error).*mtu\s?[=:]\s?(\d+)/.exec(stdout + stderr);
  if (error === null) return "lost";
  return `${error[0].startsWith("local") ? "own" : "router"} ${error[1]}`;
}

/** Only what the test sends is on the wires then: agents probe their peers, and the kernel learns from the answers. */
async function stopAgents(): Promise<void> {
  // What they proved under the fault before is found out to be over.
  await eventually(30_000, async () => {
    for (const pod of ["a", "b", "c"]) assert.equal(await mtuOf(`default/${pod}`, "eth0"), 1450);
  });
  for (const node of Object.keys(NODE)) await fault("add", "kill-agent", "--node", node);
}

/** The MTU of a device, by ip(8). */
async function mtuOf(target: string, device: string): Promise<number> {
  return Number(/mtu (\d+)/.exec(await exec(target, "ip", "link", "show", device))?.[1]);
}

before(async () => {
  const names = ["a", "b", "c"];
  const items = names.map((name, i) => podManifest(name, { nodeName: `node${i + 1}` }));
  const file = home.write("pods.json", JSON.stringify({ apiVersion: "v1", kind: "List", items }));
  const up = await lab("up", "--subnets", "2", "--dual-stack", "--manifests", file);
  assert.equal(up.code, 0, up.stderr);
});

afterEach(() => lab("fault", "clear"));
after(() => home.close());

test("mtu-blackhole drops what is one byte too large, in silence, and TCP that fits passes", async () => {
  assert.match(await fault("add", "mtu-blackhole"), /more than 1450 bytes vanish in the switches/);
  for (const family of families) {
    for (const to of ["node2", "node3"] as const) {
      assert.equal(await ping("node/node1", addressOf(to, family), 1450), "ok", `${to} IPv${family}`);
      assert.equal(await ping("node/node1", addressOf(to, family), 1451), "lost", `${to} IPv${family}`);
    }
  }
  // The switch must see segments of at most 1450 bytes, not the buffers of 64 KB that a veth pair could hand on.
  for (const family of families) {
    const [from, to] = [addressOf("node1", family), addressOf("node3", family)];
    // The receiver says how large segments may be: 1400 bytes of payload and 40 or 60 of headers.
    await exec("node/node3", "ip", "route", "add", from, "dev", "eth0", "advmss", "1380");
    assert.equal(await transfer("node/node1", "node/node3", to, 16), 16, "segments that fit");
    await exec("node/node3", "ip", "route", "del", from, "dev", "eth0");
    assert.equal(await transfer("node/node1", "node/node3", to, 16), 0, "segments of the wire's MTU");
  }
  await fault("clear", "mtu-blackhole");
  for (const family of families) assert.equal(await ping("node/node1", addressOf("node3", family), 1500), "ok");
  assert.doesNotMatch(await exec("node/node1", "ethtool", "-k", "eth0"), /tcp-segmentation-offload: off/);
});

/** Sends so many megabytes. @returns how many arrived within four seconds */
async function transfer(from: string, to: string, ip: string, megabytes: number): Promise<number> {
  const serve = `let n = 0; const done = () => { console.log(n / 1e6); process.exit(); };
    const server = require("net").createServer((c) => c.on("data", (d) => { n += d.length; }).on("end", done).on("error", done));
    server.listen(7070, "${ip}"); setTimeout(done, 4000)`;
  const send = `const c = require("net").connect(7070, "${ip}", () => c.end(Buffer.alloc(${megabytes}e6)));
    c.on("error", () => process.exit()); setTimeout(() => process.exit(), 4000)`;
  const received = lab("exec", to, "--", process.execPath, "-e", serve);
  await eventually(3000, async () => assert.match(await exec(to, "ss", "-ltn"), /:7070/));
  await exec(from, process.execPath, "-e", send);
  return Number((await received).stdout);
}

test("mtu-blackhole of one node leaves the others alone, and may be of another size", async () => {
  await fault("add", "mtu-blackhole", "--node", "node3", "--size", "1400");
  assert.equal(await ping("node/node1", NODE.node3[0], 1400), "ok");
  assert.equal(await ping("node/node1", NODE.node3[0], 1401), "lost");
  assert.equal(await ping("node/node1", NODE.node2[0], 1500), "ok");
});

test("router-mtu answers with ICMP too big, and nobody remembers it when it is cleared", async () => {
  await stopAgents();
  await fault("add", "router-mtu");
  for (const family of families) {
    const to = addressOf("node2", family);
    assert.equal(await ping("node/node1", to, 1300), "ok", `IPv${family}`);
    assert.equal(await ping("node/node1", to, 1301), "router 1300", `IPv${family}`);
    assert.equal(await ping("node/node1", to, 1301), "own 1300", "the node has learned it");
    assert.equal(await ping("node/node1", addressOf("node3", family), 1500), "ok", "on a subnet nothing is routed");
  }
  await exec("node/node1", "ping", "-c", "1", "-W", "2", "-M", "dont", "-s", "1472", NODE.node2[0]);
  await fault("clear", "router-mtu");
  for (const family of families) assert.equal(await ping("node/node1", addressOf("node2", family), 1500), "ok");
});

test("icmp-filtered makes the router's answers vanish: with router-mtu a silent hop", async () => {
  await stopAgents();
  await fault("add", "icmp-filtered");
  await fault("add", "router-mtu");
  for (const family of families) {
    assert.equal(await ping("node/node1", addressOf("node2", family), 1300), "ok");
    assert.equal(await ping("node/node1", addressOf("node2", family), 1301), "lost");
  }
  await fault("clear", "icmp-filtered");
  for (const family of families)
    assert.equal(await ping("node/node1", addressOf("node2", family), 1301), "router 1300");
  await fault("clear");
  for (const family of families) assert.equal(await ping("node/node1", addressOf("node2", family), 1301), "ok");
});

test("icmp-blackhole, the older one, does so at the router", async () => {
  await stopAgents();
  await fault("add", "icmp-blackhole");
  await fault("add", "router-mtu", "--size", "1400");
  for (const family of families) assert.equal(await ping("node/node1", addressOf("node2", family), 1401), "lost");
  await fault("clear", "icmp-blackhole");
  for (const family of families)
    assert.equal(await ping("node/node1", addressOf("node2", family), 1401), "router 1400");
});

test("icmp-filtered drops the answers of machines on the same switch too", async () => {
  await stopAgents();
  // node3 forwards to its pod, over a device of less than the wire's MTU, and says so.
  const pod = (await home.kubectl(NAME, ["get", "pod", "c", "-o", "jsonpath={.status.podIP}"])).stdout;
  assert.equal(await ping("node/node1", pod, 1500), "router 1450");
  await fault("add", "icmp-filtered");
  await exec("node/node1", "ip", "route", "flush", "cache");
  assert.equal(await ping("node/node1", pod, 1500), "lost");
});

test("underlay-mtu changes both ends of a node's wire, to the byte", async () => {
  await stopAgents();
  assert.match(await fault("add", "underlay-mtu", "--node", "node1"), /node1 eth0 has MTU 1400, 1500 before/);
  assert.equal(await mtuOf("node/node1", "eth0"), 1400);
  for (const family of families) {
    assert.equal(await ping("node/node1", addressOf("node3", family), 1401), "own 1400");
    assert.equal(await ping("node/node3", addressOf("node1", family), 1400), "ok");
    assert.equal(await ping("node/node3", addressOf("node1", family), 1401), "lost");
    assert.equal(await ping("node/node3", addressOf("node2", family), 1500), "ok");
  }
  assert.match(
    (await lab("fault", "add", "mtu", "--node", "node1")).stderr,
    /underlay-mtu is in force on node1 already/,
  );
  await fault("clear");
  assert.equal(await mtuOf("node/node1", "eth0"), 1500);
  for (const family of families) assert.equal(await ping("node/node3", addressOf("node1", family), 1500), "ok");
});

test("underlay-mtu is followed by the agent at once", async () => {
  await fault("add", "underlay-mtu", "--node", "node1");
  await eventually(5000, async () => assert.equal(await mtuOf("default/a", "eth0"), 1350));
});

test("underlay-mtu takes a node to jumbo frames; only who has them as well can be sent them", async () => {
  for (const node of ["node1", "node3"]) await fault("add", "underlay-mtu", "--node", node, "--size", "9000");
  assert.equal(await ping("node/node1", NODE.node3[0], 9000), "ok");
  assert.equal(await ping("node/node1", NODE.node3[1], 9000), "ok");
  assert.equal(await ping("node/node1", NODE.node2[0], 1501), "lost", "the router's port has 1500");
  await fault("clear");
  assert.equal(await ping("node/node1", NODE.node3[0], 1501), "own 1500");
});

test("underlay-mtu below what IPv6 needs takes the node's IPv6 until it is cleared", async () => {
  await fault("add", "underlay-mtu", "--node", "node3", "--size", "1200");
  assert.equal(await ping("node/node1", NODE.node3[1], 1000), "lost");
  await fault("clear");
  await eventually(5000, async () => assert.equal(await ping("node/node1", NODE.node3[1], 1500), "ok"));
  await eventually(5000, async () => assert.equal(await ping("node/node3", NODE.node2[1], 1500), "ok"));
});

test("pod-mtu gives a pod a wrong MTU and gives the right one back", async () => {
  await stopAgents();
  assert.match(await fault("add", "pod-mtu", "--pod", "default/a"), /eth0 of default\/a has MTU 9000, 1450 before/);
  assert.equal(await mtuOf("default/a", "eth0"), 9000);
  for (const family of families) {
    assert.equal(await ping("default/a", addressOf("node1", family), 9000), "lost", "the node's end takes 1450");
    assert.equal(await ping("default/a", addressOf("node1", family), 1400), "ok");
  }
  const listed = JSON.parse(await fault("list", "-o", "json"));
  const active = listed.find(({ name }: { name: string }) => name === "pod-mtu").active;
  assert.deepEqual([active[0].node, active[0].pod], ["node1", "default/a"]);
  assert.match(await fault("clear", "pod-mtu"), /cleared pod-mtu on default\/a/);
  assert.equal(await mtuOf("default/a", "eth0"), 1450);
  assert.equal(await ping("default/a", NODE.node1[0], 1451), "own 1450");
});

test("vxlan-mtu-1500 makes every full packet two fragments, where no agent mends it", async () => {
  await stopAgents();
  const pod = (await home.kubectl(NAME, ["get", "pod", "b", "-o", "jsonpath={.status.podIP}"])).stdout;
  assert.equal(await ping("default/a", pod, 1451), "own 1450");
  assert.match(await fault("add", "vxlan-mtu-1500"), /bwvxlan and the pods of node1, node2, node3 have MTU 1500/);
  const fragments = async () => {
    const lines = (await exec("node/node1", "cat", "/proc/net/snmp"))
      .split("\n")
      .filter((line) => line.startsWith("Ip: "));
    const [names = [], values = []] = lines.map((line) => line.split(" "));
    return Number(values[names.indexOf("FragCreates")]);
  };
  const before = await fragments();
  assert.equal(await ping("default/a", pod, 1500), "ok");
  assert.equal((await fragments()) - before, 2, "one packet, two fragments");
  await fault("clear", "vxlan-mtu-1500");
  assert.equal(await mtuOf("node/node1", "bwvxlan"), 1450);
  assert.equal(await ping("default/a", pod, 1451), "own 1450");
});

test("vxlan-mtu-1500 is mended by a living agent at once", async () => {
  // The test before let its agents go on only now.
  await eventually(20_000, async () => assert.match(await exec("node/node1", "ss", "-ltn"), /127\.0\.0\.1:9098/));
  await fault("add", "vxlan-mtu-1500", "--node", "node1");
  await eventually(2000, async () => {
    assert.equal(await mtuOf("node/node1", "bwvxlan"), 1450);
    assert.equal(await mtuOf("default/a", "eth0"), 1450);
  });
});

test("sizes that cannot be are refused, with what can", async () => {
  const cases = [
    [["add", "mtu-blackhole", "--size", "100"], /bytes="100" is no MTU from 576 to 65535.*\n?.*--size BYTES/],
    [["add", "router-mtu", "--size", "9000"], /no MTU from 576 to 1500/],
    [["add", "underlay-mtu", "--size", "1500"], /eth0 of node1 has MTU 1500 already/],
    [["add", "mtu", "--size", "9000"], /no MTU from 576 to 1499/],
    [["add", "pod-mtu"], /strikes a pod: which one/],
    [["add", "pod-mtu", "--pod", "default/a", "--size", "1000"], /no MTU from 1280 to 65535.*\n?.*IPv6/],
    [["add", "kill-agent", "--size", "1000"], /has no parameter "bytes" \(--size\)/],
    [["add", "mtu", "--size", "1000", "--set", "bytes=1000"], /--size and --set bytes= say the same/],
  ] as const;
  for (const [args, message] of cases) {
    const { code, stderr } = await lab("fault", ...args);
    assert.equal(code, 1, args.join(" "));
    assert.match(stderr, message, args.join(" "));
  }
  const kinds = JSON.parse(await fault("list", "-o", "json"));
  assert.deepEqual(
    kinds.flatMap(({ active }: { active: unknown[] }) => active),
    [],
  );
});
