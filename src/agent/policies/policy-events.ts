/**
 * Tells those who wrote a policy what of it could not be understood, and so admits nothing: an Event on the policy. All
 * agents find the same; the Event has the same name for all, and whoever comes first makes it.
 */
import type { Clock } from "../../kube/clock.ts";
import type { EventRecorder, EventSubject } from "../../kube/events.ts";

export interface PolicyEventsOptions {
  readonly events: Pick<EventRecorder, "record">;
  readonly clock: Clock;
  /** Every policy, with what of it was not understood, a sentence each. */
  readonly policies: () => Iterable<{ readonly subject: EventSubject; readonly problems?: readonly string[] }>;
}

/** How long an agent waits before it writes, at least and at most: mostly one is first, and the others have time. */
const WAIT_MS = { least: 200, most: 3000 } as const;
/** What events.k8s.io/v1 takes of an Event is 1 kB. */
const MESSAGE_LENGTH = 1000;

export class PolicyEvents implements Disposable {
  readonly #options: PolicyEventsOptions;
  /** What was told of each policy that has problems. */
  readonly #told = new Map<string, string>();
  #cancel: (() => void) | undefined;

  constructor(options: PolicyEventsOptions) {
    this.#options = options;
  }

  [Symbol.dispose](): void {
    this.#cancel?.();
  }

  /** Policies may have changed. */
  follow(): void {
    const { clock } = this.#options;
    this.#cancel ??= clock.schedule(WAIT_MS.least + clock.random() * (WAIT_MS.most - WAIT_MS.least), () => {
      this.#cancel = undefined;
      this.#tell();
    });
  }

  #tell(): void {
    const gone = new Set(this.#told.keys());
    for (const { subject, problems = [] } of this.#options.policies()) {
      const key = `${subject.kind} ${subject.namespace ?? ""}/${subject.name} ${subject.uid ?? ""}`;
      gone.delete(key);
      this.#tellOne(key, subject, problems);
    }
    for (const key of gone) this.#told.delete(key);
  }

  #tellOne(key: string, subject: EventSubject, problems: readonly string[]): void {
    const { events } = this.#options;
    const message = problems.join("; ").slice(0, MESSAGE_LENGTH);
    const told = this.#told.get(key) ?? "";
    if (message === told) return;
    if (message === "") {
      this.#told.delete(key);
      events.record(subject, "Normal", "PolicyUnderstood", "all of the policy is understood and enforced", true);
      return;
    }
    this.#told.set(key, message);
    events.record(subject, "Warning", "PolicyNotUnderstood", message, true);
  }
}
