/**
 * What operators ask of BGP: BGPPeers, the BGPConfiguration, and the Secrets that peers of this node name. A cluster need not
 * have the definitions: then it asks for nothing.
 */
import { type BgpClusterConfig, type BgpPeerSpec, DEFAULT_BGP_CONFIG } from "../model/bgp.ts";
import { BGP_CONFIGURATION_NAME, type BgpConfigurationObject, type BgpPeerObject } from "../model/bgp-objects.ts";
import { isForbidden } from "./api-error.ts";
import { coalesce } from "./coalesce.ts";
import { parseBgpConfiguration } from "./parse-bgp-configuration.ts";
import { parseBgpPeer } from "./parse-bgp-peer.ts";
import { Reflector } from "./reflector.ts";
import type { ReflectorState } from "./reflector-options.ts";
import { bgpConfigurations, bgpPeers, type ResourceType, resourceName } from "./resource.ts";
import { SecretWatches } from "./secret-watches.ts";
import { reflectorOptions, type SourceOptions, withProblems } from "./source-options.ts";

export interface BgpSourceOptions extends SourceOptions {
  /** Namespace of Secrets that name none: the agent's own. */
  readonly namespace: string;
  /** Whether this node has a session with the peer: other peers' Secrets are not read. */
  readonly concerns: (peer: BgpPeerSpec) => boolean;
}

/** What is wanted, as far as it is known. The same object until something of it changes. */
export interface BgpWanted {
  readonly settings: BgpClusterConfig;
  /** Peers that can be had, by name. */
  readonly peers: readonly BgpPeerSpec[];
  /** Passwords by name of the peer; one that names a Secret and is not here has none that can be read. */
  readonly passwords: ReadonlyMap<string, string>;
  /** Why peers have no password, by name of the peer. */
  readonly withoutPassword: ReadonlyMap<string, string>;
  /** Kinds that may not be read and never were: why. They count as empty. */
  readonly unread: readonly string[];
}

export interface BgpSource {
  /** Resolves when both kinds were listed once; rejects with BW_KUBE_STOPPED when stopped before. */
  readonly synced: Promise<void>;
  /** By name. */
  peers(): ReadonlyMap<string, BgpPeerObject>;
  configurations(): ReadonlyMap<string, BgpConfigurationObject>;
  /**
   * Undefined until both kinds were listed, or refused to us, and each Secret was looked at; and while there is a BGPConfiguration that cannot
   * be used: what is configured stays then.
   */
  wanted(): BgpWanted | undefined;
  /** Labels of this node may have changed: peers may concern it now. */
  follow(): void;
  state(): readonly ReflectorState[];
  stop(): Promise<void>;
}

export function startBgpSource(options: BgpSourceOptions): BgpSource {
  const source = new KubeBgpSource(options);
  source.start();
  return source;
}

class KubeBgpSource implements BgpSource {
  readonly synced: Promise<void>;
  readonly #options: BgpSourceOptions;
  readonly #notice: ReturnType<typeof coalesce>;
  readonly #peers: Reflector<BgpPeerObject>;
  readonly #configurations: Reflector<BgpConfigurationObject>;
  readonly #passwords: SecretWatches;
  readonly #memory = new WantedMemory();
  /** By resource: why it may not be read, until it was. */
  readonly #refusals = new Map<string, string>();

  constructor(options: BgpSourceOptions) {
    this.#options = options;
    this.#notice = coalesce(options.onChange);
    this.#peers = new Reflector({ ...this.#common(bgpPeers), parse: withProblems(parseBgpPeer) });
    this.#configurations = new Reflector({
      ...this.#common(bgpConfigurations),
      parse: withProblems(parseBgpConfiguration),
    });
    this.#passwords = new SecretWatches({ ...options, onChange: this.#notice.call });
    this.synced = Promise.all([this.#peers.synced, this.#configurations.synced]).then(() => undefined);
    // Who does not wait for it must not be killed by its rejection.
    this.synced.catch(() => undefined);
  }

  start(): void {
    this.#peers.onChange(() => this.follow());
    this.#run(this.#peers);
    this.#run(this.#configurations);
  }

  peers(): ReadonlyMap<string, BgpPeerObject> {
    return this.#peers.items();
  }

  configurations(): ReadonlyMap<string, BgpConfigurationObject> {
    return this.#configurations.items();
  }

  wanted(): BgpWanted | undefined {
    const missing = this.#reflectors()
      .map((reflector) => reflector.state())
      .filter(({ synced }) => !synced);
    const unread = missing.flatMap(({ resource }) => this.#refusals.get(resource) ?? []);
    if (unread.length < missing.length) return undefined;
    const settings = settingsOf(this.#configurations.items());
    if (settings === undefined) return undefined;
    return this.#memory.remember(
      wantedOf(settings, this.#specs().filter(this.#options.concerns), this.#passwords, unread),
    );
  }

  follow(): void {
    const { concerns } = this.#options;
    this.#passwords.follow(this.#specs().flatMap((peer) => (concerns(peer) ? (peer.passwordSecret ?? []) : [])));
  }

  state(): readonly ReflectorState[] {
    return [...this.#reflectors().map((reflector) => reflector.state()), ...this.#passwords.state()];
  }

  async stop(): Promise<void> {
    this.#notice.cancel();
    await Promise.all([...this.#reflectors().map((reflector) => reflector.stop()), this.#passwords.stop()]);
  }

  #reflectors() {
    return [this.#peers, this.#configurations];
  }

  #specs(): BgpPeerSpec[] {
    return Array.from(this.#peers.items().values(), ({ spec }) => spec ?? []).flat();
  }

  #common(resource: ResourceType) {
    const common = reflectorOptions(this.#options, resource);
    return {
      ...common,
      isOptional: true,
      // What cannot be used says so itself; what is no object at all is gone.
      unparsable: "absent" as const,
      onError: (error: Error, retryInMs: number) => {
        common.onError(error, retryInMs);
        if (!isForbidden(error) || this.#refusals.has(resourceName(resource))) return;
        this.#refusals.set(resourceName(resource), error.message);
        this.#notice.call();
      },
    };
  }

  #run<T>(reflector: Reflector<T>): void {
    reflector.onChange(this.#notice.call);
    // An empty list is no change, and tells as much.
    reflector.synced.then(this.#notice.call, () => undefined);
    reflector.start();
  }
}

/** No configuration is the default one; one that cannot be used is none. */
export function settingsOf(configurations: ReadonlyMap<string, BgpConfigurationObject>): BgpClusterConfig | undefined {
  const object = configurations.get(BGP_CONFIGURATION_NAME);
  return object === undefined ? DEFAULT_BGP_CONFIG : object.config;
}

/** Undefined while a Secret was not looked at: without it the session would end and begin again. */
export function wantedOf(
  settings: BgpClusterConfig,
  peers: readonly BgpPeerSpec[],
  secrets: Pick<SecretWatches, "text">,
  unread: readonly string[],
): BgpWanted | undefined {
  const [passwords, withoutPassword] = [new Map<string, string>(), new Map<string, string>()];
  for (const { name, passwordSecret } of peers) {
    if (passwordSecret === undefined) continue;
    const text = secrets.text(passwordSecret);
    if (text === undefined) return undefined;
    if ("password" in text) passwords.set(name, text.password);
    else withoutPassword.set(name, text.why);
  }
  const sorted = [...peers].sort((a, b) => (a.name < b.name ? -1 : 1));
  return { settings, peers: sorted, passwords, withoutPassword, unread };
}

/** Hands out the same object while it says the same: plans compare by identity. */
class WantedMemory {
  #text = "";
  #wanted: BgpWanted | undefined;

  remember(wanted: BgpWanted | undefined): BgpWanted | undefined {
    // Before everything is known again, what was known stands.
    if (wanted === undefined) return this.#wanted;
    const { settings, peers, passwords, withoutPassword, unread } = wanted;
    const text = JSON.stringify([settings, peers, [...passwords], [...withoutPassword], unread]);
    if (text !== this.#text || this.#wanted === undefined) [this.#text, this.#wanted] = [text, wanted];
    return this.#wanted;
  }
}
