/**
 * A connection to BIRD's control socket: one command at a time, each with a deadline. BIRD answers in a millisecond; one
 * that does not answer is stuck, and the connection is given up. It is held open all the time: its end tells of BIRD's.
 */
import { connect, type Socket } from "node:net";
import { BreakwaterError, messageOf } from "../../model/errors.ts";
import { type BirdReply, ReplyReader } from "./reply-reader.ts";

/** Reading the configuration of a thousand peers, or printing as many, is done well within this. */
const DEADLINE_MS = 5000;
/** BIRD's greeting. */
const WELCOME = 1;

interface Waiting {
  readonly command: string;
  readonly resolve: (reply: BirdReply) => void;
  readonly reject: (error: Error) => void;
}

export class BirdControl {
  readonly path: string;
  /** Settles when the connection has ended, for whatever reason. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #reader = new ReplyReader();
  readonly #queue: Waiting[] = [];
  readonly #deadlineMs: number;
  #timer: NodeJS.Timeout | undefined;
  #version = "";
  #hung = false;

  private constructor(path: string, socket: Socket, deadlineMs: number) {
    this.path = path;
    this.#socket = socket;
    this.#deadlineMs = deadlineMs;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => this.#read(text));
    socket.on("error", (error) => this.#fail(messageOf(error)));
    socket.on("close", () => {
      this.#fail("BIRD ended the connection");
      resolve();
    });
  }

  /**
   * Connects and waits for BIRD's greeting.
   * @throws BreakwaterError BW_BGP_CONTROL; errno is ENOENT or ECONNREFUSED where no BIRD is
   */
  static async open(path: string, deadlineMs = DEADLINE_MS): Promise<BirdControl> {
    const control = new BirdControl(path, connect({ path }), deadlineMs);
    try {
      const greeting = await control.#expect("");
      if (greeting.code !== WELCOME) throw control.#error(`it greets with ${greeting.code} ${greeting.text}`);
      control.#version = greeting.text;
      return control;
    } catch (error) {
      control.close();
      throw error;
    }
  }

  /** "BIRD 2.0.12 ready." without its last word. */
  get version(): string {
    return this.#version.replace(/ ready\.$/, "");
  }

  /** Nothing can be asked any more. */
  get hasEnded(): boolean {
    return this.#socket.destroyed;
  }

  /** BIRD was there and did not answer in time. */
  get hung(): boolean {
    return this.#hung;
  }

  /** @throws BreakwaterError BW_BGP_CONTROL when there is no answer in time, or the connection is gone */
  command(text: string): Promise<BirdReply> {
    return this.#expect(text);
  }

  close(): void {
    this.#socket.destroy();
  }

  /** @param command empty: the greeting is awaited */
  #expect(command: string): Promise<BirdReply> {
    if (this.#socket.destroyed) return Promise.reject(this.#error("the connection has ended"));
    return new Promise((resolve, reject) => {
      this.#queue.push({ command, resolve, reject });
      if (this.#queue.length === 1) this.#ask();
    });
  }

  #ask(): void {
    clearTimeout(this.#timer);
    const [next] = this.#queue;
    if (next === undefined) return;
    this.#timer = setTimeout(() => {
      this.#hung = true;
      this.#fail(`no answer within ${this.#deadlineMs / 1000} s to ${JSON.stringify(next.command)}`, "ETIMEDOUT");
      this.#socket.destroy();
    }, this.#deadlineMs);
    if (next.command !== "") this.#socket.write(`${next.command}\n`);
  }

  #read(text: string): void {
    try {
      for (const reply of this.#reader.read(text)) {
        this.#queue.shift()?.resolve(reply);
        this.#ask();
      }
    } catch (error) {
      this.#fail(messageOf(error));
      this.#socket.destroy();
    }
  }

  #fail(why: string, errno?: string): void {
    clearTimeout(this.#timer);
    const found = /\b(ENOENT|ECONNREFUSED|EACCES)\b/.exec(why)?.[1];
    for (const { reject } of this.#queue.splice(0)) reject(this.#error(why, errno ?? found));
  }

  #error(why: string, errno?: string): BreakwaterError {
    return new BreakwaterError("BW_BGP_CONTROL", `BIRD does not answer on ${this.path}: ${why}`, {
      operation: "ask BIRD",
      object: this.path,
      ...(errno === undefined ? {} : { errno }),
      remedy: "Read BIRD's log beside that socket; the agent starts BIRD anew by itself",
    });
  }
}
