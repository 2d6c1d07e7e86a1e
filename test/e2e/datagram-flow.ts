/** A UDP flow between two namespaces whose client goes on asking when its server has gone. */
import { openClientSocket, openServerSocket } from "../../src/kernel/inet-socket.ts";
import * as libc from "../../src/kernel/libc.ts";
import { inNamespaceAt } from "../../src/kernel/netns.ts";
import type { Ip } from "../../src/model/ip.ts";
import { eventually } from "./lab-fixture.ts";

const ANSWER_WITHIN_MS = 5000;

export class DatagramFlow implements Disposable {
  readonly #client: number;
  #server: number;

  /** @param ends namespaces of both, and where the server listens */
  constructor({ client, server, ip, port }: { client: string; server: string; ip: Ip; port: number }) {
    this.#server = inNamespaceAt(server, () => openServerSocket(ip, port, "UDP"));
    this.#client = inNamespaceAt(client, () => openClientSocket(ip, port, "UDP"));
  }

  [Symbol.dispose](): void {
    libc.close(this.#client);
    this.#endServer();
  }

  ask(): void {
    libc.send(this.#client, Buffer.from("x"), 1, 0);
  }

  /** One question and its answer: connection tracking has seen both directions. Then the server is gone. */
  async answered(): Promise<void> {
    const [data, from, length] = [Buffer.alloc(16), Buffer.alloc(28), Buffer.alloc(4)];
    await eventually(ANSWER_WITHIN_MS, async () => {
      this.ask();
      length.writeUInt32LE(from.length);
      const size = libc.recvfrom(this.#server, data, data.length, 0, from, length);
      if (size < 0) throw new Error("no question has arrived");
      libc.sendto(this.#server, data, size, 0, from, length.readUInt32LE());
      if (libc.recv(this.#client, data, data.length, 0) < 0) throw new Error("no answer has arrived");
    });
    this.#endServer();
  }

  #endServer(): void {
    if (this.#server >= 0) libc.close(this.#server);
    this.#server = -1;
  }
}
