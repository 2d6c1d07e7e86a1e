/** One dual-stack cluster in two subnets: what a user of a pod network expects, seen from outside. */
import assert from "node:assert/strict";
import { readFileSync, rmSync } from "node:fs";
import { resolve } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { eventually, LabHome, podManifest } from "./lab-fixture.ts";

const home = new LabHome();
const NAME = "cluster";
const PODS = ["a", "b", "c"] as const;
const node = (pod: string) => `node${PODS.indexOf(pod as "a") + 1}`;
const lab = (verb: string, ...args: string[]) => home.lab(NAME, verb, ...args);
const exec = async (target: string, ...command: string[]) => {
  const outcome = await lab("exec", target, "--", ...command);
  assert.equal(outcome.code, 0, `${target}: ${command.join(" ")}: ${outcome.stderr}`);
  return outcome.stdout;
};

before(async () => {
  const manifests = PODS.map((name) => podManifest(name, { nodeName: node(name) }));
  manifests.push(
    podManifest(
      "fixed",
      { nodeName: "node2" },
      { annotations: { "breakwater.dev/ip": "10.244.2.77,fd00:10:244:2::77" } },
    ),
  );
  const file = home.write("pods.json", JSON.stringify({ apiVersion: "v1", kind: "List", items: manifests }));
  const up = await lab("up", "--subnets", "2", "--dual-stack", "--manifests", file);
  assert.equal(up.code, 0, up.stderr);
});

afterEach(() => lab("fault", "clear"));
after(() => home.close());

test("every pod reaches every pod by TCP and UDP, IPv4 and IPv6", async () => {
  const status = JSON.parse((await home.kubectl(NAME, ["get", "pods", "-o", "json"])).stdout);
  const ips = new Map<string, string[]>(
    status.items.map((pod: { metadata: { name: string }; status: { podIPs: { ip: string }[] } }) => [
      pod.metadata.name,
      pod.status.podIPs.map(({ ip }) => ip),
    ]),
  );
  const probes = PODS.flatMap((from) =>
    PODS.flatMap((to) =>
      (ips.get(to) ?? []).flatMap((ip) => [
        { from: `default/${from}`, to: ip, port: 80, protocol: "TCP", expect: `default/${to}` },
        { from: `default/${from}`, to: ip, port: 53, protocol: "UDP", expect: `default/${to}` },
      ]),
    ),
  );
  assert.equal(probes.length, 36, "three pods with two addresses each");
  const batch = home.write("batch.json", JSON.stringify(probes));
  const answers = JSON.parse((await lab("probe", "--batch", batch, "-o", "json")).stdout);
  for (const [i, probe] of probes.entries()) {
    assert.deepEqual(
      [answers[i].allowed, answers[i].answer],
      [true, probe.expect],
      JSON.stringify({ ...probe, ...answers[i] }),
    );
  }
});

test("ping goes between the pods of every pair", async () => {
  for (const from of PODS) {
    for (const to of PODS) {
      const { stdout } = await home.kubectl(NAME, ["get", "pod", to, "-o", "jsonpath={.status.podIP}"]);
      await exec(`default/${from}`, "ping", "-c", "1", "-W", "2", stdout);
    }
  }
});

test("pods carry the planned MTU: the smallest of the node's paths", async () => {
  for (const pod of PODS) assert.match(await exec(`default/${pod}`, "ip", "link", "show", "eth0"), /mtu 1450 /, pod);
  assert.match(await exec("node/node1", "ip", "link", "show", "bwvxlan"), /mtu 1450 /);
});

test("routes are direct on a subnet and through VXLAN behind the router", async () => {
  const routes = await exec("node/node1", "ip", "route");
  assert.match(routes, /10\.244\.2\.0\/24 via 10\.244\.2\.0 dev bwvxlan proto 98 onlink/);
  assert.match(routes, /10\.244\.3\.0\/24 via 192\.168\.1\.13 dev eth0 proto 98/);
  const routes6 = await exec("node/node1", "ip", "-6", "route");
  assert.match(routes6, /fd00:10:244:2::\/64 via fe80::\S+ dev bwvxlan/);
  assert.match(routes6, /fd00:10:244:3::\/64 via fd00:192:168:1::d dev eth0/);
});

test("a packet as large as the MTU passes unfragmented between all nodes", async () => {
  for (const to of ["b", "c"]) {
    const { stdout } = await home.kubectl(NAME, ["get", "pod", to, "-o", "jsonpath={.status.podIP}"]);
    // 1450 less 20 of IPv4 and 8 of ICMP.
    await exec("default/a", "ping", "-c", "1", "-W", "2", "-M", "do", "-s", "1422", stdout);
  }
});

test("a pod is given the addresses it asks for", async () => {
  const { stdout } = await home.kubectl(NAME, ["get", "pod", "fixed", "-o", "jsonpath={.status.podIPs[*].ip}"]);
  assert.equal(stdout, "10.244.2.77 fd00:10:244:2::77");
});

test("an address that is taken is refused with the name of who has it, and given when it is free", async () => {
  const second = podManifest("second", { nodeName: "node2" }, { annotations: { "breakwater.dev/ip": "10.244.2.77" } });
  await home.kubectl(NAME, ["apply", "-f", "-"], JSON.stringify(second));
  await eventually(20_000, async () => {
    const { stdout } = await home.kubectl(NAME, ["get", "pod", "second", "-o", "json"]);
    assert.match(stdout, /10\.244\.2\.77[^"]*default\/fixed/);
    const { stdout: events } = await home.kubectl(NAME, [
      "get",
      "events",
      "--field-selector",
      "involvedObject.name=second",
    ]);
    assert.match(events, /FailedCreatePodSandBox.*10\.244\.2\.77/);
  });
  await home.kubectl(NAME, ["delete", "pod", "fixed", "--wait=true"]);
  await eventually(30_000, async () => {
    const { stdout } = await home.kubectl(NAME, ["get", "pod", "second", "-o", "jsonpath={.status.podIP}"]);
    assert.equal(stdout, "10.244.2.77");
  });
  await home.kubectl(NAME, ["delete", "pod", "second"]);
});

test("traffic that leaves the cluster has the node's address, traffic inside keeps the pod's", async () => {
  const server = `require("net").createServer((s)=>s.end(s.remoteAddress+"\\n")).listen(7777,"::",()=>console.log("up"))`;
  const stop = home.lab(NAME, "exec", "node/outside", "--", "timeout", "20", process.execPath, "-e", server);
  await eventually(10_000, async () => {
    const probe = await lab("probe", "--from", "default/a", "--to", "203.0.113.10", "--port", "7777", "-o", "json");
    assert.equal(JSON.parse(probe.stdout).answer, "::ffff:192.168.1.11");
  });
  const v6 = await lab("probe", "--from", "default/a", "--to", "2001:db8:113::10", "--port", "7777", "-o", "json");
  assert.equal(JSON.parse(v6.stdout).answer, "fd00:192:168:1::b");
  await exec("node/outside", "pkill", "-f", "7777,");
  await stop;
});

test("the node reaches its pods, and pods reach nodes", async () => {
  const probes = [
    { from: "node/node1", to: "default/a", port: 80 },
    { from: "node/node1", to: "default/b", port: 80 },
    { from: "node/node2", to: "default/c", port: 80 },
  ];
  const batch = home.write("nodes.json", JSON.stringify(probes));
  const answers = JSON.parse((await lab("probe", "--batch", batch, "-o", "json")).stdout);
  assert.deepEqual(
    answers.map(({ answer }: { answer: string }) => answer),
    ["default/a", "default/b", "default/c"],
  );
});

for (const [fault, healed] of [
  ["stale-fdb", /dst 192\.168\.2\.12 self permanent/],
  ["delete-route", /10\.244\.\d+\.0\/24 via \S+ dev \S+ proto 98[\s\S]*10\.244\.\d+\.0\/24 via \S+ dev \S+ proto 98/],
  ["delete-vxlan", /10\.244\.2\.0\/24 via 10\.244\.2\.0 dev bwvxlan/],
] as const) {
  test(`the agent heals ${fault} within a second`, async () => {
    const added = await lab("fault", "add", fault, "--node", "node1");
    assert.equal(added.code, 0, added.stderr);
    await eventually(1000, async () => {
      const state = await exec("node/node1", "sh", "-c", "ip route; bridge fdb show dev bwvxlan");
      assert.match(state, healed);
      assert.doesNotMatch(state, /192\.0\.2\.1/);
    });
    const probe = await lab("probe", "--from", "default/a", "--to", "default/b", "--port", "80");
    assert.equal(probe.code, 0, probe.stdout);
    await lab("fault", "clear");
  });
}

test("somebody else's deletions are put back within a second: neighbour, address, host link down, pod link gone", async () => {
  const cases = [
    ["ip neigh del 10.244.2.0 dev bwvxlan", "ip neigh show dev bwvxlan", /10\.244\.2\.0 lladdr \S+ PERMANENT/],
    ["ip address del 10.244.1.0/32 dev bwvxlan", "ip address show dev bwvxlan", /10\.244\.1\.0\/32/],
    [
      "ip link set $(ls /proc/sys/net/ipv4/conf | grep bwh | head -1) down",
      "ip route",
      /dev bwh\S+ proto 98 scope link/,
    ],
    ["ip link del $(ls /proc/sys/net/ipv4/conf | grep bwh | head -1)", "ip route", /dev bwh\S+ proto 98 scope link/],
    ["nft delete table inet breakwater", "nft list table inet breakwater", /masquerade fully-random/],
    ["echo 0 > /proc/sys/net/ipv4/ip_forward", "cat /proc/sys/net/ipv4/ip_forward", /^1$/m],
  ] as const;
  for (const [damage, look, whole] of cases) {
    await exec("node/node1", "sh", "-c", damage);
    await eventually(1000, async () => {
      const outcome = await lab("exec", "node/node1", "--", "sh", "-c", look);
      assert.match(outcome.stdout, whole, damage);
    });
  }
  const probe = await lab("probe", "--from", "default/b", "--to", "default/a", "--port", "80", "-o", "json");
  // The pod's own device was remade under its feet: a responder that listens on all addresses still answers.
  assert.equal(JSON.parse(probe.stdout).answer, "default/a", probe.stdout);
});

test("what is not ours is left alone", async () => {
  await exec(
    "node/node1",
    "sh",
    "-c",
    "ip route add 198.51.100.0/24 via 192.168.1.1 proto 99; nft add table inet other; ip link add mine type bridge",
  );
  await lab("fault", "add", "delete-route", "--node", "node1");
  await lab("fault", "clear");
  const state = await exec("node/node1", "sh", "-c", "ip route; nft list tables; ip link");
  for (const mine of [/198\.51\.100\.0\/24 via 192\.168\.1\.1/, /table inet other/, /: mine:/])
    assert.match(state, mine);
  await exec("node/node1", "sh", "-c", "ip route del 198.51.100.0/24; nft delete table inet other; ip link del mine");
});

test("a killed agent leaves a data path that works, and its successor changes nothing", async () => {
  const pids = async () =>
    JSON.parse((await lab("status", "-o", "json")).stdout).nodes[0].agentPid as number | undefined;
  await lab("fault", "add", "kill-agent", "--node", "node1");
  assert.equal(await pids(), undefined);
  assert.equal((await lab("probe", "--from", "default/b", "--to", "default/a", "--port", "80")).code, 0);
  await lab("fault", "clear", "kill-agent");
  const { stdout: folder } = await lab("kubeconfig");
  const log = folder.trim().replace(/kubeconfig$/, "log/agent-node1.log");
  await eventually(10_000, async () => {
    const text = readFileSync(log, "utf8");
    const since = text.slice(text.lastIndexOf("CNI records recovered"));
    assert.match(since, /node is ready for pods/);
    assert.doesNotMatch(since, /"trigger"/, "operations after the restart");
  });
});

test("an MTU that falls is followed by the device and by running pods", async () => {
  await lab("fault", "add", "mtu", "--node", "node1", "--set", "bytes=1400");
  await eventually(3000, async () => {
    assert.match(await exec("node/node1", "ip", "link", "show", "bwvxlan"), /mtu 1350 /);
    assert.match(await exec("default/a", "ip", "link", "show", "eth0"), /mtu 1350 /);
  });
  await lab("fault", "clear");
  // A larger size is used when it has been proven for a while.
  await eventually(10_000, async () =>
    assert.match(await exec("default/a", "ip", "link", "show", "eth0"), /mtu 1450 /),
  );
});

test("'breakwater plan' on a node says that there is nothing to change, and what it would change", async () => {
  const kubeconfig = (await lab("kubeconfig")).stdout.trim().replace(/kubeconfig$/, "node-kubeconfig");
  const stateDir = kubeconfig.replace(/node-kubeconfig$/, "nodes/node1/run");
  const program = resolve("bin/breakwater");
  const plan = () =>
    lab(
      "exec",
      "node/node1",
      "--",
      program,
      "plan",
      "--node-name",
      "node1",
      "--kubeconfig",
      kubeconfig,
      "--state-dir",
      stateDir,
    );
  const metadata = { name: "shut", namespace: "default" };
  const shut = { kind: "NetworkPolicy", metadata, spec: { podSelector: {}, policyTypes: ["Ingress"] } };
  const manifest = JSON.stringify({ apiVersion: "networking.k8s.io/v1", ...shut });
  await home.kubectl(NAME, ["apply", "-f", "-"], manifest);
  await eventually(10_000, async () => assert.match(await exec("node/node1", "nft", "list", "tables"), /-policy/));
  const whole = await plan();
  assert.equal(whole.code, 0, whole.stdout + whole.stderr);
  assert.match(whole.stdout, /Nothing to change/);
  await lab("fault", "add", "kill-agent", "--node", "node1");
  await exec("node/node1", "ip", "route", "del", "10.244.2.0/24");
  await exec("node/node1", "nft", "delete", "table", "ip", "breakwater-policy");
  const broken = await plan();
  assert.equal(broken.code, 1, broken.stderr);
  assert.match(broken.stdout, /set route 10\.244\.2\.0\/24 via 10\.244\.2\.0 dev bwvxlan onlink\s+Node node2/);
  assert.match(broken.stdout, /breakwater-policy.*the cluster's NetworkPolicies \(1\)/);
  await home.kubectl(NAME, ["delete", "networkpolicy", "shut"]);
  await lab("fault", "clear");
});

test("an agent that lost its journal leaves running pods alone, gives nobody their addresses, and lets them go when they are deleted", async () => {
  const stateDir = (await lab("kubeconfig")).stdout.trim().replace(/kubeconfig$/, "nodes/node3/run");
  await lab("fault", "add", "kill-agent", "--node", "node3");
  rmSync(`${stateDir}/attachments.jsonl`);
  await lab("fault", "clear");
  await eventually(10_000, async () => assert.equal((await lab("status")).code, 0));
  const taken = (await home.kubectl(NAME, ["get", "pod", "c", "-o", "jsonpath={.status.podIP}"])).stdout;
  const fresh = Array.from({ length: 3 }, (_, i) => podManifest(`fresh${i}`, { nodeName: "node3" }));
  await home.kubectl(NAME, ["apply", "-f", "-"], JSON.stringify({ apiVersion: "v1", kind: "List", items: fresh }));
  await home.kubectl(NAME, ["wait", "pod", "--all", "--for=condition=Ready", "--timeout=30s"]);
  const ips = (await home.kubectl(NAME, ["get", "pods", "-o", "jsonpath={.items[*].status.podIP}"])).stdout.split(" ");
  assert.equal(new Set(ips).size, ips.length, "no address twice");
  const probe = await lab("probe", "--from", "default/a", "--to", taken, "--port", "80", "-o", "json");
  assert.equal(JSON.parse(probe.stdout).answer, "default/c");
  await home.kubectl(NAME, ["delete", "pod", "c", "fresh0", "fresh1", "fresh2"]);
  await eventually(5000, async () => assert.doesNotMatch(await exec("node/node3", "ip", "-o", "link"), /bwh/));
});
