/** NetworkPolicies with real sockets: the 65 cases of test/conformance/netpol, and what no table of probes shows. */
import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { pods } from "../../src/kube/resource.ts";
import { POLICY_TABLES } from "../../src/model/marks.ts";
import { policyCases } from "../conformance/netpol/cases.ts";
import { eventually } from "./lab-fixture.ts";
import { testPolicyCases } from "./network-policy-cases.ts";
import type { Traffic, TrafficOutcome } from "./peers/steady.ts";
import { ipv6Of, namespaceObject, PolicyLab, podAt, policy, type Row } from "./policies-fixture.ts";
import { peer, SETTLED_MS } from "./services-fixture.ts";

const lab = new PolicyLab("netpol");

before(async () => {
  await lab.start();
  for (const name of ["shut", "open"]) await lab.create(namespaceObject(name));
});
afterEach(() => lab.deletePolicies());
after(() => lab.close());

testPolicyCases(lab, policyCases);

test("there are 65 cases", () => assert.equal(policyCases.length, 65));

const DENY_INGRESS = { policyTypes: ["Ingress"] };
const TALK_PORT = 9001;
const both = (ip: string) => [ip, ipv6Of(ip)];
const PORTS = [{ containerPort: 80 }, { containerPort: 80, protocol: "UDP" }];

/** A pod of node2 in a namespace of these tests; it starts only when it is told to. */
function arrival(namespace: string, name: string, host: number, spec: object = {}): Record<string, unknown> {
  return podAt({ namespace, name, node: "node2", ips: both(`10.244.2.${host}`) }, PORTS, spec);
}

/** Datagrams that the pod's kernel was given since the pod is there, for a socket or for none. */
async function datagrams(pod: string): Promise<number> {
  const text = await lab.exec(pod, "cat", "/proc/net/snmp", "/proc/net/snmp6");
  const [names = "", values = ""] = text.split("\n").filter((line) => line.startsWith("Udp:"));
  const ipv4 = names.split(" ").map((name, i) => [name, Number(values.split(" ")[i])] as const);
  const ipv6 = [...text.matchAll(/^Udp6(\w+)\s+(\d+)$/gm)].map(
    ([, name = "", value]) => [name, Number(value)] as const,
  );
  const seen = [...ipv4, ...ipv6].filter(([name]) => name === "InDatagrams" || name === "NoPorts");
  assert.equal(seen.length, 4, text);
  return seen.reduce((sum, [, value]) => sum + value, 0);
}

/** Goes on in a pod until it is stopped. */
async function running(pod: string, command: readonly string[]): Promise<() => Promise<string>> {
  const started = await lab.exec(pod, "sh", "-c", `"$@" < /dev/null > /dev/null 2>&1 & echo $!`, "sh", ...command);
  return () => lab.exec(pod, "kill", started.trim());
}

test("not one packet reaches a pod that starts into traffic which a policy denies", async () => {
  const hosts = [201, 202, 203, 204];
  const names = hosts.map((host) => `late-${host}`);
  await lab.applyPolicy(policy("shut", "deny", DENY_INGRESS));
  await lab.fence();
  const targets = [...hosts, 210].flatMap((host) => both(`10.244.2.${host}`)).map((ip) => `${ip},80`);
  const sender = peer("udp-sender", "2", ...targets);
  // From the same node, by direct routes or the tunnel, and from two other nodes.
  const stops = await Promise.all(["fence/a", "fence/b", "fence/c"].map((pod) => running(pod, sender)));
  await lab.create(arrival("open", "heard", 210));
  await lab.isReady("open", "heard");
  await eventually(SETTLED_MS, async () => assert.ok((await datagrams("open/heard")) > 100, "senders send"));
  await Promise.all(hosts.map((host, i) => lab.create(arrival("shut", `${names[i]}`, host))));
  await Promise.all(names.map((name) => lab.isReady("shut", name)));
  const before = await datagrams("open/heard");
  await sleep(200);
  assert.ok((await datagrams("open/heard")) > before, "senders go on");
  for (const name of names) assert.equal(await datagrams(`shut/${name}`), 0, name);
  await Promise.all(stops.map((stop) => stop()));
  await Promise.all(names.map((name) => lab.deletePod("shut", name)));
});

test("not one packet leaves a pod that starts to send what a policy denies", async () => {
  await lab.applyPolicy(policy("shut", "deny", { policyTypes: ["Egress"] }));
  await lab.fence();
  const targets = both("10.244.2.210").map((ip) => `${ip},80`);
  const main = { name: "main", image: "sender", command: peer("udp-sender", "2", ...targets) };
  const before = await datagrams("open/heard");
  await lab.create(arrival("shut", "sender", 205, { containers: [main] }));
  await lab.isReady("shut", "sender");
  const dropped = () => lab.exec("node/node2", "nft", "list", "table", "ip", POLICY_TABLES[4].name);
  await eventually(SETTLED_MS, async () => assert.match(await dropped(), /counter packets [1-9]\d* bytes \d+ drop/));
  assert.equal(await datagrams("open/heard"), before);
  await lab.deletePolicy("shut", "deny");
  await eventually(SETTLED_MS, async () => assert.ok((await datagrams("open/heard")) > before, "it does send"));
  await lab.deletePod("shut", "sender");
});

/** Dials of the pods of the fence by those nodes; both families. */
function nodeDials(allowed: (node: string, pod: string) => boolean): Row[] {
  return ["a", "b", "c"].flatMap((name, i) =>
    lab.nodes.flatMap((node) =>
      both(`10.244.${i + 1}.99`).map((to) => ({
        ...{ from: `node/${node}`, to, port: 2, who: `fence/${name}` },
        allowed: allowed(node, name),
      })),
    ),
  );
}

test("what a pod's own node dials always arrives, as kubelet's probes do; other nodes are denied", async () => {
  const own: Record<string, string> = { node1: "a", node2: "b", node3: "c" };
  await lab.applyPolicy(policy("fence", "deny", { policyTypes: ["Ingress", "Egress"] }));
  await lab.deleteFence();
  await lab.settlesTo(nodeDials((node, pod) => own[node] === pod));
  await lab.deletePolicy("fence", "deny");
  await lab.settlesTo(nodeDials(() => true));
});

test("with a killed agent the rules stay, and no pod can start until it is back", async () => {
  await lab.applyPolicy(policy("x", "deny-b", { ...DENY_INGRESS, podSelector: { matchLabels: { pod: "b" } } }));
  await lab.applyPolicy(policy("shut", "deny", DENY_INGRESS));
  await lab.fence();
  const rows = [...both("10.244.2.11"), ...both("10.244.2.22")].map((to) => {
    const who = to === "10.244.2.22" || to === ipv6Of("10.244.2.22") ? "y/b" : "x/b";
    return { from: "y/a", to, port: 80, who, allowed: who === "y/b" };
  });
  await lab.settlesTo(rows);
  assert.equal((await lab.lab("fault", "add", "kill-agent", "--node", "node2")).code, 0);
  await lab.holds(rows);
  await lab.create(arrival("shut", "waits", 206));
  await sleep(2000);
  const { status } = await lab.api.get({ resource: pods, namespace: "shut", name: "waits" });
  assert.equal((status as { phase?: string }).phase, "Pending");
  await lab.holds(rows);
  await lab.lab("fault", "clear");
  await lab.isReady("shut", "waits");
  const waiting = both("10.244.2.206").map((to) => ({ from: "y/a", to, port: 80, who: "shut/waits", allowed: false }));
  await lab.holds([...rows, ...waiting]);
  await lab.deletePolicies();
  await lab.settlesTo([...rows, ...waiting].map((row) => ({ ...row, allowed: true })));
  await lab.deletePod("shut", "waits");
});

test("connections that are open are cut when a policy comes that forbids them, and only these", async () => {
  const echo = { name: "echo", image: "echo", command: peer("echo", String(TALK_PORT)) };
  await lab.create(arrival("shut", "cut", 207, { containers: [echo] }));
  await lab.create(arrival("open", "kept", 208, { containers: [echo] }));
  await Promise.all([lab.isReady("shut", "cut"), lab.isReady("open", "kept")]);
  const traffic: Traffic[] = [207, 208].flatMap((host) =>
    both(`10.244.2.${host}`).map((to) => ({ to, port: TALK_PORT, way: "talk" as const })),
  );
  // One client is on the servers' node, the other one behind the tunnel.
  const clients = ["fence/a", "fence/b"].map((pod, i) => {
    const base = join(lab.home.folder, `talk-${i}`);
    return { base, outcome: lab.exec(pod, ...peer("steady", base, JSON.stringify(traffic))) };
  });
  await eventually(SETTLED_MS, async () => assert.ok(clients.every(({ base }) => existsSync(`${base}.on`))));
  await lab.applyPolicy(policy("shut", "deny", DENY_INGRESS));
  // A line without its echo is given up after two seconds.
  await sleep(3000);
  for (const { base } of clients) writeFileSync(`${base}.off`, "");
  for (const { outcome } of clients) {
    const outcomes: TrafficOutcome[] = JSON.parse(await outcome);
    const failures = outcomes.map((each) => each.failures);
    assert.deepEqual(failures, [{ ETIMEDOUT: 1 }, { ETIMEDOUT: 1 }, {}, {}]);
  }
  await Promise.all([lab.deletePod("shut", "cut"), lab.deletePod("open", "kept")]);
});

test("with the last policy its tables are gone", async () => {
  const tables = () =>
    Promise.all(
      lab.nodes.map(async (node) => [node, await lab.exec(`node/${node}`, "nft", "list", "tables")] as const),
    );
  await lab.fence();
  for (const [node, text] of await tables()) assert.match(text, /breakwater-policy/, node);
  await lab.deleteFence();
  await eventually(SETTLED_MS, async () => {
    for (const [node, text] of await tables()) assert.doesNotMatch(text, /breakwater-policy/, node);
  });
});
