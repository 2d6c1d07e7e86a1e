/**
 * Secrets that are read by their names: each has a watch of its own, so that the agent needs rights to these and no others
 * (RBAC's resourceNames hold for a list or watch of one name).
 */
import type { SecretKey } from "../model/bgp.ts";
import type { BgpPassword } from "../model/bgp-objects.ts";
import type { KubeClient } from "./client.ts";
import type { Clock } from "./clock.ts";
import type { ObjectProblem } from "./object-reader.ts";
import { parseSecret, type SecretTexts } from "./parse-secret.ts";
import { Reflector } from "./reflector.ts";
import type { ReflectorState, ReflectorTiming } from "./reflector-options.ts";
import { resourceName, secrets } from "./resource.ts";

export interface SecretWatchesOptions {
  readonly client: Pick<KubeClient, "listPage" | "watch">;
  /** Of Secrets that name none. */
  readonly namespace: string;
  /** A Secret came, changed or went, or was looked at for the first time. */
  readonly onChange: () => void;
  readonly onProblem: (problem: ObjectProblem) => void;
  readonly onError?: (resource: string, error: Error, retryInMs: number) => void;
  readonly timing?: Partial<ReflectorTiming>;
  readonly clock?: Clock;
}

export class SecretWatches {
  readonly #options: SecretWatchesOptions;
  /** By "namespace/name". */
  readonly #reflectors = new Map<string, Reflector<SecretTexts>>();

  constructor(options: SecretWatchesOptions) {
    this.#options = options;
  }

  /** Watches these, and no others any more. */
  follow(keys: Iterable<SecretKey>): void {
    const wanted = new Map(Array.from(keys, (key) => [this.#name(key), key]));
    for (const [name, reflector] of this.#reflectors) {
      if (wanted.has(name)) continue;
      this.#reflectors.delete(name);
      void reflector.stop();
    }
    for (const [name, key] of wanted) if (!this.#reflectors.has(name)) this.#watch(name, key);
  }

  /** The text of a key; undefined until its Secret was looked at. */
  text(key: SecretKey): BgpPassword | undefined {
    const name = this.#name(key);
    const reflector = this.#reflectors.get(name);
    if (reflector === undefined) return undefined;
    if (!reflector.state().synced) {
      const why = reflector.state().lastError;
      return why === undefined ? undefined : { why: `Secret ${name} cannot be read: ${why}` };
    }
    const texts = reflector.items().get(name);
    if (texts === undefined) return { why: `there is no Secret ${name}` };
    const password = texts[key.key];
    if (password === undefined) return { why: `Secret ${name} has no text under the key ${key.key}` };
    return { password };
  }

  state(): readonly ReflectorState[] {
    return Array.from(this.#reflectors.values(), (reflector) => reflector.state());
  }

  async stop(): Promise<void> {
    await Promise.all(Array.from(this.#reflectors.values(), (reflector) => reflector.stop()));
  }

  #name({ namespace, name }: SecretKey): string {
    return `${namespace ?? this.#options.namespace}/${name}`;
  }

  #watch(fullName: string, { namespace, name }: SecretKey): void {
    const { client, onChange, onProblem, onError, timing, clock } = this.#options;
    const reflector = new Reflector<SecretTexts>({
      client,
      timing,
      clock,
      resource: secrets,
      selection: { namespace: namespace ?? this.#options.namespace, fieldSelector: `metadata.name=${name}` },
      parse: parseSecret,
      unparsable: "absent",
      onProblem,
      onError: (error, retryInMs) => {
        onError?.(resourceName(secrets), error, retryInMs);
        onChange();
      },
    });
    this.#reflectors.set(fullName, reflector);
    reflector.onChange(onChange);
    reflector.synced.then(onChange, () => undefined);
    reflector.start();
  }
}
