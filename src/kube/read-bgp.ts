/** What operators ask of BGP, read once: for the dry run, which watches nothing. */
import type { BgpPeerSpec } from "../model/bgp.ts";
import type { BgpPassword } from "../model/bgp-objects.ts";
import { messageOf } from "../model/errors.ts";
import { isForbidden, isNotFound } from "./api-error.ts";
import { type BgpSourceOptions, type BgpWanted, settingsOf, wantedOf } from "./bgp-source.ts";
import type { KubeClient } from "./client.ts";
import type { JsonObject } from "./json.ts";
import type { ParseObject } from "./object-reader.ts";
import { parseBgpConfiguration } from "./parse-bgp-configuration.ts";
import { parseBgpPeer } from "./parse-bgp-peer.ts";
import { parseSecret } from "./parse-secret.ts";
import { bgpConfigurations, bgpPeers, type ResourceType, secrets } from "./resource.ts";

export interface ReadBgpOptions extends Pick<BgpSourceOptions, "namespace" | "concerns"> {
  readonly client: Pick<KubeClient, "list" | "get">;
}

/** @returns undefined while the BGPConfiguration cannot be used: what is configured stays then */
export async function readBgp(options: ReadBgpOptions): Promise<BgpWanted | undefined> {
  const unread: string[] = [];
  const [peers, configurations] = await Promise.all([
    readAll(options, bgpPeers, parseBgpPeer, unread),
    readAll(options, bgpConfigurations, parseBgpConfiguration, unread),
  ]);
  const settings = settingsOf(new Map(configurations.map((object) => [object.name, object])));
  const specs = peers.flatMap(({ spec }) => spec ?? []).filter(options.concerns);
  const passwords = new Map(
    await Promise.all(specs.map(async (spec) => [spec.passwordSecret, await readPassword(options, spec)] as const)),
  );
  return settings && wantedOf(settings, specs, { text: (key) => passwords.get(key) }, unread.sort());
}

async function readAll<T>(
  { client }: ReadBgpOptions,
  resource: ResourceType,
  parse: ParseObject<T>,
  unread: string[],
): Promise<T[]> {
  try {
    return (await client.list(resource)).flatMap((object) => parse(object, () => undefined) ?? []);
  } catch (error) {
    // A cluster need not have the definitions.
    if (isNotFound(error)) return [];
    if (!isForbidden(error)) throw error;
    unread.push(messageOf(error));
    return [];
  }
}

async function readPassword(
  { client, namespace: own }: ReadBgpOptions,
  { passwordSecret }: BgpPeerSpec,
): Promise<BgpPassword> {
  if (passwordSecret === undefined) return { why: "it names no Secret" };
  const { namespace = own, name, key } = passwordSecret;
  let object: JsonObject;
  try {
    object = await client.get({ resource: secrets, namespace, name });
  } catch (error) {
    const why = isNotFound(error)
      ? `there is no Secret ${namespace}/${name}`
      : `Secret ${namespace}/${name} cannot be read: ${messageOf(error)}`;
    return { why };
  }
  const password = parseSecret(object, () => undefined)[key];
  return password === undefined
    ? { why: `Secret ${namespace}/${name} has no text under the key ${key}` }
    : { password };
}
