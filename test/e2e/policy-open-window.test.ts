/**
 * A pod's rules are in the kernel before its network is up: with a flood of datagrams and SYNs aimed at the addresses that
 * pods are about to get, from a pod of their node and from outside, not one packet reaches a pod that a policy selects.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { DatagramFlow } from "./datagram-flow.ts";
import { PacketCounter } from "./packet-counter.ts";
import { Flood, podIps, type StartedPod, WindowStage } from "./policy-open-window-stage.ts";

const STARTS = 200;
/** Addresses that pods of the tests ask for, one after the other. */
const HOSTS = [100, 101, 102, 103] as const;
const TARGETS = HOSTS.flatMap(podIps);
/** Of each of two: a packet every 0.1 ms at each family's address of the pod that starts. */
const PACKETS_PER_SECOND = 40_000;
/** How long a pod is watched behind its ADD; many packets are sent to it in that time. */
const WATCHED_MS = 10;

const DENY = {
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { name: "deny", namespace: "default" },
  spec: { podSelector: { matchLabels: { app: "shut" } }, policyTypes: ["Ingress"] },
};

let stage: WindowStage;
let neighbour: StartedPod;
let floods: Flood[] = [];
let made = 0;

/** Two of them, as long as a test needs them. */
function startFloods(): void {
  const sources = [neighbour.netns, stage.outside.netns];
  floods = sources.map((netns) => new Flood(netns, TARGETS, PACKETS_PER_SECOND));
}

async function endFloods(): Promise<void> {
  const sent = await Promise.all(floods.map((flood) => flood.end()));
  floods = [];
  for (const packets of sent) assert.ok(packets > 1000, `a flood sent ${packets} packets`);
}

before(async () => {
  stage = await WindowStage.open();
  stage.create(DENY);
  await stage.startAgent();
  stage.declare("neighbour", { app: "open" }, podIps(50));
  neighbour = await stage.attachSoon("neighbour");
});

after(async () => {
  await Promise.all(floods.map((flood) => flood.end()));
  await stage[Symbol.asyncDispose]();
});

/** Starts a pod into the floods and ends it again. @returns how many packets it got */
async function startedInto(app: "shut" | "open", host: number, watchedMs = WATCHED_MS): Promise<number> {
  const name = `${app}-${made++}`;
  using counter = new PacketCounter(stage.declare(name, { app }, podIps(host)));
  const pod = await stage.attach(name);
  await sleep(watchedMs);
  const count = counter.count();
  await pod.stop();
  return count;
}

/** What no policy selects gets them: they are sent, and counted. */
async function floodsArriveAt(host: number): Promise<void> {
  const count = await startedInto("open", host, 100);
  assert.ok(count > 100, `a pod that no policy selects got ${count} packets in 100 ms`);
}

test(`not one packet reaches ${STARTS} pods that start into a flood which a policy denies`, async () => {
  startFloods();
  for (const host of HOSTS) await floodsArriveAt(host);
  const received: number[] = [];
  for (let i = 0; i < STARTS; i++) received.push(await startedInto("shut", HOSTS[i % HOSTS.length] ?? 0));
  assert.deepEqual(
    received.filter((count) => count > 0),
    [],
  );
  assert.ok(floods.every((flood) => flood.isRunning));
  for (const host of HOSTS) await floodsArriveAt(host);
  await endFloods();
});

test("with a dead agent a pod that runs stays shut, and no pod can start; its successor starts it shut", async () => {
  startFloods();
  using counter = new PacketCounter(stage.declare("stays", { app: "shut" }, podIps(HOSTS[0])));
  const stays = await stage.attach("stays");
  const rules = await stage.policyTables();
  assert.match(rules, /10\.244\.1\.100/);
  await stage.killAgent();
  using late = new PacketCounter(stage.declare("late", { app: "shut" }, podIps(HOSTS[1])));
  await assert.rejects(stage.attach("late"), /CNI ADD by breakwater/);
  await sleep(500);
  assert.deepEqual([counter.count(), late.count()], [0, 0]);
  assert.equal(withoutCounters(await stage.policyTables()), withoutCounters(rules));
  stage.startSuccessor();
  const pod = await stage.attachSoon("late");
  await sleep(100);
  assert.deepEqual([counter.count(), late.count()], [0, 0]);
  await floodsArriveAt(HOSTS[2]);
  await Promise.all([pod.stop(), stays.stop()]);
  await endFloods();
});

function withoutCounters(text: string): string {
  return text.replaceAll(/counter packets \d+ bytes \d+/g, "counter");
}

test("not one packet of a flow that was open to the pod before it reaches a pod that has its address now", async () => {
  const ips = podIps(120);
  stage.declare("older", { app: "open" }, ips);
  const older = await stage.attachSoon("older");
  using four = new DatagramFlow({ client: stage.outside.netns, server: older.netns, ip: ips[0], port: 80 });
  using six = new DatagramFlow({ client: stage.outside.netns, server: older.netns, ip: ips[1], port: 80 });
  for (const flow of [four, six]) await flow.answered();
  await older.stop();
  using counter = new PacketCounter(stage.declare("newer", { app: "shut" }, ips));
  const newer = await stage.attach("newer");
  for (let i = 0; i < 20; i++) {
    for (const flow of [four, six]) flow.ask();
    await sleep(5);
  }
  assert.equal(counter.count(), 0);
  await newer.stop();
});
