/** A real etcd, on a disk whose syncs take as long as a test says. */
import { type ChildProcess, spawn } from "node:child_process";
import * as fs from "node:fs";
import * as net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";

export interface EtcdProcess {
  readonly url: string;
  /** The folder that etcd writes to, in the mount namespace of {@link pid}. */
  readonly folder: string;
  readonly pid: number;
  setSyncDelay(ms: number): void;
}

/** @param flags besides those that say where: TLS */
export async function startEtcd(t: TestContext, scheme = "http", flags: readonly string[] = []): Promise<EtcdProcess> {
  // Memory below: only the delay that is asked for is seen.
  const place = fs.mkdtempSync(join(fs.existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "breakwater-etcd-"));
  const ends: (() => Promise<unknown>)[] = [];
  t.after(async () => {
    for (const end of ends) await end();
    fs.rmSync(place, { recursive: true });
  });
  const [backing, folder] = [join(place, "backing"), join(place, "disk")];
  fs.mkdirSync(backing);
  fs.mkdirSync(folder);
  const [url, peer] = [`${scheme}://127.0.0.1:${await freePort()}`, `http://127.0.0.1:${await freePort()}`];
  const etcd = [
    ...["etcd", "--data-dir", join(folder, "data"), "--listen-client-urls", url, "--advertise-client-urls", url],
    ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", `default=${peer}`],
    ...flags,
  ];
  const runner = [process.execPath, join(import.meta.dirname, "run-on-slow-disk.ts"), backing, folder, "0"];
  const child = spawn("unshare", ["--mount", "--propagation", "private", ...runner, ...etcd]);
  const over = new Promise((resolve) => child.once("exit", resolve));
  ends.push(() => {
    // The end of its input ends etcd, which ends it.
    child.stdin.end();
    return over;
  });
  await untilReady(child);
  return { url, folder, pid: child.pid ?? 0, setSyncDelay: (ms) => void child.stdin.write(`${ms}\n`) };
}

function untilReady(child: ChildProcess): Promise<void> {
  const { stderr } = child;
  if (stderr === null) throw new TypeError("its standard error is not read");
  const lines: string[] = [];
  return new Promise((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`etcd ended with ${code}: ${lines.slice(-8).join("\n")}`)));
    createInterface({ input: stderr }).on("line", (line) => {
      lines.push(line);
      if (/ready to serve client requests/.test(line)) resolve();
    });
  });
}

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
