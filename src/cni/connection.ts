/**
 * One connection to the CNI socket: one request, one answer, and an end. Whoever sends garbage, too much, half a
 * request or nothing at all gets one clear error; whoever does not read its answer is cut off.
 */
import type { Socket } from "node:net";
import { CNI_CODE, CniError } from "./cni-error.ts";
import { type CallOutcome, failedCall } from "./dispatch.ts";
import { type CniRequest, decodeRequest, encodeAnswer, requestLength } from "./frame.ts";
import { NEWEST_VERSION } from "./spec-version.ts";

export interface ConnectionOptions {
  /** How long a caller may take to send its request, and to read its answer. */
  readonly patienceMs: number;
  readonly call: (request: CniRequest) => Promise<CallOutcome>;
  /** A request that could not even be read. */
  readonly onUnreadable: (outcome: CallOutcome) => void;
}

/** Resolves when the connection is done with, however it ended. */
export async function serveConnection(socket: Socket, options: ConnectionOptions): Promise<void> {
  // Without a listener an error ("EPIPE": the caller left) would end the process; "close" follows and says the same.
  socket.on("error", () => undefined);
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  const request = await readRequest(socket, options.patienceMs).catch((error: unknown) => {
    const outcome = failedCall(error, "invalid", NEWEST_VERSION);
    options.onUnreadable(outcome);
    return outcome;
  });
  const outcome = "answer" in request ? request : await options.call(request);
  socket.end(encodeAnswer(outcome.answer));
  // What still comes is read and dropped: an unread byte at close would reset the connection under the answer.
  socket.resume();
  const linger = setTimeout(() => socket.destroy(), options.patienceMs);
  await closed;
  clearTimeout(linger);
}

function readRequest(socket: Socket, patienceMs: number): Promise<CniRequest> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let received = 0;
    const timer = setTimeout(() => finish(() => reject(unreadable(`not complete after ${patienceMs} ms`))), patienceMs);
    const finish = (settle: () => void) => {
      clearTimeout(timer);
      socket.off("data", onData).off("end", onEnd).off("close", onEnd);
      settle();
    };
    const onEnd = () => finish(() => reject(unreadable(`cut short after ${received} bytes`)));
    const onData = (chunk: Buffer) => {
      chunks.push(chunk);
      received += chunk.length;
      try {
        const bytes = joinHead(chunks);
        const length = requestLength(bytes);
        if (length !== undefined && received >= length) {
          const request = decodeRequest(Buffer.concat(chunks));
          finish(() => resolve(request));
        }
      } catch (error) {
        finish(() => reject(error));
      }
    };
    socket.on("data", onData).on("end", onEnd).on("close", onEnd);
  });
}

/** The first chunk, made to hold the header; the others stay apart until all are there. */
function joinHead(chunks: Buffer[]): Buffer {
  const [first, second] = chunks;
  if (first === undefined || second === undefined || first.length >= 16) return first ?? Buffer.alloc(0);
  chunks.splice(0, 2, Buffer.concat([first, second]));
  return joinHead(chunks);
}

function unreadable(why: string): CniError {
  return new CniError(CNI_CODE.ioFailure, `Cannot read the CNI call: the request is ${why}`, {
    operation: "read request",
    remedy: "the plugin was killed, or is none of ours; the runtime tries again by itself",
  });
}
