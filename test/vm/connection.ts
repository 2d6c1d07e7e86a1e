/** A TCP connection between two namespaces of this process, driven by calls that wait: nothing of it needs the event loop. */
import { createHash, randomBytes } from "node:crypto";
import type { TestContext } from "node:test";
import * as libc from "../../src/kernel/libc.ts";
import {
  acceptWaiting,
  connectWaiting,
  listenWaiting,
  receiveWaiting,
  sendWaiting,
} from "../../src/kernel/waiting-socket.ts";
import type { TestNamespace } from "../kernel/namespaces.ts";

/** Small enough for the buffers of both ends together: nobody reads while it is sent. */
const CHUNK_BYTES = 65_536;
const TIMEOUT_MS = 20_000;

export class Connection {
  readonly #client: number;
  readonly #server: number;

  /** Opens it from one namespace to an address that leads to the other. */
  constructor(
    t: TestContext,
    from: TestNamespace,
    to: TestNamespace,
    dialled: { readonly ip: string; readonly port: number },
    served = dialled,
  ) {
    const listener = to.run(() => listenWaiting(served.ip, served.port, TIMEOUT_MS));
    this.#client = from.run(() => connectWaiting(dialled.ip, dialled.port, TIMEOUT_MS));
    this.#server = acceptWaiting(listener, TIMEOUT_MS);
    libc.close(listener);
    t.after(() => this.close());
  }

  close(): void {
    libc.close(this.#client);
    libc.close(this.#server);
  }

  /** Messages there and back, one at a time. @returns whether each came back as it was sent */
  exchange(messages: number, bytes = 1000): boolean {
    const into = Buffer.alloc(bytes);
    for (let i = 0; i < messages; i++) {
      const sent = randomBytes(bytes);
      if (sendWaiting(this.#client, sent) !== bytes || receiveWaiting(this.#server, into, true) !== bytes) return false;
      if (sendWaiting(this.#server, into) !== bytes || receiveWaiting(this.#client, into, true) !== bytes) return false;
      if (!sent.equals(into)) return false;
    }
    return true;
  }

  /** Large pieces from the client. @returns whether all arrived as they were sent */
  stream(pieces: number): boolean {
    const [sent, got] = [createHash("sha256"), createHash("sha256")];
    const into = Buffer.alloc(CHUNK_BYTES);
    for (let i = 0; i < pieces; i++) {
      const piece = randomBytes(CHUNK_BYTES);
      if (sendWaiting(this.#client, piece) !== CHUNK_BYTES) return false;
      if (receiveWaiting(this.#server, into, true) !== CHUNK_BYTES) return false;
      sent.update(piece);
      got.update(into);
    }
    return sent.digest("hex") === got.digest("hex");
  }

  /** One small message from the client. @returns milliseconds until it arrived; undefined when it did not in time */
  send(withinMs: number): number | undefined {
    const started = performance.now();
    sendWaiting(this.#client, Buffer.from("x"));
    const into = Buffer.alloc(1);
    const until = started + withinMs;
    while (performance.now() < until) {
      if (libc.recv(this.#server, into, 1, MSG_DONTWAIT) === 1) return performance.now() - started;
    }
    return undefined;
  }
}

const MSG_DONTWAIT = 0x40;
