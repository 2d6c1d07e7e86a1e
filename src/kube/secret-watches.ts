/**
 * Secrets that are read by their names: each has a watch of its own, so that the agent needs rights to these and no others
 * (RBAC's resourceNames hold for a list or watch of one name).
 */
import type { SecretKey } from "../model/bgp.ts";
import type { BgpPassword } from "../model/bgp-objects.ts";
import { parseSecret, type SecretTexts } from "./parse-secret.ts";
import { Reflector } from "./reflector.ts";
import type { ReflectorState } from "./reflector-options.ts";
import { secrets } from "./resource.ts";
import { reflectorOptions, type SourceOptions } from "./source-options.ts";

/** What changes is a Secret that came or went, or was looked at for the first time. */
export interface SecretWatchesOptions extends SourceOptions {
  /** Of Secrets that name none. */
  readonly namespace: string;
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
    const { onChange, namespace: own } = this.#options;
    const common = reflectorOptions(this.#options, secrets);
    const reflector = new Reflector<SecretTexts>({
      ...common,
      selection: { namespace: namespace ?? own, fieldSelector: `metadata.name=${name}` },
      parse: parseSecret,
      unparsable: "absent",
      onError: (error, retryInMs) => {
        common.onError(error, retryInMs);
        onChange();
      },
    });
    this.#reflectors.set(fullName, reflector);
    reflector.onChange(onChange);
    reflector.synced.then(onChange, () => undefined);
    reflector.start();
  }
}
