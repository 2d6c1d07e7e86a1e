/**
 * One probe: opens a connection inside a namespace, waits for the answer's first line. Works on bare descriptors, so
 * that TCP, UDP and SCTP are alike and hundreds run side by side.
 */
import { openClientSocket, type Protocol, receiveSocket, sendSocket, socketError } from "../kernel/inet-socket.ts";
import * as libc from "../kernel/libc.ts";
import { inNamespaceAt } from "../kernel/netns.ts";
import { isBreakwaterError, messageOf } from "../model/errors.ts";
import { type Ip, tryParseIp } from "../model/ip.ts";

export interface DialTarget {
  /** Namespace to dial from. */
  readonly netns: string;
  readonly ip: Ip;
  readonly port: number;
  readonly protocol: Protocol;
  readonly timeoutMs: number;
}

export interface DialResult {
  readonly allowed: boolean;
  /** First line of the answer: "namespace/pod" from a built-in responder; null without one. */
  readonly answer: string | null;
  /** Address that the built-in responder saw the dial come from; absent where none answered. */
  readonly clientIp?: Ip;
  /** From the first packet to the answer, milliseconds; to the open connection where nobody answered; null without. */
  readonly rttMs: number | null;
  /** errno name, or "ETIMEDOUT" for silence. */
  readonly error: string | null;
}

export function dial(target: DialTarget): Promise<DialResult> {
  const started = performance.now();
  let fd: number;
  try {
    fd = inNamespaceAt(target.netns, () => openClientSocket(target.ip, target.port, target.protocol));
  } catch (error) {
    const errno = isBreakwaterError(error) ? error.errno : undefined;
    return Promise.resolve({ allowed: false, answer: null, rttMs: null, error: errno ?? messageOf(error) });
  }
  return new Promise((resolve) => {
    const polls: libc.FdPoll[] = [];
    let connectedMs: number | undefined;
    const elapsedMs = () => Math.round((performance.now() - started) * 1000) / 1000;
    const finish = (answer: string | null, error: string | null, clientIp?: Ip) => {
      clearTimeout(timer);
      for (const poll of polls) poll.stop();
      libc.close(fd);
      const rttMs = answer === null ? (connectedMs ?? elapsedMs()) : elapsedMs();
      const result = { allowed: error === null, answer, rttMs: error === null ? rttMs : null, error };
      resolve(clientIp === undefined ? result : { ...result, clientIp });
    };
    let timer = setTimeout(() => finish(null, "ETIMEDOUT"), target.timeoutMs);
    const onReadable = () => {
      const data = receiveSocket(fd);
      if (typeof data !== "string") finish(firstLine(data), null, clientOf(data));
      else if (data !== "EAGAIN") finish(null, data);
    };
    const onConnected = () => {
      const error = socketError(fd) || (target.protocol === "UDP" ? sendSocket(fd, Buffer.from("probe\n")) : "");
      if (error !== "") {
        finish(null, error);
        return;
      }
      if (target.protocol !== "UDP") {
        // A stream that was opened is allowed, also when nobody speaks first: that is not for the network to say.
        connectedMs = elapsedMs();
        clearTimeout(timer);
        timer = setTimeout(() => finish(null, null), target.timeoutMs / 2);
      }
      polls.push(libc.pollReadable(fd, onReadable));
    };
    polls.push(libc.pollWritable(fd, onConnected));
  });
}

/** Of the responder's second line, "from ADDRESS PORT". */
function clientOf(data: Buffer): Ip | undefined {
  const [, address = ""] = /^[^\n]*\nfrom (\S+) \d+\n/.exec(data.toString("utf8")) ?? [];
  return tryParseIp(address);
}

function firstLine(data: Buffer): string | null {
  if (data.length === 0) return null;
  return data.toString("utf8").split("\n")[0] ?? null;
}
