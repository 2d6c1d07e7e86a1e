/** When the CNI configuration goes to disk, and that it stays there. */
import { messageOf } from "../model/errors.ts";
import type { AgentOptions } from "./agent-options.ts";
import type { NodeNetwork } from "./node-network.ts";

const PUBLISH_RETRY_MS = 1000;
const PUBLISH_CHECK_MS = 1000;

type PublisherOptions = Pick<AgentOptions, "log" | "publishCni" | "cniIsPublished">;

/** Puts the CNI configuration on disk once the node can give pods their network, and tries again when that fails. */
export class CniPublisher {
  readonly #options: PublisherOptions;
  readonly #notReady: () => string | undefined;
  readonly #network: NodeNetwork;
  readonly #retry: () => void;
  #published = false;

  /** @param notReady why no pod can have its network yet */
  constructor(options: PublisherOptions, notReady: () => string | undefined, network: NodeNetwork, retry: () => void) {
    this.#options = options;
    this.#notReady = notReady;
    this.#network = network;
    this.#retry = retry;
  }

  get published(): boolean {
    return this.#published && this.#options.cniIsPublished();
  }

  /** Somebody may have removed it: a runtime would then start no pod here. Looked at, not watched: inotify is scarce. */
  follow(): Disposable {
    const timer = setInterval(() => {
      if (!this.#published || this.#options.cniIsPublished()) return;
      this.#options.log.warn({}, "the CNI configuration is gone from the disk; writing it again");
      this.#published = false;
      this.tryPublish();
    }, PUBLISH_CHECK_MS);
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }

  tryPublish(): void {
    if (this.#published || this.#notReady() !== undefined) return;
    this.#published = true;
    const { log, publishCni } = this.#options;
    publishCni().then(
      () => log.info({ podCidrs: this.#network.podCidrs() }, "node is ready for pods"),
      (error: unknown) => {
        this.#published = false;
        log.error({ error: messageOf(error) }, "cannot publish the CNI configuration; trying again");
        setTimeout(this.#retry, PUBLISH_RETRY_MS);
      },
    );
  }
}
