/**
 * Traffic that goes on while something happens to the network: steady.ts BASE JSON, with an array of {to, port, way}.
 * "dial" opens a connection and waits for an answer, again and again; "talk" keeps one and has each of its lines sent
 * back. Makes the file BASE.on when each has succeeded once, ends when there is a file BASE.off, and then prints an
 * array of what came of each.
 */
import { existsSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { PATIENCE } from "./patience.ts";

export interface Traffic {
  readonly to: string;
  readonly port: number;
  readonly way: "dial" | "talk";
}

export interface TrafficOutcome {
  readonly succeeded: number;
  /** errno names and words, each with how often it was. */
  readonly failures: Readonly<Record<string, number>>;
}

const PAUSE_MS = 20;
const TIMEOUT_MS = PATIENCE * 2000;

interface Connection {
  readonly socket: Socket;
  /** Resolves when what came since it was asked passes `check`. Rejects with the errno, "ETIMEDOUT" or "closed". */
  receive(check: (received: string) => boolean): Promise<void>;
}

function open({ to, port }: Traffic): Connection {
  let received = "";
  let failure: string | undefined;
  let wake = () => {};
  const fail = (why: string) => {
    failure ??= why;
    wake();
  };
  const socket = connect({ host: to, port, noDelay: true });
  socket.setTimeout(TIMEOUT_MS, () => fail("ETIMEDOUT"));
  socket.on("error", ({ code, message }: NodeJS.ErrnoException) => fail(code ?? message));
  socket.on("close", () => fail("closed"));
  socket.on("data", (data) => {
    received += data.toString("utf8");
    wake();
  });
  const receive = async (check: (received: string) => boolean) => {
    while (!check(received)) {
      if (failure !== undefined) throw new Error(failure);
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    received = "";
  };
  return { socket, receive };
}

async function dial(each: Traffic): Promise<void> {
  const { socket, receive } = open(each);
  await receive((received) => received !== "").finally(() => socket.destroy());
}

function conversation(each: Traffic): () => Promise<void> {
  const { socket, receive } = open(each);
  let spoken = 0;
  return async () => {
    const line = `${++spoken}\n`;
    socket.write(line);
    await receive((received) => received === line);
  };
}

const [base = "", json = "[]"] = process.argv.slice(2);
const traffic: Traffic[] = JSON.parse(json);
let unproven = traffic.length;

async function keepUp(each: Traffic): Promise<TrafficOutcome> {
  const step = each.way === "dial" ? () => dial(each) : conversation(each);
  const failures: Record<string, number> = {};
  let succeeded = 0;
  while (!existsSync(`${base}.off`)) {
    try {
      await step();
      if (++succeeded === 1 && --unproven === 0) writeFileSync(`${base}.on`, "");
    } catch (error) {
      const { message } = error as Error;
      failures[message] = (failures[message] ?? 0) + 1;
      // A connection that is broken does not mend.
      if (each.way === "talk") break;
    }
    await sleep(PAUSE_MS);
  }
  return { succeeded, failures };
}

const outcomes = await Promise.all(traffic.map(keepUp));
process.stdout.write(JSON.stringify(outcomes));
process.exit(0);
