/** Containers of the lab with real processes, sockets and probes, in a namespace. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { dial } from "../../src/lab/dial.ts";
import { ContainerRun, type RestartPolicy } from "../../src/lab/kubelet/container-run.ts";
import { parseContainer } from "../../src/lab/kubelet/container-spec.ts";
import { testNamespace } from "./namespaces.ts";

interface Rig {
  readonly netns: string;
  readonly run: ContainerRun;
  start(): void;
  /** Resolves when the container's state fits. */
  until(what: string, condition: (state: ContainerRun["state"]) => boolean): Promise<void>;
  answers(): Promise<boolean>;
  /** What its processes printed. */
  said(): string;
}

const PORTS = [{ containerPort: 80 }];

function rig(
  t: TestContext,
  container: Record<string, unknown>,
  options: { lingers?: boolean; graceMs?: number; restartPolicy?: RestartPolicy; netns?: string } = {},
): Rig {
  const { lingers = false, graceMs = 5000, restartPolicy = "Always", netns = testNamespace(t).path } = options;
  const run = new ContainerRun(parseContainer({ name: "c", image: "x", ...container }), restartPolicy, () => undefined);
  t.after(() => run.stop(AbortSignal.abort()));
  let said = "";
  const onOutput = (_: string, chunk: Buffer) => {
    said += chunk;
  };
  const until: Rig["until"] = async (what, condition) => {
    const giveUpAt = performance.now() + 10_000;
    while (!condition(run.state)) {
      assert.ok(performance.now() < giveUpAt, `${what}: ${JSON.stringify(run.state)}`);
      await sleep(5);
    }
  };
  return {
    netns,
    run,
    until,
    said: () => said,
    start: () => run.start({ who: "n/p", netns, ips: ["127.0.0.1"], env: {}, lingers, graceMs, onOutput }),
    answers: async () =>
      (await dial({ netns, ip: "127.0.0.1", port: 80, protocol: "TCP", timeoutMs: 2000 })).answer === "n/p",
  };
}

test("a responder ends at once when it is told to", async (t) => {
  const { run, start, answers } = rig(t, { ports: PORTS });
  start();
  assert.deepEqual([run.state.state, run.state.ready, await answers()], ["running", true, true]);
  await run.stop(new AbortController().signal);
  assert.deepEqual([run.state.state, run.state.exitCode, await answers()], ["terminated", 0, false]);
});

test("a responder that lingers answers until the grace period is over, and stays ready", async (t) => {
  const { run, start, answers } = rig(t, { ports: PORTS }, { lingers: true });
  start();
  const over = new AbortController();
  const stopped = run.stop(over.signal);
  await sleep(50);
  assert.deepEqual([run.state.state, run.state.ready, await answers()], ["running", true, true]);
  over.abort();
  await stopped;
  assert.deepEqual([run.state.state, run.state.exitCode, await answers()], ["terminated", 137, false]);
});

test("preStop is waited for before the end, and cut short with the grace period", async (t) => {
  const lifecycle = (preStop: object) => ({ ports: PORTS, lifecycle: { preStop } });
  for (const preStop of [{ sleep: { seconds: 100 } }, { exec: { command: ["sleep", "0.2"] } }]) {
    const { run, start, answers } = rig(t, lifecycle(preStop));
    start();
    const over = new AbortController();
    const stopped = run.stop(over.signal);
    await sleep(20);
    assert.equal(await answers(), true, JSON.stringify(preStop));
    if ("sleep" in preStop) over.abort();
    await stopped;
    assert.equal(await answers(), false, JSON.stringify(preStop));
  }
});

test("a process has SIGTERM, and SIGKILL when its grace period is over", async (t) => {
  const trapping = (action: string) => `trap '${action}' TERM; echo ready; while :; do sleep 0.05; done`;
  const polite = rig(t, { command: ["sh", "-c", trapping("exit 7")] });
  polite.start();
  await polite.until("it has its trap", () => polite.said() === "ready\n");
  await polite.run.stop(new AbortController().signal);
  assert.equal(polite.run.state.exitCode, 7);
  const stubborn = rig(t, { command: ["sh", "-c", trapping("echo no")] });
  stubborn.start();
  await stubborn.until("it has its trap", () => stubborn.said() === "ready\n");
  const over = new AbortController();
  const stopped = stubborn.run.stop(over.signal);
  await stubborn.until("it has SIGTERM", () => /^no$/m.test(stubborn.said()));
  assert.equal(stubborn.run.state.state, "running");
  over.abort();
  await stopped;
  assert.match(stubborn.run.state.message, /SIGKILL/);
});

test("readiness waits for its delay, follows the probe, and is watched on while the container ends", async (t) => {
  const file = join(tmpdir(), `breakwater-ready-${process.pid}`);
  const readinessProbe = {
    exec: { command: ["test", "!", "-e", file] },
    periodSeconds: 0.05,
    initialDelaySeconds: 0.3,
    failureThreshold: 1,
  };
  t.after(() => execFileSync("rm", ["-f", file]));
  const { run, start, until } = rig(t, { ports: PORTS, readinessProbe }, { lingers: true });
  const began = performance.now();
  start();
  assert.equal(run.state.ready, false);
  await until("it becomes ready", ({ ready }) => ready);
  assert.ok(performance.now() - began >= 290);
  const over = new AbortController();
  const stopped = run.stop(over.signal);
  execFileSync("touch", [file]);
  await until("it stops being ready", ({ ready }) => !ready);
  assert.equal(run.state.state, "running");
  over.abort();
  await stopped;
});

test("a liveness probe that fails has the container restarted, a startup probe keeps it waiting", async (t) => {
  const failing = { exec: { command: ["false"] }, periodSeconds: 0.05, failureThreshold: 2 };
  const dying = rig(t, { ports: PORTS, livenessProbe: failing });
  dying.start();
  await dying.until("it is restarted", ({ restarts, state }) => restarts >= 1 && state === "running");
  assert.equal(await dying.answers(), true, "its ports are free for the next run");
  const slow = rig(t, {
    ports: PORTS,
    startupProbe: { exec: { command: ["sleep", "0.2"] }, periodSeconds: 0.05 },
    livenessProbe: { exec: { command: ["true"] }, periodSeconds: 0.05 },
    readinessProbe: { exec: { command: ["true"] }, periodSeconds: 0.05 },
  });
  slow.start();
  assert.deepEqual([slow.run.state.started, slow.run.state.ready], [false, false]);
  await slow.run.started;
  await slow.until("it is ready", ({ started, ready }) => started && ready);
  assert.equal(slow.run.state.restarts, 0);
});

test("a container that ends is restarted by its policy, and tells when none follows", async (t) => {
  const failing = rig(t, { command: ["false"] });
  failing.start();
  await failing.until("it is restarted", ({ restarts }) => restarts >= 2);
  assert.match(failing.run.state.message, /^CrashLoopBackOff: exit code 1/);
  for (const [command, restartPolicy, code] of [
    ["true", "OnFailure", 0],
    ["false", "Never", 1],
  ] as const) {
    const { run, start } = rig(t, { command: [command] }, { restartPolicy });
    start();
    assert.equal(await run.completed, code);
    assert.deepEqual([run.state.state, run.state.exitCode, run.state.restarts], ["terminated", code, 0]);
  }
});

test("a port that is taken is tried again until it is free", async (t) => {
  const first = rig(t, { ports: PORTS });
  first.start();
  const second = rig(t, { ports: PORTS }, { netns: first.netns });
  second.start();
  assert.match(second.run.state.message, /EADDRINUSE/);
  await first.run.stop(AbortSignal.abort());
  await second.until("it has the port", ({ state }) => state === "running");
});
