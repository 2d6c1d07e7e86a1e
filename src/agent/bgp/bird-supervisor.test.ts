/** What BirdSupervisor leaves when it is stopped in the middle of something; with a BIRD that runs: test/kernel/bird.test.ts. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { systemClock } from "../../kube/clock.ts";
import { type BirdPaths, birdPaths } from "./bird-process.ts";
import { BirdSupervisor } from "./bird-supervisor.ts";

const nothing = () => undefined;

/** A supervisor, and who listens where its BIRD would. */
async function rig(t: TestContext, onLine: (line: string, socket: Socket) => void, greet = true) {
  const folder = mkdtempSync(join(tmpdir(), "breakwater-supervisor-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const paths: BirdPaths = birdPaths(folder);
  mkdirSync(paths.folder);
  const connected = Promise.withResolvers<Socket>();
  const server = createServer((socket) => {
    socket.setEncoding("utf8");
    if (greet) socket.write("0001 BIRD 2.0.12 ready.\n");
    socket.on("data", (text: string) => onLine(text.trim(), socket));
    connected.resolve(socket);
    t.after(() => socket.destroy());
  });
  await new Promise<void>((listening) => server.listen(paths.socket, listening));
  t.after(() => server.close());
  let starts = 0;
  const supervisor = new BirdSupervisor({
    paths,
    clock: systemClock,
    log: { debug: nothing, info: nothing, warn: nothing, error: nothing },
    routes: () => [],
    start: async () => {
      starts++;
      throw new Error("nobody is to be started");
    },
  });
  return { paths, supervisor, connected: connected.promise, starts: () => starts };
}

test("BirdSupervisor.stop() ends the wait for BIRD's answer, and what was wanted behind it is not written any more", async (t) => {
  const asked = Promise.withResolvers<void>();
  let configured = 0;
  const { paths, supervisor } = await rig(t, (line, socket) => {
    if (!line.startsWith("configure")) socket.write("0000 \n");
    else if (configured++ === 0) socket.write("0003 Reconfigured\n");
    else asked.resolve();
  });
  supervisor.configure("# first\n");
  while (supervisor.failure !== undefined) await new Promise((next) => setTimeout(next, 5));
  supervisor.configure("# second\n");
  await asked.promise;
  supervisor.configure("# third\n");
  await supervisor.stop();
  assert.equal(readFileSync(paths.config, "utf8"), "# second\n");
  rmSync(paths.folder, { recursive: true });
  supervisor.configure("# fourth\n");
  await new Promise((next) => setImmediate(next));
  assert.equal(existsSync(paths.folder), false);
});

test("BirdSupervisor.stop() while BIRD is looked for starts none and writes nothing", async (t) => {
  const { paths, supervisor, connected, starts } = await rig(t, nothing, false);
  supervisor.configure("# wanted\n");
  const socket = await connected;
  const stopped = supervisor.stop();
  // Whoever was there goes without a greeting.
  socket.destroy();
  await stopped;
  assert.deepEqual([starts(), existsSync(paths.config)], [0, false]);
});
