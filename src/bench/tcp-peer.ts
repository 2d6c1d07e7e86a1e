/**
 * The two ends of a measurement, a process each, so that the CPU time of both can be told. One session is three
 * connections, one after the other: small messages there and back, large ones, and as much as goes through.
 *
 * The processes print JSON lines: the server "listening", the client the beginning of the stream, both their figures.
 */
import * as libc from "../kernel/libc.ts";
import { inNamespaceAt } from "../kernel/netns.ts";
import {
  acceptWaiting,
  connectWaiting,
  listenWaiting,
  receiveWaiting,
  resetSocket,
  sendWaiting,
} from "../kernel/waiting-socket.ts";
import type { Ip } from "../model/ip.ts";

export interface PeerTask {
  readonly role: "server" | "client";
  readonly netns: string;
  /** Of the server. */
  readonly address: Ip;
  readonly port: number;
  /** Sizes of messages that go there and back, bytes: a connection each. */
  readonly messageBytes: readonly number[];
  /** How long each kind of traffic is sent, seconds. */
  readonly seconds: number;
  /** How long silence is waited for, milliseconds. */
  readonly timeoutMs: number;
}

/** What a peer measured. */
export interface PeerFigures {
  /** Client: median time of a message there and back, microseconds, for each size; null when one did not come back. */
  readonly exchangeUs: readonly (number | null)[];
  /** Server: what arrived of the stream, bytes; then how long that took. Client: 0. */
  readonly streamBytes: number;
  readonly streamSeconds: number;
  /** CPU time that the stream took at this end, kernel and user, seconds. */
  readonly streamCpuSeconds: number;
  /** The stream ended as it should. */
  readonly finished: boolean;
}

export type PeerEvent = { readonly event: "listening" | "streaming" } | ({ readonly event: "done" } & PeerFigures);

const STREAM_BUFFER_BYTES = 1 << 17;
const WARM_UP_EXCHANGES = 50;

/** Runs one end until its session is over. @param tell called with each event, in order */
export function runPeer(task: PeerTask, tell: (event: PeerEvent) => void): void {
  const figures = inNamespaceAt(task.netns, () => (task.role === "server" ? serve(task, tell) : request(task, tell)));
  tell({ event: "done", ...figures });
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function serve(task: PeerTask, tell: (event: PeerEvent) => void): PeerFigures {
  const { address, port, messageBytes, timeoutMs, seconds } = task;
  const listener = listenWaiting(address, port, 3 * timeoutMs + seconds * 3000);
  tell({ event: "listening" });
  for (const bytes of messageBytes) {
    const fd = acceptWaiting(listener, timeoutMs);
    const message = Buffer.alloc(bytes);
    while (receiveWaiting(fd, message, true) === bytes && sendWaiting(fd, message) === bytes);
    libc.close(fd);
  }
  const fd = acceptWaiting(listener, timeoutMs);
  const buffer = Buffer.alloc(STREAM_BUFFER_BYTES);
  const [started, cpu] = [performance.now(), cpuSeconds()];
  let streamBytes = 0;
  let got = receiveWaiting(fd, buffer);
  for (; typeof got === "number" && got > 0; got = receiveWaiting(fd, buffer)) streamBytes += got;
  const streamSeconds = (performance.now() - started) / 1000;
  libc.close(fd);
  libc.close(listener);
  const finished = got === 0;
  return { exchangeUs: [], streamBytes, streamSeconds, streamCpuSeconds: cpuSeconds() - cpu, finished };
}

function request(task: PeerTask, tell: (event: PeerEvent) => void): PeerFigures {
  const { address, port, messageBytes, timeoutMs, seconds } = task;
  const exchangeUs = messageBytes.map((bytes) => {
    const fd = connectWaiting(address, port, timeoutMs);
    const median = exchange(fd, bytes, seconds / 2);
    resetSocket(fd);
    return median;
  });
  const fd = connectWaiting(address, port, timeoutMs);
  tell({ event: "streaming" });
  const cpu = cpuSeconds();
  const buffer = Buffer.alloc(STREAM_BUFFER_BYTES);
  const until = performance.now() + seconds * 1000;
  let sent: number | string = buffer.length;
  // A buffer that was taken in part is one that waited too long.
  while (sent === buffer.length && performance.now() < until) sent = sendWaiting(fd, buffer);
  const finished = sent === buffer.length;
  // What waits in the sender is delivered, or given up where nothing is.
  if (finished) libc.close(fd);
  else resetSocket(fd);
  return { exchangeUs, streamBytes: 0, streamSeconds: 0, streamCpuSeconds: cpuSeconds() - cpu, finished };
}

/** Sends messages there and back for some time. @returns the median time, microseconds; null when one was lost */
function exchange(fd: number, bytes: number, seconds: number): number | null {
  const message = Buffer.alloc(bytes);
  const samples: number[] = [];
  const until = performance.now() + seconds * 1000;
  for (let before = performance.now(); before < until; before = performance.now()) {
    if (sendWaiting(fd, message) !== bytes || receiveWaiting(fd, message, true) !== bytes) return null;
    samples.push((performance.now() - before) * 1000);
  }
  const measured = samples.slice(WARM_UP_EXCHANGES).sort((a, b) => a - b);
  return measured[Math.floor(measured.length / 2)] ?? null;
}
