/** A dual-stack cluster whose nodes tell each other their pod CIDRs by BGP: seen from pods, from the kernel, from BIRD. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, afterEach, before, test } from "node:test";
import type { BgpReport } from "../../src/model/bgp-report.ts";
import { eventually, LabHome, podManifest } from "./lab-fixture.ts";

const home = new LabHome();
const NAME = "bgp";
const PODS = ["a", "b", "c"] as const;
const NODES = ["node1", "node2", "node3"] as const;
const lab = (verb: string, ...args: string[]) => home.lab(NAME, verb, ...args);
const onNode = (node: string, command: string) => lab("exec", `node/${node}`, "--", "sh", "-c", command);
const exec = async (target: string, ...command: string[]) => {
  const outcome = await lab("exec", target, "--", ...command);
  assert.equal(outcome.code, 0, `${target}: ${command.join(" ")}: ${outcome.stderr}`);
  return outcome.stdout;
};
const addresses = new Map<string, string[]>();

before(async () => {
  const items = PODS.map((name, i) => podManifest(name, { nodeName: NODES[i] }));
  const file = home.write("pods.json", JSON.stringify({ apiVersion: "v1", kind: "List", items }));
  const up = await lab("up", "--routing", "bgp", "--dual-stack", "--manifests", file);
  assert.equal(up.code, 0, up.stderr);
  const { stdout } = await home.kubectl(NAME, ["get", "pods", "-o", "json"]);
  for (const { metadata, status } of JSON.parse(stdout).items) {
    addresses.set(
      metadata.name,
      status.podIPs.map(({ ip }: { ip: string }) => ip),
    );
  }
});

afterEach(() => lab("fault", "clear"));
after(() => home.close());

async function bgpOf(node: string): Promise<BgpReport> {
  const { stdout } = await lab("exec", `node/${node}`, "--", resolve("bin/breakwater"), "bgp", "-o", "json");
  return JSON.parse(stdout) as BgpReport;
}

const birdStatus = (node: string) => {
  const socket = join(home.folder, "labs", NAME, "nodes", node, "run", "bird", "bird.ctl");
  return exec(`node/${node}`, "birdc", "-s", socket, "show", "status");
};

/** Packets from pod a to pod c, one every 5 ms, while something happens. @returns how many of them got no answer */
async function lostWhile(seconds: number, happens: () => Promise<void>): Promise<number> {
  const [ip = ""] = addresses.get("c") ?? [];
  const count = String(seconds * 200);
  const stream = exec("default/a", "ping", "-n", "-q", "-i", "0.005", "-c", count, "-W", "2", ip);
  await happens();
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(await stream) ?? [];
  assert.equal(sent, count);
  return Number(sent) - Number(received);
}

/** What the kernel is told of routes on a node meanwhile, of one family. */
async function routeChangesWhile(node: string, happens: () => Promise<void>): Promise<string[]> {
  const file = join(home.folder, `routes-${node}`);
  await onNode(node, `ip -4 monitor route > ${file} 2>&1 < /dev/null & echo $! > ${file}.pid`);
  await happens();
  const { stdout } = await onNode(node, `kill $(cat ${file}.pid); cat ${file}`);
  return stdout.split("\n").filter((line) => line.includes("proto bird"));
}

test("every pod reaches every pod by TCP and UDP, IPv4 and IPv6, as soon as the lab is up", async () => {
  const probes = PODS.flatMap((from) =>
    PODS.flatMap((to) =>
      (addresses.get(to) ?? []).flatMap((ip) => [
        { from: `default/${from}`, to: ip, port: 80, protocol: "TCP" },
        { from: `default/${from}`, to: ip, port: 53, protocol: "UDP" },
      ]),
    ),
  );
  assert.equal(probes.length, 36, "three pods with two addresses each");
  const batch = home.write("batch.json", JSON.stringify(probes));
  const answers = JSON.parse((await lab("probe", "--batch", batch, "-o", "json")).stdout);
  for (const [i, probe] of probes.entries())
    assert.equal(answers[i].allowed, true, JSON.stringify({ ...probe, ...answers[i] }));
});

test("routes between nodes are BIRD's, straight over the underlay: no tunnel, no route of ours, the whole MTU", async () => {
  const routes = await exec("node/node1", "ip", "route");
  assert.match(routes, /^10\.244\.2\.0\/24 via 192\.168\.1\.12 dev eth0 proto bird metric 9800 $/m);
  assert.match(routes, /^10\.244\.3\.0\/24 via 192\.168\.1\.13 dev eth0 proto bird metric 9800 $/m);
  // What no pod has is not sent back to the fabric.
  assert.match(routes, /^unreachable 10\.244\.1\.0\/24 proto 98 $/m);
  const routes6 = await exec("node/node1", "ip", "-6", "route");
  assert.match(routes6, /^fd00:10:244:2::\/64 via fd00:192:168:1::c dev eth0 proto bird metric 9800 /m);
  assert.doesNotMatch(`${routes}${routes6}`, /10\.244\.[23]\.0\/24 .*proto 98|fd00:10:244:[23]::\/64 .*proto 98/);
  const links = await exec("node/node1", "ip", "-o", "link");
  assert.doesNotMatch(links, /bwvxlan/);
  assert.match(await exec("default/a", "ip", "link", "show", "eth0"), /mtu 1500 /);
});

test("pods see each other's own addresses: nothing is masqueraded between nodes", async () => {
  const [to = ""] = addresses.get("c") ?? [];
  const [from = ""] = addresses.get("a") ?? [];
  const answer = await exec("default/a", "ping", "-c", "1", "-W", "2", "-R", to);
  assert.match(answer, new RegExp(`RR:[\\s\\S]*${from.replaceAll(".", "\\.")}`));
});

test("breakwater bgp says who is established, since when, and what goes in and out", async () => {
  for (const node of NODES) {
    const report = await bgpOf(node);
    assert.equal(report.failure, null);
    assert.deepEqual(report.problems, []);
    assert.deepEqual(
      report.sessions.map(({ peer, kind, state, asNumber, lastError }) => [peer, kind, state, asNumber, lastError]),
      NODES.filter((other) => other !== node).map((other) => [other, "node", "Established", 64512, null]),
    );
    for (const { since, channels } of report.sessions) {
      assert.ok(since !== null && Math.abs(Date.now() / 1000 - since) < 300, `since ${since}`);
      assert.deepEqual(
        channels.map(({ family, up, imported, exported, preferred }) => [family, up, imported, exported, preferred]),
        [
          [4, true, 1, 1, 1],
          [6, true, 1, 1, 1],
        ],
      );
    }
  }
  const text = await exec("node/node1", resolve("bin/breakwater"), "bgp");
  assert.match(text, /^Announced: 10\.244\.1\.0\/24, fd00:10:244:1::\/64$/m);
  assert.match(text, /^node2 +node +192\.168\.1\.12 +64512 +Established +\d+[smh] +1\+1 +1\+1 +-$/m);
});

test("a killed BIRD costs no packet, comes back, and no route changes", async () => {
  const before = await bgpOf("node1");
  const changes = await routeChangesWhile("node3", async () => {
    const lost = await lostWhile(15, async () => {
      await lab("fault", "add", "kill-bird", "--node", "node1");
      await eventually(10_000, async () => {
        const now = await bgpOf("node1");
        assert.notEqual(now.bird.pid, before.bird.pid);
        assert.deepEqual([now.bird.running, now.bird.restarts], [true, 1]);
        assert.ok(now.sessions.every(({ state }) => state === "Established"));
      });
      // Of two that restart at the same moment neither waits for the other (RFC 4724, section 4.1).
      await eventually(10_000, async () => assert.doesNotMatch(await birdStatus("node1"), /restart recovery/i));
      await lab("fault", "add", "kill-bird", "--node", "node3");
      await eventually(10_000, async () => {
        const { bird, sessions } = await bgpOf("node3");
        assert.equal(bird.restarts, 1);
        assert.ok(sessions.every(({ state }) => state === "Established"));
      });
    });
    assert.equal(lost, 0);
  });
  assert.deepEqual(changes, []);
});

test("a killed agent costs no packet; BIRD outlives it, and its successor finds it", async () => {
  const before = await bgpOf("node1");
  const lost = await lostWhile(6, async () => {
    await lab("fault", "add", "kill-agent", "--node", "node1");
    const gone = await lab("exec", "node/node1", "--", resolve("bin/breakwater"), "bgp");
    assert.match(gone.stderr, /BW_AGENT_AWAY/);
    await lab("fault", "clear", "kill-agent");
    await eventually(10_000, async () => {
      const now = await bgpOf("node1");
      assert.deepEqual([now.failure, now.bird.pid, now.bird.restarts], [null, before.bird.pid, 0]);
      assert.deepEqual(
        now.sessions.map(({ since }) => since),
        before.sessions.map(({ since }) => since),
        "no session was lost",
      );
    });
  });
  assert.equal(lost, 0);
});

test("a BIRD that hangs is ended and started anew, and costs no packet", async () => {
  const before = await bgpOf("node2");
  await lab("fault", "add", "hang-bird", "--node", "node2");
  const lost = await lostWhile(20, () =>
    eventually(40_000, async () => {
      const now = await bgpOf("node2");
      assert.notEqual(now.bird.pid, before.bird.pid);
      assert.ok(now.bird.running && now.sessions.every(({ state }) => state === "Established"), JSON.stringify(now));
    }),
  );
  assert.equal(lost, 0);
});

test("a route of BIRD's that somebody deletes is told of by breakwater bgp verify, and back", async () => {
  const verify = [resolve("bin/breakwater"), "bgp", "verify"];
  // Two families of two others.
  assert.match(await exec("node/node1", ...verify), /API, BIRD and kernel agree on 4 prefixes/);
  // Once in 20 s BIRD reads the kernel's routes, and may be quicker than this command.
  await eventually(30_000, async () => {
    const { code, stdout } = await onNode("node1", `ip route del 10.244.2.0/24 proto bird; ${verify.join(" ")}`);
    assert.equal(code, 1);
    assert.match(stdout, /^10\.244\.2\.0\/24 +Node node2 +via 192\.168\.1\.12 +-$/m);
  });
  await eventually(30_000, async () => assert.match(await exec("node/node1", "ip", "route"), /10\.244\.2\.0\/24 via/));
});

const kubectl = async (...words: string[]) => {
  const outcome = await home.kubectl(NAME, words);
  assert.equal(outcome.code, 0, outcome.stderr);
};

const sessionsOf = async (node: string) =>
  (await bgpOf(node)).sessions.map(({ peer, state }) => `${peer} ${state}`).sort();

/** Of node1: by whom the route to node3's pods is known. */
async function toldBy(): Promise<string> {
  const socket = join(home.folder, "labs", NAME, "nodes", "node1", "run", "bird", "bird.ctl");
  const text = await exec("node/node1", "birdc", "-s", socket, "show", "route", "10.244.3.0/24");
  return /\[(mesh-\S+)/.exec(text)?.[1] ?? text;
}

test("nodes have sessions with route reflectors alone, which pass on whose route it is; one that restarts costs no packet", async () => {
  const spec = { routeReflectors: { matchLabels: { "example.com/reflector": "yes" } } };
  const configuration = { apiVersion: "breakwater.dev/v1alpha1", kind: "BGPConfiguration" };
  const file = home.write("bgp.json", JSON.stringify({ ...configuration, metadata: { name: "default" }, spec }));
  await kubectl("label", "node", "node2", "example.com/reflector=yes");
  await kubectl("apply", "-f", file);
  await eventually(20_000, async () => {
    assert.deepEqual(await sessionsOf("node1"), ["node2 Established"]);
    assert.deepEqual(await sessionsOf("node3"), ["node2 Established"]);
    assert.deepEqual(await sessionsOf("node2"), ["node1 Established", "node3 Established"]);
    assert.equal(await toldBy(), "mesh-node2");
  });
  const way = /^10\.244\.3\.0\/24 via 192\.168\.1\.13 dev eth0 proto bird metric 9800 $/m;
  await eventually(10_000, async () => assert.match(await exec("node/node1", "ip", "route"), way));
  const { restarts } = (await bgpOf("node2")).bird;
  const lost = await lostWhile(8, async () => {
    await lab("fault", "add", "kill-bird", "--node", "node2");
    await eventually(10_000, async () => {
      const now = await bgpOf("node2");
      assert.equal(now.bird.restarts, restarts + 1);
      assert.ok(now.sessions.every(({ state }) => state === "Established"));
    });
  });
  assert.equal(lost, 0);
  await kubectl("delete", "-f", file);
  await eventually(20_000, async () => {
    assert.deepEqual(await sessionsOf("node1"), ["node2 Established", "node3 Established"]);
    assert.equal(await toldBy(), "mesh-node3");
  });
});

test("an agent that routes otherwise ends the BIRD of the one before once its own routes are there; the next one starts BIRD again", async () => {
  const own = join(home.folder, "labs", NAME, "nodes", "node1");
  const log = join(home.folder, "agent-auto.log");
  await lab("fault", "add", "kill-agent", "--node", "node1");
  const words = [
    ...["agent", "--node-name", "node1", "--kubeconfig", join(home.folder, "labs", NAME, "node-kubeconfig")],
    ...["--routing", "auto", "--state-dir", `${own}/run`, "--cni-conf-dir", `${own}/cni/net.d`],
    ...["--cni-bin-dir", `${own}/cni/bin`, "--cni-chain", "none"],
  ];
  await onNode(
    "node1",
    `${resolve("bin/breakwater")} ${words.join(" ")} > ${log} 2>&1 < /dev/null & echo $! > ${log}.pid`,
  );
  await eventually(10_000, async () => {
    const routes = await exec("node/node1", "sh", "-c", "ip route; ip -6 route");
    assert.match(routes, /^10\.244\.3\.0\/24 via 192\.168\.1\.13 dev eth0 proto 98/m);
    assert.doesNotMatch(routes, /proto bird/, readFileSync(log, "utf8"));
  });
  // Agents of other nodes go on with BGP; with this one they have routes of their own, as it has with them.
  await eventually(20_000, async () =>
    assert.match(await exec("node/node3", "ip", "route"), /^10\.244\.1\.0\/24 via 192\.168\.1\.11 dev eth0 proto 98/m),
  );
  // Back to BGP: on both ends the agent's own route goes when BIRD's is there, and not before.
  const lost = await lostWhile(15, async () => {
    await onNode("node1", `kill $(cat ${log}.pid)`);
    await lab("fault", "clear", "kill-agent");
    await eventually(12_000, async () => {
      const { sessions } = await bgpOf("node1");
      assert.ok(sessions.length === 2 && sessions.every(({ state }) => state === "Established"));
      for (const [node, other] of [
        ["node1", 3],
        ["node3", 1],
      ] as const) {
        const routes = await exec(`node/${node}`, "ip", "route", "show", `10.244.${other}.0/24`);
        // One line: the agent's own is gone.
        assert.match(routes, /^10\.244\.\d\.0\/24 via 192\.168\.1\.1\d dev eth0 proto bird metric 9800 \n$/);
      }
    });
  });
  assert.equal(lost, 0);
  const probe = await lab("probe", "--from", "default/a", "--to", "default/c", "--port", "80");
  assert.equal(probe.code, 0, probe.stdout);
  assert.match(readFileSync(log, "utf8"), /routing is by BGP no more/);
});

test("cleanup ends BIRD and takes its routes away, and no others", async () => {
  await exec("node/node3", "ip", "route", "add", "10.99.0.0/16", "via", "192.168.1.1", "proto", "bird");
  await lab("fault", "add", "kill-agent", "--node", "node3");
  const own = join(home.folder, "labs", NAME, "nodes", "node3");
  const command = `${resolve("bin/breakwater")} cleanup --state-dir ${own}/run --cni-conf-dir ${own}/cni/net.d --cni-bin-dir ${own}/cni/bin`;
  const { stdout, stderr, code } = await onNode("node3", command);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /BIRD has ended/);
  const routes = await exec("node/node3", "ip", "route");
  assert.doesNotMatch(routes, /metric 9800|unreachable/);
  assert.match(routes, /^10\.99\.0\.0\/16 .*proto bird/m);
  assert.doesNotMatch(await exec("node/node3", "ip", "-6", "route"), /metric 9800|unreachable fd00:10:244/);
  // A BIRD that was told to go is no crash: the others drop its routes at once.
  await eventually(10_000, async () =>
    assert.doesNotMatch(await exec("node/node1", "ip", "route"), /10\.244\.3\.0\/24/),
  );
});

test("a fabric that is not known is refused", async () => {
  const { code, stderr } = await home.lab("refused", "up", "--routing", "bgp", "--subnets", "2", "--fabric", "cisco");
  assert.equal(code, 1);
  assert.match(stderr, /--fabric "cisco" is none of frr, gobgp \(BW_USAGE\)/);
});
