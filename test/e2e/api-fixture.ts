/** A lab of Services whose objects tests change through a client of their own, and which knows whether its kernel has SCTP. */
import assert from "node:assert/strict";
import { KubeClient } from "../../src/kube/client.ts";
import { loadConnection } from "../../src/kube/config.ts";
import { ServiceLab } from "./services-fixture.ts";

export class ApiLab extends ServiceLab {
  readonly #labName: string;
  #client: KubeClient | undefined;
  #hasSctp = false;

  constructor(name: string) {
    super(name);
    this.#labName = name;
  }

  override async up(objects?: readonly object[], shape?: readonly string[]): Promise<void> {
    await super.up(objects, shape);
    this.#client = new KubeClient(await loadConnection({ kubeconfig: this.home.kubeconfig(this.#labName) }));
  }

  override async close(): Promise<void> {
    this.#client?.close();
    await super.close();
  }

  get api(): KubeClient {
    assert.ok(this.#client, "the lab is up");
    return this.#client;
  }

  get hasSctp(): boolean {
    return this.#hasSctp;
  }

  /** @param from a pod @param to another one's name */
  async lookForSctp(from: string, to: string): Promise<void> {
    const [sctp] = await this.dial([{ from, to, port: 9, protocol: "SCTP" }]);
    this.#hasSctp = sctp?.error !== "EPROTONOSUPPORT";
  }
}
