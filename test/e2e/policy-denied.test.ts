/** What policies deny, seen by a person: counted for each policy and direction, logged by names, and limited. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { PoliciesReport } from "../../src/model/policy-report.ts";
import { eventually, LabHome } from "./lab-fixture.ts";

const home = new LabHome();
const NAME = "denied";
const LINES_A_SECOND = 5;
const SETTLED_MS = 20_000;
const FLOOD = 2000;

const ADDRESSES: Readonly<Record<string, string>> = {
  "default/web": "10.244.1.21,fd00:10:244:1::15",
  "default/caged": "10.244.1.22,fd00:10:244:1::16",
  "db/postgres": "10.244.2.21,fd00:10:244:2::15",
};
const POSTGRES = "10.244.2.21";
const POSTGRES_6 = "fd00:10:244:2::15";

function pod(key: string, node: string): object {
  const [namespace, name] = key.split("/");
  const ports = [{ containerPort: 5432 }, { containerPort: 5432, protocol: "UDP" }];
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace, name, labels: { app: name }, annotations: { "breakwater.dev/ip": ADDRESSES[key] } },
    spec: { nodeName: node, containers: [{ name: "main", image: "responder", ports }] },
  };
}

function policy(namespace: string, name: string, app: string, spec: object): object {
  const head = { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata: { namespace, name } };
  return { ...head, spec: { podSelector: { matchLabels: { app } }, ...spec } };
}

const lab = (verb: string, ...args: string[]) => home.lab(NAME, verb, ...args);

before(async () => {
  const objects = [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: "db" } },
    pod("default/web", "node1"),
    pod("default/caged", "node1"),
    pod("db/postgres", "node2"),
    policy("db", "deny-all", "postgres", { policyTypes: ["Ingress"] }),
    policy("db", "admin-only", "postgres", { policyTypes: ["Ingress"], ingress: [{ ports: [{ port: 22 }] }] }),
    policy("default", "no-way-out", "caged", { policyTypes: ["Egress"] }),
  ];
  const file = home.write("objects.json", JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }));
  const up = await lab(
    "up",
    "--nodes",
    "2",
    "--dual-stack",
    "--log-denied",
    String(LINES_A_SECOND),
    "--manifests",
    file,
  );
  assert.equal(up.code, 0, up.stderr);
  await eventually(SETTLED_MS, async () => assert.equal((await dial("default/web")).allowed, false));
  await eventually(SETTLED_MS, async () => assert.equal((await dial("default/caged")).allowed, false));
});
after(() => home.close());

async function exec(target: string, ...command: string[]): Promise<string> {
  const outcome = await lab("exec", target, "--", ...command);
  assert.equal(outcome.code, 0, `${target}: ${command.join(" ")}: ${outcome.stdout}${outcome.stderr}`);
  return outcome.stdout;
}

async function dial(from: string, to = "db/postgres"): Promise<{ allowed: boolean }> {
  const args = ["--from", from, "--to", to, "--port", "5432", "--protocol", "TCP", "--timeout", "300", "-o", "json"];
  return JSON.parse((await lab("probe", ...args)).stdout);
}

/** `{"db/deny-all ingress": 3}`: a metric of the agent on `node`. */
async function denied(
  node: string,
  metric = "breakwater_policy_denied_packets_total",
): Promise<Record<string, number>> {
  const text = await exec(`node/${node}`, "curl", "-s", "http://127.0.0.1:9098/metrics");
  const lines = text.matchAll(new RegExp(`^${metric}\\{(.*)\\} (\\d+)$`, "gm"));
  const label = (labels: string, name: string) => new RegExp(`${name}="([^"]*)"`).exec(labels)?.[1];
  return Object.fromEntries(
    Array.from(lines, ([, labels = "", value]) => [
      `${label(labels, "namespace")}/${label(labels, "policy")} ${label(labels, "direction")}`,
      Number(value),
    ]),
  );
}

interface LogLine {
  readonly msg: string;
  readonly level: string;
  readonly [field: string]: unknown;
}

function deniedLines(node: string): LogLine[] {
  const log = readFileSync(home.kubeconfig(NAME).replace(/kubeconfig$/, `log/agent-${node}.log`), "utf8");
  const lines = log.split("\n").filter((line) => line.startsWith("{"));
  return lines.map((line): LogLine => JSON.parse(line)).filter(({ msg }) => msg.startsWith("denied: "));
}

test("a denied dial raises the counts of the policies that select the pod, in their direction, where the pod is", async () => {
  const before = await denied("node2");
  assert.equal((await dial("default/web")).allowed, false);
  const after = await denied("node2");
  assert.deepEqual(Object.keys(after).sort(), ["db/admin-only ingress", "db/deny-all ingress"]);
  for (const key of Object.keys(after)) assert.ok((after[key] ?? 0) > (before[key] ?? 0), `${key} rose`);
  assert.equal(after["db/admin-only ingress"], after["db/deny-all ingress"]);
  const bytes = await denied("node2", "breakwater_policy_denied_bytes_total");
  assert.ok((bytes["db/deny-all ingress"] ?? 0) >= 40 * (after["db/deny-all ingress"] ?? 0));
  const [there, egress] = [await denied("node1"), "default/no-way-out egress"];
  assert.deepEqual(Object.keys(there), [egress]);
  assert.equal((await dial("default/caged")).allowed, false);
  assert.ok(((await denied("node1"))[egress] ?? 0) > (there[egress] ?? 0));
});

test("a denied dial is logged with the names of both pods and of the policies", async () => {
  const wait = (node: string, from: string, sentence: string) =>
    eventually(SETTLED_MS, async () => {
      assert.equal((await dial(from)).allowed, false);
      assert.ok(
        deniedLines(node).some(({ msg }) => msg === sentence),
        `${sentence} in ${JSON.stringify(deniedLines(node))}`,
      );
    });
  const by = "ingress of db/postgres, by db/admin-only, db/deny-all";
  await wait("node2", "default/web", `denied: default/web -> db/postgres:5432/TCP, ${by}`);
  const out = "egress of default/caged, by default/no-way-out";
  await wait("node1", "default/caged", `denied: default/caged -> db/postgres:5432/TCP, ${out}`);
  await wait("node2", "node/node1", `denied: node node1 -> db/postgres:5432/TCP, ${by}`);
  const line = deniedLines("node2").find(({ from }) => from === "default/web");
  assert.ok(line);
  const { direction, pod, policies, to, protocol, port, level } = line;
  assert.deepEqual(
    { direction, pod, policies, to, protocol, port, level },
    {
      direction: "ingress",
      pod: "db/postgres",
      policies: ["db/admin-only", "db/deny-all"],
      to: "db/postgres",
      protocol: "TCP",
      port: 5432,
      level: "info",
    },
  );
});

test("what is denied over IPv6 is counted with the rest, and logged alike", async () => {
  const key = "db/deny-all ingress";
  const before = (await denied("node2"))[key] ?? 0;
  const own = () => deniedLines("node2").filter(({ protocol, port }) => protocol === "UDP" && port === 6).length;
  await exec("default/web", "bash", "-c", `echo x > /dev/udp/${POSTGRES_6}/6`);
  await eventually(SETTLED_MS, async () => {
    assert.equal(own(), 1);
    assert.equal((await denied("node2"))[key], before + 1);
  });
  const line = deniedLines("node2").find(({ port }) => port === 6);
  assert.match(
    line?.msg ?? "",
    /^denied: default\/web -> db\/postgres:6\/UDP, ingress of db\/postgres, by db\/admin-only/,
  );
});

test("a flood is counted to the packet, and logged as fast as was asked for", async () => {
  const own = () => deniedLines("node2").filter(({ port }) => port === 9).length;
  const before = await denied("node2");
  const started = performance.now();
  const flood = `for i in $(seq ${FLOOD}); do echo x > /dev/udp/${POSTGRES}/9; done`;
  await exec("default/web", "bash", "-c", flood);
  const seconds = (performance.now() - started) / 1000;
  const key = "db/deny-all ingress";
  await eventually(SETTLED_MS, async () => {
    assert.equal(((await denied("node2"))[key] ?? 0) - (before[key] ?? 0), FLOOD);
  });
  await sleep(500);
  const lines = own();
  assert.ok(lines >= 1 && lines <= LINES_A_SECOND * (seconds + 1) + 1, `${lines} lines in ${seconds} s`);
});

test("the agent's document says what is denied, and by which policies together", async () => {
  const report: PoliciesReport = JSON.parse(await exec("node/node2", "curl", "-s", "http://127.0.0.1:9098/policies"));
  const { node, failure, logDeniedPerSecond, policies, denials } = report;
  assert.deepEqual([node, failure, logDeniedPerSecond], ["node2", null, LINES_A_SECOND]);
  assert.deepEqual(
    policies.map(({ policy, denied: { ingress, egress } }) => [policy, (ingress?.packets ?? 0) >= FLOOD, egress]),
    [
      ["db/admin-only", true, null],
      ["db/deny-all", true, null],
      ["default/no-way-out", false, null],
    ],
  );
  assert.deepEqual(
    denials.map(({ direction, policies: together }) => [direction, ...together]),
    [["ingress", "db/admin-only", "db/deny-all"]],
  );
  const printed = await exec("node/node2", resolve("bin/breakwater"), "policy", "status");
  assert.match(printed, /^Node node2 enforces all policies\.\nDenied packets are counted, and logged: 5 lines/);
  assert.match(printed, /^db\/deny-all +\d{4} +-$/m);
  assert.match(printed, /^ingress +\d{4} +\d+ +db\/admin-only, db\/deny-all$/m);
});

test("an agent that was killed goes on to log and to count, from its own start on", async () => {
  const killed = await lab("fault", "add", "kill-agent", "--node", "node2");
  assert.equal(killed.code, 0, killed.stderr);
  // The rules stand and count, and nobody hears what they log.
  assert.equal((await dial("default/web")).allowed, false);
  assert.equal((await lab("fault", "clear", "kill-agent")).code, 0);
  const key = "db/deny-all ingress";
  await eventually(SETTLED_MS, async () => assert.equal((await denied("node2"))[key], 0));
  await exec("default/web", "bash", "-c", `echo x > /dev/udp/${POSTGRES}/7`);
  await eventually(SETTLED_MS, async () => {
    assert.equal((await denied("node2"))[key], 1);
    assert.equal(deniedLines("node2").filter(({ port }) => port === 7).length, 1);
  });
});
