/**
 * What operators ask of BGP: BGPPeers, the BGPConfiguration, and the Secrets that peers of this node name. A cluster need not
 * have the definitions: then it asks for nothing.
 */
import { type BgpClusterConfig, type BgpPeerSpec, DEFAULT_BGP_CONFIG } from "../model/bgp.ts";
import { BGP_CONFIGURATION_NAME, type BgpConfigurationObject, type BgpPeerObject } from "../model/bgp-objects.ts";
import { coalesce } from "./coalesce.ts";
import { parseBgpConfiguration } from "./parse-bgp-configuration.ts";
import { parseBgpPeer } from "./parse-bgp-peer.ts";
import { Reflector } from "./reflector.ts";
import type { ReflectorState } from "./reflector-options.ts";
import { bgpConfigurations, bgpPeers, type ResourceType } from "./resource.ts";
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
}

export interface BgpSource {
  /** Resolves when both kinds were listed once; rejects with BW_KUBE_STOPPED when stopped before. */
  readonly synced: Promise<void>;
  /** By name. */
  peers(): ReadonlyMap<string, BgpPeerObject>;
  configurations(): ReadonlyMap<string, BgpConfigurationObject>;
  /**
   * Undefined until both kinds were listed and each Secret was looked at; and while there is a BGPConfiguration that cannot
   * be used: what is configured stays then.
   */
  wanted(): BgpWanted | undefined;
  /** Labels of this node may have changed: peers may concern it now. */
  follow(): void;
  state(): readonly ReflectorState[];
  stop(): Promise<void>;
}

export function startBgpSource(options: BgpSourceOptions): BgpSource {
  const notice = coalesce(options.onChange);
  const common = (resource: ResourceType) => ({
    ...reflectorOptions(options, resource),
    isOptional: true,
    // What cannot be used says so itself; what is no object at all is gone.
    unparsable: "absent" as const,
  });
  const peerReflector = new Reflector<BgpPeerObject>({ ...common(bgpPeers), parse: withProblems(parseBgpPeer) });
  const configReflector = new Reflector<BgpConfigurationObject>({
    ...common(bgpConfigurations),
    parse: withProblems(parseBgpConfiguration),
  });
  const passwords = new SecretWatches({ ...options, onChange: notice.call });
  const specs = () => Array.from(peerReflector.items().values(), ({ spec }) => spec ?? []).flat();
  const followSecrets = () => {
    passwords.follow(specs().flatMap((peer) => (options.concerns(peer) ? (peer.passwordSecret ?? []) : [])));
  };
  const memory = new WantedMemory();
  const reflectors = [peerReflector, configReflector];
  peerReflector.onChange(followSecrets);
  for (const reflector of reflectors) {
    reflector.onChange(notice.call);
    reflector.start();
  }
  const synced = Promise.all(reflectors.map((reflector) => reflector.synced)).then(() => undefined);
  // Who does not wait for it must not be killed by its rejection.
  synced.catch(() => undefined);
  return {
    synced,
    peers: () => peerReflector.items(),
    configurations: () => configReflector.items(),
    wanted: () => {
      if (!reflectors.every((reflector) => reflector.state().synced)) return undefined;
      const settings = settingsOf(configReflector.items());
      if (settings === undefined) return undefined;
      return memory.remember(wantedOf(settings, specs().filter(options.concerns), passwords));
    },
    follow: followSecrets,
    state: () => [...reflectors.map((reflector) => reflector.state()), ...passwords.state()],
    stop: async () => {
      notice.cancel();
      await Promise.all([...reflectors.map((reflector) => reflector.stop()), passwords.stop()]);
    },
  };
}

/** No configuration is the default one; one that cannot be used is none. */
function settingsOf(configurations: ReadonlyMap<string, BgpConfigurationObject>): BgpClusterConfig | undefined {
  const object = configurations.get(BGP_CONFIGURATION_NAME);
  return object === undefined ? DEFAULT_BGP_CONFIG : object.config;
}

/** Undefined while a Secret was not looked at: without it the session would end and begin again. */
function wantedOf(
  settings: BgpClusterConfig,
  peers: readonly BgpPeerSpec[],
  secrets: Pick<SecretWatches, "text">,
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
  return { settings, peers: sorted, passwords, withoutPassword };
}

/** Hands out the same object while it says the same: plans compare by identity. */
class WantedMemory {
  #text = "";
  #wanted: BgpWanted | undefined;

  remember(wanted: BgpWanted | undefined): BgpWanted | undefined {
    // Before everything is known again, what was known stands.
    if (wanted === undefined) return this.#wanted;
    const text = JSON.stringify([wanted.settings, wanted.peers, [...wanted.passwords], [...wanted.withoutPassword]]);
    if (text !== this.#text || this.#wanted === undefined) [this.#text, this.#wanted] = [text, wanted];
    return this.#wanted;
  }
}
