/**
 * A server that is really killed (SIGKILL), again and again, while callers ADD and DEL. Whatever a caller was told
 * holds after every restart, no two containers ever have one address, and in the end nothing is left.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { Journal } from "./journal.ts";
import type { JsonObject } from "./network-config.ts";
import { JOURNAL_FILE } from "./server.ts";
import { call, request } from "./server-fixture.ts";

const ROUNDS = 25;
const CALLERS = 8;
/** Few addresses, so that each is used many times over: 30. */
const CIDR = "10.244.1.0/27";

const directory = mkdtempSync(join(tmpdir(), "bw-crash-"));
const socketPath = join(directory, "run", "cni.sock");
/** What callers were told: container -> address. */
const confirmed = new Map<string, string>();
/** Calls that were never answered: may have happened or not. */
const unsure = new Set<string>();
let serial = 0;

const netnsOf = (containerId: string) => join(directory, "netns", containerId);

async function startChild(): Promise<ChildProcess> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "crash-child.ts"), directory, CIDR], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once("data", () => resolve());
    child.once("exit", (code) => reject(new Error(`server did not start: exit ${code}`)));
  });
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  const exited = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await exited;
}

/** One ADD, or one DEL of a container that is up. False when the server went away under it. */
async function churn(): Promise<boolean> {
  const up = [...confirmed.keys()];
  const victim = up.length > 8 ? up[Math.floor(Math.random() * up.length)] : undefined;
  const containerId = victim ?? `c${++serial}`;
  if (victim === undefined) writeFileSync(netnsOf(containerId), "");
  confirmed.delete(containerId);
  unsure.add(containerId);
  const fields = { containerId, netns: netnsOf(containerId) };
  const answer = await call(socketPath, request(victim === undefined ? "ADD" : "DEL", fields)).catch(() => undefined);
  if (answer === undefined) return false;
  assert.equal(answer.exitStatus, 0, JSON.stringify(answer.body));
  unsure.delete(containerId);
  if (victim === undefined) confirm(containerId, answer.body);
  return true;
}

function confirm(containerId: string, body: JsonObject): void {
  const address = String((body["ips"] as JsonObject[])[0]?.["address"]).replace("/32", "");
  const other = [...confirmed].find(([, ip]) => ip === address)?.[0];
  assert.equal(other, undefined, `${address} was given to ${containerId} while ${other} has it`);
  confirmed.set(containerId, address);
}

/** What a caller was told is in the journal and in the kernel. */
async function assertRemembered(): Promise<void> {
  const { records } = await Journal.read(join(directory, "state", JOURNAL_FILE));
  const kernel = readdirSync(join(directory, "kernel"));
  for (const [containerId, ip] of confirmed) {
    assert.deepEqual(records.get(`${containerId}/eth0`)?.ips, [ip], `${containerId} in the journal`);
    assert.ok(kernel.includes(encodeURIComponent(`${containerId}/eth0`)), `${containerId} in the kernel`);
  }
  for (const { containerId, ips } of records.values()) {
    assert.ok(confirmed.has(containerId) || unsure.has(containerId), `${containerId} ${ips} was deleted and is back`);
  }
}

/** The runtime's part after a crash: what was not answered is deleted. */
async function settleUnsure(): Promise<void> {
  for (const containerId of unsure) {
    const { exitStatus, body } = await call(socketPath, request("DEL", { containerId, netns: "" }));
    assert.equal(exitStatus, 0, JSON.stringify(body));
    unsure.delete(containerId);
  }
}

test(`SIGKILL ${ROUNDS} times while ${CALLERS} callers ADD and DEL: no address twice, none leaks`, async () => {
  let child: ChildProcess | undefined;
  try {
    mkdirSync(join(directory, "netns"));
    for (let round = 0; round < ROUNDS; round++) {
      child = await startChild();
      await settleUnsure();
      const callers = Array.from({ length: CALLERS }, async () => {
        while (await churn());
      });
      await delay(5 + Math.random() * 60);
      await kill(child);
      await Promise.all(callers);
      await assertRemembered();
    }
    child = await startChild();
    await settleUnsure();
    assert.ok(serial > ROUNDS, "the callers got through between the kills");
    for (const containerId of confirmed.keys()) unsure.add(containerId);
    await settleUnsure();
    const { records } = await Journal.read(join(directory, "state", JOURNAL_FILE));
    assert.deepEqual([...records.keys()], []);
    assert.deepEqual(
      readdirSync(join(directory, "kernel")).filter((name) => !name.startsWith(".")),
      [],
    );
  } finally {
    child?.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  }
});
