/** sessionAffinity ClientIP: who keeps which pod, for how long, and what when the pod goes. Both families. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ipFamily } from "../../src/model/ip.ts";
import { eventually, PATIENCE } from "./lab-fixture.ts";
import { responder, ServiceLab, service } from "./services-fixture.ts";

const lab = new ServiceLab("affinity");
const PODS = ["web1", "web2", "web3"];
/** Clients on two nodes; the machine outside comes through the router to NodePorts alone. */
const PODS_AND_NODES = ["c1", "c2", "c3", "c4"].map((name) => `default/${name}`).concat("node/node1", "node/node3");
const NODE_PORT_CLIENTS = [...PODS_AND_NODES, "node/outside"];
const STICKY = { sessionAffinity: "ClientIP" };
/** Longer than a busy machine pauses between two dials. */
const TIMEOUT_SECONDS = PATIENCE * 3;
/** IPVS forgets a client no earlier than its last connection: two minutes in TIME_WAIT (ip_vs_proto_tcp.c). */
const FORGETTING_MS = PATIENCE * 10_000 + (lab.backend === "ipvs" ? 120_000 : 0);
const short = { ...STICKY, sessionAffinityConfig: { clientIP: { timeoutSeconds: TIMEOUT_SECONDS } } };

before(() =>
  lab.up([
    ...PODS.map((name, i) => responder(name, "web", `node${i + 1}`)),
    ...["c1", "c2", "c3", "c4"].map((name, i) => responder(name, "client", i % 2 === 0 ? "node1" : "node2")),
  ]),
);
after(() => lab.close());

/** One client that dials one address of a Service. */
interface Session {
  readonly from: string;
  readonly to: string;
  readonly port: number;
}

const web = (name: string, spec: object, nodePort?: number) =>
  service(name, {
    selector: { app: "web" },
    ...(nodePort === undefined ? {} : { type: "NodePort", ports: [{ port: 80, nodePort }] }),
    ...spec,
  });

/** Everybody at the ClusterIPs. */
async function atClusterIps(name: string): Promise<Session[]> {
  const ips = await lab.clusterIps(name);
  assert.equal(ips.length, 2, "both families");
  return ips.flatMap((to) => PODS_AND_NODES.map((from) => ({ from, to, port: 80 })));
}

/** Everybody at the NodePort of one node. */
function atNode(node: string, port: number): Session[] {
  return lab.addresses(node).flatMap((to) => NODE_PORT_CLIENTS.map((from) => ({ from, to, port })));
}

/** Dials once each. @returns the pod that each session got */
async function once(sessions: readonly Session[]): Promise<string[]> {
  return (await lab.answers(sessions, 1)).map((counts, i) => {
    const [who = ""] = counts.keys();
    assert.match(who, /^default\/web/, JSON.stringify(sessions[i]));
    return who;
  });
}

/** Each session gets one pod, and gets it 15 times again. @returns the pods */
async function sticks(sessions: readonly Session[]): Promise<string[]> {
  const first = await once(sessions);
  const again = await lab.answers(sessions, 15);
  assert.deepEqual(
    again.map((counts) => [...counts]),
    first.map((pod) => [[pod, 15]]),
  );
  return first;
}

const affinitySeconds = (name: string, seconds: number | null) =>
  lab.served(
    name,
    (frontends) =>
      frontends.length > 0 &&
      frontends.every((each) => each.endpoints.length === PODS.length && each.affinitySeconds === seconds),
  );

/** How many clients the nodes' kernels remember at these addresses. */
function remembered(sessions: readonly Session[]): Promise<number> {
  return lab.backend === "ipvs" ? templates(sessions) : elements(sessions);
}

/** IPVS remembers a client by a connection from port 0, as ipvsadm(8) lists them. */
async function templates(sessions: readonly Session[]): Promise<number> {
  const addresses = new Set(sessions.map(({ to, port }) => `${ipFamily(to) === 4 ? to : `[${to}]`}:${port}`));
  const listed = await Promise.all(lab.nodes.map((node) => lab.exec(`node/${node}`, "ipvsadm", "-Lnc")));
  const rows = listed.flatMap((text) => text.split("\n").map((line) => line.trim().split(/\s+/)));
  return rows.filter(([, , , client = "", virtual = ""]) => client.endsWith(":0") && addresses.has(virtual)).length;
}

async function elements(sessions: readonly Session[]): Promise<number> {
  // A map of IPv4's says the protocol, sets of IPv6's are of one.
  const keys = [...new Set(sessions.map(({ to, port }) => `${to}${ipFamily(to) === 4 ? " . tcp" : ""} . ${port} `))];
  const tables = lab.nodes.flatMap((node) => [lab.exec(`node/${node}`, "sh", "-c", LIST_AFFINITY)]);
  const text = (await Promise.all(tables)).join("\n");
  return keys.reduce((sum, key) => sum + text.split(` . ${key}`).length - 1, 0);
}
const LIST_AFFINITY = "nft list map ip breakwater affinity; nft list set ip6 breakwater clients-tcp";

/** Sessions outlast their timeout while they are used; when they are not, they end with it, and other pods are chosen. */
async function ends(sessions: readonly Session[]): Promise<void> {
  const first = await sticks(sessions);
  const until = performance.now() + 1.5 * TIMEOUT_SECONDS * 1000;
  while (performance.now() < until) {
    assert.deepEqual(await once(sessions), first, "in use");
    await sleep(TIMEOUT_SECONDS * 100);
  }
  assert.ok((await remembered(sessions)) > 0, "remembered");
  // A dozen clients do not all choose the same pods again; if they do, once more.
  await eventually(3 * FORGETTING_MS, async () => {
    await eventually(FORGETTING_MS, async () => assert.equal(await remembered(sessions), 0, "forgotten"));
    assert.notDeepEqual(await once(sessions), first);
  });
}

/** ClientIP, None, ClientIP: one pod, all pods, one pod. */
async function switches(name: string, sessions: readonly Session[]): Promise<void> {
  await sticks(sessions);
  await lab.patch(name, { sessionAffinity: "None", sessionAffinityConfig: null });
  await affinitySeconds(name, null);
  await lab.reachesAll(sessions, PODS);
  await lab.patch(name, STICKY);
  await affinitySeconds(name, 10_800);
  await sticks(sessions);
}

test("svc-22 sessionAffinity ClientIP at a ClusterIP: a client has one pod", async () => {
  await lab.apply(web("sticky", STICKY));
  await affinitySeconds("sticky", 10_800);
  const sessions = await atClusterIps("sticky");
  const pods = await sticks(sessions);
  assert.ok(new Set(pods).size > 1, `${sessions.length} sessions are spread over the pods`);
});

test("svc-23 affinity at a ClusterIP ends with its timeout, and not while it is used", async () => {
  await lab.apply(web("timeout", short));
  await affinitySeconds("timeout", TIMEOUT_SECONDS);
  await ends(await atClusterIps("timeout"));
});

test("svc-24 affinity at a ClusterIP is switched off and on", async () => {
  await lab.apply(web("switch", STICKY));
  await affinitySeconds("switch", 10_800);
  await switches("switch", await atClusterIps("switch"));
});

test("svc-25 sessionAffinity ClientIP at a NodePort: a client has one pod, also one from outside", async () => {
  await lab.apply(web("sticky-port", STICKY, 30025));
  await affinitySeconds("sticky-port", 10_800);
  await sticks([...atNode("node1", 30025), ...atNode("node2", 30025)]);
});

test("svc-26 affinity at a NodePort ends with its timeout, and not while it is used", async () => {
  await lab.apply(web("timeout-port", short, 30026));
  await affinitySeconds("timeout-port", TIMEOUT_SECONDS);
  await ends(atNode("node1", 30026));
});

test("svc-27 affinity at a NodePort is switched off and on", async () => {
  await lab.apply(web("switch-port", STICKY, 30027));
  await affinitySeconds("switch-port", 10_800);
  await switches("switch-port", atNode("node2", 30027));
});

test("svc-28 when a client's pod goes it gets another one and keeps that; clients of other pods keep theirs", async () => {
  const own = (name: string, node: string) => responder(name, "churn", node);
  await lab.apply(
    service("churn", { type: "NodePort", ports: [{ port: 80, nodePort: 30028 }], ...STICKY }),
    ...["web-a", "web-b", "web-c"].map((name, i) => own(name, `node${i + 1}`)),
  );
  await lab.endpoints("churn", 3);
  const sessions = [...(await atClusterIps("churn")), ...atNode("node1", 30028)];
  const before = await sticks(sessions);
  const [gone = ""] = before;
  await lab.kubectl("delete", "pod", gone.replace("default/", ""), "--timeout=30s");
  await lab.endpoints("churn", 2);
  const moved = await sticks(sessions);
  for (const [i, pod] of moved.entries()) {
    assert.notEqual(pod, gone, "a pod that is gone");
    if (before[i] !== gone)
      assert.equal(pod, before[i], `${JSON.stringify(sessions[i])} had a pod that is still there`);
  }
  await lab.apply(own("web-d", "node3"));
  await lab.endpoints("churn", 3);
  assert.deepEqual(await sticks(sessions), moved, "a pod that comes takes no client from another");
});

test("nft(8) reads back what it prints of every node's tables, with the clients that they remember", async () => {
  await lab.apply(web("printed", STICKY));
  await affinitySeconds("printed", 10_800);
  const sessions = await atClusterIps("printed");
  const pods = await sticks(sessions);
  const texts = await Promise.all(lab.nodes.map((node) => lab.exec(`node/${node}`, "nft", "list", "ruleset")));
  // Behind IPVS no table remembers clients, but for those from outside under a policy Local.
  if (lab.backend === "nftables") assert.match(texts.join("\n"), /set clients-tcp {[^}]*elements = {/);
  // Only a check: in a node's own namespace the tables belong to its agent.
  for (const node of lab.nodes) {
    const check =
      "nft list ruleset > /tmp/printed.nft && unshare --net nft --check --file /tmp/printed.nft && rm /tmp/printed.nft";
    await lab.exec(`node/${node}`, "sh", "-c", check);
  }
  assert.deepEqual(await once(sessions), pods);
});

test("svc-28 under externalTrafficPolicy Local clients from outside keep one pod of the node, and get another when it goes", async () => {
  const spec = { type: "NodePort", externalTrafficPolicy: "Local", ports: [{ port: 80, nodePort: 30128 }], ...STICKY };
  const pods = ["web-1", "web-2", "web-3"];
  await lab.apply(service("local", spec), ...pods.map((name) => responder(name, "local", "node1")));
  await lab.endpoints("local", 3);
  const sessions = lab.addresses("node1").map((to) => ({ from: "node/outside", to, port: 30128 }));
  assert.deepEqual(
    sessions.map(({ to }) => ipFamily(to)),
    [4, 6],
  );
  for (let left = 3; left > 1; left--) {
    const [first = ""] = await sticks(sessions);
    await lab.kubectl("delete", "pod", first.replace("default/", ""), "--timeout=30s");
    await lab.endpoints("local", left - 1);
  }
  await sticks(sessions);
});
