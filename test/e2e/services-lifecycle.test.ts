/** Services while pods, agents, the API server and somebody else's hands come in between. Both families. */
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { eventually, PATIENCE } from "./lab-fixture.ts";
import type { Traffic } from "./peers/steady.ts";
import { peer, responder, SETTLED_MS, ServiceLab, service } from "./services-fixture.ts";

const lab = new ServiceLab("lifecycle");
const CLIENT = "default/client";
const CLIENTS = [CLIENT, "default/far", "node/node1", "node/node2"];
const TALK_PORT = 9001;
const SERVERS = ["steady1", "steady2"];

/** "steady" is there all the time, with two servers on two nodes and a port for connections that last. */
before(async () => {
  const echo = { name: "echo", image: "echo", command: peer("echo", String(TALK_PORT)) };
  const main = { name: "main", image: "responder", ports: [{ containerPort: 80 }] };
  const server = (name: string, node: string) => responder(name, "steady", node, { containers: [main, echo] });
  const ports = [
    { name: "dial", port: 80, nodePort: 30013 },
    { name: "talk", port: TALK_PORT },
  ];
  await lab.up([
    responder("client", "client", "node1"),
    responder("far", "far", "node2"),
    service("steady", { type: "NodePort", ports }),
    server("steady1", "node1"),
    server("steady2", "node3"),
  ]);
  await lab.endpoints("steady", 2);
});
afterEach(() => lab.lab("fault", "clear"));
after(() => lab.close());

async function clusterDials(name: string, clients = CLIENTS) {
  const ips = await lab.clusterIps(name);
  assert.equal(ips.length, 2, "both families");
  return ips.flatMap((to) => clients.map((from) => ({ from, to, port: 80 })));
}

/** Dials, connections that last, to both ClusterIPs of "steady". */
async function steadyTraffic(): Promise<Traffic[]> {
  return (await lab.clusterIps("steady")).flatMap((to) => [
    { to, port: 80, way: "dial" as const },
    { to, port: TALK_PORT, way: "talk" as const },
  ]);
}

/** A Service with one pod on node2 comes, and is served everywhere. */
async function comesUp(name: string): Promise<void> {
  await lab.apply(service(name), responder(`${name}-1`, name, "node2"));
  await lab.endpoints(name, 1);
  await lab.reachesAll(await clusterDials(name), [`${name}-1`]);
}

test("svc-12 Services come up and go down independently", async () => {
  await lab.steadily(CLIENT, await steadyTraffic(), async () => {
    await comesUp("svc1");
    await comesUp("svc2");
    const [one, two] = [await clusterDials("svc1"), await clusterDials("svc2")];
    await lab.kubectl("delete", "service/svc1", "pod/svc1-1", "--timeout=30s");
    await lab.gone("svc1");
    await lab.expect([
      ...one.map((probe) => ({ ...probe, gets: "ETIMEDOUT" })),
      ...two.map((probe) => ({ ...probe, gets: "default/svc2-1" })),
    ]);
    await comesUp("svc3");
    await lab.reachesAll(two, ["svc2-1"]);
  });
});

test("no dial fails while the endpoints of its Service come and go", async () => {
  // These answer for a while when they are told to end, as servers do that finish what they began.
  const server = (name: string, node: string) => responder(name, "churn", node, { terminationGracePeriodSeconds: 8 });
  await lab.apply(service("churn"), server("churn1", "node1"), server("churn2", "node2"), server("churn3", "node3"));
  await lab.endpoints("churn", 3);
  const dials = (await lab.clusterIps("churn")).flatMap((to) =>
    Array.from({ length: 4 }, () => ({ to, port: 80, way: "dial" as const })),
  );
  const succeeded = await lab.steadily(CLIENT, dials, async () => {
    for (const [gone, left] of [
      ["churn1", 2],
      ["churn2", 1],
    ] as const) {
      await lab.kubectl("delete", "pod", gone, "--wait=false");
      await lab.endpoints("churn", left);
    }
    await lab.apply(server("churn4", "node1"), server("churn5", "node2"), server("churn6", "node2"));
    await lab.endpoints("churn", 4);
    await lab.kubectl("delete", "pod", "churn3", "--wait=false");
    await lab.endpoints("churn", 3);
  });
  assert.ok(
    succeeded.every((count) => count > 10),
    `${succeeded} dials`,
  );
  await lab.kubectl("delete", "service", "churn");
  await lab.gone("churn");
});

const agentPids = async () => (await lab.status()).nodes.map(({ agentPid }) => agentPid);

/**
 * The tables of Services on some nodes, a line or an element a text. A map's elements are printed in no order.
 * @param same what is the same whatever differs between two lines, such as the handle of what was made anew
 */
async function tables(nodes: readonly string[], same = (line: string) => line): Promise<string[]> {
  const print = ["nft -a list table ip breakwater; nft -a list table ip6 breakwater"];
  if (lab.backend === "ipvs") print.push("ipvsadm -Sn; ip -o address show dev bwipvs0 | sed 's/^[0-9]*//'");
  const each = await Promise.all(nodes.map((node) => lab.exec(`node/${node}`, "sh", "-ec", print.join("\n"))));
  const lines = each
    .flatMap((text) => text.split(/[,\n]/))
    .map((line) => line.replace(/elements = \{|\}$/g, "").trim());
  return lines
    .filter((line) => line !== "")
    .map(same)
    .sort();
}

/** The same, once slots that were given up have been swept: each frontend has as many as its verdict says. */
async function sweptTables(nodes: readonly string[], same?: (line: string) => string): Promise<string[]> {
  let lines: string[] = [];
  await eventually(PATIENCE * 5000, async () => {
    lines = await tables(nodes);
    const slots = new Map<string, number>();
    for (const line of lines) {
      const [, key = "", count = "-1"] =
        /^(\S+ \. (?:tcp|udp) \. \d+) (?:\. \d+ :|comment ".*" : goto lb-(\d+))/.exec(line) ?? [];
      slots.set(key, (slots.get(key) ?? 0) + Number(count));
    }
    slots.delete("");
    assert.deepEqual(
      [...slots].filter(([, left]) => left !== 0),
      [],
    );
  });
  return same === undefined ? lines : tables(nodes, same);
}

test("svc-13 an agent that was killed leaves Services that work, and its successor changes nothing and serves new ones", async () => {
  await lab.steadily(CLIENT, await steadyTraffic(), async () => {
    const whole = await sweptTables(lab.nodes);
    for (const node of lab.nodes) assert.equal((await lab.lab("fault", "add", "kill-agent", "--node", node)).code, 0);
    assert.deepEqual(await agentPids(), [undefined, undefined, undefined]);
    await lab.reachesAll(await clusterDials("steady"), SERVERS);
    await lab.lab("fault", "clear");
    await eventually(SETTLED_MS, async () => void (await lab.reports()));
    await lab.endpoints("steady", 2);
    assert.deepEqual(await tables(lab.nodes), whole);
    await lab.reachesAll(await clusterDials("steady"), SERVERS);
    await comesUp("later");
  });
});

test("svc-13 agents that are told to end go, and come back, without a dial or a connection that fails", async () => {
  await lab.steadily("default/far", await steadyTraffic(), async () => {
    const before = await agentPids();
    await lab.exec("node/node1", "kill", ...before.map(String));
    await eventually(SETTLED_MS, async () => {
      const now = await agentPids();
      assert.ok(
        now.every((pid, i) => pid !== undefined && pid !== before[i]),
        `${now}`,
      );
    });
    await eventually(SETTLED_MS, async () => void (await lab.reports()));
    await comesUp("behind");
  });
});

test("svc-13 what changed while no agent ran is served when one runs again", async () => {
  await comesUp("meanwhile");
  await comesUp("ended");
  const ended = await clusterDials("ended");
  for (const node of lab.nodes) await lab.lab("fault", "add", "kill-agent", "--node", node);
  await lab.kubectl("delete", "service", "ended");
  await lab.apply(
    service("begun"),
    responder("meanwhile-2", "meanwhile", "node1"),
    responder("begun-1", "begun", "node1"),
  );
  await lab.lab("fault", "clear");
  await eventually(SETTLED_MS, async () => void (await lab.reports()));
  await Promise.all([lab.endpoints("begun", 1), lab.endpoints("meanwhile", 2), lab.gone("ended")]);
  await lab.reachesAll(await clusterDials("meanwhile"), ["meanwhile-1", "meanwhile-2"]);
  await lab.reachesAll(await clusterDials("begun"), ["begun-1"]);
  await lab.expect(ended.map((probe) => ({ ...probe, gets: "ETIMEDOUT" })));
});

/** What somebody else might do to the tables of node1, for each family. */
const DAMAGES = [
  "nft delete table FAMILY breakwater",
  "nft flush map FAMILY breakwater services",
  "nft flush set FAMILY breakwater cluster-ips",
  ...(lab.backend === "ipvs"
    ? []
    : ["nft flush map FAMILY breakwater endpoints", "nft flush chain FAMILY breakwater lb-2"]),
  "nft flush chain FAMILY breakwater prerouting",
  "nft flush chain FAMILY breakwater services",
  "nft flush chain FAMILY breakwater filter",
  "nft insert rule FAMILY breakwater prerouting drop",
  "nft flush ruleset",
];

test("svc-14 what somebody deletes of the tables, or adds, is put right within a second", async () => {
  const dials = [
    ...(await clusterDials("steady")),
    ...lab.addresses("node1").map((to) => ({ from: "node/outside", to, port: 30013 })),
  ];
  // Handles and slots of what was made again are others.
  const same = (line: string) =>
    line.replace(/ # handle \d+/, "").replace(/( \. (?:tcp|udp) \. \d+) \. \d+ :/, "$1 . slot :");
  const whole = await sweptTables(["node1"], same);
  for (const damage of DAMAGES) {
    const commands = ["ip", "ip6"].map((family) => damage.replace("FAMILY", family));
    await lab.exec("node/node1", "sh", "-ec", commands.join("; "));
    await eventually(PATIENCE * 1000, async () => assert.deepEqual(await tables(["node1"], same), whole, damage));
    await lab.reachesAll(dials, SERVERS);
  }
});

/** IPVS tells nobody of changes: a look at all of it finds these, every three minutes or when it is asked for. */
const IPVS_DAMAGES = ["ipvsadm -C", "ip -4 address flush dev bwipvs0", "ip link delete bwipvs0"];

const takesFromIpvs = async () => {
  const dials = await clusterDials("steady");
  const whole = await sweptTables(["node1"]);
  for (const damage of IPVS_DAMAGES) {
    await lab.exec("node/node1", "sh", "-ec", damage);
    await lab.exec("node/node1", "bin/breakwater", "services", "verify").catch(() => undefined);
    await eventually(PATIENCE * 1000, async () => assert.deepEqual(await tables(["node1"]), whole, damage));
    await lab.reachesAll(dials, SERVERS);
  }
};
if (lab.backend === "ipvs")
  test(
    "svc-14 what somebody takes from IPVS is put right with the next look, as by kube-proxy's resync",
    takesFromIpvs,
  );

test("svc-15 the API server goes away and comes back: Services work on, and new ones come then", async () => {
  const dials = await clusterDials("steady");
  await lab.steadily(CLIENT, await steadyTraffic(), async () => {
    assert.equal((await lab.lab("fault", "add", "api-down")).code, 0);
    await lab.reachesAll(dials, SERVERS);
    await lab.lab("fault", "clear");
    await comesUp("after");
    await lab.reachesAll(dials, SERVERS);
  });
});
