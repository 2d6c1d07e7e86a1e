/**
 * The demonstration's frontend: a web server that counts its visitors in Redis. On a second port it measures: every
 * connection there is answered by one line, the latency of a number of PINGs to Redis.
 */
import { createServer as createHttpServer } from "node:http";
import { connect, createServer, type Socket } from "node:net";
import { FRONTEND_PORT, LATENCY_PORT } from "./manifests.ts";

const PINGS = 200;

/** One line of JSON; times in milliseconds. */
export interface RedisLatency {
  readonly pings: number;
  readonly minMs: number;
  readonly medianMs: number;
  readonly p99Ms: number;
}

/** A connection to Redis that sends one command at a time (RESP, inline commands). */
class Redis {
  readonly #socket: Socket;
  #waiting: ((line: string) => void)[] = [];

  constructor(host: string, port: number) {
    this.#socket = connect({ host, port, noDelay: true });
    this.#socket.on("error", () => process.exit(1));
    this.#socket.on("data", (chunk: Buffer) => {
      for (const line of chunk.toString("utf8").split("\r\n").slice(0, -1)) this.#waiting.shift()?.(line);
    });
  }

  send(command: string): Promise<string> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#socket.write(`${command}\r\n`);
    });
  }
}

export async function runFrontend(host: string, port: number): Promise<void> {
  const redis = new Redis(host, port);
  // Redis may start later than we do: the process ends when it is not there, and is started again.
  await redis.send("PING");
  createServer(async (socket) => {
    socket.on("error", () => undefined);
    socket.end(`${JSON.stringify(await measure(redis))}\n`);
  }).listen(LATENCY_PORT);
  createHttpServer(async (_, response) => {
    const started = performance.now();
    const visits = (await redis.send("INCR visits")).slice(1);
    const ms = (performance.now() - started).toFixed(3);
    response.end(`You are visitor ${visits}; Redis took ${ms} ms\n`);
  }).listen(FRONTEND_PORT);
}

async function measure(redis: Redis): Promise<RedisLatency> {
  const times: number[] = [];
  for (let i = 0; i < PINGS; i++) {
    const started = performance.now();
    await redis.send("PING");
    times.push(performance.now() - started);
  }
  times.sort((a, b) => a - b);
  const at = (share: number) => Math.round((times[Math.floor((times.length - 1) * share)] ?? 0) * 1000) / 1000;
  return { pings: PINGS, minMs: at(0), medianMs: at(0.5), p99Ms: at(0.99) };
}
