/**
 * Puts a node's MTU report where anybody with a kubeconfig can read it: one ConfigMap a node. Written when something
 * changed, a while after the last change and seldom: it is for people, and the API has other work.
 */
import { isNotFound } from "../kube/api-error.ts";
import type { KubeClient } from "../kube/client.ts";
import type { Clock } from "../kube/clock.ts";
import { asObject, asString } from "../kube/json.ts";
import { configMaps, nodes } from "../kube/resource.ts";
import { messageOf } from "../model/errors.ts";
import { type MtuReport, PUBLISHED, publishedReport } from "../model/mtu-report.ts";
import type { Log } from "./log.ts";

export interface MtuPublisherOptions {
  readonly client: Pick<KubeClient, "create" | "get" | "patch">;
  readonly clock: Clock;
  readonly nodeName: string;
  readonly report: () => MtuReport;
  readonly log: Pick<Log, "warn">;
}

/** A fault changes many paths within seconds: that is one write. */
const GATHER_MS = 2000;
const RETRY_MS = 60_000;
/** Written anew this often though nothing changed: who reads it sees that the agent lives. See REPORT_LIFETIME_MS. */
const HEARTBEAT_MS = 600_000;

export class MtuPublisher implements Disposable {
  readonly #options: MtuPublisherOptions;
  #cancel: (() => void) | undefined;
  #last = "";
  #writtenMs = Number.NEGATIVE_INFINITY;
  #dueMs = Number.POSITIVE_INFINITY;
  #failed = false;
  #stopped = false;

  constructor(options: MtuPublisherOptions) {
    this.#options = options;
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  /** Something in the report may have changed. */
  touch(delayMs = GATHER_MS): void {
    const at = this.#options.clock.now() + delayMs;
    if (this.#stopped || at >= this.#dueMs) return;
    this.#cancel?.();
    this.#dueMs = at;
    this.#cancel = this.#options.clock.schedule(delayMs, () => {
      this.#dueMs = Number.POSITIVE_INFINITY;
      this.#publish();
    });
  }

  #publish(): void {
    const { log, report } = this.#options;
    const published = publishedReport(report());
    // Times are told to the millisecond, and differ by one from look to look.
    const content = JSON.stringify(published, (key, value) => (key === "at" || key === "since" ? "" : value));
    const isDue = this.#options.clock.now() - this.#writtenMs >= HEARTBEAT_MS;
    if (content === this.#last && !isDue) {
      this.touch(HEARTBEAT_MS);
      return;
    }
    this.#write(JSON.stringify(published)).then(
      () => {
        this.#last = content;
        this.#writtenMs = this.#options.clock.now();
        this.#failed = false;
        this.touch(HEARTBEAT_MS);
      },
      (error: unknown) => {
        if (this.#stopped) return;
        const message =
          "cannot publish the MTU report (ConfigMap in kube-system); 'breakwater mtu' on this node shows it";
        if (!this.#failed) log.warn({ error: messageOf(error) }, message);
        this.#failed = true;
        this.touch(RETRY_MS);
      },
    );
  }

  async #write(text: string): Promise<void> {
    const { client, nodeName } = this.#options;
    const { namespace, label, key } = PUBLISHED;
    const name = PUBLISHED.name(nodeName);
    const data = { [key]: text };
    try {
      await client.patch({ resource: configMaps, namespace, name }, { data }, { type: "merge" });
    } catch (error) {
      if (!isNotFound(error)) throw error;
      // It goes when its Node goes.
      const node = await client.get({ resource: nodes, name: nodeName });
      const uid = asString(asObject(node["metadata"])?.["uid"]);
      const ownerReferences = [{ apiVersion: "v1", kind: "Node", name: nodeName, uid }];
      const metadata = { name, namespace, labels: { [label.key]: label.value }, ownerReferences };
      await client.create(configMaps, namespace, { apiVersion: "v1", kind: "ConfigMap", metadata, data });
    }
  }
}
