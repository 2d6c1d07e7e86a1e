/** For tests: a CNI server over a fake node in a directory of its own, and a caller that speaks its socket. */
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CniLog } from "./call-context.ts";
import { FakePodLookup, FakePodNetwork } from "./fake-pod-network.ts";
import { type CniAnswer, type CniRequest, decodeAnswer, encodeRequest } from "./frame.ts";
import { asObject, type JsonObject } from "./network-config.ts";
import { type CallObservation, type CniServer, type CniServerOptions, startCniServer } from "./server.ts";

export interface LogLine {
  readonly level: "info" | "warn";
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

export interface Fixture {
  readonly directory: string;
  readonly socketPath: string;
  readonly stateDir: string;
  readonly network: FakePodNetwork;
  readonly pods: FakePodLookup;
  readonly log: LogLine[];
  readonly observed: CallObservation[];
  server: CniServer;
  /** Closes the server and starts another over the same files, as a restarted agent does. */
  restart(options?: Partial<CniServerOptions>): Promise<CniServer>;
  close(): Promise<void>;
}

export async function startFixture(options: Partial<CniServerOptions> = {}): Promise<Fixture> {
  const directory = mkdtempSync(join(tmpdir(), "bw-cni-"));
  const network = new FakePodNetwork();
  const pods = new FakePodLookup();
  const log: LogLine[] = [];
  const observed: CallObservation[] = [];
  const paths = { socketPath: join(directory, "run", "cni.sock"), stateDir: join(directory, "state") };
  const start = (more: Partial<CniServerOptions> = {}) =>
    startCniServer({
      ...{ ...paths, network, pods, log: recordingLog(log), observe: (call) => observed.push(call) },
      ...options,
      ...more,
    });
  const fixture: Fixture = {
    ...{ directory, ...paths, network, pods, log, observed },
    server: await start().catch((error: unknown) => {
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }),
    async restart(more) {
      await fixture.server.close();
      fixture.server = await start(more);
      return fixture.server;
    },
    async close() {
      await fixture.server.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
  return fixture;
}

export function recordingLog(lines: LogLine[]): CniLog {
  return {
    info: (fields, message) => lines.push({ level: "info", fields, message }),
    warn: (fields, message) => lines.push({ level: "warn", fields, message }),
  };
}

/** A call that is right in every field, but for those given. */
export function request(command: string, fields: Partial<CniRequest> = {}): CniRequest {
  const key = { containerId: "c1", netns: "/run/netns/none-c1", ifname: "eth0", args: "", path: "/opt/cni/bin" };
  return { command, ...key, stdin: config(), startedAtMs: Date.now(), ...fields };
}

export function config(fields: JsonObject = {}): string {
  return JSON.stringify({ cniVersion: "1.1.0", name: "breakwater", type: "breakwater", ...fields });
}

/** One call over the socket; the answer's text parsed where it is JSON. */
export async function call(
  socketPath: string,
  fields: CniRequest,
): Promise<{ readonly exitStatus: number; readonly body: JsonObject }> {
  const answer = await sendBytes(socketPath, encodeRequest(fields));
  return { exitStatus: answer.exitStatus, body: asObject(JSON.parse(answer.text || "{}")) ?? {} };
}

/** Sends bytes as they are and reads the answer to its end. `end`: says that nothing more comes. */
export function sendBytes(socketPath: string, bytes: Uint8Array, end = false): Promise<CniAnswer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: socketPath, allowHalfOpen: true });
    const chunks: Buffer[] = [];
    socket.on("data", (chunk) => chunks.push(chunk));
    // A server that has answered may close while we still send: the answer counts.
    socket.on("error", (error) => (chunks.length === 0 ? reject(error) : undefined));
    socket.on("end", () => {
      socket.destroy();
      try {
        resolve(decodeAnswer(Buffer.concat(chunks)));
      } catch (error) {
        reject(error);
      }
    });
    socket.write(bytes);
    if (end) socket.end();
  });
}
