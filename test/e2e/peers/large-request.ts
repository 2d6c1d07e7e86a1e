/**
 * `large-request.ts PROTOCOL BYTES ADDRESS,PORT…`: a request of so many bytes to each `http-echo.ts`, side by side. Prints one
 * JSON array: for each what came back, "whole" or what was wrong.
 */
import { createHash } from "node:crypto";
import { createSocket } from "node:dgram";
import { request } from "node:http";
import { PATIENCE } from "./patience.ts";

const SILENCE_MS = PATIENCE * 10_000;
/** A datagram may be lost where a buffer is full: UDP asks again. */
const AGAIN_MS = 1000;
const [protocol = "", bytes = "0", ...targets] = process.argv.slice(2);
const payload = Buffer.alloc(Number(bytes));
for (let i = 0; i < payload.length; i++) payload[i] = (i * 31 + (i >> 8)) & 255;
const hash = (data: Buffer) => createHash("sha256").update(data).digest("hex");

function verdict(answer: Buffer): string {
  if (hash(answer) === hash(payload)) return "whole";
  return `${answer.length} bytes came back for ${payload.length}, or other ones`;
}

function overHttp(host: string, port: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const posted = request({ host, port, method: "POST", agent: false, timeout: SILENCE_MS }, (response) => {
    const chunks: Buffer[] = [];
    response.on("data", (chunk: Buffer) => chunks.push(chunk));
    response.on("end", () => resolve(verdict(Buffer.concat(chunks))));
    response.on("error", ({ message }) => resolve(message));
  });
  posted.on("timeout", () => posted.destroy(new Error("silence")));
  posted.on("error", ({ message }) => resolve(message));
  posted.end(payload);
  return promise;
}

function overUdp(host: string, port: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  const send = () => socket.send(payload, port, host);
  const again = setInterval(send, AGAIN_MS);
  const silence = setTimeout(() => resolve("silence"), SILENCE_MS);
  socket.on("message", (message) => resolve(verdict(message)));
  socket.on("error", ({ message }) => resolve(message));
  send();
  return promise.finally(() => {
    clearInterval(again);
    clearTimeout(silence);
    socket.close();
  });
}

const ask = protocol === "UDP" ? overUdp : overHttp;
const split = (target: string) => target.split(",") as [string, string];
const results = await Promise.all(targets.map((target) => ask(split(target)[0], Number(split(target)[1]))));
process.stdout.write(JSON.stringify(results));
