/** A kernel that has exactly what a state asks for, as an observation. */
import type { Link } from "../../model/kernel-objects.ts";
import { MAIN_TABLE } from "../../model/kernel-objects.ts";
import { ROUTE_PROTOCOL, TUNNEL } from "../../model/marks.ts";
import { type ObservedTable, ruleFingerprint } from "../../model/nft-changes.ts";
import { addressKey, fdbKey, featureKey, neighbourKey, type Observed } from "../../model/observed.ts";
import type { DesiredState } from "../../model/state.ts";

const plain = { carrier: true, group: 0, master: undefined, up: true } as const;

export function observedAs(state: DesiredState): Observed {
  const links = linksOf(state);
  const index = (device: string) => links.get(device)?.index ?? 0;
  return {
    links,
    podEndMtus: new Map(state.pods.map((pod) => [pod.hostIfname, pod.mtuBytes])),
    linksByIndex: new Map([...links.values()].map((link) => [link.index, link])),
    addresses: keyed(
      state.addresses.map(({ device, address, length }) => ({
        index: index(device),
        address,
        length,
        scope: "global" as const,
      })),
      addressKey,
    ),
    routes: keyed(
      state.routes.map(({ destination, type, gateway, device, onlink, mtuBytes }) => ({
        destination,
        gateway,
        oif: type === undefined ? index(device) : undefined,
        source: undefined,
        table: MAIN_TABLE,
        protocol: ROUTE_PROTOCOL,
        scope: "universe" as const,
        type: type ?? ("unicast" as const),
        onlink,
        mtuBytes,
        metric: undefined,
      })),
      (route) => route.destination,
    ),
    neighbours: keyed(
      state.neighbours.map(({ device, ip, mac }) => ({ index: index(device), ip, mac, permanent: true })),
      neighbourKey,
    ),
    fdb: keyed(
      state.fdb.map(({ device, mac, destination }) => ({ index: index(device), mac, destination })),
      fdbKey,
    ),
    sysctls: new Map(state.sysctls.map(({ name, value }) => [name, value])),
    features: new Map(state.features.map((feature) => [featureKey(feature), feature.on])),
    nft: tableOf(state),
  };
}

function linksOf({ vxlan, pods, routes }: DesiredState): Map<string, Link> {
  const links = new Map<string, Link>();
  const add = (name: string, rest: Pick<Link, "kind" | "mac" | "mtuBytes" | "vxlan">) =>
    links.set(name, { ...plain, name, index: links.size + 2, peerIndex: undefined, ...rest });
  add("eth0", { kind: undefined, mac: "02:00:00:00:00:01", mtuBytes: 1500, vxlan: undefined });
  for (const { device } of routes.filter((route) => !route.device.startsWith("bw") && route.device !== "eth0")) {
    add(device, { kind: undefined, mac: undefined, mtuBytes: 1500, vxlan: undefined });
  }
  if (vxlan !== undefined) {
    const { name, mac, mtuBytes, vni, port, local, underlayIndex } = vxlan;
    add(name, {
      kind: "vxlan",
      mac,
      mtuBytes,
      vxlan: { vni, port, local, underlayIndex, ...TUNNEL },
    });
  }
  for (const { hostIfname, mtuBytes } of pods)
    add(hostIfname, { kind: "veth", mac: undefined, mtuBytes, vxlan: undefined });
  return links;
}

function tableOf({ nft }: DesiredState): ObservedTable | undefined {
  if (nft.sets.length === 0 && nft.chains.length === 0) return undefined;
  const chains = nft.chains.map(({ name, base, rules }) => ({ name, base, fingerprints: rules.map(ruleFingerprint) }));
  const flowtables = nft.flowtables === undefined ? {} : { flowtables: nft.flowtables };
  return { family: nft.family, name: nft.name, ...flowtables, sets: nft.sets, chains };
}

function keyed<T>(values: readonly T[], key: (value: T) => string): Map<string, T> {
  return new Map(values.map((value) => [key(value), value]));
}
